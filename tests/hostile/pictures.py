"""Readers of pictures: one, a folder for each class, FER2013's tree, a legend with pictures, and words of a command."""

import io
import os
import struct
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from fer_jax import data
from fer_jax.data.dataset import DataSet
from fer_jax.data.facial_expressions import CLASS_NAMES
from fer_jax.data.fit_image import ALL_SUFFIXES, fit_image, read_picture
from fer_jax.errors import DataError
from fer_jax.predict import sources
from hostile.damage import NAMES, NUMBERS, WORDS, Draw, damaged, damaged_rows
from hostile.digits import check_data
from hostile.oracle import Reader

SIDE = 12
FORMATS: dict[str, Sequence[dict[str, Any]]] = {
    "PNG": ({}, {"compress_level": 0}),
    "JPEG": (
        {},
        {"progressive": True},
        {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"},
    ),
    "WEBP": ({}, {"lossless": True}),
    "BMP": ({},),
    "GIF": ({}, {"save_all": True, "append_images": [Image.new("L", (SIDE, SIDE))]}),
    "TIFF": ({}, {"compression": "tiff_lzw"}, {"compression": "tiff_deflate"}, {"compression": "jpeg"}),
    "PPM": ({},),
    "AVIF": ({},),
    "JPEG2000": ({},),
}
MODES = ("L", "RGB", "RGBA", "P", "1", "I;16", "CMYK", "LA", "F", "I")
SHAPES = ((48, 48, 1), (28, 28, 1), (32, 24, 3))


@cache
def picture(kind: str = "PNG", mode: str = "L", options: int = 0) -> bytes:
    """A small picture; in a plainer mode where the format does not have this one."""
    gray = np.random.RandomState(0).randint(0, 256, (SIDE, SIDE)).astype(np.uint8)
    image = Image.fromarray(gray) if mode == "I;16" else Image.fromarray(gray).convert(mode)
    if mode == "I;16":
        image = Image.fromarray(gray.astype(np.uint16) * 257)
    for choice in (image, image.convert("RGB"), image.convert("L")):
        buffer = io.BytesIO()
        try:
            choice.save(buffer, kind, **FORMATS[kind][options % len(FORMATS[kind])])
            return buffer.getvalue()
        except (OSError, ValueError, KeyError):
            continue
    raise AssertionError(f"no {kind} of mode {mode}")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, colour: int, pixels: bytes, *more: bytes) -> bytes:
    """A PNG whose header may lie, with checksums that are right."""
    header = struct.pack(">IIBBBBB", width % 2**32, height % 2**32, bits, colour, 0, 0, 0)
    packed = _chunk(b"IDAT", zlib.compress(pixels, 9))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + b"".join(more) + packed + _chunk(b"IEND", b"")


@cache
def _bombs() -> tuple[bytes, ...]:
    """Pictures of many pixels in few bytes, and texts that unpack to much."""
    text = zlib.compress(b"a" * (100 << 20), 9)
    found = [
        *(png(side, side, 8, colour, b"") for side in (4000, 9000, 65535) for colour in (0, 2, 6)),
        png(9000, 9000, 1, 0, bytes(9000 * 1126)),
        png(12, 12, 8, 0, bytes(12 * 13), _chunk(b"zTXt", b"k\0\0" + text)),
        png(12, 12, 8, 0, bytes(12 * 13), _chunk(b"iCCP", b"k\0\0" + text)),
        png(12, 12, 8, 0, bytes(12 * 13), _chunk(b"iTXt", b"k\0\1\0\0\0" + text)),
    ]
    for kind, options in (
        ("WEBP", {"lossless": True}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("GIF", {}),
        ("JPEG", {}),
    ):
        buffer = io.BytesIO()
        Image.new("RGB" if kind != "GIF" else "L", (8000, 8000)).save(buffer, kind, **options)
        found.append(buffer.getvalue())
    return tuple(found)


def strange_picture(draw: Draw, bombs: bool = True) -> bytes:
    """A picture that is damaged, lies in its header or is a bomb; sometimes it is whole."""
    number = draw(st.integers(0, 29))
    if number == 0 and bombs:
        return draw(st.sampled_from(_bombs()))
    if number < 4:
        side, bits = st.sampled_from((*NUMBERS[:9], 12, 13)), draw(st.sampled_from((0, 1, 2, 4, 8, 16, 32)))
        return png(draw(side), draw(side), bits, draw(st.integers(0, 7)), bytes(draw(st.integers(0, 400))))
    content = picture(draw(st.sampled_from(sorted(FORMATS))), draw(st.sampled_from(MODES)), draw(st.integers(0, 3)))
    return content if number < 8 else damaged(draw, content)


def _write_picture(draw: Draw, folder: Path) -> None:
    (folder / f"a{draw(st.sampled_from(ALL_SUFFIXES))}").write_bytes(strange_picture(draw))


def _pixels(folder: Path) -> int:
    """The bytes of the pixels that a picture promises, if it is one."""
    (path,) = folder.iterdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                return 3 * image.width * image.height
        except Exception:
            return path.stat().st_size


def _read_picture(folder: Path) -> list[np.ndarray]:
    (path,) = folder.iterdir()
    shape = SHAPES[path.stat().st_size % len(SHAPES)]
    return [fit_image(path, shape), read_picture(path)]


def _check_picture(found: list[np.ndarray], known: Any) -> None:
    fitted, whole = found
    assert fitted.shape in SHAPES and fitted.dtype == whole.dtype == np.uint8
    assert whole.ndim == 3 and whole.shape[2] in (1, 3) and min(whole.shape[:2]) >= 8


def _name(draw: Draw) -> bytes:
    """The name of a file that a file system takes."""
    word = draw(st.sampled_from((*NAMES, *WORDS, "a.png", "train", "test", "val", "happy", ".hidden", "b.jpg")))
    word = word.replace("/", "_").replace("\0", "_").replace("\ud800", "z").strip(".")
    return os.fsencode(word)[:80] or b"x"


def _litter(draw: Draw, folder: Path) -> None:
    """Puts up to three strange things into a tree: links, pipes, folders and files under strange names."""
    inside = [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]
    for _ in range(draw(st.integers(0, 3))):
        path = os.path.join(
            os.fsencode(draw(st.sampled_from(inside))), _name(draw) + draw(st.sampled_from((b"", b".png")))
        )
        if os.path.lexists(path):
            continue
        match draw(st.integers(0, 7)):
            case 0:
                os.symlink(
                    draw(st.sampled_from(("/dev/zero", "/", ".", "..", "x", "/etc/passwd", os.fsdecode(path)))), path
                )
            case 1:
                os.mkfifo(path)
            case 2:
                os.mkdir(path)
            case 3:
                Path(os.fsdecode(path)).write_bytes(b"")
            case _:
                Path(os.fsdecode(path)).write_bytes(strange_picture(draw, bombs=False))


def _damage_one(draw: Draw, folder: Path) -> None:
    """Damages, removes or replaces one of the pictures, or leaves them as they are."""
    paths = sorted(path for path in folder.rglob("*.png") if path.is_file() and not path.is_symlink())
    path = draw(st.sampled_from(paths))
    match draw(st.integers(0, 5)):
        case 0 | 1:
            path.write_bytes(strange_picture(draw, bombs=False))
        case 2:
            path.unlink()
        case 3:
            path.rename(path.with_name(f"{draw(st.sampled_from(('x', 'im9', '9' * 30, 'PublicTest_1')))}.png"))


def _pictures(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"im{number}.png").write_bytes(picture("PNG", ("L", "RGB")[number % 2]))


def _write_folder(draw: Draw, folder: Path) -> None:
    splits = draw(st.sampled_from(((".",), ("train", "test"), ("train", "val", "test"), ("train",))))
    for split in splits:
        for name in ("a", "b", "train")[: draw(st.integers(1, 3))]:
            _pictures(folder / split / name, 3)
    _damage_one(draw, folder)
    _litter(draw, folder)


def _check_folder(found: DataSet, known: None) -> None:
    check_data(found)
    assert {split.images.shape[1:] for split in found.splits.values()} == {(28, 28, 1)}
    files = np.concatenate([split.extras["file"] for split in found.splits.values()])
    assert len(set(files)) == len(files) or any("\ufffd" in name for name in files)


def _write_tree(draw: Draw, folder: Path) -> None:
    words = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    for part in ("train", "test"):
        for word in words:
            _pictures(folder / "fer2013" / part / word, 1)
    _damage_one(draw, folder)
    _litter(draw, folder / "fer2013")


@cache
def _legend() -> list[list[str]]:
    persons = [f"{letter}_{word}_{1:04}.png" for letter in "abcdef" for word in CLASS_NAMES]
    return [["user.id", "image", "emotion"], *([f"{len(name)}", name, name.split("_")[1]] for name in persons)]


def _write_legend(draw: Draw, folder: Path) -> None:
    root = folder / "facial_expressions"
    (root / "data").mkdir(parents=True)
    (root / "images").mkdir()
    for number, (_, name, _) in enumerate(_legend()[1:]):
        (root / "images" / name).write_bytes(png(12, 12, 8, 0, bytes((0, *[number] * 12)) * 12))
    content = damaged_rows(draw, _legend()) if draw(st.integers(0, 3)) else damaged(draw, damaged_rows(draw, _legend()))
    (root / "data" / "legend.csv").write_bytes(content)
    if draw(st.integers(0, 2)) == 0:
        _damage_one(draw, root / "images")
        _litter(draw, root)


def _read_legend(folder: Path) -> tuple[DataSet, data.ProtocolSplits]:
    found = data.load(name="facial_expressions", image_shape=(28, 28, 1), data_dir=str(folder))
    return found, data.protocol_splits(found, "clean")


def _check_splits(found: tuple[DataSet, data.ProtocolSplits], known: None) -> None:
    dataset, splits = found
    check_data(replace(dataset, splits=splits.by_name()))


def _read_sources(folder: Path) -> list[np.ndarray]:
    """What `fer_jax.predict FOLDER` reads."""
    found = []
    for item in sources.find([str(folder)]).items:
        if isinstance(item.source, DataError):
            raise item.source
        found.append(read_picture(item.source, item.name))
    return found


def _write_sources(draw: Draw, folder: Path) -> None:
    _pictures(folder / "a", 2)
    _damage_one(draw, folder)
    _litter(draw, folder)


def _check_sources(found: list[np.ndarray], known: None) -> None:
    for pixels in found:
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] in (1, 3)


READERS = {
    "picture": Reader(_write_picture, _read_picture, _check_picture, 40, memory=256, worth=_pixels),
    "folder": Reader(
        _write_folder,
        lambda folder: data.load(name="folder", path=str(folder), image_shape=(28, 28, 1)),
        _check_folder,
        15,
    ),
    "fer2013_tree": Reader(
        _write_tree,
        lambda folder: data.load(name="fer2013", data_dir=str(folder)),
        lambda found, known: check_data(found),
        10,
    ),
    "legend": Reader(
        _write_legend,
        _read_legend,
        _check_splits,
        15,
    ),
    "predict_words": Reader(_write_sources, _read_sources, _check_sources, 10, memory=256),
}
