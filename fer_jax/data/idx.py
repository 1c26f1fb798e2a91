"""A strict reader for IDX, the format of MNIST's files: a big-endian header, then raw bytes."""

import math
import struct
from pathlib import Path

import numpy as np

from fer_jax.data.packed import open_packed
from fer_jax.errors import DataError

_UNSIGNED_BYTE = 0x08


def read_images(path: Path) -> np.ndarray:
    """Reads a file of gray images.

    Args:
      path: an IDX file of unsigned bytes with three dimensions; gzipped if its name ends in '.gz'.

    Returns:
      uint8 [N, H, W, 1].

    Raises:
      DataError: naming the file, if it is damaged, empty or something else.
    """
    return _read(path, 3, "images")[..., None]


def read_labels(path: Path, num_classes: int) -> np.ndarray:
    """Reads a file of labels.

    Args:
      path: an IDX file of unsigned bytes with one dimension; gzipped if its name ends in '.gz'.
      num_classes: labels are below this.

    Returns:
      int32 [N].

    Raises:
      DataError: naming the file, if it is damaged, empty or something else.
    """
    labels = _read(path, 1, "labels")
    if labels.max() >= num_classes:
        row = int(np.argmax(labels >= num_classes))
        raise DataError(f"{path}: label {labels[row]} of example {row} is above {num_classes - 1}; get the file again")
    return labels.astype(np.int32)


def _read(path: Path, dimensions: int, what: str) -> np.ndarray:
    content = _content(path)
    if not content:
        raise DataError(f"{path} is empty; get the file again")
    header = 4 + 4 * dimensions
    magic = bytes((0, 0, _UNSIGNED_BYTE, dimensions))
    if not magic.startswith(content[:4]):
        raise DataError(
            f"{path}: an IDX file of {what} begins with 0x{magic.hex()}, this one with 0x{content[:4].hex()}; "
            "get the file again"
        )
    if len(content) < header:
        raise DataError(f"{path} ends inside its header of {header} bytes; get the file again")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    size = math.prod(shape)
    if size == 0:
        raise DataError(f"{path}: its header promises nothing to read, shape {shape}; get the file again")
    if len(content) - header != size:
        problem = "is truncated" if len(content) - header < size else "goes on after its end"
        raise DataError(
            f"{path} {problem}: {size} bytes promised for shape {shape}, {len(content) - header} found; "
            "get the file again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file, open_packed(file, path) as stream:
            return stream.read()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
