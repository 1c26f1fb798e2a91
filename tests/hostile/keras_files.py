"""The reader of Keras's files of weights."""

import contextlib
import io
import json
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import flax.linen as nn
import h5py
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from hypothesis import strategies as st

from fer_jax.models import keras_weights
from fer_jax.models.layers import BatchNorm, Conv, Dense, Flatten
from fer_jax.models.network import Network
from hostile.damage import NAMES, WORDS, Draw, damaged, damaged_json, zipped
from hostile.digits import BOMB
from hostile.oracle import Reader


class Little(Network):
    """One layer of each kind that Keras's files have."""

    image_shape = (4, 4, 1)
    num_classes = 3

    @nn.compact
    def __call__(self, images, *, train=False, mask=None):
        x = Conv(2, 3)(images / 255)
        x = BatchNorm()(x, jnp.ones(len(x), bool), train)
        return Dense(3)(Flatten()(x))


@cache
def _variables() -> dict[str, Any]:
    shapes = jax.eval_shape(Little().init, jax.random.key(0), jax.ShapeDtypeStruct((1, 4, 4, 1), np.uint8))
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), dict(shapes))


@cache
def _arrays() -> dict[str, dict[str, np.ndarray]]:
    """By Keras's layer and name; every value is another."""
    flat = {"/".join(path): leaf for path, leaf in flatten_dict(_variables()).items()}
    places = {
        "conv2d": {"kernel": "params/Conv_0/kernel", "bias": "params/Conv_0/bias"},
        "batch_normalization": {
            **{"gamma": "params/BatchNorm_0/scale", "beta": "params/BatchNorm_0/bias"},
            **{"moving_mean": "batch_stats/BatchNorm_0/mean", "moving_variance": "batch_stats/BatchNorm_0/var"},
        },
        "dense": {"kernel": "params/Dense_0/kernel", "bias": "params/Dense_0/bias"},
    }
    draw = np.random.RandomState(0)
    return {
        layer: {
            name: draw.rand(*flat[place].shape).astype(np.float32) for name, place in names.items() if place in flat
        }
        for layer, names in places.items()
    }


@cache
def _keras_2() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in _arrays()]
        for layer, arrays in _arrays().items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}/{name}:0".encode() for name in arrays]
            for name, values in arrays.items():
                group[f"{layer}/{name}:0"] = values
    return buffer.getvalue()


@cache
def _keras_3() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for layer, arrays in _arrays().items():
            for place, values in enumerate(arrays.values()):
                file[f"layers/{layer}/vars/{place}"] = values
    return buffer.getvalue()


_CONFIG = {"config": {"layers": [{"class_name": name} for name in ("Conv2D", "BatchNormalization", "Dense")]}}


def _archive(weights: bytes, config: bytes = json.dumps(_CONFIG).encode()) -> bytes:
    return zipped([("model.weights.h5", weights), ("config.json", config), ("metadata.json", b"{}")])


def _values(draw: Draw, shape: tuple[int, ...]) -> tuple[np.ndarray | None, dict[str, Any]]:
    """What stands in place of an array: the value, and how it is stored."""
    kinds = ("f2", "f8", ">f4", "i4", "u1", "S5", "?", "c8", "V3", "f4,i4")
    match draw(st.integers(0, 6)):
        case 0:
            return np.zeros(shape, draw(st.sampled_from(kinds))), {}
        case 1:
            return np.zeros(draw(st.lists(st.integers(0, 5), max_size=5)), np.float32), {}
        case 2:
            return np.full(shape, draw(st.sampled_from((np.nan, np.inf, -np.inf, 3e38))), np.float32), {}
        case 3:
            # Promised, and never written.
            size = draw(st.sampled_from((2**24, 2**28, 2**33, 2**40)))
            return None, {"shape": (size,), "dtype": "f4", "chunks": (2**20,)}
        case 4:
            return np.array(["text"] * max(1, shape[0]), object), {"dtype": h5py.string_dtype()}
        case 5:
            return None, {"shape": shape, "dtype": "f4", "external": [("outside", 0, 10**6)]}
        case _:
            return np.zeros(shape, np.float32), {"compression": "gzip", "chunks": shape}


@cache
def _h5_bomb() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        values = np.zeros(BOMB // 4, np.float32)
        file.create_dataset("layers/dense/vars/0", data=values, compression="gzip", chunks=(1 << 22,))
    return buffer.getvalue()


def _strange_h5(draw: Draw) -> bytes:
    """A file whose structure is not that of Keras."""
    if draw(st.integers(0, 29)) == 0:
        return _h5_bomb()
    buffer = io.BytesIO(draw(st.sampled_from((_keras_2, _keras_3)))())
    with h5py.File(buffer, "r+") as file:
        found: list[str] = []
        file.visit(found.append)
        for _ in range(draw(st.integers(1, 3))):
            name, other = draw(st.sampled_from(found)), draw(st.sampled_from(found))
            change = draw(
                st.sampled_from((_removed, _stored_otherwise, _linked, _aliased, _renamed, _told_otherwise, _added))
            )
            # What was changed before may have taken away what this one changes, or made a circle of it.
            with contextlib.suppress(KeyError, ValueError, RuntimeError, OSError, TypeError):
                change(draw, file, name, other)
    return buffer.getvalue()


def _removed(draw: Draw, file: h5py.File, name: str, other: str) -> None:
    del file[name]


def _stored_otherwise(draw: Draw, file: h5py.File, name: str, other: str) -> None:
    values, options = _values(draw, file[name].shape if isinstance(file[name], h5py.Dataset) else (2,))
    del file[name]
    file.create_dataset(name, data=values, **options)


def _linked(draw: Draw, file: h5py.File, name: str, other: str) -> None:
    links = (h5py.SoftLink("/"), h5py.SoftLink(name), h5py.SoftLink(other), h5py.ExternalLink("outside", "x"))
    link = draw(st.sampled_from(range(len(links))))
    del file[name]
    file[name] = links[link]


def _aliased(draw: Draw, file: h5py.File, name: str, other: str) -> None:
    thing = file[other]
    del file[name]
    file[name] = thing


def _renamed(draw: Draw, file: h5py.File, name: str, other: str) -> None:
    file.move(name, f"{name.rpartition('/')[0]}/{draw(st.sampled_from(WORDS)).replace('/', '_')}")


_ATTRIBUTES = (1, 2.5, "x", ["a"], [1, 2], [b"../x"], [[1.0]], [b"conv2d"] * 3, b"\xff", ["conv2d/kernel:0"] * 2)


def _told_otherwise(draw: Draw, file: h5py.File, name: str, other: str) -> None:
    attribute = draw(st.sampled_from(("weight_names", "layer_names", "weight_names0", "layer_names0")))
    file[draw(st.sampled_from((name, "/")))].attrs[attribute] = draw(st.sampled_from(_ATTRIBUTES))


def _added(draw: Draw, file: h5py.File, name: str, other: str) -> None:
    word = draw(st.sampled_from(("x", "dense_1", "conv2d_1", "9", "vars", "dense_99999999999999999999")))
    file.create_group(f"{name}/{word}")


def _write_keras(draw: Draw, folder: Path) -> None:
    with h5py.File(folder / "outside", "w") as file:
        file["x"] = np.zeros(3)
    number = draw(st.integers(0, 19))
    if number < 8:
        suffix, content = ".weights.h5", _strange_h5(draw)
    elif number < 14:
        suffix = ".h5"
        content = damaged(draw, draw(st.sampled_from((_keras_2(), _keras_3()))))
    elif number < 16:
        suffix, content = ".keras", _archive(_strange_h5(draw))
    elif number < 18:
        suffix, content = ".keras", _archive(_keras_3(), damaged_json(draw, _CONFIG))
    elif number == 18:
        suffix = ".keras"
        members = draw(st.lists(st.sampled_from((*NAMES, "config.json", "model.weights.h5")), max_size=4))
        kind = draw(st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))
        bombs = draw(st.booleans())
        content = zipped(
            [(name, bytes(BOMB // 8) if bombs and name == "config.json" else _keras_3()) for name in members], kind
        )
    else:
        suffix, content = ".keras", damaged(draw, _archive(_keras_3()))
    (folder / f"model{suffix}").write_bytes(content)


def _read_keras(folder: Path) -> dict[str, Any]:
    (path,) = (path for path in folder.iterdir() if path.name != "outside")
    return keras_weights.load(path, Little(), _variables())


def check_variables(found: dict[str, Any], expected: dict[str, Any]) -> None:
    found, expected = flatten_dict(found), flatten_dict(expected)
    assert found.keys() == expected.keys()
    for path, leaf in expected.items():
        assert found[path].shape == leaf.shape and found[path].dtype == leaf.dtype
        assert np.isfinite(found[path]).all()


READERS = {
    "keras": Reader(_write_keras, _read_keras, lambda found, known: check_variables(found, _variables()), 30),
}
