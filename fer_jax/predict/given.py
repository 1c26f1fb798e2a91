"""What a caller gives as pictures: one or several, in any form that holds one."""

import numbers
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fer_jax.data.fit_image import Source
from fer_jax.errors import DataError, reason

_TAKEN = (
    "a picture is the path of its file, the bytes of one, a file opened in binary, a picture of Pillow's, or pixels "
    "(uint8 [height, width] or [height, width, 1 or 3])"
)

Given = Any
"""A `Source`, or what NumPy makes pixels of, other bytes, or a file that is open."""


def named(images: Given | Iterable[Given]) -> Iterator[tuple[str, Source]]:
    """Pictures with what errors call them.

    Args:
      images: one or several; an array with one axis more than a picture has is several, and so is a list, unless it is
        the rows of one.

    Raises:
      DataError: naming the first that is none; what a file holds is not looked at.
    """
    for place, given in enumerate(_several(images)):
        name = "" if isinstance(given, str | Path) else f"picture {place}"
        yield name, _source(given, name)


def _several(images: Given | Iterable[Given]) -> Iterable[Given]:
    if _is_array(images):
        pixels = np.asarray(images)
        return [pixels] if pixels.ndim < 4 else list(pixels)
    if isinstance(images, list | tuple) and images and isinstance(images[0], list | tuple):
        rows = _of_numbers(images)
        return [images] if rows is not None and _is_picture(rows) else images
    if _is_one(images) or not isinstance(images, Iterable):
        return [images]
    return images


def _is_array(given: Given) -> bool:
    """Whether NumPy, JAX or the like made it; Pillow's pictures can be taken for arrays too."""
    return hasattr(given, "__array__") and not hasattr(given, "getexif")


def _is_one(given: Given) -> bool:
    return isinstance(given, str | Path | bytes | bytearray | memoryview) or any(
        hasattr(given, name) for name in ("getexif", "read")
    )


def _is_picture(pixels: np.ndarray) -> bool:
    return pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[-1] in (1, 3))


def _of_numbers(rows: list[Any] | tuple[Any, ...]) -> np.ndarray | None:
    """Lists of whole numbers from 0 to 255 as uint8; others as NumPy has them; None of what is no block of numbers."""
    try:
        pixels = np.asarray(rows)
    except ValueError:
        return None
    if not np.issubdtype(pixels.dtype, np.number):
        return None
    is_bytes = np.issubdtype(pixels.dtype, np.integer) and pixels.size and 0 <= pixels.min() and pixels.max() <= 255
    return pixels.astype(np.uint8) if is_bytes else pixels


def _source(given: Given, name: str) -> Source:
    if isinstance(given, str | Path | bytes) or hasattr(given, "getexif"):
        return given
    if isinstance(given, bytearray | memoryview):
        return bytes(given)
    if hasattr(given, "read"):
        return _content(given, name)
    pixels = np.asarray(given) if _is_array(given) else _of_numbers(given) if isinstance(given, list | tuple) else None
    if pixels is None or isinstance(given, numbers.Number):
        raise DataError(f"{name} is of type {type(given).__name__}: {_TAKEN}")
    if pixels.dtype != np.uint8 or not _is_picture(pixels) or not pixels.size:
        raise DataError(
            f"{name} is {pixels.dtype} {list(pixels.shape)}: pixels must be uint8, 0 to 255, [height, width] or "
            "[height, width, 1 or 3]"
        )
    return pixels


def _content(file: Any, name: str) -> bytes:
    try:
        content = file.read()
    except (OSError, ValueError) as error:
        raise DataError(f"{name} cannot be read: {reason(error)}") from error
    if not isinstance(content, bytes):
        raise DataError(f"{name} is a file opened as text: open it in binary, with open(path, 'rb')")
    return content
