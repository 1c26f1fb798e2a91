"""The programs of a run: what `steps` computes, compiled for a network, an optimiser and a mesh of devices.

Many steps or batches are one call: the loop over them runs on the device, and the host waits for nothing in between.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh

from fer_jax.data.pipeline import balanced_order, train_order
from fer_jax.metrics import Metrics, Progress
from fer_jax.models import Network
from fer_jax.sharding import replicated, round_up, sharded_columns
from fer_jax.steps import (
    ORDER,
    PLAIN,
    Passes,
    Recipe,
    TrainState,
    both_passes,
    create_state,
    gather,
    predict,
    predict_view,
    train_step,
)


class Programs(NamedTuple):
    """The compiled programs of a run.

    Attributes:
      init: (seed) -> state at step 0.
      order: (state, epoch) -> the epoch's batches as row numbers [steps, width].
      train: (state, progress, examples, order, stop) -> (state, progress): from where the state stands in the epoch
        up to step `stop` of it, or to the first bad step where there is one member. The state given is used up. One
        program serves any cut; a call that has no step to take compiles it.
      logits: (state, examples, order, stop, view) -> logits [steps, width, classes] of the examples at the
        places of the order; in batches from `stop` on they are NaN, in places without an example they mean nothing.
      predict: (state, images) -> logits.
      width: places in a training batch: the batch size, rounded up to what the mesh divides.
      keep: (best, state, better) -> best: of several members (see `member_programs`) the evaluated part of each one's
        best state so far, which becomes that of `state` where the bool [members] `better` says so; None for a run of
        one, whose best state is a checkpoint of its own.
      look: (state, examples, rows) -> what both passes of a training step on those rows find, with the output of every
        layer; None of several members.
    """

    init: Callable[..., TrainState]
    order: Callable[..., jax.Array]
    train: Callable[..., tuple[TrainState, Progress]]
    logits: Callable[..., jax.Array]
    predict: Callable[..., jax.Array]
    width: int
    keep: Callable[..., TrainState] | None = None
    look: Callable[..., Passes] | None = None


class Computations(NamedTuple):
    """What is compiled, as pure functions.

    Attributes:
      init: (seed) -> state at step 0.
      order: (state, epoch) -> the epoch's batches as row numbers [steps, width].
      train_span: (state, progress, examples, order, start, stop, until_bad) -> (state, progress): those steps of the
        epoch; with `until_bad` none after a bad one, so that the state shows what that one did. Under vmap the members
        would then wait for each other in every step.
      logits_loop: (state, examples, order, stop, view) -> logits [steps, width, classes].
    """

    init: Callable[..., TrainState]
    order: Callable[..., jax.Array]
    train_span: Callable[..., tuple[TrainState, Progress]]
    logits_loop: Callable[..., jax.Array]


def computations(
    model: Network,
    tx: optax.GradientTransformation,
    *,
    image_shape: tuple[int, ...],
    examples: int,
    batch_size: int,
    width: int,
    recipe: Recipe = PLAIN,
    balanced_labels: np.ndarray | None = None,
) -> Computations:
    """What a network and an optimiser compute (arguments as in `make_programs`; `width` as in `Programs`)."""

    def init(seed):
        return create_state(model, tx, seed, image_shape, recipe)

    def order(state, epoch):
        key = jax.random.fold_in(state.rng, ORDER)
        if balanced_labels is not None:
            return balanced_order(key, epoch, balanced_labels, batch_size, width)
        return train_order(key, epoch, examples, batch_size, width)

    def train_one(state, progress, split, rows):
        new_state, metrics = train_step(state, *gather(split, rows), model=model, tx=tx, recipe=recipe)
        bad = (progress.bad_step < 0) & ~_all_finite((metrics.loss.total, new_state.params, new_state.batch_stats))
        progress = Progress(
            metrics=_added(progress.metrics, metrics),
            bad_step=jnp.where(bad, new_state.step, progress.bad_step),
        )
        return new_state, progress

    def train_span(state, progress, split, order, start, stop, until_bad):
        def goes_on(carry):
            step, _, progress = carry
            return (step < stop) & (progress.bad_step < 0) if until_bad else step < stop

        def body(carry):
            step, state, progress = carry
            return step + 1, *train_one(state, progress, split, order[step])

        _, state, progress = lax.while_loop(goes_on, body, (start, state, progress))
        return state, progress

    def logits_loop(state, split, order, stop, view):
        def of_batch(step):
            images = gather(split, order[step])[0]
            return predict_view(state, images, view, model=model)

        batch = jax.eval_shape(of_batch, 0)
        found = jnp.full((order.shape[0], *batch.shape), jnp.nan, batch.dtype)
        return lax.fori_loop(0, stop, lambda step, found: found.at[step].set(of_batch(step)), found)

    return Computations(init, order, train_span, logits_loop)


def make_programs(
    model: Network,
    tx: optax.GradientTransformation,
    mesh: Mesh,
    *,
    image_shape: tuple[int, ...],
    examples: int,
    batch_size: int,
    recipe: Recipe = PLAIN,
    balanced_labels: np.ndarray | None = None,
) -> Programs:
    """Jits everything for a network, an optimiser and a mesh (shapes as in `Programs`).

    With `balanced_labels` (int32 [examples], the split's) an epoch draws every class equally often.

    The state and the split lie whole on every device; the batch is divided over the mesh. Under `jit` the sums of
    BatchNorm, loss and metrics are then over the whole batch, whatever the number of devices.
    """
    whole, columns = replicated(mesh), sharded_columns(mesh)
    width = round_up(batch_size, mesh)
    found = computations(
        model,
        tx,
        image_shape=image_shape,
        examples=examples,
        batch_size=batch_size,
        width=width,
        recipe=recipe,
        balanced_labels=balanced_labels,
    )

    def train_loop(state, progress, split, order, stop):
        return found.train_span(state, progress, split, order, state.step % order.shape[0], stop, until_bad=True)

    def look(state, split, rows):
        return both_passes(state, *gather(split, rows), model=model, recipe=recipe, capture=True)

    train = jax.jit(
        train_loop,
        in_shardings=(whole, whole, whole, columns, whole),
        out_shardings=whole,
        donate_argnums=0,
    )
    logits = jax.jit(
        found.logits_loop, in_shardings=(whole, whole, columns, whole), out_shardings=whole, static_argnames="view"
    )

    return Programs(
        init=jax.jit(found.init, out_shardings=whole, compiler_options=unoptimised()),
        order=jax.jit(found.order, out_shardings=columns),
        train=train,
        logits=logits,
        predict=jax.jit(lambda state, images: predict(state, images, model=model), out_shardings=whole),
        width=width,
        look=jax.jit(look, out_shardings=whole),
    )


def unoptimised() -> dict[str, str] | None:
    """What the program that draws the first weights is compiled with.

    It is a small one that LLVM takes eight seconds to optimise on a CPU; unoptimised it gives the same bits after one.
    """
    return {"xla_backend_optimization_level": "0"} if jax.default_backend() == "cpu" else None


def _all_finite(tree: Any) -> jax.Array:
    """Whether no number of a pytree is NaN or infinite: a bool [], or what is like it under vmap."""
    # 0 times what is not finite is NaN, and a sum of zeros cannot overflow.
    return jnp.isfinite(sum(jnp.sum(leaf * 0) for leaf in jax.tree.leaves(tree)))


def _added(sums: Metrics, more: Metrics) -> Metrics:
    """Both together, in the types of `sums`: a loop carries what it began with, also where batches are float64."""
    return jax.tree.map(lambda total, part: total.astype(part.dtype), sums.merge(more), sums)
