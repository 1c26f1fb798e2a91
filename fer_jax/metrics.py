"""What is counted, in training and in evaluation, as sums that are divided once at the end."""

import flax
import jax
import jax.numpy as jnp
from clu import metrics as clu_metrics


@flax.struct.dataclass
class Metrics(clu_metrics.Collection):
    """Mean loss and accuracy over the examples whose mask is true.

    Built from `loss` [B], `logits` [B, classes], `labels` [B] and `mask` [B] by `single_from_model_output`.
    """

    loss: clu_metrics.Average.from_output("loss")  # type: ignore[valid-type]
    accuracy: clu_metrics.Accuracy


def example_count(metrics: Metrics) -> int:
    """How many examples `metrics` has counted."""
    return int(metrics.accuracy.count)


def means(metrics: Metrics) -> tuple[float, float]:
    """Mean loss (nats) and accuracy (0 to 1): the device's sums, divided on the host in double precision."""
    loss, accuracy = jax.device_get((metrics.loss, metrics.accuracy))
    return float(loss.total) / int(loss.count), float(accuracy.total) / int(accuracy.count)


@flax.struct.dataclass
class Progress:
    """What an unfinished epoch has added up: saved with the state, so that a resume ends with the same sums.

    Attributes:
      metrics: sums over the epoch's steps so far.
      bad_step: the first step whose loss was not a finite number, or that left a parameter or a statistic that is
        none; -1 if there was none.
    """

    metrics: Metrics
    bad_step: jax.Array

    @classmethod
    def empty(cls) -> "Progress":
        return cls(metrics=Metrics.empty(), bad_step=jnp.full((), -1, jnp.int32))
