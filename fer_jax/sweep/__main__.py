"""Trains the cells of an experiment, its variants x its seeds, that are not yet done; writes its tables and plots.

python -m fer_jax.sweep --experiment=experiments/digits_smoke/experiment.py
python -m fer_jax.sweep --experiment=experiments/digits_smoke/experiment.py --dry_run
python -m fer_jax.sweep --experiment=experiments/digits_smoke/experiment.py --table=variants --format=latex
"""

from absl import flags

from fer_jax import command
from fer_jax.errors import ConfigError

# JAX and what stands on it are imported in the function, so that a misspelt flag is told at once.

FLAGS = flags.FlagValues()
_EXPERIMENT = flags.DEFINE_string(
    "experiment", "", "The experiment: a Python file that defines get_experiment().", flag_values=FLAGS
)
_WORKDIR = flags.DEFINE_string(
    "workdir", "", "The folder of the runs; default: runs/sweep/<name of the experiment's folder>.", flag_values=FLAGS
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "The folder that holds a folder for each data set; looks nowhere else.", flag_values=FLAGS
)
_AT_ONCE = flags.DEFINE_integer(
    "at_once", 0, "The most cells in a run; default: one a device on a CPU, 16 on a GPU or TPU.", flag_values=FLAGS
)
_DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "Show the grid and how long it will take; train and write nothing.", flag_values=FLAGS
)
_TABLE = flags.DEFINE_string(
    "table", "", "Print a table of what is done, and do nothing else: variants, seeds or scores.", flag_values=FLAGS
)
_FORMAT = flags.DEFINE_enum(
    "format", "markdown", ["markdown", "csv", "latex"], "Of the table that is printed.", flag_values=FLAGS
)


def main() -> None:
    """Does what the flags say, which have been parsed.

    Raises:
      UserError: what the user can mend.
    """
    if not _EXPERIMENT.value:
        raise ConfigError(
            "--experiment=FILE is missing, for example --experiment=experiments/digits_smoke/experiment.py"
        )
    command.prepare_jax()
    from fer_jax.sweep.sweep import print_table, sweep

    if _TABLE.value or _FORMAT.value != "markdown":
        print_table(_EXPERIMENT.value, _TABLE.value or "variants", _FORMAT.value)
        return
    sweep(
        _EXPERIMENT.value,
        workdir=_WORKDIR.value,
        data_dir=_DATA_DIR.value,
        at_once=_AT_ONCE.value,
        dry_run=_DRY_RUN.value,
    )


if __name__ == "__main__":
    command.run(main, FLAGS)
