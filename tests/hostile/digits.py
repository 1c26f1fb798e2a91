"""Readers of IDX files, and of the four that are MNIST."""

import gzip
import struct
from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from fer_jax import data
from fer_jax.data import idx
from fer_jax.data.dataset import DataSet, Split
from hostile.damage import NUMBERS, Draw, bomb_text, damaged
from hostile.oracle import Reader

BOMB = 200 << 20
"""Bytes that a bomb unpacks to."""
STEMS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def check_data(found: DataSet) -> None:
    """What holds of every data set."""
    assert {"train", "test"} <= found.splits.keys()
    for split in found.splits.values():
        assert split.images.dtype == np.uint8 and split.images.ndim == 4 and split.labels.dtype == np.int32
        assert len(split.images) == len(split.labels) > 0
        assert 0 <= split.labels.min() and split.labels.max() < len(found.class_names)
        assert all(len(values) == len(split) for values in split.extras.values())
    assert len({split.images.shape[1:] for split in found.splits.values()}) == 1


def same_splits(found: dict[str, Split], known: dict[str, Split]) -> None:
    """The splits that were put in, to the bit."""
    assert found.keys() == known.keys()
    for name, split in known.items():
        np.testing.assert_array_equal(found[name].images, split.images)
        np.testing.assert_array_equal(found[name].labels, split.labels)


def idx_bytes(values: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes."""
    header = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(np.uint8).tobytes()


@cache
def packed_bomb(dimensions: int, honest: bool) -> bytes:
    """An IDX file of nothing but zeros, whose header tells so or not."""
    shape = (BOMB // 784, 28, 28) if dimensions == 3 else (BOMB,)
    header = bytes((0, 0, 8, dimensions)) + struct.pack(f">{dimensions}I", *(shape if honest else (1,) * dimensions))
    return gzip.compress(bomb_text(header, b"\0" * 784, BOMB), 1, mtime=0)


def _write_idx(draw: Draw, folder: Path) -> bool:
    """Returns whether it is a file of images."""
    is_images = draw(st.booleans())
    shape = draw(st.tuples(*[st.integers(0, 5)] * (3 if is_images else 1)))
    content = idx_bytes(np.resize(np.arange(23) % 10, shape))
    packed = draw(st.booleans())
    match draw(st.integers(0, 19)):
        case 0 if packed:
            content = packed_bomb(3 if is_images else 1, draw(st.booleans()))
        case 1 if packed:
            content = gzip.compress(content, mtime=0) * 2
        case 2:
            lie = st.sampled_from(NUMBERS).map(lambda number: struct.pack(">I", number % 2**32))
            content = content[:4] + b"".join(draw(st.tuples(*[lie] * len(shape)))) + content[4 + 4 * len(shape) :]
            content = gzip.compress(content, mtime=0) if packed else content
        case 3 | 4 | 5 | 6 if packed:
            content = damaged(draw, gzip.compress(content, mtime=0))
        case _:
            content = damaged(draw, content)
            content = gzip.compress(content, mtime=0) if packed else content
    (folder / f"file{'.gz' * packed}").write_bytes(content)
    return is_images


def _read_idx(folder: Path, is_images: bool) -> tuple[np.ndarray, Path]:
    (path,) = folder.iterdir()
    return (idx.read_images(path) if is_images else idx.read_labels(path, 10)), path


def _check_idx(found: tuple[np.ndarray, Path], dimensions: int) -> None:
    values, path = found
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    shape = values.shape[:3]
    assert values.size and content == bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + bytes(
        values.astype(np.uint8).tobytes()
    )
    if len(shape) == 1:
        assert values.dtype == np.int32 and values.max() < 10
    else:
        assert values.dtype == np.uint8 and values.shape[3:] == (1,)


def _read_either(folder: Path) -> tuple[np.ndarray, Path]:
    """As the file's fourth byte says: a file of labels or one of images."""
    (path,) = folder.iterdir()
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            dimensions = file.read(4)[3:]
    except Exception:
        dimensions = b""
    return _read_idx(folder, dimensions != b"\1")


@cache
def _mnist() -> dict[str, np.ndarray]:
    draw = np.random.RandomState(0)
    shapes = {"train": (6, 28, 28), "t10k": (4, 28, 28)}
    images = {f"{name}-images-idx3-ubyte": draw.randint(0, 256, shape) for name, shape in shapes.items()}
    return images | {f"{name}-labels-idx1-ubyte": np.arange(shape[0]) for name, shape in shapes.items()}


def _write_mnist(draw: Draw, folder: Path) -> dict[str, Split] | None:
    (folder / "mnist").mkdir()
    files = {stem: idx_bytes(values) for stem, values in _mnist().items()}
    known = None
    match draw(st.integers(0, 4)):
        case 0:
            stem, other = draw(st.permutations(STEMS))[:2]
            files[stem] = files[other]
        case 1:
            shape = draw(st.tuples(*[st.integers(1, 30)] * 3))
            files[draw(st.sampled_from((STEMS[0], STEMS[2])))] = idx_bytes(np.zeros(shape))
        case 2:
            del files[draw(st.sampled_from(STEMS))]
        case 3:
            stem = draw(st.sampled_from(STEMS))
            files[stem] = damaged(draw, files[stem])
        case 4:
            # The checksum of gzip: what is read is what was packed.
            stem = draw(st.sampled_from(STEMS))
            files[f"{stem}.gz"] = damaged(draw, gzip.compress(files.pop(stem), mtime=0))
            values = _mnist()
            known = {
                name: Split(values[f"{part}-images-idx3-ubyte"][..., None], values[f"{part}-labels-idx1-ubyte"])
                for name, part in (("train", "train"), ("test", "t10k"))
            }
    for name, content in files.items():
        (folder / "mnist" / name).write_bytes(content)
    return known


def check_set(found: DataSet, known: dict[str, Split] | None) -> None:
    """What holds of every data set, and the splits that were put in where they are known."""
    check_data(found)
    if known is not None:
        same_splits(dict(found.splits), known)


READERS = {
    "idx": Reader(_write_idx, _read_either, _check_idx, 40),
    "mnist": Reader(_write_mnist, lambda folder: data.load(name="mnist", data_dir=str(folder)), check_set, 15),
}
