"""The plots of an experiment: accuracies with their intervals, and curves. Rows in, the bytes of PNG and SVG out."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from fer_jax.sweep.grid import Grid
from fer_jax.sweep.numbers import Rows, interval, main_split, make_number, rows_of, splits_of, states_of
from fer_jax.sweep.results import Kept

DPI = 150
FORMATS = ("png", "svg")
_WORDS = {"val": "validation", "test": "test", "seen": "(on training images)"}
# Okabe and Ito's colours, which people who confuse red and green can tell apart, with other marks besides.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_STROKES = ("-", "--", "-.", ":")
_SETTINGS: dict[Any, Any] = {
    **{"font.size": 11, "axes.titlesize": 12, "axes.spines.top": False, "axes.spines.right": False},
    # A variant may be called 'a$b'; and the same results make the same file.
    **{"text.parse_math": False, "svg.hashsalt": "fer_jax", "svg.fonttype": "path"},
}


def make_plots(grid: Grid, kept: Kept) -> dict[str, bytes]:
    """By file name: 'accuracy.png', 'accuracy.svg', 'curves.png', 'curves.svg'; nothing where there are no rows."""
    rows = rows_of(kept)
    if not splits_of(rows):
        return {}
    return {**as_files("accuracy", lambda: _accuracy(grid, rows)), **as_files("curves", lambda: _curves(grid, rows))}


def as_files(name: str, draw: Callable[[], Figure]) -> dict[str, bytes]:
    """What `draw` draws, in the style of all plots here: '<name>.png' and '<name>.svg'."""
    found = {}
    with matplotlib.rc_context(_SETTINGS):
        figure = draw()
        for kind in FORMATS:
            file = io.BytesIO()
            metadata = {"Date": None} if kind == "svg" else {"Software": None}
            figure.savefig(file, format=kind, dpi=DPI, metadata=metadata)
            found[f"{name}.{kind}"] = file.getvalue()
    return found


def _accuracy(grid: Grid, rows: Rows) -> Figure:
    """Of each variant the mean and its interval, and each cell, at the last and at the selected epoch."""
    split = main_split(splits_of(rows))
    figure = Figure(figsize=(7, 1.6 + 0.55 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = zip((0.16, -0.16), states_of(rows).items(), _COLOURS, "os", strict=False)
    for offset, (state, words), colour, mark in places:
        # A variant may have selected no epoch.
        drawn = [name for name in rows if state in states_of({name: rows[name]})]
        for place, name in enumerate(rows):
            if name not in drawn:
                continue
            number = make_number("", (name,), (state, f"{split}_accuracy"), rows)
            assert number is not None
            height = len(rows) - 1 - place + offset
            values = [100 * value for value in number.values]
            axes.plot(values, [height] * len(values), "|", color=colour, alpha=0.6, markersize=9)
            axes.errorbar(
                100 * number.mean,
                height,
                xerr=None if number.half_width is None else 100 * number.half_width,
                fmt=mark,
                color=colour,
                capsize=4,
                label=words if name == drawn[0] else None,
            )
    axes.set_yticks(
        range(len(rows) - 1, -1, -1), [f"{name}\nn = {len(of_variant)}" for name, of_variant in rows.items()]
    )
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(f"{_WORDS[split]} accuracy (%)")
    axes.set_title(grid.name)
    axes.grid(axis="x", alpha=0.3)
    _legend(figure, axes, f"bars: {interval(grid)}; strokes: each {grid.one_repeat}")
    return figure


def _curves(grid: Grid, rows: Rows) -> Figure:
    """Training loss and watched accuracy by epoch: of each variant the mean over its cells, and their range."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    curves = [row["curve"] for of_variant in rows.values() for row in of_variant.values()]
    watched = [split for split in _WORDS if any(f"{split}_accuracy" in curve for curve in curves)]
    keys = [f"{split}_accuracy" for split in watched]
    for place, (name, of_variant) in enumerate(rows.items()):
        style = {"color": _COLOURS[place % len(_COLOURS)], "linestyle": _STROKES[place % len(_STROKES)]}
        own = [row["curve"] for row in of_variant.values()]
        _band(left, [curve["train_loss"] for curve in own], style, name)
        for key in keys:
            _band(right, [np.multiply(100, curve[key]) for curve in own if key in curve], style, name)
    left.set(xlabel="epoch")
    scale_loss(left)
    cut = _show_the_ends(right, [np.multiply(100, curve[key]) for curve in curves for key in keys if key in curve])
    right.set(xlabel="epoch", ylabel=f"{' or '.join(_WORDS[split] for split in watched)} accuracy (%)")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    beginnings = "; low accuracies at the beginning are cut off" if cut else ""
    _legend(figure, left, f"lines: mean over the {grid.repeated}; bands: from the lowest to the highest{beginnings}")
    return figure


def _show_the_ends(axes: Axes, curves: Sequence[np.ndarray]) -> bool:
    """Cuts low beginnings off, beside which the ends of curves could not be told apart; whether there were any."""
    late = np.concatenate([curve[len(curve) // 2 :] for curve in curves])
    bottom = late.min() - 0.25 * max(np.ptp(late), 0.1)
    if min(curve.min() for curve in curves) >= bottom:
        return False
    axes.set_ylim(bottom=bottom, top=late.max() + 0.1 * max(np.ptp(late), 0.1))
    return True


def scale_loss(axes: Axes) -> None:
    """The vertical axis is of a training loss: logarithmic, with plain numbers."""
    axes.set(ylabel="training loss (nats)", yscale="log")
    # The usual labels are formulas, which are not parsed here.
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _band(axes: Axes, values: Sequence[Sequence[float]], style: Mapping[str, Any], label: str) -> None:
    if not values:
        return
    by_epoch = list(zip(*values, strict=True))
    epochs = range(1, len(by_epoch) + 1)
    mark = "o" if len(by_epoch) == 1 else ""
    axes.plot(epochs, [sum(one) / len(one) for one in by_epoch], label=label, marker=mark, **style)
    if len(values) > 1:
        low, high = list(map(min, by_epoch)), list(map(max, by_epoch))
        axes.fill_between(epochs, low, high, color=style["color"], alpha=0.15, linewidth=0)


def _legend(figure: Figure, axes: Axes, title: str) -> None:
    handles = axes.get_legend_handles_labels()
    figure.legend(
        *handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9, title=title, title_fontsize=9
    )
