"""What goes into an exported file, and what comes out of one."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

INPUT, OUTPUT = "images", "probabilities"
"""What the input and the output are called, where a format names them."""


class Content(NamedTuple):
    """What goes into a file, whatever its format.

    Attributes:
      model: the network, a `fer_jax.models.Network`.
      variables: {'params': ..., 'batch_stats': ...}, arrays on the host: those that the run is evaluated with.
      metadata: text by key; see `metadata`.
    """

    model: Any
    variables: Mapping[str, Any]
    metadata: dict[str, str]


class Loaded(NamedTuple):
    """A file in its own runtime.

    Attributes:
      predict: uint8 images [N, H, W, C] -> probabilities, float32 [N, classes].
      metadata: as it stands in the file.
      runtime: its name and version, as 'onnxruntime 1.31.1'.
      logits: uint8 images [N, H, W, C] -> logits [N, classes], where the file gives them.
    """

    predict: Callable[[np.ndarray], np.ndarray]
    metadata: dict[str, str]
    runtime: str
    logits: Callable[[np.ndarray], np.ndarray] | None = None
