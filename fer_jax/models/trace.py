"""The layers that a network goes through: listed without computing anything, or with their outputs."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

Model = nn.Module
Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerCall:
    """One call of one layer.

    Attributes:
      name: the path of its parameters, as 'Conv_0' or 'Block_1/Conv_0'; a layer that is the whole model is called
        by its kind.
      kind: the name of its Module class, as 'Conv'.
      input_shape: of its first argument, the batch of 1 left out, as (28, 28, 1).
      output_shape: of its result, in the same way.
      params: the shape of each of its own trainable arrays, by name, as {'kernel': (3, 3, 1, 12), 'bias': (12,)}.
      stats: the shape of each of its own other arrays (BatchNorm's moving statistics).
    """

    name: str
    kind: str
    input_shape: Shape
    output_shape: Shape
    params: dict[str, Shape]
    stats: dict[str, Shape]


class Outputs(struct.PyTreeNode):
    """The outputs of layers in the order in which they are computed, through `jit` too, which sorts a dict by its keys.

    Attributes:
      names: the paths of their parameters, as 'Conv_0' or 'Block_1/Conv_0'. A block stands behind the layers in it, and
        a layer that is called twice stands twice.
      arrays: what each returned.
    """

    names: tuple[str, ...] = struct.field(pytree_node=False, default=())
    arrays: tuple[jax.Array, ...] = ()


class _Call(NamedTuple):
    """One call of one Module: its argument and its result, and whether it called no other."""

    module: nn.Module
    argument: jax.Array
    output: jax.Array
    is_leaf: bool


@contextlib.contextmanager
def _watched() -> Iterator[list[_Call]]:
    """Lists the Modules that are called meanwhile, each when it has returned."""
    calls: list[_Call] = []

    def watch(next_function: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if context.method_name != "__call__":
            return next_function(*args, **kwargs)
        before = len(calls)
        output = next_function(*args, **kwargs)
        calls.append(_Call(context.module, args[0], output, is_leaf=len(calls) == before))
        return output

    with nn.intercept_methods(watch):
        yield calls


def apply_with_outputs(model: Model, *args: Any, **kwargs: Any) -> tuple[Any, Outputs]:
    """`model.apply`, and the output of every Module in it; what is said of Modules in `trace` holds here too."""
    with _watched() as calls:
        applied = model.apply(*args, **kwargs)
    inner = [call for call in calls if call.module.path]
    return applied, Outputs(tuple("/".join(call.module.path) for call in inner), tuple(call.output for call in inner))


def trace(model: Model, input_shape: Shape) -> list[LayerCall]:
    """The layers of `model` in the order in which they run at inference; nothing is computed.

    A layer is a Module that calls no other, or one that has arrays of its own beside those of the layers in it. One
    that is called twice is listed twice.

    Args:
      model: a Module that takes uint8 images [B, H, W, C]; it and every Module in it takes its array as the first
        positional argument and returns one array.
      input_shape: (H, W, C).
    """
    images = jax.ShapeDtypeStruct((1, *input_shape), jnp.uint8)
    with _watched() as calls:
        variables = jax.eval_shape(lambda images: model.init(jax.random.key(0), images), images)
    layers = []
    for module, argument, output, is_leaf in calls:
        shape, output_shape = argument.shape[1:], output.shape[1:]
        own = {collection: _own_shapes(tree, module.path) for collection, tree in variables.items()}
        params = own.pop("params", {})
        stats = {name: size for shapes in own.values() for name, size in shapes.items()}
        if is_leaf or params or stats:
            kind = type(module).__name__
            layers.append(LayerCall("/".join(module.path) or kind, kind, shape, output_shape, params, stats))
    return layers


def _own_shapes(tree: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Shape]:
    """The shapes of the arrays that stand at `path` itself, not those deeper down."""
    for part in path:
        tree = tree.get(part, {})
    return {name: leaf.shape for name, leaf in tree.items() if not isinstance(leaf, Mapping)}
