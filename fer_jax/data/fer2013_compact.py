"""FER2013 as three small `.npz` files: the CSV's data, lossless, in a sixth of its size.

A file holds a split: `residual`, uint8 [n, 48, 48], its distinct images, each pixel as its zigzag-coded difference from
the median predictor of JPEG-LS (Weinberger et al. 2000); `index`, uint16 [rows], the image that each row shows; and
`emotion`, uint8 [rows].
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fer_jax.data.dataset import DataSet, Split
from fer_jax.data.fer2013_facts import CLASS_NAMES, SIDE
from fer_jax.errors import DataError, reason
from fer_jax.files import most_unpacked

FILES = {
    "train": "fer2013_train.npz",
    "validation": "fer2013_public_test.npz",
    "test": "fer2013_private_test.npz",
}

# Images that are unpacked at once: few enough for a processor's cache.
_BLOCK = 2048


def read(files: Mapping[str, Path]) -> DataSet:
    """Reads the files.

    Args:
      files: that of each split, in the order of `FILES`. Progress is shown if stderr is a terminal.

    Returns:
      Their splits, with 'row' (from 0, counted through all files) in the extras; `source` is ''.

    Raises:
      DataError: naming the file, if it is damaged or something else.
    """
    splits = {}
    start = 0
    for name, path in files.items():
        residual, index, emotion = _arrays(path)
        rows = np.arange(start, start + len(index), dtype=np.int32)
        images = _unpacked(residual, path.name)[index]
        splits[name] = Split(images[..., None], emotion.astype(np.int32), {"row": rows})
        start += len(index)
    return DataSet("fer2013", splits, CLASS_NAMES, source="")


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            most = most_unpacked(path.stat().st_size)
            if sum(member.file_size for member in arrays.zip.infolist()) > most:
                raise DataError(f"{path} unpacks to more than {most:,} bytes, which is no FER2013: get the file again")
            found = [arrays[name] for name in ("residual", "index", "emotion")]
            # What is no array comes as its bytes.
            residual, index, emotion = (np.asarray(values) for values in found)
    except KeyError as error:
        raise DataError(f"{path}: {error.args[0].rstrip('.')}, so it is no compact FER2013: get it again") from error
    except DataError:
        raise
    except Exception as error:
        # zipfile and numpy raise a dozen kinds; a file that is no archive is taken for a pickle, or a single array.
        raise DataError(f"{path} is no whole .npz file ({reason(error)}): get the file again") from error
    whole = residual.dtype == emotion.dtype == np.uint8 and index.dtype == np.uint16
    if not whole or residual.shape[1:] != (SIDE, SIDE) or index.ndim != 1 or index.shape != emotion.shape:
        raise DataError(
            f"{path}: arrays residual {residual.dtype} {residual.shape}, index {index.dtype} {index.shape} and emotion "
            f"{emotion.dtype} {emotion.shape} are no compact FER2013: get the file again"
        )
    if len(index) * SIDE * SIDE > most:
        raise DataError(
            f"{path} repeats its images up to more than {most:,} bytes, which is no FER2013: get the file again"
        )
    if not len(index):
        raise DataError(f"{path} holds no image: get the file again")
    for values, end, what in ((index, len(residual), "image"), (emotion, len(CLASS_NAMES), "emotion")):
        if values.max() >= end:
            row = int(np.argmax(values >= end))
            raise DataError(f"{path}, row {row} (from 0): its {what} is {values[row]}, and the last is {end - 1}")
    return residual, index, emotion


def _unpacked(residual: np.ndarray, name: str) -> np.ndarray:
    """The images, uint8 [n, 48, 48]."""
    images = np.empty_like(residual)
    with tqdm(total=len(residual), desc=name, unit="images", leave=False, disable=None) as bar:
        for start in range(0, len(residual), _BLOCK):
            block = np.ascontiguousarray(residual[start : start + _BLOCK].transpose(1, 2, 0)).astype(np.int16)
            images[start : start + _BLOCK] = _predicted((block >> 1) ^ -(block & 1)).transpose(2, 0, 1)
            bar.update(block.shape[2])
    return images


def _predicted(difference: np.ndarray) -> np.ndarray:
    """Pixels [48, 48, n] from their differences to what is predicted from the pixels above and to the left."""
    pixels = np.zeros_like(difference)
    for i in range(SIDE):
        for j in range(SIDE):
            if i and j:
                west, north, corner = pixels[i, j - 1], pixels[i - 1, j], pixels[i - 1, j - 1]
                guess = np.clip(west + north - corner, np.minimum(west, north), np.maximum(west, north))
            else:
                guess = pixels[i, j - 1] if j else pixels[i - 1, j] if i else 0
            pixels[i, j] = (guess + difference[i, j]) & 255
    return pixels
