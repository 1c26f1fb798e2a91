"""The optimiser and its learning rate, from `config.optim`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from fer_jax.config import check_at_least, check_choice, check_rate, is_zero
from fer_jax.errors import ConfigError
from fer_jax.schedules import Schedule, make_schedule
from fer_jax.sharding import place

OPTIMIZERS = ("adam", "adamw", "sgd")


class Optimizer(NamedTuple):
    """An Optax chain and its schedule: the rate applied is the float nearest to the one told, both from one table."""

    tx: optax.GradientTransformation
    schedule: Schedule

    def learning_rate(self, step: int, reductions: int = 0) -> float:
        """The rate of a step, counted from 0, after so many reductions (of 'plateau')."""
        return self.schedule.at(step, reductions)


class ReductionState(NamedTuple):
    """How often the rate has been reduced, int32 []: the state of the chain's rate under 'plateau'."""

    reductions: jax.Array


def create(
    *,
    name: str = "adam",
    learning_rate: float = 0.001,
    schedule: str = "constant",
    decay_rate: float = 0.0,
    warmup_epochs: float = 0.0,
    final_rate: float = 0.0,
    factor: float = 0.1,
    patience: int = 10,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    clip_norm: float = 0.0,
    steps_per_epoch: int,
    epochs: int,
) -> Optimizer:
    """The Optax chain of a run.

    Args:
      name: 'adam' (Keras's), 'adamw' or 'sgd'.
      learning_rate: at the first step; of 'cosine' and 'one_cycle', the highest.
      schedule: 'constant'; 'inverse_time': learning_rate / (1 + decay_rate * epoch), rounded to ten decimals and
        held for each epoch, as in seed documents 001 and 003; 'cosine': up to learning_rate in equal steps during
        the warm-up, then down along half a cosine to final_rate * learning_rate, which the step after the last would
        have; 'one_cycle': from learning_rate / 25 up along half a cosine during the first 30 % of the steps, then
        down as 'cosine'; 'plateau': times `factor` after `patience` epochs in which the watched split's accuracy had
        no new best and the rate was not reduced. 'cosine' and 'one_cycle' change by the step, the others by the epoch.
      decay_rate: of 'inverse_time', per epoch.
      warmup_epochs: of 'cosine'; parts of an epoch count, rounded to steps.
      final_rate: of 'cosine' and 'one_cycle', as a share of learning_rate.
      factor: of 'plateau', between 0 and 1.
      patience: of 'plateau', in epochs.
      momentum: of 'sgd', in [0, 1), by Keras's rule; 0 is plain gradient descent.
      nesterov: of 'sgd': look ahead along the momentum, by Keras's rule.
      weight_decay: of kernels only. 'adamw' takes weight_decay * rate of a kernel off it at each step, whatever its
        gradient (decoupled: Loshchilov and Hutter, 2019); 'sgd' adds weight_decay * kernel to its gradient (coupled).
      clip_norm: gradients whose norm, over all parameters together, is larger are scaled down to it; 0 is never.
      steps_per_epoch: optimiser steps in an epoch.
      epochs: in the run.

    Raises:
      ConfigError: a name or number that is out of range.
    """
    check_choice("config.optim.name", name, OPTIMIZERS)
    check_rate("config.optim.momentum", momentum)
    check_at_least("config.optim.weight_decay", weight_decay, 0)
    check_at_least("config.optim.clip_norm", clip_norm, 0)
    if nesterov and not (name == "sgd" and momentum):
        raise ConfigError("config.optim.nesterov = True needs config.optim.name = 'sgd' and a config.optim.momentum")
    if momentum and name != "sgd":
        raise ConfigError("config.optim.momentum is of 'sgd': set config.optim.name = 'sgd', or leave it 0")
    if weight_decay and name == "adam":
        raise ConfigError("config.optim.weight_decay is of 'adamw' and 'sgd': set config.optim.name = 'adamw'")
    table = make_schedule(
        schedule,
        learning_rate=learning_rate,
        decay_rate=decay_rate,
        warmup_epochs=warmup_epochs,
        final_rate=final_rate,
        factor=factor,
        patience=patience,
        steps_per_epoch=steps_per_epoch,
        epochs=epochs,
    )
    tx = chain(
        name=name,
        rates=table.rates,
        steps_per_rate=table.steps_per_rate,
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
    )
    return Optimizer(tx, table)


def chain(
    *,
    name: str,
    rates: Sequence[float] | jax.Array,
    steps_per_rate: int,
    momentum: ArrayLike,
    nesterov: bool,
    weight_decay: ArrayLike,
    clip_norm: ArrayLike,
) -> optax.GradientTransformation:
    """The Optax chain alone, of numbers that were checked by `create`.

    Numbers may be traced: then what they are the strength of is part of the chain whatever their value, with `inf` for
    a `clip_norm` that never clips.

    Args:
      name: as in `create`; so are momentum, nesterov, weight_decay and clip_norm.
      rates: the table of a `Schedule`, [places].
      steps_per_rate: of that schedule.
    """
    decay = [] if is_zero(weight_decay) else [optax.add_decayed_weights(weight_decay, mask=_kernels)]
    parts = [] if is_zero(clip_norm) else [optax.clip_by_global_norm(clip_norm)]
    if name == "sgd":
        # Keras's velocity holds steps, not gradients: a new rate leaves what is in it alone.
        velocity = optax.identity() if is_zero(momentum) else optax.trace(momentum, nesterov)
        parts += [*decay, _scale_by_rate(rates, steps_per_rate), velocity]
    else:
        parts += [scale_by_keras_adam(), *decay, _scale_by_rate(rates, steps_per_rate)]
    return optax.chain(*parts)


def _scale_by_rate(rates: Sequence[float] | jax.Array, steps_per_rate: int) -> optax.GradientTransformation:
    """Times minus the rate of a schedule."""
    last = len(rates) - 1

    def rate_at(place: jax.Array) -> jax.Array:
        return jnp.asarray(rates)[jnp.minimum(place, last)]

    if steps_per_rate:
        return optax.scale_by_learning_rate(lambda count: rate_at(count // steps_per_rate))

    def init(params):
        del params
        return ReductionState(jnp.zeros((), jnp.int32))

    def update(updates, state, params=None):
        del params
        rate = rate_at(state.reductions)
        return jax.tree.map(lambda value: -rate.astype(value.dtype) * value, updates), state

    return optax.GradientTransformation(init, update)


def with_reductions(opt_state: optax.OptState, reductions: int | Sequence[int]) -> optax.OptState:
    """The state of a chain under 'plateau' after so many reductions of the rate (a number for each of its members)."""
    sharding = optax.tree.get(opt_state, "reductions").sharding
    return optax.tree.set(opt_state, reductions=place(np.asarray(reductions, np.int32), sharding))


def _kernels(params: Any) -> Any:
    """Of each parameter, whether it is a kernel: not a bias, nor BatchNorm's scale."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


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
