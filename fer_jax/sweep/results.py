"""results.jsonl: a row for each trained cell, written so that a kill loses none that was finished."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fer_jax.errors import UserError
from fer_jax.files import write_whole
from fer_jax.forms import ANY, misfit
from fer_jax.sweep.grid import Cell, Grid

FILE = "results.jsonl"
Row = Mapping[str, Any]
"""See `rows.make_row`."""

_NUMBERS = {ANY: float}
_NEEDED = {
    **{"variant": str, "seed": int, "digest": str, "epochs": int, "data": str, "protocol": str},
    **{"params": dict, "last": _NUMBERS, "best": _NUMBERS, "curve": {ANY: [(None, float)]}, "members": int},
    **{"seconds_training": float, "seconds_compiling": float, "selected_by": (None, str)},
    **{"test_reads": int, "machine": dict},
}
_SCORES = {ANY: {ANY: {ANY: {ANY: object}}}}
"""By state, view and subset; see `scores`."""


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

    Raises:
      UserError: it cannot be read, or a line other than the last is no row.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Results(path, [])
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    rows: list[Row] = []
    lines = content.splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                return Results(path, rows, torn=True, ended=False)
            raise UserError(f"{path}, line {number} is no JSON: restore it, or take that line out") from error
        wrong = _fault(row)
        if wrong is not None:
            raise UserError(
                f"{path}, line {number} is no row of a sweep (its '{wrong}' is missing or of another type): restore "
                "it, or take that line out"
            )
        rows.append(row)
    return Results(path, rows, ended=not content or content.endswith(b"\n"))


def _fault(row: Any) -> str | None:
    """The first key of what should be a row that is missing or of another type; None where it is a row."""
    wrong = misfit(row, _NEEDED)
    if wrong is None and "scores" in row:
        wrong = misfit(row["scores"], _SCORES, "scores")
    if wrong is None and not isinstance(row.get("select_by", ""), str):
        wrong = "select_by"
    if wrong is None and row["members"] < 1:
        wrong = "members"
    if wrong is None:
        wrong = next((f"best.{key}" for key in row["last"] if key not in row["best"]), None)
    return wrong


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
