"""Accuracy on MNIST's test split against parameters: our means with their intervals, and what others state.

    python -m experiments.mnist_best.pareto

It writes pareto.png and pareto.svg beside it, from the rows of this experiment and of mnist_eight_networks. What others
state is one run each, mostly the best epoch on the test split.
"""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from fer_jax.files import write_whole
from fer_jax.sweep.numbers import Number, make_number, rows_of
from fer_jax.sweep.plots import as_files
from fer_jax.sweep.sweep import open_experiment

HERE = Path(__file__).parent
OURS = {
    "ours, recipe tuned on validation": HERE,
    "the documents' networks and recipes": HERE.parent / "mnist_eight_networks",
}
RIVALS = (
    ("JoshWarn", 697, 99.03),
    ("mnist-minimal-model", 1936, 99.1),
    ("mnist-minimal-model", 3197, 99.25),
    ("woolly-of-cv", 3762, 99.52),
    ("woolly-of-cv", 4838, 99.41),
    ("SXD390, model 3", 7784, 99.46),
    ("EVA5B2", 13496, 99.46),
    ("SXD390, model 1", 13808, 99.5),
    ("mnist_994", 19898, 99.54),
    ("Keras example", 34826, 99.1),
)
"""Parameters and accuracy: the last epoch where it is stated, or else the best."""


def last_epochs(folder: Path) -> dict[str, tuple[int, Number]]:
    """The parameters of each variant that has been run, and its accuracy on the test split at the last epoch."""
    grid, _, kept = open_experiment(str(folder / "experiment.py"))
    rows = rows_of(kept)
    found = {name: make_number("", (name,), ("last", "test_accuracy"), rows) for name in rows}
    return {name: (grid.recipes[name].params["total"], number) for name, number in found.items() if number}


def draw() -> Figure:
    """The figure."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    for (label, folder), colour, mark in zip(OURS.items(), ("#0072b2", "#009e73"), "os", strict=True):
        found = last_epochs(folder)
        counts = " or ".join(map(str, sorted({len(number.values) for _, number in found.values()})))
        for place, (name, (params, number)) in enumerate(found.items()):
            legend = f"{label} (mean and 95 % interval, n = {counts})" if place == 0 else None
            mean, half = 100 * number.mean, number.half_width and 100 * number.half_width
            axes.errorbar(params, mean, yerr=half, fmt=mark, color=colour, capsize=4, label=legend)
            axes.annotate(name, (params, mean), xytext=(6, 6), textcoords="offset points", fontsize=8, color=colour)
    # Many are near one another: by number in the figure, and by name beside it.
    colour = "#d55e00"
    names, *places = zip(*RIVALS, strict=True)
    axes.plot(*places, "x", color=colour, label="others, as they state it: one run, test-watched")
    for number, place in enumerate(zip(*places, strict=True), start=1):
        axes.annotate(str(number), place, xytext=(-10, 4), textcoords="offset points", fontsize=8, color=colour)
    listed = "\n".join(f"{number}  {name}" for number, name in enumerate(names, start=1))
    axes.text(1.02, 0.98, listed, transform=axes.transAxes, va="top", fontsize=8, color=colour)
    axes.set(xscale="log", xlabel="parameters", ylabel="MNIST test accuracy (%)", ylim=(97.4, 99.8))
    # The usual labels are formulas, which are not parsed here.
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=9, frameon=False)
    return figure


def main() -> None:
    """Writes both files."""
    for name, content in as_files("pareto", draw).items():
        write_whole(HERE / name, content)


if __name__ == "__main__":
    main()
