"""What is told at the end of an export: a row for each file, and what 8-bit integers cost."""

from collections.abc import Sequence
from typing import NamedTuple

from fer_jax.export.int8 import TestScores
from fer_jax.text_table import aligned
from fer_jax.writers import times

HEADER = ("format", "bytes", "difference", "one image", "runtime")


class Row(NamedTuple):
    """A file.

    Attributes:
      name: of its format.
      size: in bytes.
      difference: the largest of two probabilities, the file's and the run's.
      seconds: that its runtime takes for one image, the median of many calls.
      runtime: name and version.
    """

    name: str
    size: int
    difference: float
    seconds: float
    runtime: str


def format_rows(rows: Sequence[Row]) -> str:
    """The table for a terminal, with no newline at its end."""
    cells = [
        (row.name, f"{row.size:,}", f"{row.difference:.1e}", f"{1000 * row.seconds:.2f} ms", row.runtime)
        for row in rows
    ]
    return aligned([HEADER, *cells], left=(0, 4), rule=True)


def format_test(test: TestScores, test_reads: int) -> str:
    """The sentences on the cost of 8-bit integers."""
    return (
        f"8-bit integers cost {test.cost:.2f} points of accuracy: {100 * test.int8_accuracy:.2f} % of the "
        f"{test.images:,} test images instead of {100 * test.float_accuracy:.2f} %; {test.other_labels:,} labels "
        "differ from the float form's. Both forms were evaluated on the test split, which run.json counts: it was read "
        f"{times(test_reads)}."
    )
