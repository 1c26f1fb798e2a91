"""Exact evaluation of a split: every example counted once, sums divided once."""

from typing import NamedTuple

import jax
import numpy as np

from fer_jax.data.dataset import Split
from fer_jax.data.pipeline import eval_order
from fer_jax.metrics import example_count, means
from fer_jax.sharding import Mesh, replicated, round_up, sharded_columns
from fer_jax.steps import Examples, Programs, TrainState

BATCH_SIZE = 256
"""Images at once in evaluation: it changes speed and memory only (activations of `mnist_15k` take 120 MB)."""


class EvalSplit(NamedTuple):
    """A split as it lies on the devices, with the order that visits each of its examples once."""

    examples: Examples
    order: jax.Array


class Scores(NamedTuple):
    """Mean cross-entropy (nats) and accuracy (0 to 1) over all examples of a split."""

    loss: float
    accuracy: float


def on_device(split: Split, mesh: Mesh) -> Examples:
    """The split's uint8 images and labels, whole on every device of the mesh."""
    images, labels = jax.device_put((split.images, split.labels), replicated(mesh))
    return Examples(images, labels)


def prepare(split: Split, mesh: Mesh) -> EvalSplit:
    """Puts a split on the devices for `evaluate`."""
    order = eval_order(len(split), round_up(BATCH_SIZE, mesh))
    return EvalSplit(on_device(split, mesh), jax.device_put(order, sharded_columns(mesh)))


def evaluate(programs: Programs, state: TrainState, split: EvalSplit) -> Scores:
    """Loss and accuracy of a state on a split; waits for the device.

    Raises:
      AssertionError: the programs did not count every example exactly once, which would be a fault of theirs.
    """
    metrics = programs.evaluate(state, split.examples, split.order, np.int32(split.order.shape[0]))
    counted, expected = example_count(metrics), len(split.examples.labels)
    assert counted == expected, f"counted {counted} of {expected} examples"
    return Scores(*means(metrics))
