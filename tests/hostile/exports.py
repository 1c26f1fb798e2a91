"""Readers of exported files."""

import base64
import gzip
import io
import json
import os
import struct
import warnings
import zipfile
from functools import cache
from pathlib import Path

import jax
import numpy as np
from hypothesis import strategies as st

from fer_jax import models
from fer_jax.export import formats, safetensors, stablehlo
from fer_jax.export.content import Content, Loaded
from hostile.damage import NAMES, NUMBERS, WORDS, Draw, damaged, damaged_json, zipped
from hostile.digits import BOMB
from hostile.keras_files import check_variables
from hostile.oracle import Reader

NAME = "mnist_best_1k"


@cache
def _content() -> Content:
    model = models.create(name=NAME)
    images = jax.ShapeDtypeStruct((1, *model.image_shape), np.uint8)
    shapes = dict(jax.eval_shape(model.init, jax.random.key(0), images))
    draw = np.random.RandomState(0)
    variables = jax.tree.map(lambda leaf: draw.rand(*leaf.shape).astype(leaf.dtype), shapes)
    told = {"labels": [str(digit) for digit in range(10)], "config": {"model": {"name": NAME}}}
    return Content(model, variables, {key: json.dumps(value) for key, value in told.items()})


@cache
def _exported(name: str) -> bytes:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"hostile-{os.getpid()}-{name}"
    try:
        {"safetensors": safetensors, "stablehlo": stablehlo}[name].write(path, _content())
        return path.read_bytes()
    finally:
        path.unlink(missing_ok=True)


def _write_safetensors(draw: Draw, folder: Path) -> None:
    whole = _exported("safetensors")
    (length,) = struct.unpack("<Q", whole[:8])
    header, body = whole[8 : 8 + length], whole[8 + length :]
    match draw(st.integers(0, 5)):
        case 0:
            content = damaged(draw, whole)
        case 1:
            content = struct.pack("<Q", draw(st.sampled_from(NUMBERS)) % 2**64) + header + body
        case 2 | 3:
            header = damaged_json(draw, json.loads(header))
            content = struct.pack("<Q", len(header)) + header + body
        case 4:
            told = json.loads(header)
            told["__metadata__"]["config"] = damaged_json(draw, {"model": {"name": NAME, "dropout": 0.1}}).decode(
                "latin1"
            )
            header = json.dumps(told).encode()
            content = struct.pack("<Q", len(header)) + header + body
        case _:
            told = json.loads(header)
            name = draw(st.sampled_from(sorted(told)))
            told[draw(st.sampled_from(("params", "params/x", "x", "", "/", *WORDS[:9])))] = told.pop(name)
            header = json.dumps(told).encode()
            content = struct.pack("<Q", len(header)) + header + body
    (folder / "model.safetensors").write_bytes(content)


def _check_safetensors(found: tuple, known: None) -> None:
    model, variables, metadata = found
    images = jax.ShapeDtypeStruct((1, *model.image_shape), np.uint8)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    check_variables(variables, dict(shapes))
    assert all(isinstance(text, str) for text in metadata.values())


def _write_stablehlo(draw: Draw, folder: Path) -> None:
    whole = _exported("stablehlo")
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    match draw(st.integers(0, 9)):
        case 0 | 1 | 2 | 3:
            content = damaged(draw, whole)
        case 4:
            members[stablehlo.METADATA] = damaged_json(draw, json.loads(members[stablehlo.METADATA]))
            content = zipped(list(members.items()))
        case 5:
            members[draw(st.sampled_from(NAMES))] = b"x"
            content = zipped(list(members.items()))
        case 6:
            members["labels.txt"] = bytes(BOMB // 4)
            content = zipped(list(members.items()))
        case _:
            # Only the head: behind it is a program, and who runs it trusts it.
            program = members[stablehlo.PROGRAM]
            members[stablehlo.PROGRAM] = damaged(draw, program[:200]) + program[200:]
            content = zipped(list(members.items()))
    (folder / "model.stablehlo.zip").write_bytes(content)


@cache
def _onnx() -> bytes:
    import onnxruntime
    from onnx import TensorProto, helper

    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 28, 28, 1])
    probabilities = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 28, 28, 1])
    node = helper.make_node("Cast", ["images"], ["probabilities"], to=TensorProto.FLOAT)
    graph = helper.make_graph([node], "network", [images], [probabilities])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, _content().metadata)
    # The runtime's own start, in which it may write to stderr, is no reader's doing.
    onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return model.SerializeToString()


def _write_onnx(draw: Draw, folder: Path) -> None:
    (folder / "model.onnx").write_bytes(damaged(draw, _onnx()))


def _page(network: bytes, facts: bytes) -> bytes:
    parts = {"network": base64.b64encode(network), "facts": facts}
    inside = b"".join(
        b'<script type="text/plain" id="%s">%s</script>' % (name.encode(), part) for name, part in parts.items()
    )
    return b"<!doctype html>" + inside


def _write_page(draw: Draw, folder: Path) -> None:
    packed, facts = gzip.compress(_onnx(), mtime=0), {"metadata": _content().metadata}
    match draw(st.integers(0, 19)):
        case 0:
            content = _page(gzip.compress(bytes(BOMB), 9, mtime=0), json.dumps(facts).encode())
        case 1 | 2 | 3 | 4:
            content = _page(damaged(draw, packed), json.dumps(facts).encode())
        case 5 | 6 | 7 | 8:
            content = _page(packed, damaged_json(draw, facts))
        case _:
            content = damaged(draw, _page(packed, json.dumps(facts).encode()))
    (folder / "model.html").write_bytes(content)


@cache
def _keras_model() -> bytes:
    import keras_networks

    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"hostile-{os.getpid()}.keras"
    layers = keras_networks.keras.layers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = keras_networks.keras.Sequential(
            [keras_networks.keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3)]
        )
        model.save(path)
        # What it imports, and what that leaves in the folder for temporary files, is no reader's doing.
        keras_networks.keras.saving.load_model(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    path.unlink()
    members["metadata.json"] = json.dumps(json.loads(members["metadata.json"]) | {"fer_jax": {}}).encode()
    return zipped(list(members.items()))


def _write_keras_export(draw: Draw, folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(_keras_model())) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    match draw(st.integers(0, 9)):
        case 0 | 1:
            content = damaged(draw, _keras_model())
        case 2 | 3 | 4:
            members["config.json"] = damaged_json(draw, json.loads(members["config.json"]))
            content = zipped(list(members.items()))
        case 5:
            code = base64.b64encode(b"\x80\x04\x95").decode()
            layer = {
                "class_name": "Lambda",
                "module": "keras.layers",
                "config": {"name": "l", "function": [code, None, None]},
            }
            told = json.loads(members["config.json"])
            told["config"]["layers"].append(layer)
            members["config.json"] = json.dumps(told).encode()
            content = zipped(list(members.items()))
        case 6:
            members[draw(st.sampled_from((*NAMES, "config.pkl")))] = bytes(9)
            content = zipped(list(members.items()))
        case 7:
            members["metadata.json"] = damaged_json(draw, json.loads(members["metadata.json"]))
            content = zipped(list(members.items()))
        case _:
            members["model.weights.h5"] = damaged(draw, members["model.weights.h5"])
            content = zipped(list(members.items()))
    (folder / "model.keras").write_bytes(content)


def _opened(name: str, suffix: str):
    return lambda folder: formats.open_file(name, folder / f"model{suffix}")


def _check_loaded(found: Loaded, known: None) -> None:
    assert callable(found.predict) and isinstance(found.metadata, dict)
    assert all(isinstance(key, str) and isinstance(text, str) for key, text in found.metadata.items())


READERS = {
    "safetensors": Reader(
        _write_safetensors, lambda folder: safetensors.load(folder / "model.safetensors"), _check_safetensors, 15
    ),
    "stablehlo": Reader(_write_stablehlo, _opened("stablehlo", ".stablehlo.zip"), _check_loaded, 8),
    "onnx": Reader(_write_onnx, _opened("onnx", ".onnx"), _check_loaded, 8),
    "page": Reader(_write_page, _opened("web", ".html"), _check_loaded, 5),
    "keras_export": Reader(_write_keras_export, _opened("keras", ".keras"), _check_loaded, 3, memory=256),
}
