"""Copies on this machine of data folders in buckets: what reads data sets reads files of this machine."""

import os
import tempfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fer_jax.buckets import file_system, is_bucket, named
from fer_jax.data.download import cache_folder
from fer_jax.errors import DataError, reason


class _Stamp(NamedTuple):
    """What tells one version of a file from another: its size in bytes and its time in nanoseconds."""

    size: int
    time: int


def has(word: str) -> bool:
    """Whether there is anything in a folder in a bucket.

    Raises:
      DataError: the bucket cannot be read.
    """
    return bool(_listed(word))


def here(word: str) -> Path:
    """The folder that a word names; of one in a bucket its copy in the user's cache, brought up to date.

    A file is copied if its size or its time in the copy is another. The bucket is only read.

    Raises:
      DataError: the bucket cannot be read or has nothing there, or the copy cannot be written.
    """
    if not is_bucket(word):
        return named(word)
    stamps = _listed(word)
    if not stamps:
        raise DataError(f"{word} has no files: name a folder in a bucket that holds the data")
    copy = cache_folder() / "buckets" / word.partition("://")[2].strip("/")
    try:
        for path in copy.rglob("*"):
            if path.is_file() and path.relative_to(copy).as_posix() not in stamps:
                path.unlink(missing_ok=True)
        _fetch(word, copy, {name: stamp for name, stamp in stamps.items() if stamp != _stamp(copy / name)})
    except Exception as error:  # What gcsfs raises is OSError, RuntimeError, its own and those of what it stands on.
        raise DataError(f"{word} cannot be copied to {copy}: {reason(error)}") from error
    return copy


def _fetch(word: str, copy: Path, stamps: dict[str, _Stamp]) -> None:
    """Copies files of a folder in a bucket, each whole or not at all."""
    if not stamps:
        return
    copy.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=copy.parent, prefix=".copying-") as folder:
        for name in stamps:
            for parent in (Path(folder), copy):
                (parent / name).parent.mkdir(parents=True, exist_ok=True)
        file_system().get([f"{word}/{name}" for name in stamps], [f"{folder}/{name}" for name in stamps])
        for name, stamp in stamps.items():
            os.utime(Path(folder) / name, ns=(stamp.time, stamp.time))
            os.replace(Path(folder) / name, copy / name)


def _listed(word: str) -> dict[str, _Stamp]:
    """The files in a folder in a bucket, and in those inside it, by their paths from there."""
    try:
        found = file_system().find(word, detail=True)
    except FileNotFoundError:
        return {}
    except Exception as error:
        raise DataError(f"{word} cannot be read: {reason(error)}") from error
    root, stamps = word.partition("://")[2].strip("/"), {}
    for full, about in found.items():
        name = full.removeprefix(f"{root}/")
        if ".." in PurePosixPath(name).parts or name.startswith("/"):
            raise DataError(f"{word} holds an object that cannot be a file, {name}: give it another name")
        stamps[name] = _Stamp(int(about["size"]), round(about["mtime"].timestamp() * 1e6) * 1000)
    return stamps


def _stamp(path: Path) -> _Stamp | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return _Stamp(about.st_size, about.st_mtime_ns)
