"""A table, and its text in Markdown, CSV and LaTeX."""

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple


class Percent(NamedTuple):
    """A share from 0 to 1 that is shown in per cent.

    Attributes:
      mean: the share, or the mean of several.
      half_width: of its interval; None where there is none.
      note: words behind it.
      signed: whether a plus is shown.
    """

    mean: float
    half_width: float | None = None
    note: str = ""
    signed: bool = False

    def text(self, plus_minus: str = "±") -> str:
        """'99.35 ± 0.12'."""
        mean = f"{100 * self.mean:{'+' if self.signed else ''}.2f}"
        return mean if self.half_width is None else f"{mean} {plus_minus} {100 * self.half_width:.2f}"


Value = str | int | Percent | None
"""None is an empty place."""


class Table(NamedTuple):
    """Rows under titles.

    Attributes:
      name: a word.
      titles: of the columns.
      rows: each with a value for each title.
      notes: what must stand beside it, in sentences.
    """

    name: str
    titles: Sequence[str]
    rows: Sequence[Sequence[Value]]
    notes: Sequence[str]


def markdown(table: Table) -> str:
    """A GitHub table, and the notes under it."""

    def cell(value: Value) -> str:
        if isinstance(value, Percent):
            return value.text() + (f", {value.note}" if value.note else "")
        return (f"{value:,}" if isinstance(value, int) else value or "").replace("|", "\\|")

    lines = [_line(table.titles), "|" + "---|" * len(table.titles)]
    lines += [_line([cell(value) for value in row]) for row in table.rows]
    return "\n".join([*lines, "", " ".join(table.notes)]).rstrip() + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def comma_separated(table: Table) -> str:
    """CSV with a header; shares in per cent with all their digits, their half-widths and notes in columns beside."""
    has_note = [any(isinstance(row[place], Percent) for row in table.rows) for place in range(len(table.titles))]
    noted = [
        any(isinstance(row[place], Percent) and row[place].note for row in table.rows)  # type: ignore[union-attr]
        for place in range(len(table.titles))
    ]
    header: list[str] = []
    for title, is_percent, with_note in zip(table.titles, has_note, noted, strict=True):
        header += [title] + [f"{title}, half-width"] * is_percent + [f"{title}, note"] * with_note
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    for row in table.rows:
        cells: list[str] = []
        for value, is_percent, with_note in zip(row, has_note, noted, strict=True):
            if isinstance(value, Percent):
                half = "" if value.half_width is None else repr(100 * value.half_width)
                cells += [repr(100 * value.mean), half] + [value.note] * with_note
            else:
                cells += ["" if value is None else str(value)] + [""] * (is_percent + with_note)
        writer.writerow(cells)
    return file.getvalue()


def latex(table: Table) -> str:
    """A tabular of the package booktabs; the notes are comments above it."""

    def cell(value: Value) -> str:
        if isinstance(value, Percent):
            text = "$" + value.text(r"\pm") + "$"
            return f"{text}, {_escaped(value.note)}" if value.note else text
        return _escaped(f"{value:,}" if isinstance(value, int) else value or "")

    numeric = [all(not isinstance(row[place], str) for row in table.rows) for place in range(len(table.titles))]
    return "\n".join(
        [
            *(f"% {note}" for note in table.notes),
            rf"\begin{{tabular}}{{{''.join('r' if right else 'l' for right in numeric)}}}",
            r"\toprule",
            " & ".join(map(_escaped, table.titles)) + r" \\",
            r"\midrule",
            *(" & ".join(map(cell, row)) + r" \\" for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "Δ": r"$\Delta$",
    },
}


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


FORMATS = {"markdown": markdown, "csv": comma_separated, "latex": latex}
