"""Accuracy on MNIST's test split against parameters: our means with their intervals, and what others state.

    python experiments/mnist_best/pareto.py

It writes pareto.png and pareto.svg beside it, from results.jsonl here and in mnist_eight_networks. What others state is
one run each, mostly the best epoch on the test split.
"""

import io
import json
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from fer_jax.files import write_whole
from fer_jax.scores import t_interval

HERE = Path(__file__).parent
OURS = {
    "ours, recipe tuned on validation": HERE,
    "the documents' networks and recipes": HERE.parent / "mnist_eight_networks",
}
RIVALS = {
    "woolly-of-cv": (3762, 99.52),
    "woolly-of-cv ": (4838, 99.41),
    "SXD390, model 3": (7784, 99.46),
    "SXD390, model 1": (13808, 99.50),
    "EVA5B2": (13496, 99.46),
    "mnist_994": (19898, 99.54),
    "mnist-minimal-model": (1936, 99.10),
    "mnist-minimal-model ": (3197, 99.25),
    "JoshWarn": (697, 99.03),
    "Keras example": (34826, 99.1),
}
"""Parameters and accuracy: the last epoch where it is stated, or else the best."""
SETTINGS = {"font.size": 11, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "fer_jax"}


def means(folder: Path) -> list[tuple[str, int, float, float | None, int]]:
    """(name, parameters, mean of the last epoch in per cent, half of its 95 % interval, n) of each variant."""
    path = folder / "results.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    found = []
    for name in dict.fromkeys(row["variant"] for row in rows):
        own = [row for row in rows if row["variant"] == name]
        values = [100 * row["last"]["test_accuracy"] for row in own]
        half = t_interval(values)[1] if len(values) > 1 else None
        found.append((name, own[0]["params"]["total"], sum(values) / len(values), half, len(values)))
    return found


def draw() -> Figure:
    """The figure."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    for (label, folder), colour, mark in zip(OURS.items(), ("#0072b2", "#009e73"), "os", strict=True):
        for place, (name, params, mean, half, n) in enumerate(means(folder)):
            legend = f"{label} (mean of {n} seeds, 95 % interval)" if place == 0 else None
            axes.errorbar(params, mean, yerr=half, fmt=mark, color=colour, capsize=4, label=legend)
            axes.annotate(name, (params, mean), xytext=(6, -12), textcoords="offset points", fontsize=8, color=colour)
    axes.plot(
        *zip(*RIVALS.values(), strict=True),
        "x",
        color="#d55e00",
        label="others, as they state it: one run, test-watched",
    )
    for name, place in RIVALS.items():
        axes.annotate(name.strip(), place, xytext=(6, 5), textcoords="offset points", fontsize=8, color="#d55e00")
    axes.set(xscale="log", xlabel="parameters", ylabel="MNIST test accuracy (%)", ylim=(98.4, 99.8))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=9, frameon=False)
    return figure


def main() -> None:
    """Writes both files."""
    with matplotlib.rc_context(SETTINGS):
        figure = draw()
        for kind in ("png", "svg"):
            file = io.BytesIO()
            figure.savefig(file, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {"Software": None})
            write_whole(HERE / f"pareto.{kind}", file.getvalue())


if __name__ == "__main__":
    main()
