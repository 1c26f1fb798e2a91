"""The pictures of the inside of a network: arrays in, Matplotlib figures out."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fer_jax.report.figures import Theme
from fer_jax.report.looks import Look

COLUMNS = 8
"""Kernels or maps beside each other."""


def looks_figure(theme: Theme, *, looks: Sequence[Look], title: str) -> Figure:
    """Each image with the receptive field of the strongest place, Grad-CAM over it, and integrated gradients."""
    rows = -(-len(looks) // 2)
    figure = Figure(figsize=(9, 0.7 + 1.45 * rows), layout="constrained")
    figure.suptitle(title, fontsize=12)
    grid = figure.subplots(rows, 6, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for place, one in enumerate(looks):
        image, cam, gradients = grid[place // 2, 3 * (place % 2) : 3 * (place % 2) + 3]
        _gray(image, one.image)
        top, left, side = one.field
        image.add_patch(Rectangle((left, top), side, side, fill=False, edgecolor=theme.second, linewidth=1.5))
        height, width = one.image.shape[:2]
        image.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        image.text(-0.05, 0.5, one.caption, transform=image.transAxes, ha="right", va="center", fontsize=8)
        _gray(cam, one.image)
        cam.imshow(one.cam, cmap="inferno", vmin=0, vmax=1, alpha=0.65)
        most = max(float(np.abs(one.gradients).max()), 1e-12)
        gradients.imshow(one.gradients, cmap="RdBu_r", vmin=-most, vmax=most)
        if place < 2:
            for axes, name in ((image, "image"), (cam, "Grad-CAM"), (gradients, "integrated\ngradients")):
                axes.set_title(name, fontsize=9)
    return figure


def _gray(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)


def kernels_figure(theme: Theme, *, kernels: np.ndarray, title: str) -> Figure:
    """The kernels [k, k, in, out] of a convolution, a row of squares for each input channel if there are several."""
    size, _, channels, features = kernels.shape
    tiles = [kernels[:, :, channel, feature] for channel in range(channels) for feature in range(features)]
    most = max(float(np.abs(kernels).max()), 1e-12)
    return _tiles(theme, tiles, f"{title}\n{size}x{size}, {channels} in, {features} out", "RdBu_r", -most, most)


def maps_figure(theme: Theme, *, maps: np.ndarray, title: str) -> Figure:
    """Feature maps [h, w, channels], each on a scale of its own."""
    return _tiles(theme, [maps[..., channel] for channel in range(maps.shape[-1])], title, "viridis")


def _tiles(
    theme: Theme,
    tiles: Sequence[np.ndarray],
    title: str,
    colours: str,
    low: float | None = None,
    high: float | None = None,
) -> Figure:
    rows = -(-len(tiles) // COLUMNS)
    figure = Figure(figsize=(6.5, 1.0 + 0.85 * rows), layout="constrained")
    figure.suptitle(title, fontsize=11, color=theme.ink)
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, tile in zip(grid, tiles, strict=False):
        axes.imshow(tile, cmap=colours, vmin=low, vmax=high)
    return figure
