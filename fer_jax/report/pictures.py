"""The pictures of a report: what is drawn of a run, under which name, and what it shows in words."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from fer_jax.report import figures, look_figures
from fer_jax.report.findings import Mistake, Reliability
from fer_jax.report.html import Picture
from fer_jax.report.looks import Looks

LONGEST_LINE = 34
"""Letters that stand under an image of the gallery; of a longer file name the end is shown."""


def pictures(
    *,
    name: str,
    split: str,
    step: int,
    warning: str,
    official: Mapping[str, Any],
    sure: Reliability,
    epochs: Sequence[Mapping[str, Any]],
    watched: str,
    best: Mapping[str, Any] | None,
    looks: Looks | None,
) -> dict[str, Picture]:
    """The pictures of the page by the names of their files.

    Args:
      name: of the run.
      split: that was evaluated.
      step: of the checkpoint.
      warning: a line that stands over every picture; '' for none.
      official: the scores of all examples, as `scores.score` gives them.
      sure: the predictions by their probability.
      epochs: the lines of metrics.jsonl; the curves are left out if there are none.
      watched: what the watched split's numbers begin with, 'val' or 'test'.
      best: the selected epoch's scores, as they stand in run.json.
      looks: the inside of the network; None for one that has no maps.
    """
    title = _title(name, split, step)
    right = f"{100 * official['accuracy']:.1f} per cent of {official['examples']:,} images lie on the diagonal"
    error = official["calibration_error"]

    def picture(alt: str, draw: Callable[..., Any], **arguments: Any) -> Picture:
        bound = partial(draw, **arguments)
        light, dark = figures.files(bound, figures.LIGHT, warning), figures.png(bound, figures.DARK, warning)
        return Picture(light["png"], dark, f"{warning}. {alt}" if warning else alt, light["svg"])

    matrix: dict[str, Any] = {
        "confusion": np.array(official["confusion"]),
        "class_names": list(official["per_class"]),
        "title": title,
    }
    found = {
        "confusion": picture(
            f"Confusion matrix, each row in per cent of its true class; {right}. The counts stand in a table below.",
            figures.confusion_figure,
            normalised=True,
            **matrix,
        ),
        "confusion_counts": picture(
            f"Confusion matrix in images; {right}. The same numbers stand in a table below.",
            figures.confusion_figure,
            normalised=False,
            **matrix,
        ),
        "calibration": picture(
            "Reliability diagram: the share of predictions that are right against their probability. "
            f"Expected calibration error: {100 * error:.1f} per cent.",
            figures.reliability_figure,
            title=title,
            calibration_error=error,
            **sure._asdict(),
        ),
    }
    if epochs:
        last = epochs[-1]
        found["curves"] = picture(
            f"Loss, accuracy and learning rate by epoch. After epoch {last['epoch']} the training loss is "
            f"{last['train_loss']:.4f}, the watched loss {last[f'{watched}_loss']:.4f} and the watched accuracy "
            f"{100 * last[f'{watched}_accuracy']:.2f} per cent.",
            figures.curves_figure,
            epochs=epochs,
            watched=watched,
            marked=best,
            title=name,
        )
    if looks is not None:
        found["looks"] = picture(
            f"{len(looks.each)} images, each with the receptive field of the strongest place in {looks.last}, Grad-CAM "
            "over it and integrated gradients.",
            look_figures.looks_figure,
            looks=looks.each,
            title=title,
        )
        found["kernels"] = picture(
            f"The kernels of {looks.first}.",
            look_figures.kernels_figure,
            kernels=looks.kernels,
            title=f"{name}\n{looks.first}",
        )
        found["maps"] = picture(
            f"What {looks.first} makes of the first image above.",
            look_figures.maps_figure,
            maps=looks.maps,
            title=f"{name}\n{looks.first}, of the first image",
        )
    return found


def gallery(*, name: str, split: str, step: int, warning: str, mistakes: Sequence[Mistake]) -> dict[str, bytes]:
    """The files of the most confident mistakes, at least one; the page shows them one by one in place of it."""
    draw = partial(
        figures.mistakes_figure,
        images=np.stack([one.image for one in mistakes]),
        captions=[_caption(one) for one in mistakes],
        title=f"{_title(name, split, step)}: most confident mistakes",
    )
    return figures.files(draw, figures.LIGHT, warning)


def _title(name: str, split: str, step: int) -> str:
    return f"{name}\n{split} split, step {step:,}"


def _caption(one: Mistake) -> str:
    lines = [
        f"true: {one.true} ({100 * one.true_probability:.1f} %)",
        f"predicted: {one.predicted} ({100 * one.probability:.1f} %)",
        *one.known,
    ]
    return "\n".join(line if len(line) <= LONGEST_LINE else f"...{line[3 - LONGEST_LINE :]}" for line in lines)
