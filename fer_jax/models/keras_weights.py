"""Weights between our networks and Keras, both ways, and out of the files that Keras writes.

The order of a list of weights is that of Keras's `model.get_weights()`: layer by layer as the network calls them, and
in each layer kernel, bias (convolution, dense) or gamma, beta, moving mean, moving variance (batch normalisation).
Both sides keep images as [B, H, W, C] and kernels as [k, k, in, out], so nothing is transposed.
"""

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from fer_jax.errors import CheckpointError, UserError
from fer_jax.models.network import Network
from fer_jax.models.trace import LayerCall, trace

Variables = Mapping[str, Any]
Leaf = tuple[str, ...]

MAX_BYTES = 2**31
"""The largest array or archive member that is read: a small damaged file may claim to hold any size."""

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
_KERAS_3_NAMES = {"conv2d": "conv", "batch_normalization": "norm", "dense": "dense"}
_KERAS_3_CLASSES = {"Conv2D": "conv2d", "BatchNormalization": "batch_normalization", "Dense": "dense"}


class Layer(NamedTuple):
    """A layer of ours that has weights: its name, kind ('conv', 'norm', 'dense') and leaves in Keras's order."""

    name: str
    kind: str
    leaves: list[Leaf]


class StoredLayer(NamedTuple):
    """A layer out of a Keras file: its name there, kind ('conv', 'norm', 'dense') and weights in Keras's order."""

    name: str
    kind: str
    weights: list[np.ndarray]


class KerasFile(NamedTuple):
    """The layers of a Keras file that have weights.

    Attributes:
      layers: in the order in which the network calls them if `in_order`, else only those of one kind are.
      in_order: whether the file tells the order across kinds.
    """

    layers: list[StoredLayer]
    in_order: bool


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


def read(path: str | Path) -> KerasFile:
    """The layers of a Keras 3 `.weights.h5` or `.keras` file, or of a Keras 2 HDF5 (`save`, `save_weights`).

    Only arrays and names are read, in memory: no code, no pickle, nothing is unpacked to disk, and no link out of the
    file is followed.

    Raises:
      CheckpointError: the file is missing, damaged, or not one of these, or has layers of another kind.
      UserError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise UserError("reading a Keras file needs h5py, which is not installed: pip install h5py") from None
    if not Path(path).is_file():
        raise CheckpointError(f"'{path}': no such file")
    try:
        if zipfile.is_zipfile(path):
            weights, order = _read_archive(path)
            with h5py.File(io.BytesIO(weights), "r") as file:
                return _read_keras_3(path, file, order)
        with h5py.File(path, "r") as file:
            root = _child(file, "model_weights", path) if "model_weights" in file else file
            if "layer_names" in root.attrs or "layer_names0" in root.attrs:
                return _read_keras_2(path, root)
            return _read_keras_3(path, file, None)
    # What the two libraries raise on damaged bytes, depending on where the damage is.
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"'{path}' is damaged, or is no Keras weights file: {error}") from error


def _read_archive(path: str | Path) -> tuple[bytes, list[str] | None]:
    """The bytes of `model.weights.h5`, and the names under which it has the layers in the network's order, if known."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        for name in names:
            if name.startswith(("/", "\\")) or ":" in name or ".." in PurePosixPath(name.replace("\\", "/")).parts:
                raise CheckpointError(f"'{path}': the archive's member '{name}' points out of the archive")
        if "model.weights.h5" not in names:
            raise CheckpointError(f"'{path}' is an archive without model.weights.h5, so it is no Keras model")
        for name in ("model.weights.h5", "config.json"):
            if name in names and archive.getinfo(name).file_size > MAX_BYTES:
                raise CheckpointError(f"'{path}': the archive's member '{name}' is larger than {MAX_BYTES} bytes")
        weights = archive.read("model.weights.h5")
        config = json.loads(archive.read("config.json")) if "config.json" in names else {}
    inner = config.get("config") if isinstance(config, dict) else None
    layers = inner.get("layers") if isinstance(inner, dict) else None
    if not isinstance(layers, list):
        return weights, None
    counts: Counter[str] = Counter()
    order = []
    for layer in layers:
        stem = _KERAS_3_CLASSES.get(layer["class_name"])
        if stem:
            order.append(f"{stem}_{counts[stem]}" if counts[stem] else stem)
            counts[stem] += 1
    return weights, order


def _read_keras_3(path: str | Path, file, order: list[str] | None) -> KerasFile:
    """layers/<class>_<count>/vars/<i>, where HDF5 lists the names by alphabet (conv2d_10 before conv2d_2)."""
    if "layers" not in file:
        raise CheckpointError(f"'{path}' has neither the layout of a Keras 3 nor of a Keras 2 weights file")
    found = {}
    group = _child(file, "layers", path)
    for name in group:
        layer = _child(group, name, path)
        inner = set(layer) - {"vars", "seed_generator"}
        values = _child(layer, "vars", path) if "vars" in layer else {}
        match = re.fullmatch(r"(.+?)(?:_(\d+))?", name)
        kind = _KERAS_3_NAMES.get(match[1]) if match else None
        if not match or inner or (len(values) and kind is None):
            raise CheckpointError(f"'{path}': layer '{name}' is of a kind that our networks do not have")
        if kind:
            weights = [_array(values, str(i), path) for i in range(len(values))]
            found[name] = int(match[2] or 0), StoredLayer(name, kind, weights)
    if order is not None and set(order) == set(found):
        return KerasFile([found[name][1] for name in order], in_order=True)
    return KerasFile([layer for _, layer in sorted(found.values(), key=lambda pair: pair[0])], in_order=False)


def _read_keras_2(path: str | Path, root) -> KerasFile:
    """<layer>/<weight name>, with the names and their order in the attributes layer_names and weight_names."""
    layers = []
    for name in _names(root, "layer_names"):
        group = _child(root, name, path)
        values = {}
        for weight in _names(group, "weight_names"):
            values[weight.rsplit("/", 1)[-1].split(":")[0]] = _array(group, weight, path)
        if len(values) != len(list(_names(group, "weight_names"))):
            raise CheckpointError(f"'{path}': layer '{name}' is a model of its own, which our networks do not have")
        if not values:
            continue
        kind = "norm" if "kernel" not in values else "dense" if values["kernel"].ndim == 2 else "conv"
        known = [keras for _, _, keras in _WEIGHTS[kind]]
        if set(values) - set(known):
            raise CheckpointError(f"'{path}': layer '{name}' is of a kind that our networks do not have")
        layers.append(StoredLayer(name, kind, [values[weight] for weight in known if weight in values]))
    return KerasFile(layers, in_order=True)


def _names(group, attribute: str) -> Iterator[str]:
    """The names in an attribute, which Keras cuts into attribute0, attribute1, ... where it is long."""
    parts = [attribute] if attribute in group.attrs else []
    while not parts[:1] == [attribute] and f"{attribute}{len(parts)}" in group.attrs:
        parts.append(f"{attribute}{len(parts)}")
    for part in parts:
        for name in group.attrs[part]:
            yield name.decode() if isinstance(name, bytes) else str(name)


def _child(group, name: str, path: str | Path):
    """`group[name]`, a path of hard links: a soft or external link could lead to another file."""
    import h5py

    for part in name.split("/"):
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise CheckpointError(f"'{path}': '{name}' is missing, or is a link, which is not followed")
        group = group[part]
    return group


def _array(group, name: str, path: str | Path) -> np.ndarray:
    dataset = _child(group, name, path)
    if getattr(dataset, "external", None) or getattr(dataset, "is_virtual", False):
        raise CheckpointError(f"'{path}': '{name}' has its values in another file, which is not followed")
    if dataset.nbytes > MAX_BYTES or dataset.dtype.kind != "f":
        raise CheckpointError(f"'{path}': '{name}' is no array of floats that fits a network ({dataset.dtype})")
    return np.asarray(dataset)
