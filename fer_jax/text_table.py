"""Tables for a terminal: columns of one width."""

from collections.abc import Collection, Sequence


def aligned(rows: Sequence[Sequence[str]], left: Collection[int], rule: bool = False) -> str:
    """The rows one under the other, with no newline at the end.

    Args:
      rows: the first is the header.
      left: the columns, from 0, that begin at the left; all others end at the right, as numbers do.
      rule: draws a line under the header.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    if rule:
        lines.insert(1, "=" * (sum(widths) + 2 * (len(widths) - 1)))
    return "\n".join(lines)
