"""Which examples are in which batch: row numbers, worked out on the device; the images never move."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


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
    return _in_batches(rows, batch_size, width)


def balanced_order(
    key: jax.Array, epoch: jax.Array | int, labels: np.ndarray, batch_size: int, width: int
) -> jax.Array:
    """As `train_order`, but every class is drawn equally often, to one example (the first classes get the odd ones).

    Within a class an example is drawn again only when all others of the class have been.

    Args:
      key: the stream's base key.
      epoch: counted from 0.
      labels: int32 [N] of the split, on the host; every class that occurs is drawn.
      batch_size: examples in a step.
      width: places in a step, `batch_size` or more.

    Returns:
      int32 [steps, width], as many examples in all as the split has.
    """
    examples = len(labels)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    quotas = [(examples + len(members) - 1 - place) // len(members) for place in range(len(members))]
    # Each pass over a class is a group of its rows, to be put into random order; of the last one the first are used.
    groups, used, start = [], [], 0
    for rows, quota in zip(members, quotas, strict=True):
        passes = -(-quota // len(rows))
        groups += [rows] * passes
        used.append(np.arange(start, start + quota))
        start += passes * len(rows)
    group = np.repeat(np.arange(len(groups), dtype=np.int32), [len(rows) for rows in groups])
    key = jax.random.fold_in(key, epoch)
    bits = jax.random.bits(jax.random.fold_in(key, 0), (start,))
    candidates = jnp.asarray(np.concatenate(groups), jnp.int32)
    _, _, in_order = lax.sort((jnp.asarray(group), bits, candidates), num_keys=2)
    drawn = jax.random.permutation(jax.random.fold_in(key, 1), in_order[np.concatenate(used)])
    return _in_batches(drawn, batch_size, width)


def _in_batches(rows: jax.Array, batch_size: int, width: int) -> jax.Array:
    """Row numbers [N] -> [steps, width]; places without an example hold N."""
    examples = len(rows)
    steps = steps_per_epoch(examples, batch_size)
    rows = jnp.pad(rows, (0, steps * batch_size - examples), constant_values=examples)
    return jnp.pad(rows.reshape(steps, batch_size), ((0, 0), (0, width - batch_size)), constant_values=examples)


def eval_order(examples: int, width: int) -> np.ndarray:
    """Every row once, in order: int32 [steps, width], padded as in `train_order`."""
    steps = steps_per_epoch(examples, width)
    rows = np.full(steps * width, examples, np.int32)
    rows[:examples] = np.arange(examples)
    return rows.reshape(steps, width)
