"""safetensors: the weights with their names, and in the header what it takes to make the network of them again.

A tensor is called by its place in the network's variables: 'params/Conv_0/kernel', 'batch_stats/BatchNorm_0/mean'. It
holds no program: `load` makes the network from the config in the header.
"""

import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from fer_jax import models
from fer_jax.errors import CheckpointError
from fer_jax.export.content import Content, Loaded
from fer_jax.export.function import logits_of, probabilities_of

# Imported in the functions, because most runs do without it.

RELEASED = "fer_jax"
"""The one key of the metadata of a network that comes with the package; see `releases`."""


def pack(variables: Mapping[str, Any], metadata: dict[str, str]) -> bytes:
    """The content of a file with these variables, as they are, and this metadata."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(value) for name, value in flatten_dict(dict(variables), sep="/").items()}
    return save(tensors, metadata=metadata)


def unpack(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The variables and the metadata of a file that holds what `pack` gave; see `_read`."""
    tensors, metadata = _read(path)
    return unflatten_dict(tensors, sep="/"), metadata


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors by name and the metadata of a file of safetensors.

    Raises:
      OSError: it cannot be read.
      ValueError: it is no such file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def write(path: Path, content: Content) -> None:
    """Writes the variables, float32 as they were trained, and the metadata."""
    path.write_bytes(pack(content.variables, content.metadata))


def load(path: str | Path) -> tuple[models.Network, dict[str, Any], dict[str, str]]:
    """The network, its variables and the metadata of a file that `write` wrote: `model.apply(variables, images)`.

    Raises:
      CheckpointError: it is missing, or no such file, but for example a network that comes with the package.
      ConfigError: the network that it names is not known here.
    """
    try:
        tensors, metadata = _read(Path(path))
        if "config" not in metadata:
            raise CheckpointError(_told(Path(path), metadata))
        fields = json.loads(metadata["config"])["model"]
        model = models.create(**fields)
    except (OSError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"'{path}' is no export of a run: {error}") from error
    _check(path, model, tensors)
    return model, unflatten_dict(tensors, sep="/"), metadata


def _told(path: Path, metadata: dict[str, str]) -> str:
    """What a file without a config is."""
    if RELEASED not in metadata:
        return f"'{path}' is no export of a run: its header holds no 'config'"
    return (
        f"'{path}' is no export of a run, but a network that comes with fer_jax, which is used by its name: "
        f"python -m fer_jax.predict --model={path.stem}, or python -m fer_jax.export --model={path.stem} "
        "--format=safetensors for a file that opens here"
    )


def _check(path: str | Path, model: models.Network, tensors: dict[str, np.ndarray]) -> None:
    """Checks that the tensors are those of the network, and finite."""
    images = jax.ShapeDtypeStruct((1, *model.image_shape), np.uint8)
    shapes = flatten_dict(dict(jax.eval_shape(model.init, jax.random.key(0), images)), sep="/")
    expected = {name: (leaf.shape, leaf.dtype) for name, leaf in shapes.items()}
    found = {name: (value.shape, value.dtype) for name, value in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise CheckpointError(
                f"'{path}': tensor '{name}' is {_words(found.get(name))}, and the network's "
                f"{_words(expected.get(name))}"
            )
        if not np.isfinite(tensors[name]).all():
            raise CheckpointError(f"'{path}': tensor '{name}' holds values that are not finite")


def _words(kind: tuple[tuple[int, ...], np.dtype] | None) -> str:
    return "missing" if kind is None else f"{kind[1]} {kind[0]}"


def open_file(path: Path) -> Loaded:
    """The file, read back into the network."""
    model, variables, metadata = load(path)
    probabilities, logits = (jax.jit(of(model, variables)) for of in (probabilities_of, logits_of))
    return Loaded(
        lambda images: np.asarray(probabilities(images)),
        metadata,
        f"safetensors {importlib.metadata.version('safetensors')}, jax {jax.__version__}",
        lambda images: np.asarray(logits(images)),
    )
