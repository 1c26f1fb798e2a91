"""Readers of FER2013: its CSV in all its packings, its .npz files, FER+."""

import csv
import gzip
import io
import lzma
import pickle
import struct
import tarfile
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
from fer2013_files import (
    COMPACT,
    compact_arrays,
    csv_lines,
    tar_bytes,
    tiny_fer2013,
    tiny_votes,
    votes_lines,
    zip_bytes,
)
from hypothesis import strategies as st

from fer_jax.data import fer2013_compact, fer2013_csv, fer_plus
from fer_jax.data.dataset import DataSet, Split
from fer_jax.data.fer2013_facts import CLASS_NAMES
from hostile.damage import NAMES, Draw, bomb_text, damaged, damaged_rows, zipped
from hostile.digits import BOMB, check_data, check_set, same_splits
from hostile.oracle import Reader


@cache
def _few() -> dict[str, Split]:
    """Two rows of each split of a FER2013."""
    small = {name: split[:2] for name, split in tiny_fer2013().items()}
    starts = dict(zip(small, (0, 2, 4), strict=True))
    return {
        name: Split(split.images, split.labels, {"row": np.arange(2, dtype=np.int32) + starts[name]})
        for name, split in small.items()
    }


@cache
def _csv_rows() -> list[list[str]]:
    return [line.split(",") for line in csv_lines(_few())]


PACKINGS = ("", ".gz", ".xz", ".zip", ".tar.gz")


def _pack(content: bytes, packing: str) -> bytes:
    match packing:
        case ".gz":
            return gzip.compress(content, 1, mtime=0)
        case ".xz":
            return lzma.compress(content, preset=0)
        case ".zip":
            return zip_bytes({"a/fer2013.csv": content})
        case ".tar.gz":
            return tar_bytes({"readme": b"of it", "fer2013/fer2013.csv": content, "example.py": b"pass"})
    return content


@cache
def _csv_bomb(packing: str, rows: bool) -> bytes:
    """Rows without end, or one line without end."""
    head, row = b"emotion,pixels,Usage\n", b"0," + b"0 " * 2304 + b",Training\n"
    return _pack(bomb_text(head, row if rows else b"0 " * 512, BOMB), packing)


@cache
def _packed_csv(packing: str) -> bytes:
    return _pack("".join(f"{','.join(row)}\n" for row in _csv_rows()).encode(), packing)


def _write_csv(draw: Draw, folder: Path) -> dict[str, Split] | None:
    packing = draw(st.sampled_from(PACKINGS))
    known = None
    match draw(st.integers(0, 39)):
        case 0 if packing:
            content = _csv_bomb(packing, draw(st.booleans()))
        case 1 | 2 | 3 | 4 if packing in (".zip", ".tar.gz"):
            content = _strange_archive(draw, packing)
        case number if number < 20 and packing:
            content = damaged(draw, _packed_csv(packing))
            # Every packing has a checksum, and a plain file behind no packing none.
            known = _few()
        case number if number < 24:
            content = _pack(damaged(draw, _packed_csv("")), packing)
        case _:
            content = _pack(damaged_rows(draw, _csv_rows(), str.split), packing)
    (folder / f"fer2013{'' if packing == '.tar.gz' else '.csv'}{packing}").write_bytes(content)
    return known


def _strange_archive(draw: Draw, packing: str) -> bytes:
    """Members under names that lead elsewhere, links, and members that are no files."""
    plain = _packed_csv("")
    names = draw(st.lists(st.sampled_from((*NAMES, "fer2013.csv", "a/fer2013.csv", "fer2013.csv/")), max_size=4))
    if packing == ".zip":
        kind = draw(st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))
        return zipped([(name, plain) for name in names], kind)
    buffer = io.BytesIO()
    kinds = st.sampled_from(
        (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, b"L")
    )
    with tarfile.open(fileobj=buffer, mode="w:gz", errors="surrogateescape") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = draw(kinds), draw(st.sampled_from((*NAMES, "/etc/passwd")))
            info.size = len(plain) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(plain))
    return buffer.getvalue()


def _read_csv(folder: Path) -> tuple[DataSet, Path]:
    (path,) = folder.iterdir()
    return fer2013_csv.read(path), path


def _check_csv(found: tuple[DataSet, Path], known: dict[str, Split] | None) -> None:
    dataset, path = found
    check_data(dataset)
    if known is not None:
        same_splits(dict(dataset.splits), known)
    elif path.suffix == ".csv":
        _check_against_csv(dataset, path)


def _check_against_csv(dataset: DataSet, path: Path) -> None:
    """Reads it again, with Python's own reader and a number at a time."""
    text = path.read_bytes().decode("utf-8-sig", "replace")
    header, *rows = [row for row in csv.reader(io.StringIO(text, newline="")) if any(map(str.strip, row))]
    places = [[name.strip(' "') for name in header].index(column) for column in ("emotion", "pixels", "Usage")]
    images = {usage: [] for usage in fer2013_csv.SPLITS}
    labels: dict[str, list[int]] = {usage: [] for usage in fer2013_csv.SPLITS}
    for row in rows:
        emotion, pixels, usage = (row[place].strip(' "') for place in places)
        labels[usage].append(int(emotion))
        assert all(word.isascii() and word.isdigit() for word in pixels.split()), pixels[:99]
        images[usage].append([int(word) for word in pixels.split()])
    for usage, name in fer2013_csv.SPLITS.items():
        assert dataset.splits[name].labels.tolist() == labels[usage]
        assert dataset.splits[name].images.reshape(-1, 2304).tolist() == images[usage]


@cache
def _compact() -> dict[str, dict[str, np.ndarray]]:
    return {name: compact_arrays(split) for name, split in _few().items()}


class Trap:
    """Leaves a trace when it is unpickled."""

    def __reduce__(self) -> tuple:
        return print, ("unpickled",)


def _strange_arrays(draw: Draw) -> dict[str, np.ndarray]:
    arrays = dict(_compact()["train"])
    name = draw(st.sampled_from(sorted(arrays)))
    values = arrays[name]
    match draw(st.integers(0, 7)):
        case 0:
            kinds = ("i1", "i4", "u8", "f4", "f8", "c16", "S3", "U2", ">u2", "O", "M8[s]", "?", "V4", "u1,u2")
            arrays[name] = np.zeros(values.shape, draw(st.sampled_from(kinds)))
        case 1:
            shape = draw(st.lists(st.integers(0, 49), max_size=4).filter(lambda shape: np.prod(shape) < 10**6))
            arrays[name] = np.zeros(shape, values.dtype)
        case 2:
            arrays[name] = values + draw(st.integers(1, 255)).__index__()
        case 3:
            del arrays[name]
        case 4:
            arrays[name] = np.array([Trap()] * len(values), object)
        case 5:
            arrays[name] = np.asfortranarray(values[::-1])
        case 6:
            arrays[name] = values[: draw(st.integers(0, 3))]
        case 7:
            arrays[draw(st.sampled_from(NAMES[:9]))] = values
    return arrays


def _npy(header: str, body: bytes = b"") -> bytes:
    padded = header.encode("utf-8", "surrogatepass")
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(padded) % 2**16) + padded + body


_DESCRIPTIONS = ("'|u1'", "'<u2'", "'|O'", "[('a', '|O')]", "[]", "'x'", "3", "('|u1', (2**40,))", "'|V9999999999'")
_SHAPES = (
    "(2, 48, 48)",
    "(2**40,)",
    "(-1,)",
    f"({10**9}, 48, 48)",
    "('x',)",
    "()",
    "2",
    f"({2**62},)",
    "(2.0,)",
    "(True,)",
)


@cache
def _npz_bomb() -> bytes:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({BOMB // 2304}, 48, 48), }}"
    arrays = {"residual": _npy(header, bytes(BOMB // 2304 * 2304))}
    for name, kind in (("index", "<u2"), ("emotion", "|u1")):
        buffer = io.BytesIO()
        np.save(buffer, np.zeros(2, kind))
        arrays[name] = buffer.getvalue()
    return zip_bytes({f"{name}.npy": content for name, content in arrays.items()})


def _write_compact(draw: Draw, folder: Path) -> dict[str, Split] | None:
    for name, arrays in _compact().items():
        np.savez(folder / f"fer2013_{COMPACT[name]}.npz", **arrays)
    path = folder / "fer2013_train.npz"
    match draw(st.integers(0, 19)):
        case 0:
            path.write_bytes(_npz_bomb())
        case 1 | 2 | 3 | 4 | 5 | 6:
            with path.open("wb") as file:
                np.savez(file, **_strange_arrays(draw))
        case 7 | 8 | 9:
            header = f"{{'descr': {draw(st.sampled_from(_DESCRIPTIONS))}, 'fortran_order': False, "
            header += f"'shape': {draw(st.sampled_from(_SHAPES))}, }}"
            header = draw(st.sampled_from((header, header[:-2], "(" * 9000, "\0", header * 200, "__import__('os')")))
            path.write_bytes(zip_bytes({f"{name}.npy": _npy(header) for name in _compact()["train"]}))
        case 10:
            content = pickle.dumps({"residual": Trap()})
            path.write_bytes(
                draw(st.sampled_from((content, b"", _npy("{}"), zip_bytes({}), zip_bytes({"x.npy": content}))))
            )
        case 11 | 12 | 13:
            members = {}
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    members[name] = damaged(draw, archive.read(name), 1)
            kind = draw(
                st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
            )
            path.write_bytes(zipped(list(members.items()), kind))
        case _:
            path.write_bytes(damaged(draw, path.read_bytes()))
            return _few()
    return None


def _read_compact(folder: Path) -> DataSet:
    return fer2013_compact.read({name: folder / file for name, file in fer2013_compact.FILES.items()})


@cache
def _votes() -> list[list[str]]:
    return [line.split(",") for line in votes_lines(tiny_fer2013(), tiny_votes(tiny_fer2013()))]


def _write_votes(draw: Draw, folder: Path) -> None:
    content = damaged_rows(draw, _votes())
    (folder / fer_plus.FILE).write_bytes(damaged(draw, content) if draw(st.integers(0, 4)) == 0 else content)


def _read_votes(folder: Path) -> DataSet:
    whole = DataSet("fer2013", tiny_fer2013(), CLASS_NAMES, source="")
    return fer_plus.with_votes(whole, folder / fer_plus.FILE)


def _check_votes(found: DataSet, known: None) -> None:
    check_data(found)
    for split in found.splits.values():
        votes = split.extras["votes"]
        assert votes.shape == (len(split), 10) and votes.dtype == np.uint8
        total = votes.astype(int).sum(1)
        assert (total > 0).all() and (total <= fer_plus.TAGGERS).all()


READERS = {
    "csv": Reader(_write_csv, _read_csv, _check_csv, 30),
    "npz": Reader(_write_compact, _read_compact, check_set, 20),
    "fer_plus": Reader(_write_votes, _read_votes, _check_votes, 15),
}
