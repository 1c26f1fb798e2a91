"""A network as a chain of layers, with what stands between them, found by running it.

The layers of a network are Modules, and `trace` sees them. The scaling of the pixels and ReLU are plain functions: what
they did is told from the numbers that left one layer and those that entered the next.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from fer_jax.errors import UserError
from fer_jax.models.layers import scale_pixels, standardise
from fer_jax.models.lowering import NHWC
from fer_jax.models.network import Network

PIXELS, STANDARDISED, RELU, SAME = "pixels", "standardised", "relu", "same"


class Link(NamedTuple):
    """A layer of the chain.

    Attributes:
      name: the path of its parameters, as 'Conv_0'.
      kind: the name of its Module class, as 'Conv'.
      before: what is done to the output of the layer before it: `SAME` for nothing, or `RELU`; in front of the first
        layer, to the uint8 images: `PIXELS` (divided by 255), or `STANDARDISED` (that, and then each image).
      fields: those of the Module, as {'features': 12, 'padding': 'VALID'}.
      arrays: its own, by name, as {'kernel': ..., 'bias': ...}; of BatchNorm the moving statistics too.
    """

    name: str
    kind: str
    before: str
    fields: dict[str, Any]
    arrays: dict[str, np.ndarray]


def chain(model: Network, variables: Mapping[str, Any], images: np.ndarray) -> tuple[list[Link], str]:
    """The layers of a network in the order in which they run at inference; one that then does nothing is left out.

    Args:
      model: the network.
      variables: {'params': ..., 'batch_stats': ...}.
      images: uint8 [N, H, W, C], of any content that is not flat.

    Returns:
      The layers, and what is done to the output of the last to make the logits: `SAME` or `RELU`.

    Raises:
      UserError: between two layers stands something else, as where one's output goes round another.
    """
    modules: list[nn.Module] = []
    untouched: list[bool] = []

    def run(images: jax.Array) -> list[jax.Array]:
        """What entered and what left each layer, in turns, and the logits; JAX calls it once, to see what it does."""
        arrays: list[jax.Array] = []

        def watch(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
            before = len(modules)
            output = call(*args, **kwargs)
            if context.method_name == "__call__" and len(modules) == before and output is not args[0]:
                untouched.append(bool(arrays) and args[0] is arrays[-1])
                modules.append(context.module)
                arrays.extend((args[0], output))
            return output

        with nn.intercept_methods(watch):
            logits: Any = model.clone(layout=NHWC).apply(variables, images, train=False)
        untouched.append(bool(arrays) and logits is arrays[-1])
        return [*arrays, logits]

    values = list(map(np.asarray, jax.jit(run)(images)))
    scaled = scale_pixels(images, model.dtype)  # type: ignore[arg-type]
    known = {PIXELS: scaled, STANDARDISED: standardise(scaled)}
    links: list[Link] = []
    where = "the images"
    for module, same, entered, left in zip(modules, untouched, values[:-1:2], values[1::2], strict=False):
        name = "/".join(module.path)
        before = SAME if same else _told(known, entered, where, name)
        links.append(Link(name, type(module).__name__, before, _fields(module), _own_arrays(module, variables)))
        known, where = {RELU: np.maximum(left, 0)}, name
    return links, SAME if untouched[-1] else _told(known, values[-1], where, "the logits")


def _told(known: Mapping[str, Any], found: np.ndarray, above: str, below: str) -> str:
    """Which of the known arrays was found between two layers."""
    for name, value in known.items():
        if value.shape == found.shape and np.allclose(value, found, rtol=1e-5, atol=1e-5):
            return name
    raise UserError(f"between {above} and {below} the network does something that no layer of its is: it is no chain")


def _fields(module: nn.Module) -> dict[str, Any]:
    return {field.name: getattr(module, field.name) for field in dataclasses.fields(module) if field.init}


def _own_arrays(module: nn.Module, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for tree in variables.values():
        for part in module.path:
            tree = tree.get(part, {})
        found |= {name: np.asarray(leaf) for name, leaf in tree.items()}
    return found
