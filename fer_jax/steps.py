"""The training state and the programs that run on the device: pure functions, jitted here and nowhere else.

A batch is a row of row numbers: the programs gather the images from the split, which lies on the device as uint8.
A place without an example (see `data.pipeline`) is masked in the loss, the metrics and BatchNorm.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax
from jax.sharding import Mesh

from fer_jax.data.pipeline import train_order
from fer_jax.metrics import Metrics, Progress
from fer_jax.models import Network
from fer_jax.sharding import replicated, round_up, sharded_columns

# Independent streams of random numbers, folded into the base key.
INIT, ORDER, DROPOUT = range(3)


class TrainState(struct.PyTreeNode):
    """All that training carries from step to step: arrays only.

    Attributes:
      step: int32 [], optimiser steps taken.
      params: the network's parameters.
      batch_stats: BatchNorm's moving statistics; empty for a network without BatchNorm.
      opt_state: of the Optax chain.
      rng: the base key. What a step draws is folded from it and the step, so a resume is exact.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: optax.OptState
    rng: jax.Array


class Examples(NamedTuple):
    """A split on the device: images uint8 [N, H, W, C], labels int32 [N]."""

    images: jax.Array
    labels: jax.Array


def create_state(model: Network, tx: optax.GradientTransformation, seed: jax.Array, image_shape: tuple) -> TrainState:
    """The state at step 0: a function of the seed (int32 []); `image_shape` is (H, W, C)."""
    rng = jax.random.key(seed)
    variables = model.init(jax.random.fold_in(rng, INIT), jnp.zeros((1, *image_shape), jnp.uint8))
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=tx.init(variables["params"]),
        rng=rng,
    )


def train_step(
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    mask: jax.Array,
    *,
    model: Network,
    tx: optax.GradientTransformation,
) -> tuple[TrainState, Metrics]:
    """One optimiser step on uint8 images [B, H, W, C], labels int32 [B]; only examples with a true mask [B] count."""
    dropout_key = jax.random.fold_in(jax.random.fold_in(state.rng, DROPOUT), state.step)

    def loss_of(params):
        logits, updated = model.apply(
            {"params": params, "batch_stats": state.batch_stats},
            images,
            train=True,
            mask=mask,
            rngs={"dropout": dropout_key},
            mutable=["batch_stats"],
        )
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        loss = jnp.where(mask, losses, 0).sum() / mask.sum()
        return loss, (logits, losses, updated.get("batch_stats", state.batch_stats))

    gradients, (logits, losses, batch_stats) = jax.grad(loss_of, has_aux=True)(state.params)
    updates, opt_state = tx.update(gradients, state.opt_state, state.params)
    metrics = Metrics.single_from_model_output(loss=losses, logits=logits, labels=labels, mask=mask)
    state = state.replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        batch_stats=batch_stats,
        opt_state=opt_state,
    )
    return state, metrics


def eval_step(state: TrainState, images: jax.Array, labels: jax.Array, mask: jax.Array, *, model: Network) -> Metrics:
    """Loss and accuracy of a batch with the moving statistics and no dropout."""
    logits = predict(state, images, model=model)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return Metrics.single_from_model_output(loss=losses, logits=logits, labels=labels, mask=mask)


def predict(state: TrainState, images: jax.Array, *, model: Network) -> jax.Array:
    """uint8 images [B, H, W, C] -> logits [B, classes]."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    logits: jax.Array = model.apply(variables, images, train=False)  # type: ignore[assignment]
    return logits


def gather(examples: Examples, rows: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The images, labels and mask of a batch of row numbers [B]."""
    mask = rows < len(examples.labels)
    rows = jnp.minimum(rows, len(examples.labels) - 1)
    return examples.images[rows], examples.labels[rows], mask


def _added(sums: Metrics, more: Metrics) -> Metrics:
    """Both together, in the types of `sums`: a loop carries what it began with, also where batches are float64."""
    return jax.tree.map(lambda total, part: total.astype(part.dtype), sums.merge(more), sums)


class Programs(NamedTuple):
    """The compiled programs of a run.

    Attributes:
      init: (seed) -> state at step 0.
      order: (state, epoch) -> the epoch's batches as row numbers [steps, width].
      train: (state, progress, examples, order, stop) -> (state, progress): from where the state stands in the epoch
        up to step `stop` of it. The state given is used up. `stop` is traced, so one program serves any cut.
      evaluate: (state, examples, order, stop) -> Metrics over the first `stop` batches of the order.
      predict: (state, images) -> logits.
      width: places in a training batch: the batch size, rounded up to what the mesh divides.
    """

    init: Callable[..., TrainState]
    order: Callable[..., jax.Array]
    train: Callable[..., tuple[TrainState, Progress]]
    evaluate: Callable[..., Metrics]
    predict: Callable[..., jax.Array]
    width: int


def make_programs(
    model: Network,
    tx: optax.GradientTransformation,
    mesh: Mesh,
    *,
    image_shape: tuple[int, ...],
    examples: int,
    batch_size: int,
) -> Programs:
    """Jits everything for a network, an optimiser and a mesh (shapes as in `Programs`).

    The state and the split lie whole on every device; the batch is divided over the mesh. Under `jit` the sums of
    BatchNorm, loss and metrics are then over the whole batch, whatever the number of devices.
    """
    whole, columns = replicated(mesh), sharded_columns(mesh)
    width = round_up(batch_size, mesh)

    def init(seed):
        return create_state(model, tx, seed, image_shape)

    def order(state, epoch):
        return train_order(jax.random.fold_in(state.rng, ORDER), epoch, examples, batch_size, width)

    def train(state, progress, split, order, stop):
        def body(step_in_epoch, carry):
            state, progress = carry
            new_state, metrics = train_step(state, *gather(split, order[step_in_epoch]), model=model, tx=tx)
            bad = (progress.bad_step < 0) & ~jnp.isfinite(metrics.loss.total)
            progress = Progress(
                metrics=_added(progress.metrics, metrics),
                bad_step=jnp.where(bad, new_state.step, progress.bad_step),
            )
            return new_state, progress

        return lax.fori_loop(state.step % order.shape[0], stop, body, (state, progress))

    def evaluate(state, split, order, stop):
        def body(step, metrics):
            return _added(metrics, eval_step(state, *gather(split, order[step]), model=model))

        return lax.fori_loop(0, stop, body, Metrics.empty())

    # Drawing the first weights is a small program that LLVM takes eight seconds to optimise; unoptimised it gives the
    # same bits after one.
    unoptimised = {"xla_backend_optimization_level": "0"} if jax.default_backend() == "cpu" else None
    return Programs(
        init=jax.jit(init, out_shardings=whole, compiler_options=unoptimised),
        order=jax.jit(order, out_shardings=columns),
        train=jax.jit(train, in_shardings=(whole, whole, whole, columns, whole), out_shardings=whole, donate_argnums=0),
        evaluate=jax.jit(evaluate, in_shardings=(whole, whole, columns, whole), out_shardings=whole),
        predict=jax.jit(lambda state, images: predict(state, images, model=model), out_shardings=whole),
        width=width,
    )
