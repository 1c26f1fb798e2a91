"""Which examples are in which batch: row numbers, worked out on the device; the images never move."""

import jax
import jax.numpy as jnp
import numpy as np


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Batches in an epoch, the last partial one included (469 of 128 for 60,000)."""
    return -(-examples // batch_size)


def train_order(key: jax.Array, epoch: jax.Array | int, examples: int, batch_size: int, width: int) -> jax.Array:
    """The rows of every batch of an epoch: a permutation that is a pure function of (key, epoch).

    Args:
      key: the stream's base key.
      epoch: counted from 0.
      examples: rows in the split.
      batch_size: examples in a step.
      width: places in a step, `batch_size` or more: what the mesh divides.

    Returns:
      int32 [steps, width]; a place that holds no example has the number `examples`, one past the last row.
    """
    rows = jax.random.permutation(jax.random.fold_in(key, epoch), jnp.arange(examples, dtype=jnp.int32))
    steps = steps_per_epoch(examples, batch_size)
    rows = jnp.pad(rows, (0, steps * batch_size - examples), constant_values=examples)
    return jnp.pad(rows.reshape(steps, batch_size), ((0, 0), (0, width - batch_size)), constant_values=examples)


def eval_order(examples: int, width: int) -> np.ndarray:
    """Every row once, in order: int32 [steps, width], padded as in `train_order`."""
    steps = steps_per_epoch(examples, width)
    rows = np.full(steps * width, examples, np.int32)
    rows[:examples] = np.arange(examples)
    return rows.reshape(steps, width)
