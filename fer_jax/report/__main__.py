"""Writes the report of a trained run into its folder: report.html, confusion matrix, curves, calibration, mistakes.

python -m fer_jax.report --workdir=runs/mnist_15k
python -m fer_jax.report --workdir=runs/mnist_15k --checkpoint=last --split=test
python -m fer_jax.report --workdir=runs/first --workdir=runs/second --out=comparison.html

Several runs on the same data are compared on one page.
"""

from typing import Any

from absl import flags

from fer_jax import command
from fer_jax.errors import ConfigError

# JAX and what stands on it are imported in the function, so that a misspelt flag is told at once.

FLAGS = flags.FlagValues()
_WORKDIR = flags.DEFINE_multi_string(
    "workdir", [], "The folder of the trained run; given again, of another to compare with.", flag_values=FLAGS
)
_OUT = flags.DEFINE_string(
    "out", "", "Of several runs: the file for the page; default: comparison.html.", flag_values=FLAGS
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Of several runs: replace that file.", flag_values=FLAGS)
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
    workdirs = _WORKDIR.value
    if not all(workdirs) or not workdirs:
        raise ConfigError("--workdir=RUN is missing: the folder of a trained run, for example --workdir=runs/mnist_15k")
    options: dict[str, Any] = {
        "split": _SPLIT.value,
        "checkpoint": _CHECKPOINT.value,
        "data_dir": _DATA_DIR.value,
        "member": _MEMBER.value,
    }
    if len(workdirs) > 1:
        command.prepare_jax()
        from fer_jax.report.compare import compare

        compare(workdirs, out=_OUT.value, overwrite=_OVERWRITE.value, **options)
        return
    if _OUT.value or _OVERWRITE.value:
        raise ConfigError("--out and --overwrite go with several --workdir: the report of one run lies in its folder")
    command.prepare_jax()
    from fer_jax.report.write import report

    report(workdirs[0], **options)


if __name__ == "__main__":
    command.run(main, FLAGS)
