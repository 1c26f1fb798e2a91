"""Training loss and test accuracy by epoch: the runs of this experiment beside the log of seed document 001, section 3.

    python experiments/2026-11-21_mnist_15k/curve.py

It writes curve.png and curve.svg beside it, from the rows of the sweep.
"""

from pathlib import Path

from matplotlib.figure import Figure

from fer_jax.files import write_whole
from fer_jax.sweep.plots import as_files, scale_loss
from fer_jax.sweep.results import FILE, read_results

HERE = Path(__file__).parent
DOCUMENT = {
    "train_loss": (
        *(0.2010, 0.0618, 0.0507, 0.0416, 0.0377, 0.0339, 0.0305, 0.0288, 0.0280, 0.0258),
        *(0.0247, 0.0223, 0.0210, 0.0208, 0.0200, 0.0193, 0.0182, 0.0170, 0.0177, 0.0175),
    ),
    "test_accuracy": (
        *(0.9802, 0.9823, 0.9887, 0.9908, 0.9883, 0.9931, 0.9912, 0.9916, 0.9936, 0.9936),
        *(0.9930, 0.9942, 0.9928, 0.9945, 0.9941, 0.9934, 0.9936, 0.9928, 0.9934, 0.9919),
    ),
}
"""By epoch; one run."""


def draw(curves: dict[str, dict[str, list[float]]]) -> Figure:
    """Draws curves, by their label, and the document's."""
    epochs = range(1, len(DOCUMENT["train_loss"]) + 1)
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for label, curve in {**curves, "seed document 001": DOCUMENT}.items():
        style = {"color": "k", "linestyle": "--"} if curve is DOCUMENT else {"linewidth": 1}
        left.plot(epochs, curve["train_loss"], label=label, **style)
        right.plot(epochs, [100 * value for value in curve["test_accuracy"]], label=label, **style)
    left.set(xlabel="epoch", xticks=range(0, 21, 5))
    scale_loss(left)
    right.set(xlabel="epoch", ylabel="test accuracy (%)", ylim=(97.5, 99.6), xticks=range(0, 21, 5))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return figure


def main() -> None:
    """Writes the picture."""
    curves = {f"fer_jax, seed {row['seed']}": row["curve"] for row in read_results(HERE / FILE).rows}
    for name, content in as_files("curve", lambda: draw(curves)).items():
        write_whole(HERE / name, content)


if __name__ == "__main__":
    main()
