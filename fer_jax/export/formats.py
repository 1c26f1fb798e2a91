"""The formats by name: the room, the end of the file's name and the packages of each."""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from fer_jax.errors import UserError, reason
from fer_jax.export.content import Loaded


class Format(NamedTuple):
    """A format.

    Attributes:
      room: the module that writes and opens it.
      suffix: how its files' names end.
      packages: what must be installed besides fer_jax, as it is imported.
    """

    room: str
    suffix: str
    packages: tuple[str, ...] = ()


INT8 = "onnx int8"
APART = ("web", INT8)
"""Those that 'all' does not mean: one needs files from npm, the other is less accurate."""

FORMATS = {
    "stablehlo": Format("stablehlo", ".stablehlo.zip", ("flatbuffers",)),
    "onnx": Format("onnx", ".onnx", ("onnx", "onnxruntime", "jax2onnx")),
    "safetensors": Format("safetensors", ".safetensors", ("safetensors",)),
    "keras": Format("keras", ".keras", ("keras", "h5py")),
    "web": Format("web", ".html", ("onnx", "onnxruntime", "jax2onnx")),
    INT8: Format("onnx", ".int8.onnx", ("onnx", "onnxruntime", "jax2onnx")),
}


def room(name: str) -> ModuleType:
    """The module of a format, with `write(path, content)` and `open_file(path)`; its libraries are not imported yet."""
    return importlib.import_module(f"fer_jax.export.{FORMATS[name].room}")


def open_file(name: str, path: Path) -> Loaded:
    """An exported file in its own runtime.

    Raises:
      UserError: it is damaged, or of another format.
    """
    try:
        found = room(name).open_file(path)
    except (UserError, OSError):
        raise
    except Exception as error:  # Each runtime has its own.
        raise UserError(f"{path} is no whole export to {name} ({reason(error)[:200]}): export the run again") from error
    if not isinstance(found.metadata, dict) or not all(isinstance(text, str) for text in found.metadata.values()):
        raise UserError(f"{path} is no export of a run: its metadata are no text by key")
    return found


def check_installed(names: list[str]) -> None:
    """Raises UserError unless all that the formats need is installed."""
    for name in names:
        missing = [package for package in FORMATS[name].packages if not importlib.util.find_spec(package)]
        if missing:
            raise UserError(
                f"an export to {name} needs {' and '.join(missing)}, which is not installed: "
                "pip install 'fer_jax[export]'"
            )
