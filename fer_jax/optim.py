"""The optimiser and its learning rate, from `config.optim`."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from fer_jax.config import check_above, check_at_least, check_choice, check_rate


class Optimizer(NamedTuple):
    """An Optax chain, and the learning rate that it uses at a step: a Python float, before any rounding to float32."""

    tx: optax.GradientTransformation
    learning_rate: Callable[[int], float]


SCHEDULES_THAT_NEED_EPOCHS: frozenset[str] = frozenset()
"""Schedules whose value at a step depends on the length of the run, so that a finished run cannot be lengthened."""


def create(
    *,
    name: str = "adam",
    learning_rate: float = 0.001,
    schedule: str = "constant",
    decay_rate: float = 0.0,
    momentum: float = 0.0,
    steps_per_epoch: int,
    epochs: int,
) -> Optimizer:
    """The Optax chain of a run.

    Args:
      name: 'adam' (Keras's) or 'sgd'.
      learning_rate: at the first step.
      schedule: 'constant', or 'inverse_time': learning_rate / (1 + decay_rate * epoch), rounded to ten decimals and
        held for each epoch, as in seed documents 001 and 003.
      decay_rate: of 'inverse_time', per epoch.
      momentum: of 'sgd', in [0, 1), by Keras's rule; 0 is plain gradient descent.
      steps_per_epoch: optimiser steps in an epoch.
      epochs: in the run.

    Raises:
      ConfigError: a name or number that is out of range.
    """
    check_above("config.optim.learning_rate", learning_rate, 0)
    check_at_least("config.optim.decay_rate", decay_rate, 0)
    check_rate("config.optim.momentum", momentum)
    check_choice("config.optim.name", name, ("adam", "sgd"))
    check_choice("config.optim.schedule", schedule, ("constant", "inverse_time"))
    rates = [learning_rate] * epochs
    if schedule == "inverse_time":
        rates = [round(learning_rate / (1 + decay_rate * epoch), 10) for epoch in range(epochs)]

    def rate_at(count: jax.Array) -> jax.Array:
        return jnp.asarray(rates)[jnp.minimum(count // steps_per_epoch, epochs - 1)]

    rate = optax.scale_by_learning_rate(rate_at)
    if name == "adam":
        tx = optax.chain(scale_by_keras_adam(), rate)
    else:
        # Keras's velocity holds steps, not gradients: a new rate leaves what is in it alone.
        tx = optax.chain(rate, optax.trace(momentum) if momentum else optax.identity())
    return Optimizer(tx, lambda step: rates[step // steps_per_epoch])


def scale_by_keras_adam(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-7) -> optax.GradientTransformation:
    """Adam's direction as Keras computes it: epsilon is added to the root of the *uncorrected* second moment.

    `optax.scale_by_adam(eps=1e-7)` adds it to the corrected one, which after five steps of `mnist_15k` moves the
    median weight by 9e-5. The same formula with Optax's place for epsilon needs eps_t = eps / sqrt(1 - b2^t).
    """

    def init(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return optax.ScaleByAdamState(count=jnp.zeros([], jnp.int32), mu=zeros, nu=jax.tree.map(jnp.zeros_like, params))

    def update(updates, state, params=None):
        del params
        count = optax.safe_increment(state.count)
        mu = optax.tree.update_moment(updates, state.mu, b1, 1)
        nu = optax.tree.update_moment_per_elem_norm(updates, state.nu, b2, 2)

        def direction(m, v):
            t = count.astype(m.dtype)
            return m / (1 - b1**t) * jnp.sqrt(1 - b2**t) / (jnp.sqrt(v) + eps)

        return jax.tree.map(direction, mu, nu), optax.ScaleByAdamState(count=count, mu=mu, nu=nu)

    return optax.GradientTransformation(init, update)
