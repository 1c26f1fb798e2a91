"""The report's pictures: arrays in, Matplotlib figures out, PNG bytes at the end; nothing is read or written here."""

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib import image as matplotlib_image
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure

from fer_jax.report.curves import SPLIT_WORDS

DPI = 150
GALLERY_COLUMNS = 4
MOST_ANNOTATED_CLASSES = 20
"""With more classes than this the cells of a confusion matrix are too small for their numbers."""


class Theme(NamedTuple):
    """The colours of a figure: what it is drawn on, text and lines, two series, and what a warning is written in."""

    background: str
    ink: str
    first: str
    second: str
    alarm: str


# Each colour on its background has a contrast of 4.5 to 1 and more, and the two series differ in lightness as well.
LIGHT = Theme(background="#ffffff", ink="#1f2328", first="#0b5cad", second="#b4530a", alarm="#b3001b")
DARK = Theme(background="#16191d", ink="#e6e8eb", first="#6fb1f5", second="#f0a35e", alarm="#ff8a8a")


def png(draw: Callable[[Theme], Figure], theme: Theme, warning: str = "") -> bytes:
    """The PNG file of a figure in a theme; the arguments are those of `files`."""
    return files(draw, theme, warning, ("png",))["png"]


def files(
    draw: Callable[[Theme], Figure], theme: Theme, warning: str = "", kinds: Sequence[str] = ("png", "svg")
) -> dict[str, bytes]:
    """Draws a figure in a theme and gives its files, by the ends of their names.

    Args:
      draw: one of the functions below, its other arguments bound.
      theme: LIGHT or DARK.
      warning: a line that stands above everything else, because a picture travels without its page.
      kinds: of files, 'png' and 'svg'.
    """
    settings: dict[Any, Any] = {
        "figure.facecolor": theme.background,
        "axes.facecolor": theme.background,
        "savefig.facecolor": theme.background,
        "font.size": 11,
        "axes.titlesize": 12,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        # A class may be called 'a$b'.
        "text.parse_math": False,
        "image.interpolation": "nearest",
        # The same figure makes the same file.
        "svg.hashsalt": "fer_jax",
        **dict.fromkeys(
            ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color"),
            theme.ink,
        ),
    }
    found = {}
    # A class named in a script that the font lacks is drawn as boxes; its name still stands in the page.
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = draw(theme)
        if warning:
            width, height = figure.get_size_inches()
            # Below the figure's own edge the layout would not know of it.
            figure.text(
                0.5, 1 + 0.12 / height, warning, color=theme.alarm, weight="bold", ha="center", va="bottom", wrap=False,
                fontsize=min(12.0, 125 * width / len(warning)),
            )  # fmt: skip
        for kind in kinds:
            file = io.BytesIO()
            metadata = {"Date": None} if kind == "svg" else None
            figure.savefig(file, format=kind, dpi=DPI, bbox_inches="tight", metadata=metadata)
            found[kind] = file.getvalue()
    return found


def thumbnail(image: np.ndarray) -> bytes:
    """The PNG file of a uint8 image [H, W, C], pixel for pixel."""
    file = io.BytesIO()
    if image.shape[-1] == 1:
        matplotlib_image.imsave(file, image[..., 0], format="png", cmap="gray", vmin=0, vmax=255)
    else:
        matplotlib_image.imsave(file, image, format="png")
    return file.getvalue()


def confusion_figure(
    theme: Theme, *, confusion: np.ndarray, class_names: Sequence[str], normalised: bool, title: str
) -> Figure:
    """A confusion matrix.

    Args:
      theme: its colours.
      confusion: counts [true class, predicted class].
      class_names: the name of each class.
      normalised: each row in per cent of its sum, in place of counts.
      title: what it is of.
    """
    counts = np.asarray(confusion, float)
    rows = counts.sum(axis=1, keepdims=True)
    shown = 100 * counts / np.maximum(rows, 1) if normalised else counts
    highest = 100.0 if normalised else max(float(counts.max()), 1.0)
    number = len(class_names)
    side = float(np.clip(0.5 * number + 1.2, 4.0, 12.0))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    colours = LinearSegmentedColormap.from_list("cells", [theme.background, theme.first])
    axes.imshow(shown, cmap=colours, vmin=0, vmax=highest)
    axes.set(title=f"{title}\n{'per cent of each true class' if normalised else 'images'}", xlabel="predicted")
    axes.set_ylabel("true")
    small = 8 if number > MOST_ANNOTATED_CLASSES else 11
    if max(map(len, class_names)) > 2:
        axes.set_xticks(range(number), class_names, rotation=45, ha="right", rotation_mode="anchor", fontsize=small)
    else:
        axes.set_xticks(range(number), class_names, fontsize=small)
    axes.set_yticks(range(number), class_names, fontsize=small)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(number + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(number + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=theme.background, linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    if number <= MOST_ANNOTATED_CLASSES:
        for true, predicted in np.ndindex(number, number):
            value = shown[true, predicted]
            empty = normalised and not rows[true]
            text = "-" if empty else f"{value:.1f}" if normalised else f"{value:,.0f}"
            ink = _readable(np.array(colours(value / highest)[:3]), theme)
            axes.text(predicted, true, text, ha="center", va="center", color=ink, fontsize=10)
    return figure


def _readable(cell: np.ndarray, theme: Theme) -> str:
    """The theme's ink or its background, whichever stands out more against a cell's colour (RGB, 0 to 1)."""

    def luminance(colour: np.ndarray) -> float:
        # Relative luminance, WCAG 2.1.
        linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    def contrast(name: str) -> float:
        light, dark = sorted((luminance(np.array(to_rgb(name))), luminance(cell)), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    return max((theme.ink, theme.background), key=contrast)


def curves_figure(
    theme: Theme, *, epochs: Sequence[Mapping[str, Any]], watched: str, marked: Mapping[str, Any] | None, title: str
) -> Figure:
    """Loss, accuracy and learning rate by epoch, one under the other.

    Args:
      theme: its colours.
      epochs: the lines of metrics.jsonl, at least one.
      watched: what the watched split's numbers begin with, 'val' or 'test'.
      marked: the scores of the selected epoch, as they stand in the record; None to mark none.
      title: what they are of.
    """
    figure = Figure(figsize=(6, 8), layout="constrained")
    loss, accuracy, rate = figure.subplots(3, 1, sharex=True, height_ratios=[3, 3, 2])
    numbers = [line["epoch"] for line in epochs]
    marker = "o" if len(numbers) <= 30 else ""
    panels = [("loss", loss, 1.0, "cross-entropy (nats)"), ("accuracy", accuracy, 100.0, "accuracy (%)")]
    for name, axes, scale, label in panels:
        # The training line is the mean over an epoch in which the network changed; the other is taken at its end.
        series = (("train", theme.first, "--"), (watched, theme.second, "-"))
        for split, colour, stroke in series:
            values = [scale * line[f"{split}_{name}"] for line in epochs]
            axes.plot(numbers, values, stroke, color=colour, marker=marker, markersize=4, label=SPLIT_WORDS[split])
        axes.set_ylabel(label)
        if marked:
            axes.axvline(marked["epoch"], color=theme.ink, linewidth=0.8, linestyle=":")
            axes.plot(
                marked["epoch"], scale * marked[f"{watched}_{name}"], "*", color=theme.ink, markersize=13,
                label=f"selected: epoch {marked['epoch']}",
            )  # fmt: skip
        _legend(axes, theme)
    rate.plot(numbers, [line["learning_rate"] for line in epochs], color=theme.first, marker=marker, markersize=4)
    rate.set(ylabel="learning rate", xlabel="epoch")
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-3, 3))
    rate.set_ylim(bottom=0)
    rate.xaxis.get_major_locator().set_params(integer=True)
    for axes in (loss, accuracy, rate):
        axes.grid(color=theme.ink, alpha=0.15, linewidth=0.7)
    loss.set_title(title)
    return figure


def _legend(axes: Axes, theme: Theme) -> None:
    axes.legend(frameon=True, facecolor=theme.background, edgecolor="none", framealpha=0.8, fontsize=10)


def reliability_figure(
    theme: Theme,
    *,
    confidence: np.ndarray,
    accuracy: np.ndarray,
    examples: np.ndarray,
    calibration_error: float,
    title: str,
) -> Figure:
    """How often the network is right against how sure it says it is, and how often it is how sure.

    Args:
      theme: its colours.
      confidence: mean probability of the predicted class in each of the bins [B], which divide 0..1 equally.
      accuracy: share that is right in each bin [B]; where a bin is empty it is not looked at.
      examples: in each bin [B].
      calibration_error: the mean distance of the two, weighted by `examples`.
      title: what it is of.
    """
    figure = Figure(figsize=(6, 6.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    edges = np.linspace(0, 1, len(examples) + 1)
    centres, width = (edges[1:] + edges[:-1]) / 2, 1 / len(examples)
    filled = np.asarray(examples) > 0
    upper.plot([0, 1], [0, 1], ":", color=theme.ink, label="perfectly calibrated")
    upper.bar(centres[filled], accuracy[filled], 0.92 * width, color=theme.first, alpha=0.75, label="share right")
    upper.plot(confidence[filled], accuracy[filled], "o", color=theme.second, markersize=5, label="mean probability")
    upper.set(ylabel="share right", xlim=(0, 1), ylim=(0, 1))
    upper.set_title(f"{title}\nexpected calibration error {100 * calibration_error:.1f} %")
    _legend(upper, theme)
    lower.bar(centres, examples, 0.92 * width, color=theme.first)
    lower.set(xlabel="probability of the predicted class", ylabel="images")
    return figure


def mistakes_figure(theme: Theme, *, images: np.ndarray, captions: Sequence[str], title: str) -> Figure:
    """A gallery of uint8 images [N, H, W, C], N at least 1, each over its caption of some short lines."""
    rows = -(-len(images) // GALLERY_COLUMNS)
    lines = max(caption.count("\n") for caption in captions) + 1
    figure = Figure(figsize=(8, 0.5 + rows * (1.75 + 0.17 * lines)), layout="constrained")
    figure.suptitle(title, fontsize=12)
    grid = figure.subplots(rows, GALLERY_COLUMNS, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, image, caption in zip(grid, images, captions, strict=False):
        axes.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
        axes.set_title(caption, fontsize=9, y=-0.05, va="top")
    return figure
