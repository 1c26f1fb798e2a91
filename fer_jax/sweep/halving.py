"""Searching for a recipe by successive halving: many trials that are short, and longer ones of those that did well.

An experiment file that calls `successive_halving` states what its results so far ask for next, so `fer_jax.sweep` goes
on with the same command from rung to rung, and every trial's row is kept.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import ml_collections

from fer_jax.data import WITH_VALIDATION
from fer_jax.errors import ConfigError
from fer_jax.sweep.experiment import Experiment, Variant
from fer_jax.sweep.grid import Repeat, make_grid
from fer_jax.sweep.numbers import rows_of
from fer_jax.sweep.results import FILE, Row, keep, read_results


def successive_halving(
    base: ml_collections.ConfigDict, trials: Sequence[Variant], *, epochs: Sequence[int], seeds: int, results: Path
) -> Experiment:
    """An experiment whose rungs are the epochs: each has the better half of the rung before, rounded up.

    What is compared is the mean over the seeds of the accuracy on the validation split at the selected epoch; of equals
    the one with the smaller loss there is better (Jamieson and Talwalkar, 2016, with one rung open at a time). The
    warm-up is the same share of the epochs in every rung.

    Args:
      base: the config that the trials differ from.
      trials: at least two, of protocols that have a validation split.
      epochs: of each rung, ascending.
      seeds: of every trial.
      results: the folder of the experiment, with the rows so far.

    Returns:
      The rungs that have been finished, and the next; a variant is called '<trial>, <epochs> epochs'.

    Raises:
      ConfigError: epochs that do not ascend, a protocol without a validation split, a trial that cannot be, or two of
        one name.
      UserError: the rows cannot be read.
    """
    # As one experiment, which tells what is wrong with the trials under their own names.
    Experiment(base=base, variants=trials, seeds=seeds)
    if not epochs or any(later <= earlier for earlier, later in pairwise(epochs)):
        raise ConfigError(f"epochs must ascend from rung to rung, as in (10, 30, 90), not {tuple(epochs)}")
    rows = read_results(results / FILE).rows
    left, variants = list(trials), list[Variant]()
    for place, length in enumerate(epochs):
        rung = {trial.name: _at(trial, length, base) for trial in left}
        variants += rung.values()
        alone = Experiment(base=base, variants=list(rung.values()), seeds=seeds)
        grid = make_grid(results, b"", "", alone)
        for name, recipe in grid.recipes.items():
            if recipe.config.protocol not in WITH_VALIDATION:
                raise ConfigError(
                    f"variant '{name}': successive halving compares on a validation split: set config.protocol = "
                    f"'tune' or 'clean', not '{recipe.config.protocol}'"
                )
        kept = rows_of(keep(grid, rows))
        found = {name: kept.get(variant.name, {}) for name, variant in rung.items()}
        if place + 1 == len(epochs) or any(len(of_trial) < seeds for of_trial in found.values()):
            return Experiment(base=base, variants=variants, seeds=seeds)
        ranked = sorted(left, key=lambda trial: _rank(found[trial.name]))
        better = ranked[: (len(left) + 1) // 2]
        left = [trial for trial in left if trial in better]
    raise AssertionError("the last rung has returned")


def _at(trial: Variant, epochs: int, base: ml_collections.ConfigDict) -> Variant:
    warmup = base.optim.warmup_epochs * epochs / base.epochs
    changes = {"epochs": epochs, "optim.warmup_epochs": warmup, **trial.changes}
    return Variant(f"{trial.name}, {epochs} epochs", changes, trial.config)


def _rank(rows: Mapping[Repeat, Row]) -> tuple[float, float]:
    """The smaller the better."""
    accuracy, loss = (sum(row["best"][f"val_{name}"] for row in rows.values()) for name in ("accuracy", "loss"))
    return -accuracy, loss
