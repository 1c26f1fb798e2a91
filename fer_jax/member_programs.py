"""The programs of several members of a run at once, behind the signatures of `programs`.

Everything that a member has of its own has one more axis in front, [members, ...], divided over the mesh's members; the
examples lie on each device once. Nothing passes between members, so each computes what it would compute alone.

On a GPU or TPU a device computes its members side by side, in one vectorised step. On a CPU vectorised products of
small matrices are slow, so a device computes its members one after the other; devices do so at the same time.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from fer_jax.models import Network
from fer_jax.programs import Programs, computations, unoptimised
from fer_jax.sharding import MEMBER_AXIS, by_member, member_columns, place, replicated, round_up, sharded_columns
from fer_jax.steps import Recipe, TrainState, evaluated_part, predict

Parts = Callable[[Mapping[str, jax.Array]], tuple[Network, optax.GradientTransformation, Recipe]]
"""From a member's values of what varies, which are traced, to what it trains."""


def make_member_programs(
    parts: Parts,
    values: Mapping[str, np.ndarray],
    mesh: Mesh,
    *,
    image_shape: tuple[int, ...],
    examples: int,
    batch_size: int,
    balanced_labels: np.ndarray | None = None,
) -> Programs:
    """Jits everything for the members of a run (the other arguments are those of `programs.make_programs`).

    Args:
      parts: what a member trains.
      values: what varies, [members, ...] each.
      mesh: of `sharding.make_member_mesh`.
    """
    whole, own, columns = replicated(mesh), by_member(mesh), member_columns(mesh)
    each = partial(_each_member, mesh)
    width = round_up(batch_size, mesh)
    # As float32, unless float64 is in force.
    placed = place(jax.tree.map(jnp.asarray, dict(values)), own)

    def of_member(value):
        model, tx, recipe = parts(value)
        return computations(
            model,
            tx,
            image_shape=image_shape,
            examples=examples,
            batch_size=batch_size,
            width=width,
            recipe=recipe,
            balanced_labels=balanced_labels,
        )

    def init(seeds, values):
        return jax.vmap(lambda seed, value: of_member(value).init(seed))(seeds, values)

    def order(state, values, epoch):
        return jax.vmap(lambda state, value: of_member(value).order(state, epoch))(state, values)

    def train_loop(state, progress, split, order, stop, values):
        def one(own, split, start, stop):
            state, progress, order, value = own
            return of_member(value).train_span(state, progress, split, order, start, stop, until_bad=False)

        # All members have taken the same steps.
        start = state.step[0] % order.shape[1]
        return each(one)((state, progress, order, values), split, start, stop)

    def logits_loop(state, split, order, stop, values, view):
        def one(own, split, order, stop):
            state, value = own
            return of_member(value).logits_loop(state, split, order, stop, view)

        return each(one)((state, values), split, order, stop)

    def predict_all(state, images, values):
        def one(own, images):
            state, value = own
            return predict(state, images, model=parts(value)[0])

        return each(one)((state, values), images)

    train = jax.jit(
        train_loop,
        in_shardings=(own, own, whole, columns, whole, own),
        out_shardings=own,
        donate_argnums=0,
        compiler_options=_options(mesh),
    )
    logits = jax.jit(
        logits_loop,
        in_shardings=(own, whole, sharded_columns(mesh), whole, own),
        out_shardings=own,
        static_argnames="view",
        compiler_options=_options(mesh),
    )
    first_states = jax.jit(init, in_shardings=(own, own), out_shardings=own, compiler_options=unoptimised())
    orders = jax.jit(order, in_shardings=(own, own, whole), out_shardings=columns)
    of_images = jax.jit(predict_all, in_shardings=(own, whole, own), out_shardings=own)
    return Programs(
        init=lambda seeds: first_states(place(seeds, own), placed),
        order=lambda state, epoch: orders(state, placed, epoch),
        train=lambda state, progress, split, order, stop: train(state, progress, split, order, stop, placed),
        logits=lambda state, split, order, stop, view: logits(evaluated_part(state), split, order, stop, placed, view),
        predict=lambda state, images: of_images(evaluated_part(state), images, placed),
        width=width,
        keep=jax.jit(_keep, out_shardings=own),
    )


def _options(mesh: Mesh) -> dict[str, bool] | None:
    """Several devices on a CPU compute with a thread each: threads that help each other besides would only wait."""
    return {"xla_cpu_multi_thread_eigen": False} if jax.default_backend() == "cpu" and mesh.size > 1 else None


def _side_by_side() -> bool:
    """Whether a device computes its members in one vectorised step."""
    return jax.default_backend() != "cpu"


def _each_member(mesh: Mesh, function: Callable[..., Any]) -> Callable[..., Any]:
    """From (what a member owns, *shared) -> result to (what all members own, *shared) -> all results."""
    if _side_by_side():
        return lambda own, *shared: jax.vmap(function, (0, *[None] * len(shared)))(own, *shared)

    def on_group(own, *shared):
        if len(jax.tree.leaves(own)[0]) == 1:
            alone = jax.tree.map(lambda x: x[0], own)
            return jax.tree.map(lambda x: x[None], function(alone, *shared))
        return lax.map(lambda one: function(one, *shared), own)

    of_group, of_all = PartitionSpec(MEMBER_AXIS), PartitionSpec()

    # Each group of devices has members of its own; within a group the batch is divided as ever.
    def on_all(own, *shared):
        return jax.shard_map(
            on_group,
            mesh=mesh,
            in_specs=(of_group, *[of_all] * len(shared)),
            out_specs=of_group,
            axis_names={MEMBER_AXIS},
            check_vma=False,
        )(own, *shared)

    return on_all


def _keep(best: TrainState | None, state: TrainState, better: jax.Array) -> TrainState:
    """The evaluated part of `state` for the members that are `better` (bool [members]), and of `best` for the others.

    Without a `best`, of `state` for all.
    """
    new = evaluated_part(state)
    if best is None:
        # Copies, because training uses up what it is given.
        rng = jax.random.wrap_key_data(jnp.copy(jax.random.key_data(state.rng)), impl=jax.random.key_impl(state.rng))
        return jax.tree.map(jnp.copy, new.replace(rng=None)).replace(rng=rng)

    def select(new, old):
        return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    # The base keys never change.
    chosen = jax.tree.map(select, new.replace(rng=None), best.replace(rng=None))
    return chosen.replace(rng=best.rng)
