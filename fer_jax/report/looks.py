"""What a report shows of the inside of a network: some images with what the answers hang on, kernels, feature maps."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fer_jax import inside
from fer_jax.data.dataset import Split
from fer_jax.models.network import Network
from fer_jax.scores import log_probabilities

MOST_CLASSES, MOST_MISTAKES = 10, 3
MOST_MAPS = 32
"""Feature maps that are shown, the first of a layer."""


class Look(NamedTuple):
    """An image and what its answer hangs on.

    Attributes:
      image: uint8 [H, W, C].
      caption: its class, and what the network says.
      cam: Grad-CAM of the predicted class, [H, W] in 0..1.
      gradients: integrated gradients of the predicted class, summed over the channels, [H, W].
      field: (top, left, side) of the square that the strongest place of the last map was computed from.
    """

    image: np.ndarray
    caption: str
    cam: np.ndarray
    gradients: np.ndarray
    field: tuple[float, float, float]


class Looks(NamedTuple):
    """All that is shown.

    Attributes:
      each: the images.
      first, last: the names of the layers whose maps are shown and whose maps Grad-CAM weighs.
      kernels: of the first convolution, [k, k, in, out].
      maps: what it makes of the first image, [h, w, channels].
    """

    each: list[Look]
    first: str
    last: str
    kernels: np.ndarray
    maps: np.ndarray


def look(
    model: Network,
    variables: Mapping[str, Any],
    examples: Split,
    logits: np.ndarray,
    class_names: Sequence[str],
) -> Looks | None:
    """Looks into a network; None if it has no convolution.

    The images are, of each class that has one, the example that is classified rightly with the median probability, and
    the most confident mistakes.

    Args:
      model: the network.
      variables: its parameters and statistics.
      examples: of a split.
      logits: of them, [N, classes].
      class_names: the name of each label.
    """
    try:
        layers = inside.layers_of(model)
    except ValueError:
        return None
    rows = _chosen(logits, examples.labels)
    images, predicted = examples.images[rows], logits[rows].argmax(axis=1)
    probabilities = np.exp(log_probabilities(logits[rows]))
    baseline = float(np.median(np.concatenate([images[:, :1].ravel(), images[:, -1:].ravel()])))
    cams = inside.grad_cam(model, variables, images, predicted, layers.last)
    gradients = inside.integrated_gradients(model, variables, images, predicted, baseline).sum(axis=-1)
    found = []
    for place, row in enumerate(rows):
        true, answer = class_names[examples.labels[row]], class_names[predicted[place]]
        sure = f"{100 * probabilities[place, predicted[place]]:.0f} %"
        caption = f"{true}\n{sure}" if true == answer else f"{true}\ntaken for {answer}\n{sure}"
        top, left, side = map(float, cams.fields[place])
        found.append(Look(images[place], caption, cams.maps[place], gradients[place], (top, left, side)))
    kernels = inside.kernels(variables, layers.first)
    maps = inside.feature_maps(model, variables, images[0], layers.first)[..., :MOST_MAPS]
    return Looks(found, layers.first, layers.last, kernels, maps)


def _chosen(logits: np.ndarray, labels: np.ndarray) -> list[int]:
    sure, answers = log_probabilities(logits).max(axis=1), logits.argmax(axis=1)
    rows = []
    for label in range(min(logits.shape[1], MOST_CLASSES)):
        right = np.flatnonzero((labels == label) & (answers == label))
        if len(right):
            rows.append(int(right[np.argsort(sure[right], kind="stable")[len(right) // 2]]))
    wrong = np.flatnonzero(answers != labels)
    return rows + [int(row) for row in wrong[np.argsort(-sure[wrong], kind="stable")][:MOST_MISTAKES]]
