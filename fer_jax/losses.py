"""The loss that training lowers, from `config.loss`; what is reported as loss is always plain cross-entropy."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fer_jax.config import check_at_least, check_at_most, check_choice, check_rate, is_zero
from fer_jax.data.dataset import Split
from fer_jax.data.fer_plus import soft_labels
from fer_jax.errors import ConfigError

Array = jax.Array

Objective = Callable[[Array, Array], Array]
"""(logits [B, classes], targets) -> the loss of each example [B]; targets are int32 [B], or shares [B, classes]."""

_MOST = 100.0
"""Beyond this an exponent or a factor leaves no finite weight."""
TARGETS = ("labels", "fer_plus", "teacher")


def cross_entropy(logits: Array, targets: Array) -> Array:
    """Plain cross-entropy in nats, [B]: the simplest objective."""
    if targets.ndim == 1:
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return optax.softmax_cross_entropy(logits, targets.astype(logits.dtype))


def create(
    *,
    label_smoothing: float = 0.0,
    class_weights: str = "none",
    class_weights_exponent: float = 1.0,
    logit_adjustment: float = 0.0,
    targets: str = "labels",
    teacher: str = "",
    teacher_share: float = 0.5,
    class_counts: Sequence[int],
    class_names: Sequence[str],
) -> Objective:
    """The objective of a run.

    Args:
      label_smoothing: the share of a target that is spread over all classes alike (Szegedy et al., 2016); may be
        traced.
      class_weights: 'none', or 'balanced': an example of class c counts (n / (k * n_c)) ^ class_weights_exponent
        times, divided by the mean of that over the training split, with n examples, k classes and n_c of class c. A
        batch's loss is still divided by its number of examples, so that the learning rate means the same.
      class_weights_exponent: of 'balanced'; 0.5 goes half of the way.
      logit_adjustment: tau; training sees logits + tau * log(n_c / n), evaluation does not, so that each class counts
        alike (Menon et al., 2021).
      targets: 'labels'; 'fer_plus': the shares of FER+'s votes, see `soft_targets`; 'teacher': what another run
        answers, see `distill`.
      teacher: the folder of that run.
      teacher_share: of a target that is the teacher's, above 0 and up to 1; the rest is the label's.
      class_counts: examples of each class in the training split.
      class_names: for messages.

    Raises:
      ConfigError: a value out of range, or a class without an example where its number matters.
    """
    check_rate("config.loss.label_smoothing", label_smoothing)
    check_choice("config.loss.class_weights", class_weights, ("none", "balanced"))
    for key, value in (("class_weights_exponent", class_weights_exponent), ("logit_adjustment", logit_adjustment)):
        check_at_least(f"config.loss.{key}", value, 0)
        check_at_most(f"config.loss.{key}", value, _MOST)
    check_choice("config.loss.targets", targets, TARGETS)
    if (targets == "teacher") != bool(teacher):
        raise ConfigError(
            "config.loss.targets = 'teacher' and config.loss.teacher = the folder of a run go together: set both or "
            "neither"
        )
    if not 0 < teacher_share <= 1:
        raise ConfigError(f"config.loss.teacher_share must be above 0 and at most 1, not {teacher_share}")
    weighted = class_weights == "balanced"
    if weighted:
        check_every_class("config.loss.class_weights = 'balanced'", class_counts, class_names)
    if logit_adjustment:
        check_every_class("config.loss.logit_adjustment", class_counts, class_names)
    counts = np.asarray(class_counts, np.float64)
    weights = balanced_weights(counts, class_weights_exponent) if weighted else np.ones(len(counts))
    adjustment = logit_adjustment * np.log(counts / counts.sum()) if logit_adjustment else np.zeros(len(counts))

    def objective(logits: Array, targets: Array) -> Array:
        if logit_adjustment:
            logits = logits + jnp.asarray(adjustment, logits.dtype)[None]
        if not weighted and is_zero(label_smoothing):
            return cross_entropy(logits, targets)
        # A traced value must not widen the logits' type; a Python float never does.
        smoothing: Any = label_smoothing
        if isinstance(label_smoothing, jax.Array):
            smoothing = label_smoothing.astype(logits.dtype)
        # In proportion to the shares throughout, so that a mixture costs what its parts cost.
        shares = _shares(targets, logits) * jnp.asarray(weights, logits.dtype)[None]
        total = shares.sum(axis=1, keepdims=True)
        shares = (1 - smoothing) * shares + smoothing / len(counts) * total
        return optax.softmax_cross_entropy(logits, shares)

    return objective


def balanced_weights(counts: np.ndarray, exponent: float) -> np.ndarray:
    """What an example of each class counts, by `create`'s formula: [classes], with a mean of 1 over the examples."""
    weights = (counts.sum() / (len(counts) * counts)) ** exponent
    return weights * counts.sum() / (weights * counts).sum()


def check_every_class(key: str, counts: Sequence[int], class_names: Sequence[str]) -> None:
    """Raises ConfigError if a class has no example in the training split; `key` is what needs one."""
    for count, name in zip(counts, class_names, strict=True):
        if not count:
            raise ConfigError(
                f"{key} needs an example of every class, and the training split has none of '{name}': "
                "leave it off, or train on more of the data set"
            )


def soft_targets(targets: str, train: Split, class_names: Sequence[str]) -> np.ndarray | None:
    """The shares of the classes that each training example is taught, float32 [N, classes]; None for plain labels.

    What a teacher says takes a trained run; see `distill`.

    Raises:
      ConfigError: 'fer_plus' for data without such votes.
    """
    if targets != "fer_plus":
        return None
    if "votes" not in train.extras:
        raise ConfigError(
            "config.loss.targets = 'fer_plus' needs FER+ votes, and the data set has none: put fer2013new.csv beside "
            "fer2013.csv, or take config.loss.targets = 'labels'"
        )
    return soft_labels(train.extras["votes"], train.labels, class_names)


def mix(targets: Array, partner: Array, weight: Array, logits: Array) -> Array:
    """Targets of mixed images: `weight` [B] of an example's own, the rest its partner's, as shares [B, classes]."""
    shares = _shares(targets, logits)
    weight = weight.astype(shares.dtype)[:, None]
    return weight * shares + (1 - weight) * shares[partner]


def _shares(targets: Array, logits: Array) -> Array:
    """Labels or shares -> shares [B, classes], in the logits' type."""
    if targets.ndim == 1:
        return jax.nn.one_hot(targets, logits.shape[1], dtype=logits.dtype)
    return targets.astype(logits.dtype)
