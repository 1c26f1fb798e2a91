"""Weights between our networks and Keras, both ways.

The order of a list of weights is that of Keras's `model.get_weights()`: layer by layer as the network calls them, and
in each layer kernel, bias (convolution, dense) or gamma, beta, moving mean, moving variance (batch normalisation).
Both sides keep images as [B, H, W, C] and kernels as [k, k, in, out], so nothing is transposed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from fer_jax.errors import CheckpointError, UserError
from fer_jax.models.keras_files import KerasFile, StoredLayer, read
from fer_jax.models.network import Network
from fer_jax.models.trace import LayerCall, trace

__all__ = ["KerasFile", "StoredLayer", "from_keras", "load", "read", "to_keras"]

Variables = Mapping[str, Any]
Leaf = tuple[str, ...]

# Our collection and leaf, and Keras's name, of each weight in Keras's order.
_WEIGHTS = {
    "conv": (("params", "kernel", "kernel"), ("params", "bias", "bias")),
    "norm": (
        ("params", "scale", "gamma"),
        ("params", "bias", "beta"),
        ("batch_stats", "mean", "moving_mean"),
        ("batch_stats", "var", "moving_variance"),
    ),
}
_WEIGHTS["dense"] = _WEIGHTS["conv"]
_NOUNS = {"conv": "convolution", "norm": "batch normalisation", "dense": "dense"}


class Layer(NamedTuple):
    """A layer of ours that has weights: its name, kind ('conv', 'norm', 'dense') and leaves in Keras's order."""

    name: str
    kind: str
    leaves: list[Leaf]


def to_keras(model: Network, variables: Variables) -> list[np.ndarray]:
    """The weights as Keras's `model.set_weights()` takes them.

    Args:
      model: the network, which is run on shapes alone to see the order of its layers.
      variables: {'params': ..., 'batch_stats': ...}, the second only where there is BatchNorm. Where they are only a
        pattern (`from_keras`, `load`), shapes and dtypes will do, as from `jax.eval_shape`.

    Raises:
      UserError: a layer has weights that Keras's convolution, batch normalisation and dense layers do not have.
    """
    flat = flatten_dict(dict(variables))
    return [np.asarray(flat[leaf]) for layer in _network_layers(model, variables) for leaf in layer.leaves]


def from_keras(model: Network, variables: Variables, weights: Sequence[np.ndarray]) -> dict[str, Any]:
    """`variables` with the values of Keras's `model.get_weights()`; shapes, structure and dtypes stay.

    Args: `weights` is the list; the others are those of `to_keras`.

    Raises:
      CheckpointError: the count or a shape differs from the network's.
      UserError: as `to_keras`.
    """
    layers = _network_layers(model, variables)
    leaves = [leaf for layer in layers for leaf in layer.leaves]
    if len(weights) != len(leaves):
        raise CheckpointError(f"the Keras model has {len(weights)} weights, but this network has {len(leaves)}")
    names = [f"layer {layer.name}" for layer in layers for _ in layer.leaves]
    return _filled(variables, zip(leaves, names, weights, strict=True))


def load(path: str | Path, model: Network, variables: Variables) -> dict[str, Any]:
    """`variables` with the values in a file that Keras wrote (the kinds of file are those of `read`).

    A `.weights.h5` file does not say how layers of different kinds follow each other, so the k-th convolution, batch
    normalisation and dense layer of the file become those of the network. Arguments are those of `to_keras`.

    Raises:
      CheckpointError: the file cannot be read (see `read`), or its layers or shapes are not the network's.
      UserError: as `to_keras` and `read`.
    """
    stored = read(path)
    layers = _network_layers(model, variables)
    ours, theirs = [layer.kind for layer in layers], [layer.kind for layer in stored.layers]
    if Counter(ours) != Counter(theirs):
        raise CheckpointError(f"'{path}' has {_census(theirs)} layers, but this network has {_census(ours)}")
    if stored.in_order and ours != theirs:
        at = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
        raise CheckpointError(
            f"'{path}' has its layers in another order than this network: '{stored.layers[at].name}' stands where the "
            f"network has {layers[at].name}"
        )
    queues = {kind: iter([layer for layer in stored.layers if layer.kind == kind]) for kind in _WEIGHTS}
    triples = []
    for layer in layers:
        found = next(queues[layer.kind])
        if len(found.weights) != len(layer.leaves):
            expected = ", ".join(_keras_name(layer.kind, leaf) for leaf in layer.leaves)
            raise CheckpointError(
                f"'{path}', layer '{found.name}': holds {len(found.weights)} weights, "
                f"but {layer.name} has {len(layer.leaves)} ({expected})"
            )
        name = f"'{path}', layer '{found.name}', for {layer.name}"
        triples += [(leaf, name, weight) for leaf, weight in zip(layer.leaves, found.weights, strict=True)]
    return _filled(variables, triples)


def _network_layers(model: Network, variables: Variables) -> list[Layer]:
    """The layers that have weights, in the order in which the network first calls them.

    The tree cannot tell: Flax counts its names per kind (Conv_0, BatchNorm_0, Conv_1), and jax sorts them.
    """
    layers = {}
    for call in trace(model, model.image_shape):
        if (call.params or call.stats) and call.name not in layers:
            layers[call.name] = _layer(call)
    leaves = {leaf for layer in layers.values() for leaf in layer.leaves}
    if strange := leaves ^ set(flatten_dict(dict(variables))):
        words = ", ".join(sorted("/".join(leaf) for leaf in strange))
        raise UserError(f"the variables are not those of this network; they differ in {words}")
    return list(layers.values())


def _layer(call: LayerCall) -> Layer:
    """The layer's kind, told by the names of its arrays, and its leaves."""
    kind = "norm" if "kernel" not in call.params else "dense" if len(call.params["kernel"]) == 2 else "conv"
    own = {"params": call.params, "batch_stats": call.stats}
    leaves = [(collection, name) for collection, name, _ in _WEIGHTS[kind] if name in own[collection]]
    if len(leaves) != len(call.params) + len(call.stats):
        words = ", ".join((*call.params, *call.stats))
        raise UserError(f"layer {call.name} is of a kind that has no place among Keras's weights ({words})")
    return Layer(call.name, kind, [(collection, *call.name.split("/"), name) for collection, name in leaves])


def _filled(variables: Variables, triples) -> dict[str, Any]:
    """`variables` with each (leaf, words for an error, array) put in."""
    flat = flatten_dict(dict(variables), keep_empty_nodes=True)
    for leaf, name, weight in triples:
        expected, found = tuple(flat[leaf].shape), tuple(np.shape(weight))
        if expected != found:
            raise CheckpointError(f"{name}: {leaf[-1]} has shape {found}, but the network's has shape {expected}")
        flat[leaf] = jnp.asarray(weight, flat[leaf].dtype)
    return unflatten_dict(flat)


def _keras_name(kind: str, leaf: Leaf) -> str:
    return next(keras for _, ours, keras in _WEIGHTS[kind] if ours == leaf[-1])


def _census(kinds: Sequence[str]) -> str:
    return ", ".join(f"{kinds.count(kind)} {noun}" for kind, noun in _NOUNS.items())
