"""What every program of the comparison is given: a network, its weights, the images and the sizes of batches."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

LEARNING_RATE = 1e-4
ADAM_EPSILON = 1e-7
"""Keras's, which it adds to the root of the uncorrected second moment."""
FIRST_STEP_EPSILON = ADAM_EPSILON / (1 - 0.999) ** 0.5
"""For Adam as PyTorch and Optax write it: it gives the same first step as Keras's formula with `ADAM_EPSILON`."""


@dataclass(frozen=True)
class Job:
    """The same for every program of one network.

    Attributes:
      network: its name.
      layers: see `networks`; the rates of Dropout are in them.
      image_shape: (height, width, channels).
      classes: of the labels.
      batch: images in a training step.
      evaluation_batch: images in a batch of evaluation.
      images: in memory, uint8; a multiple of `batch`, so that no program meets a partial one.
      folder: holds `weights.npz`.
    """

    network: str
    layers: list[dict[str, Any]]
    image_shape: tuple[int, int, int]
    classes: int
    batch: int
    evaluation_batch: int
    images: int
    folder: str

    @cached_property
    def weights(self) -> list[np.ndarray]:
        """In the order of Keras's `get_weights`, in Keras's shapes: kernels [k, k, in, out] and [in, out]."""
        with np.load(Path(self.folder) / "weights.npz") as stored:
            return [stored[f"arr_{place}"] for place in range(len(stored.files))]

    @cached_property
    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Noise: uint8 images [N, H, W, C] and int32 labels [N]."""
        rng = np.random.default_rng(1)
        images = rng.integers(0, 256, (self.images, *self.image_shape), dtype=np.uint8)
        return images, rng.integers(0, self.classes, self.images).astype(np.int32)

    @property
    def first_batch(self) -> tuple[np.ndarray, np.ndarray]:
        """The images and labels that the losses are compared on."""
        images, labels = self.data
        return images[: self.batch], labels[: self.batch]

    def write(self) -> None:
        """Writes all but the weights to the folder."""
        (Path(self.folder) / "job.json").write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> "Job":
        """What `write` wrote."""
        content = json.loads((folder / "job.json").read_text())
        return cls(**{**content, "image_shape": tuple(content["image_shape"])})


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean loss in nats, in float64 on the host: the one way in which logits of all programs are compared."""
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]).mean())
