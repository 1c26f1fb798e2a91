"""A line chart as inline SVG in the colours of its page: whole without JavaScript, and enlivened by `report.js`."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 640, 320
LEFT, TOP, RIGHT, BOTTOM = 78, 12, WIDTH - 12, HEIGHT - 54
"""The frame of the curves, in units of the drawing."""
COLOURS = 6
"""The classes s0 to s5 of the style sheet; further lines take them again, dashed."""
MOST_MARKED = 30
"""With more points than this a line has no dots."""


class Line(NamedTuple):
    """A line of a chart: what the legend calls it and its points; those that are not finite are left out."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]


def chart(title: str, lines: Sequence[Line], *, x_name: str, alt: str, chosen: float | None = None) -> str:
    """The HTML of a chart.

    Args:
      title: stands above it, with the unit of its values.
      lines: with whole numbers as xs.
      x_name: of what runs along, 'epoch'.
      alt: what it shows, in words.
      chosen: an x that is marked by a dotted line; None for none.
    """
    kept = [
        Line(line.name, *zip(*pairs, strict=True))
        for line in lines
        if (pairs := [pair for pair in zip(line.xs, line.ys, strict=True) if all(map(math.isfinite, pair))])
    ]
    if not kept:
        return f"<p>{escape(title)}: no finite value.</p>"
    x_ticks = ticks([x for line in kept for x in line.xs], most=8, whole=True)
    y_ticks = ticks([y for line in kept for y in line.ys], most=6)

    def across(x: float) -> float:
        return LEFT + (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (RIGHT - LEFT)

    def down(y: float) -> float:
        return BOTTOM - (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (BOTTOM - TOP)

    parts = [
        f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{down(y):.1f}" y2="{down(y):.1f}"/>'
        f'<text x="{LEFT - 8}" y="{down(y) + 4:.1f}" text-anchor="end">{y:.6g}</text>'
        for y in y_ticks
    ]
    parts += [f'<text x="{across(x):.1f}" y="{BOTTOM + 23}" text-anchor="middle">{x:.6g}</text>' for x in x_ticks[:-1]]
    parts.append(f'<text x="{RIGHT}" y="{BOTTOM + 23}" text-anchor="end">{x_ticks[-1]:.6g}</text>')
    parts.append(f'<text x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_name)}</text>')
    if chosen is not None:
        at = f"{across(chosen):.1f}"
        parts.append(f'<line class="chosen" x1="{at}" x2="{at}" y1="{TOP}" y2="{BOTTOM}"/>')
    legend = []
    for number, line in enumerate(kept):
        kind = f"s{number % COLOURS}" + (" dashed" if number // COLOURS % 2 else "")
        places = [(f"{across(x):.1f}", f"{down(y):.1f}") for x, y in zip(line.xs, line.ys, strict=True)]
        dots = places if len(places) <= MOST_MARKED else []
        parts.append(
            f'<g class="line {kind}" data-name="{escape(line.name)}" data-x="{_numbers(line.xs)}" '
            f'data-y="{_numbers(line.ys)}"><polyline points="{" ".join(",".join(place) for place in places)}"/>'
            + "".join(f'<circle cx="{x}" cy="{y}" r="3"/>' for x, y in dots)
            + "</g>"
        )
        legend.append(f'<li class="{kind}"><i></i><span>{escape(line.name)}</span></li>')
    return (
        f'<figure class="chart" data-x="{escape(x_name)}"><figcaption>{escape(title)}</figcaption>\n'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" data-frame="{LEFT} {TOP} {RIGHT} {BOTTOM}" role="img" '
        f'aria-label="{escape(alt)}">\n'
        + "\n".join(parts)
        + "\n</svg>\n"
        + (f'<ul class="legend">{"".join(legend)}</ul>' if len(kept) > 1 else "")
        + "</figure>"
    )


def ticks(values: Sequence[float], most: int, whole: bool = False) -> list[float]:
    """Round numbers at equal distances around some values, at least two and about `most`; `whole` for whole numbers."""
    low, high = min(values), max(values)
    if low == high:
        low, high = (low - 1, high + 1) if whole or not low else (low - abs(low) / 10, high + abs(high) / 10)
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    step = max(step, 1.0) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [place * step for place in range(first, last + 1)]


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.6g}" for value in values)
