"""The numbers of an experiment: accuracies over the repeats of a variant, and their differences to the baseline."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scipy.special import stdtrit

from fer_jax.scores import t_interval
from fer_jax.sweep.grid import Grid, Repeat
from fer_jax.sweep.results import SCORES, Kept, Row

STATES = {"last": "last epoch", "best": "selected epoch"}


class Number(NamedTuple):
    """A mean over repeats: over seeds, folds or both.

    Attributes:
      id: what `fer_jax.reproduce` calls it by, without the experiment: '<variant>/<what>'.
      variants: whose cells it is made of; the second, if there is one, is subtracted.
      path: where it stands in a row: ('last', 'test_accuracy').
      values: one a repeat, from 0 to 1.
      repeats: of the values.
    """

    id: str
    variants: tuple[str, ...]
    path: tuple[str, ...]
    values: tuple[float, ...]
    repeats: tuple[Repeat, ...]

    @property
    def mean(self) -> float:
        """Over the repeats."""
        return sum(self.values) / len(self.values)

    @property
    def half_width(self) -> float | None:
        """Of the 95 % interval of the mean; None for one repeat."""
        return t_interval(self.values)[1] if len(self.values) > 1 else None

    @property
    def within_noise(self) -> bool | None:
        """Of a difference: whether its interval contains 0; None for one repeat."""
        return None if self.half_width is None else abs(self.mean) <= self.half_width


Rows = Mapping[str, Mapping[Repeat, Row]]
"""The rows of an experiment, by variant and repeat."""


def interval(grid: Grid) -> str:
    """What stands behind a ±, in words."""
    return f"95 % interval of the mean over the {grid.repeated} (Student's t)"


def rows_of(kept: Kept) -> dict[str, dict[Repeat, Row]]:
    """The rows by variant and repeat."""
    found: dict[str, dict[Repeat, Row]] = {}
    for cell, row in kept.by_cell.items():
        found.setdefault(cell.variant, {})[cell.repeat] = row
    return found


def splits_of(rows: Rows) -> list[str]:
    """The splits that all rows have scores on and that tables show: 'val', 'test', or both."""
    each = [row for of_variant in rows.values() for row in of_variant.values()]
    return [split for split in ("val", "test") if each and all(f"{split}_accuracy" in row["last"] for row in each)]


def states_of(rows: Rows) -> dict[str, str]:
    """`STATES`, less the selected one if no row selected any."""
    selects = any(row["selected_by"] for of_variant in rows.values() for row in of_variant.values())
    return {state: words for state, words in STATES.items() if selects or state != "best"}


def main_split(splits: Sequence[str]) -> str:
    """The split that a number with no split in its name is on: the test split, unless nobody has looked at it."""
    return "test" if "test" in splits else "val"


def numbers(grid: Grid, rows: Rows) -> dict[str, Number]:
    """Every number of the tables, by its id.

    `<variant>/last` and `<variant>/best` are accuracies, `.../val_last` and `.../val_best` those on the validation
    split where that is not the only one, `.../last_difference` and `.../best_difference` are paired differences to
    the baseline, and `.../best/<view>/<subset>/<score>` are full scores. A variant that selected no epoch has no best.

    Args:
      grid: the experiment.
      rows: by variant and repeat.
    """
    splits, baseline = splits_of(rows), grid.experiment.baseline_name
    found: dict[str, Number] = {}

    def add(what: str, variants: tuple[str, ...], path: tuple[str, ...]) -> None:
        made = make_number(f"{grid.recipes[variants[0]].variant.slug}/{what}", variants, path, rows)
        if made is not None:
            found[made.id] = made

    for name in rows:
        states = states_of({name: rows[name]})
        for split in sorted(splits, reverse=True):
            before = "" if split == main_split(splits) else f"{split}_"
            for state in states:
                add(f"{before}{state}", (name,), (state, f"{split}_accuracy"))
        if name != baseline and baseline in rows and splits:
            of_baseline = states_of({baseline: rows[baseline]})
            for state in [state for state in states if state in of_baseline]:
                path = (state, f"{main_split(splits)}_accuracy")
                add(f"{state}_difference", (name, baseline), path)
        for state, view, subset in scored(rows[name]) if splits else []:
            for score in SCORES:
                add(f"{state}/{view}/{subset}/{score}", (name,), ("scores", state, view, subset, score))
    return found


def scored(rows: Mapping[Repeat, Row]) -> list[tuple[str, str, str]]:
    """(state, view, subset) of the full scores that all rows of a variant have; 'best' only where it was selected."""
    each = [
        [
            (state, view, subset)
            for state in ("best", "last")
            if state == "last" or row["selected_by"]
            for view, subsets in row.get("scores", {}).get(state, {}).items()
            for subset in subsets
        ]
        for row in rows.values()
    ]
    return [place for place in each[0] if all(place in others for others in each)]


def make_number(id: str, variants: Sequence[str], path: Sequence[str], rows: Rows) -> Number | None:
    """The number that a path in the rows of a variant makes, or of two the difference; None where no repeat has it."""
    repeats = sorted(set.intersection(*(set(rows.get(name, {})) for name in variants)))
    if not repeats:
        return None
    first, *second = ([_at(rows[name][repeat], path) for repeat in repeats] for name in variants)
    values = [a - b for a, b in zip(first, second[0], strict=True)] if second else first
    return Number(id, tuple(variants), tuple(path), tuple(values), tuple(repeats))


def _at(row: Row, path: Sequence[str]) -> float:
    value: Any = row
    for key in path:
        value = value[key]
    return float(value)


def prediction_half_width(values: Sequence[float], m: int) -> float:
    """Of the 95 % prediction interval for the mean of m new values: t_{n-1} * s * sqrt(1/n + 1/m).

    The interval of the mean alone says where the true mean is; the mean of m new runs scatters about that by
    s / sqrt(m) once more, so that it would fall outside too often. (Hahn and Meeker 1991, "Statistical Intervals",
    section 4.8.)

    Args:
      values: n of them, at least two.
      m: at least one.
    """
    n = len(values)
    mean = sum(values) / n
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    return float(stdtrit(n - 1, 0.975)) * deviation * math.sqrt(1 / n + 1 / m)
