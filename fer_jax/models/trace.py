"""Runs a network without computing anything, and lists the layers it went through."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

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


def trace(model: Model, input_shape: Shape) -> list[LayerCall]:
    """The layers of `model` in the order in which they run at inference; nothing is computed.

    A layer is a Module that calls no other, or one that has arrays of its own beside those of the layers in it. One
    that is called twice is listed twice.

    Args:
      model: a Module that takes uint8 images [B, H, W, C]; it and every Module in it takes its array as the first
        positional argument and returns one array.
      input_shape: (H, W, C).
    """
    calls: list[tuple[nn.Module, Shape, Shape, bool]] = []

    def watch(next_function: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if context.method_name != "__call__":
            return next_function(*args, **kwargs)
        before = len(calls)
        output = next_function(*args, **kwargs)
        is_leaf = len(calls) == before
        calls.append((context.module, args[0].shape[1:], output.shape[1:], is_leaf))
        return output

    def init(images: jax.Array) -> Any:
        with nn.intercept_methods(watch):
            return model.init(jax.random.key(0), images)

    variables = jax.eval_shape(init, jax.ShapeDtypeStruct((1, *input_shape), jnp.uint8))
    layers = []
    for module, shape, output_shape, is_leaf in calls:
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
