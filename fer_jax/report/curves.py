"""The curves of a page: what the lines of metrics.jsonl say, of one run or of several over each other."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fer_jax.report.chart import Line, chart

SPLIT_WORDS = {
    **{"train": "training (mean over the epoch)", "seen": "training, a part at the epoch's end"},
    **{"val": "validation", "test": "test"},
}
"""What is measured, by what its figures in metrics.jsonl begin with."""


class Curve(NamedTuple):
    """What the curves of a run are drawn from.

    Attributes:
      name: of the run.
      epochs: its lines of metrics.jsonl, of one member.
      watched: what the watched split's figures begin with, 'val', 'test' or 'seen'.
    """

    name: str
    epochs: Sequence[Mapping[str, Any]]
    watched: str

    def line(self, name: str, key: str, scale: float = 1.0) -> Line:
        """The line of one of its figures."""
        return Line(name, [one["epoch"] for one in self.epochs], [scale * one[key] for one in self.epochs])


def charts_of_run(curve: Curve, chosen: float | None, alt: str) -> str:
    """Loss, accuracy and learning rate of a run with at least one epoch; `chosen` is the selected epoch, if one was."""
    splits = ("train", curve.watched)
    loss = [curve.line(SPLIT_WORDS[split], f"{split}_loss") for split in splits]
    accuracy = [curve.line(SPLIT_WORDS[split], f"{split}_accuracy", 100) for split in splits]
    rate = [curve.line("learning rate", "learning_rate")]
    mark = "" if chosen is None else " (dotted: the selected epoch)"
    drawn = [
        chart(f"{title}{mark}", lines, x_name="epoch", alt=alt, chosen=chosen)
        for title, lines in (("Cross-entropy (nats)", loss), ("Accuracy (%)", accuracy), ("Learning rate", rate))
    ]
    return f'<div class="pair">{"".join(drawn)}</div>'


def charts_of_runs(curves: Sequence[Curve]) -> str:
    """The curves of several runs over each other; of a run without an epoch there are none."""
    curves = [curve for curve in curves if curve.epochs]
    if not curves:
        return "<p>No run has ended an epoch yet.</p>"
    watched = {curve.watched for curve in curves}

    def name(curve: Curve) -> str:
        return curve.name if len(watched) == 1 else f"{curve.name}, {SPLIT_WORDS[curve.watched]}"

    split = SPLIT_WORDS[curves[0].watched] if len(watched) == 1 else "each run's watched split"
    panels = (
        (f"Accuracy (%): {split}", [curve.line(name(curve), f"{curve.watched}_accuracy", 100) for curve in curves]),
        (f"Cross-entropy (nats): {split}", [curve.line(name(curve), f"{curve.watched}_loss") for curve in curves]),
        ("Cross-entropy (nats): training", [curve.line(curve.name, "train_loss") for curve in curves]),
        ("Learning rate", [curve.line(curve.name, "learning_rate") for curve in curves]),
    )
    drawn = [
        chart(title, lines, x_name="epoch", alt=f"{title} by epoch, of {', '.join(curve.name for curve in curves)}.")
        for title, lines in panels
    ]
    return f'<div class="pair">{"".join(drawn)}</div>'
