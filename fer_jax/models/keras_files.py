"""The weights in the files that Keras 3 and Keras 2 write, read without Keras.

In each layer they stand in Keras's own order: kernel, bias (convolution, dense) or gamma, beta, moving mean, moving
variance (batch normalisation).
"""

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fer_jax.errors import CheckpointError, UserError
from fer_jax.files import check_zip, most_unpacked

NAMES = {
    "conv": ("kernel", "bias"),
    "norm": ("gamma", "beta", "moving_mean", "moving_variance"),
    "dense": ("kernel", "bias"),
}
"""What Keras calls the weights of each kind of layer, in its order."""

_KERAS_3_NAMES = {"conv2d": "conv", "batch_normalization": "norm", "dense": "dense"}
_KERAS_3_CLASSES = {"Conv2D": "conv2d", "BatchNormalization": "batch_normalization", "Dense": "dense"}


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
                return _read_keras_3(_Arrays(path, len(weights)), file, order)
        arrays = _Arrays(path, Path(path).stat().st_size)
        with h5py.File(path, "r") as file:
            root = arrays.child(file, "model_weights") if "model_weights" in file else file
            if "layer_names" in root.attrs or "layer_names0" in root.attrs:
                return _read_keras_2(arrays, root)
            return _read_keras_3(arrays, file, None)
    except CheckpointError:
        raise
    except UserError as error:
        raise CheckpointError(f"'{path}': {error}") from error
    except Exception as error:  # The libraries raise a dozen kinds on damaged bytes, depending on where the damage is.
        raise CheckpointError(f"'{path}' is damaged, or is no Keras weights file: {error}") from error


class _Arrays:
    """The values of one file.

    Args:
      path: of the file, for errors.
      size: in bytes; what is promised beyond its worth is not read, as a small file may promise anything.
    """

    def __init__(self, path: str | Path, size: int):
        self.path = path
        self._left = most_unpacked(size)

    def child(self, group, name: str):
        """`group[name]`, a path of hard links: a soft or external link could lead to another file."""
        import h5py

        for part in name.split("/"):
            if not isinstance(group.get(part, getlink=True), h5py.HardLink):
                raise CheckpointError(f"'{self.path}': '{name}' is missing, or is a link, which is not followed")
            group = group[part]
        return group

    def read(self, group, name: str) -> np.ndarray:
        """The floats under a name."""
        dataset = self.child(group, name)
        if getattr(dataset, "external", None) or getattr(dataset, "is_virtual", False):
            raise CheckpointError(f"'{self.path}': '{name}' has its values in another file, which is not followed")
        if dataset.dtype.kind == "f":
            self._left -= dataset.nbytes
        if dataset.dtype.kind != "f" or self._left < 0:
            raise CheckpointError(
                f"'{self.path}': '{name}' is no array of floats that fits a network ({dataset.dtype})"
            )
        values = np.asarray(dataset)
        if not np.isfinite(values).all():
            raise CheckpointError(f"'{self.path}': '{name}' holds values that are not finite")
        return values


def _read_archive(path: str | Path) -> tuple[bytes, list[str] | None]:
    """The bytes of `model.weights.h5`, and the names under which it has the layers in the network's order, if known."""
    with zipfile.ZipFile(path) as archive:
        check_zip(archive, Path(path).stat().st_size)
        names = archive.namelist()
        if "model.weights.h5" not in names:
            raise CheckpointError(f"'{path}' is an archive without model.weights.h5, so it is no Keras model")
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


def _read_keras_3(arrays: _Arrays, file, order: list[str] | None) -> KerasFile:
    """layers/<class>_<count>/vars/<i>, where HDF5 lists the names by alphabet (conv2d_10 before conv2d_2)."""
    path = arrays.path
    if "layers" not in file:
        raise CheckpointError(f"'{path}' has neither the layout of a Keras 3 nor of a Keras 2 weights file")
    found = {}
    group = arrays.child(file, "layers")
    for name in group:
        layer = arrays.child(group, name)
        inner = set(layer) - {"vars", "seed_generator"}
        values = arrays.child(layer, "vars") if "vars" in layer else {}
        match = re.fullmatch(r"(.+?)(?:_(\d+))?", name)
        kind = _KERAS_3_NAMES.get(match[1]) if match else None
        if not match or inner or (len(values) and kind is None):
            raise CheckpointError(f"'{path}': layer '{name}' is of a kind that our networks do not have")
        if kind:
            weights = [arrays.read(values, str(i)) for i in range(len(values))]
            found[name] = int(match[2] or 0), StoredLayer(name, kind, weights)
    if order is not None and set(order) == set(found):
        return KerasFile([found[name][1] for name in order], in_order=True)
    return KerasFile([layer for _, layer in sorted(found.values(), key=lambda pair: pair[0])], in_order=False)


def _read_keras_2(arrays: _Arrays, root) -> KerasFile:
    """<layer>/<weight name>, with the names and their order in the attributes layer_names and weight_names."""
    path, layers = arrays.path, []
    for name in _names(root, "layer_names"):
        group = arrays.child(root, name)
        values = {}
        for weight in _names(group, "weight_names"):
            values[weight.rsplit("/", 1)[-1].split(":")[0]] = arrays.read(group, weight)
        if len(values) != len(list(_names(group, "weight_names"))):
            raise CheckpointError(f"'{path}': layer '{name}' is a model of its own, which our networks do not have")
        if not values:
            continue
        kind = "norm" if "kernel" not in values else "dense" if values["kernel"].ndim == 2 else "conv"
        known = NAMES[kind]
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
