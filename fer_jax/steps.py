"""The training state and what one step computes: pure functions, which `programs` compiles.

A batch is a row of row numbers: the images are gathered from the split, which lies on the device as uint8. A place
without an example (see `data.pipeline`) is masked in the loss, the metrics and BatchNorm.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax import lax
from jax.typing import ArrayLike

from fer_jax import losses
from fer_jax.config import is_zero
from fer_jax.data.augment import Augment
from fer_jax.data.views import COPIES, one_copy
from fer_jax.metrics import Metrics
from fer_jax.models import Network
from fer_jax.models.trace import Outputs, apply_with_outputs
from fer_jax.sharding import on_host

# Independent streams of random numbers, folded into the base key.
INIT, ORDER, DROPOUT, AUGMENT = range(4)


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


class AveragedState(TrainState):
    """A state that is evaluated by a moving average: a class of its own, so that other checkpoints hold nothing of it.

    Attributes:
      ema: the average of `params` and of `batch_stats`, by those two names.
    """

    ema: Any


class Examples(NamedTuple):
    """A split on the device.

    Attributes:
      images: uint8 [N, H, W, C].
      labels: int32 [N].
      shares: of the classes that training is to teach instead of the labels, float32 [N, classes]; None for none.
    """

    images: jax.Array
    labels: jax.Array
    shares: jax.Array | None = None


class Recipe(NamedTuple):
    """What a step does besides computing a gradient; by default nothing.

    Attributes:
      augment: changes the batch; None leaves it.
      objective: what is lowered.
      ema_decay: of the moving average that `AveragedState.ema` holds; 0 for none. May be traced.
    """

    augment: Augment | None = None
    objective: losses.Objective = losses.cross_entropy
    ema_decay: ArrayLike = 0.0


PLAIN = Recipe()


def create_state(
    model: Network,
    tx: optax.GradientTransformation,
    seed: jax.Array,
    image_shape: tuple,
    recipe: Recipe = PLAIN,
) -> TrainState:
    """The state at step 0: a function of the seed (int32 []); `image_shape` is (H, W, C)."""
    rng = jax.random.key(seed)
    variables = model.init(jax.random.fold_in(rng, INIT), jnp.zeros((1, *image_shape), jnp.uint8))
    params, batch_stats = variables["params"], variables.get("batch_stats", {})
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=batch_stats,
        opt_state=tx.init(params),
        rng=rng,
    )
    if is_zero(recipe.ema_decay):
        return state
    return AveragedState(**vars(state), ema={"params": params, "batch_stats": batch_stats})


def train_step(
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    mask: jax.Array,
    shares: jax.Array | None = None,
    *,
    model: Network,
    tx: optax.GradientTransformation,
    recipe: Recipe = PLAIN,
) -> tuple[TrainState, Metrics]:
    """One optimiser step on uint8 images [B, H, W, C], labels int32 [B]; only examples with a true mask [B] count.

    What is lowered is the recipe's objective with `shares` [B, classes] where given, or else the labels. The metrics
    are plain cross-entropy and accuracy against the examples' own labels, on the images as the recipe changed them, so
    that runs with different objectives can be compared.
    """
    passes = both_passes(state, images, labels, mask, shares, model=model, recipe=recipe)
    gradients, logits, batch_stats = passes.gradients, passes.logits, passes.batch_stats
    updates, opt_state = tx.update(gradients, state.opt_state, state.params)
    plain = losses.cross_entropy(logits, labels)
    metrics = Metrics.single_from_model_output(loss=plain, logits=logits, labels=labels, mask=mask)
    params = optax.apply_updates(state.params, updates)
    state = state.replace(
        step=state.step + 1,
        params=params,
        batch_stats=batch_stats,
        opt_state=opt_state,
    )
    return _averaged(state, recipe.ema_decay) if isinstance(state, AveragedState) else state, metrics


class Passes(NamedTuple):
    """What the two passes of a step find.

    Attributes:
      gradients: of the objective, as `params`.
      logits: [B, classes].
      batch_stats: BatchNorm's statistics with this batch in them.
      outputs: of every layer; empty unless asked for.
    """

    gradients: Any
    logits: jax.Array
    batch_stats: Any
    outputs: Outputs


def both_passes(
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    mask: jax.Array,
    shares: jax.Array | None = None,
    *,
    model: Network,
    recipe: Recipe = PLAIN,
    capture: bool = False,
) -> Passes:
    """The forward and the backward pass of `train_step`; `capture` keeps the output of every layer."""
    partner = weight = None
    if recipe.augment is not None:
        augment_key = jax.random.fold_in(jax.random.fold_in(state.rng, AUGMENT), state.step)
        images, partner, weight = recipe.augment(augment_key, images, mask)
    dropout_key = jax.random.fold_in(jax.random.fold_in(state.rng, DROPOUT), state.step)

    def loss_of(params):
        variables = {"params": params, "batch_stats": state.batch_stats}
        options: dict[str, Any] = {
            "train": True,
            "mask": mask,
            "rngs": {"dropout": dropout_key},
            "mutable": ["batch_stats"],
        }
        if capture:
            (logits, updated), outputs = apply_with_outputs(model, variables, images, **options)
        else:
            (logits, updated), outputs = model.apply(variables, images, **options), Outputs()
        targets = labels if shares is None else shares
        if partner is not None and weight is not None:
            targets = losses.mix(targets, partner, weight, logits)
        loss = jnp.where(mask, recipe.objective(logits, targets), 0).sum() / mask.sum()
        return loss, (logits, updated, outputs)

    gradients, (logits, updated, outputs) = jax.grad(loss_of, has_aux=True)(state.params)
    return Passes(gradients, logits, updated.get("batch_stats", state.batch_stats), outputs)


def _averaged(state: AveragedState, decay: ArrayLike) -> AveragedState:
    """The state with the step just done averaged in: decay * average + (1 - decay) * new, statistics too.

    In the first steps the decay is no more than (1 + t) / (10 + t) after t steps, TensorFlow's rule, so that the
    initial weights are soon forgotten: after 100 steps they count less than 1e-11 in all.
    """
    warm = (1 + state.step) / (10 + state.step)
    rate = 1 - jnp.minimum(jnp.asarray(decay, warm.dtype), warm)
    new = {"params": state.params, "batch_stats": state.batch_stats}
    ema = jax.tree.map(lambda old, value: old + rate.astype(old.dtype) * (value - old), state.ema, new)
    return state.replace(ema=ema)


def evaluation_variables(state: TrainState) -> dict[str, Any]:
    """The variables to evaluate and predict with, the average where there is one: 'params' and 'batch_stats'."""
    if isinstance(state, AveragedState):
        return state.ema
    return {"params": state.params, "batch_stats": state.batch_stats}


def evaluated_part(state: TrainState) -> TrainState:
    """What evaluation needs of a state, as a state without an optimiser's; evaluated it gives the same."""
    return TrainState(step=state.step, **evaluation_variables(state), opt_state=(), rng=state.rng)


def steps_taken(state: TrainState) -> int:
    """How many steps a state has taken; of several members each has taken as many. Waits for the device."""
    return int(np.asarray(on_host(state.step)).flat[0])


def not_finite(state: TrainState) -> list[str]:
    """The names of the parameters and statistics of a state on the host that hold NaN or an infinite number."""
    leaves = jax.tree_util.tree_leaves_with_path({"params": state.params, "batch_stats": state.batch_stats})
    return [leaf_name(path) for path, leaf in leaves if not np.isfinite(np.asarray(leaf, np.float64)).all()]


def leaf_name(path: tuple[Any, ...]) -> str:
    """A leaf's place in a tree of variables, as 'Conv_0/kernel' or 'BatchNorm_0/mean'."""
    names = [str(getattr(key, "key", key)) for key in path]
    return "/".join(names[1:] if names[0] in ("params", "batch_stats") else names)


def predict(state: TrainState, images: jax.Array, *, model: Network) -> jax.Array:
    """uint8 images [B, H, W, C] -> logits [B, classes], with the moving statistics and no dropout."""
    logits: jax.Array = model.apply(evaluation_variables(state), images, train=False)  # type: ignore[assignment]
    return logits


def predict_view(state: TrainState, images: jax.Array, view: str, *, model: Network) -> jax.Array:
    """As `predict`; for a view of several copies (see `data.views`) the log of the mean probabilities [B, classes]."""
    if COPIES[view] == 1:
        return predict(state, images, model=model)
    # One copy after the other: a batch takes the memory of a batch, and the network is compiled once.
    each = lax.map(lambda copy: predict(state, one_copy(images, view, copy), model=model), jnp.arange(COPIES[view]))
    return mean_of_copies(each)


def mean_of_copies(logits: jax.Array) -> jax.Array:
    """Logits of the copies of a batch [copies, B, classes] -> the log of their mean probabilities [B, classes].

    Those of a single copy stay as they are.
    """
    if len(logits) == 1:
        return logits[0]
    return jax.nn.logsumexp(jax.nn.log_softmax(logits), axis=0) - math.log(len(logits))


def gather(examples: Examples, rows: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]:
    """The images, labels, mask and shares (None where the split has none) of a batch of row numbers [B]."""
    mask = rows < len(examples.labels)
    rows = jnp.minimum(rows, len(examples.labels) - 1)
    shares = None if examples.shares is None else examples.shares[rows]
    return examples.images[rows], examples.labels[rows], mask, shares
