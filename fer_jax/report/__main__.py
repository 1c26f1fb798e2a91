"""Writes the report of a trained run into its folder: report.html, confusion matrix, curves, calibration, mistakes.

python -m fer_jax.report --workdir=runs/mnist_15k
python -m fer_jax.report --workdir=runs/mnist_15k --checkpoint=last --split=test
"""

from absl import flags

from fer_jax import command
from fer_jax.errors import ConfigError

# JAX and what stands on it are imported in the function, so that a misspelt flag is told at once.

FLAGS = flags.FlagValues()
_WORKDIR = flags.DEFINE_string("workdir", "", "The folder of the trained run.", flag_values=FLAGS)
_CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "best, last or the number of a step.", flag_values=FLAGS)
_SPLIT = flags.DEFINE_string(
    "split", "", "train, validation or test; default: the watched split. Reading test is counted.", flag_values=FLAGS
)
_MEMBER = flags.DEFINE_integer(
    "member", None, "Of a run with several members: which, counted from 0; default: 0.", flag_values=FLAGS
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "The folder that holds a folder for each data set; looks nowhere else.", flag_values=FLAGS
)


def main() -> None:
    """Does what the flags say, which have been parsed.

    Raises:
      UserError: what the user can mend.
    """
    if not _WORKDIR.value:
        raise ConfigError("--workdir=RUN is missing: the folder of a trained run, for example --workdir=runs/mnist_15k")
    command.prepare_jax()
    from fer_jax.report.write import report

    report(
        _WORKDIR.value,
        split=_SPLIT.value,
        checkpoint=_CHECKPOINT.value,
        data_dir=_DATA_DIR.value,
        member=_MEMBER.value,
    )


if __name__ == "__main__":
    command.run(main, FLAGS)
