"""results.jsonl: a row for each trained cell, written so that a kill loses none that was finished."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fer_jax.build import SELECT_BY
from fer_jax.errors import UserError
from fer_jax.files import write_whole
from fer_jax.forms import ANY, misfit
from fer_jax.members import MOST
from fer_jax.score_table import NAMES
from fer_jax.sweep.grid import Cell, Grid

FILE = "results.jsonl"
Row = Mapping[str, Any]
"""See `rows.make_row`."""

SCORES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "top2": "top-2",
    "calibration_error": "calibration error",
}
"""Of the full scores of a split, what tables show."""

_STATE = {"epoch": int, ANY: float}
_NEEDED = {
    **{"variant": str, "seed": int, "digest": str, "epochs": int, "data": str, "protocol": str},
    **{"params": dict, "last": _STATE, "best": _STATE, "curve": {"train_loss": [float], ANY: [float]}, "members": int},
    **{"seconds_training": float, "seconds_compiling": float, "selected_by": (None, str)},
    **{"test_reads": int, "machine": {"devices": int, "processor": str}},
}
_SCORES = {ANY: {ANY: {ANY: {"examples": int, **dict.fromkeys(SCORES, float)}}}}
"""By state, view and subset; see `scores`."""
_SCORED_ON = {"seed": ("test",), "clean": ("val", "test"), "tune": ("val",), "full": ("test",)}
"""The splits that a state has an accuracy and a loss on, by protocol."""


class Results(NamedTuple):
    """The rows of a file.

    Attributes:
      path: of the file.
      rows: in its order.
      torn: whether it ends with a line that was never written to its end, which is not among the rows.
      ended: whether the next row can be written behind the last.
    """

    path: Path
    rows: list[Row]
    torn: bool = False
    ended: bool = True

    def note(self) -> str:
        """What must be said of a torn line; '' if there is none."""
        if not self.torn:
            return ""
        return f"the last line of {self.path} is torn; the {len(self.rows)} rows before it are kept"


def read_results(path: Path) -> Results:
    """Reads the rows of a file; there are none where there is no file.

    An empty line is none.

    Raises:
      UserError: it cannot be read, or a line is no row, other than a last one that was not written to its end.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Results(path, [])
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    rows: list[Row] = []
    # Behind the last end of a line is nothing, or a line that has no end.
    *lines, rest = content.split(b"\n")
    for number, line in enumerate([*lines, rest], start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number > len(lines):
                return Results(path, rows, torn=True, ended=False)
            raise UserError(f"{path}, line {number} is no JSON: restore it, or take that line out") from error
        wrong = _fault(row)
        if wrong is not None:
            what = f"its '{wrong}' is missing or cannot be so" if wrong else "it is no object with keys"
            raise UserError(f"{path}, line {number} is no row of a sweep ({what}): restore it, or take that line out")
        rows.append(row)
    return Results(path, rows, ended=not rest)


def _fault(row: Any) -> str | None:
    """The first key of what should be a row that is missing, of another type or of a value that no run gives.

    Returns:
      The key, as 'best.epoch', or '' where it is no object; None where it is a row.
    """
    wrong = misfit(row, _NEEDED)
    if wrong is None:
        wrong = misfit(row.get("scores", {}), _SCORES, "scores")
    return next(_impossible(row), None) if wrong is None else wrong


def _impossible(row: Row) -> Iterator[str]:
    """The keys, in a row of the right form, whose values no run gives."""
    if row["epochs"] < 1:
        yield "epochs"
    if row["protocol"] not in _SCORED_ON:
        yield "protocol"
        return
    if row["selected_by"] not in (None, "validation", "test"):
        yield "selected_by"
    if row.get("select_by", "accuracy") not in SELECT_BY:
        yield "select_by"
    if not 1 <= row["members"] <= MOST:
        yield "members"
    if row["test_reads"] < 0:
        yield "test_reads"
    for key in ("seconds_training", "seconds_compiling"):
        # NaN is in no range.
        if not 0 <= row[key] <= sys.float_info.max:
            yield key
    scored = [f"{split}_{score}" for split in _SCORED_ON[row["protocol"]] for score in ("accuracy", "loss")]
    for state in ("last", "best"):
        scores = row[state]
        yield from (f"{state}.{key}" for key in (*scored, *row["last"]) if key not in scores)
        yield from (f"{state}.{key}" for key, value in scores.items() if not _possible(key, value))
        if not 1 <= scores["epoch"] <= row["epochs"]:
            yield f"{state}.epoch"
    for key, values in row["curve"].items():
        if len(values) != row["epochs"] or not all(_possible(key, value) for value in values):
            yield f"curve.{key}"
    for state, views in row.get("scores", {}).items():
        for view, subsets in views.items():
            for subset, found in subsets.items():
                place = f"scores.{state}.{view}.{subset}"
                if subset not in NAMES:
                    yield place
                yield from (f"{place}.{key}" for key in SCORES if not 0 <= found[key] <= 1)


def _possible(key: str, value: float) -> bool:
    """Whether a run could give a score or a figure of an epoch: shares are from 0 to 1, and what is drawn is finite."""
    if "accuracy" in key or key.endswith("macro_f1"):
        return 0 <= value <= 1
    if key == "train_loss":
        return abs(value) <= sys.float_info.max
    return isinstance(value, float) or abs(value) <= sys.float_info.max


def mend(results: Results) -> None:
    """Takes a torn last line out of the file, and ends one that is whole."""
    if not results.ended:
        write_whole(results.path, "".join(json.dumps(row) + "\n" for row in results.rows))


def append(path: Path, rows: Iterable[Row]) -> None:
    """Adds rows; when it returns they survive a loss of power.

    Raises:
      UserError: they cannot be written; the file is then as it was.
    """
    text = "".join(json.dumps(row) + "\n" for row in rows)
    try:
        with path.open("ab") as file:
            size = file.tell()
            try:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.truncate(path, size)
                raise
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


class Kept(NamedTuple):
    """What the rows of a file are worth for an experiment.

    Attributes:
      by_cell: the row of each cell that has one, in the order of the grid.
      stale: how many rows are of no cell of the experiment as it is now.
    """

    by_cell: dict[Cell, Row]
    stale: int

    def note(self, path: Path) -> str:
        """What must be said of rows that do not count; '' if there are none."""
        if not self.stale:
            return ""
        rows = "1 row" if self.stale == 1 else f"{self.stale} rows"
        return f"{rows} in {path} of no variant and seed as the experiment has them now: kept there, and in no table"


def keep(grid: Grid, rows: Sequence[Row]) -> Kept:
    """Sorts rows by cell: one counts if its variant's definition, whatever its name, and its seed are in the grid."""
    by_key: dict[tuple[str, int], Row] = {}
    for row in rows:
        by_key.setdefault((row["digest"], row["seed"]), row)
    cells = {(cell.digest, cell.seed): cell for cell in grid.cells()}
    stale = sum((row["digest"], row["seed"]) not in cells for row in rows)
    return Kept({cell: by_key[key] for key, cell in cells.items() if key in by_key}, stale)
