"""One text file as a stream of bytes, plain or in the archive that people have it in; nothing is unpacked to disk."""

import contextlib
import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from fer_jax.errors import DataError
from fer_jax.files import leads_out, most_unpacked

PACKINGS = ("", ".xz", ".gz", ".zip")
"""What may follow the name of a file that is packed alone."""

ARCHIVES = (".zip", ".tar.gz", ".tgz")
"""What may follow the name of an archive that holds the file among others."""

_BUFFER = 1 << 20


@contextlib.contextmanager
def open_packed(file: BinaryIO, path: Path, members: tuple[str, ...] = ()) -> Iterator[BinaryIO]:
    """Opens what `file` holds, as the ending of its name says.

    Checksums of the packing are checked as the stream is read to its end, and at the end of the block: only then is
    what was read known to be whole.

    Args:
      file: the opened `path`. It is read once, forwards, except for a zip.
      path: where it is; '.xz', '.gz', '.zip', '.tar.gz' or '.tgz' at its end, or a plain file.
      members: in an archive, the names by which the file is known, in whatever folder inside.

    Raises:
      DataError: naming the file, if it is damaged or truncated, unpacks to more than `files.most_unpacked` allows,
        holds none of `members`, or has a member whose path leads out of the archive.
    """
    try:
        with contextlib.ExitStack() as stack:
            name = path.name.lower()

            def unpacked(stream: Any) -> BinaryIO:
                return io.BufferedReader(_Limited(stack.enter_context(stream), path, _size(file)))

            if name.endswith((".tar.gz", ".tgz")):
                # Tarfile's own gzip reader checks no checksum.
                whole = unpacked(gzip.open(file))
                archive = stack.enter_context(tarfile.open(fileobj=whole, mode="r|", bufsize=_BUFFER))
                yield from _tar_member(archive, path, members)
                while whole.read(_BUFFER):
                    pass
            elif name.endswith(".zip"):
                yield unpacked(_zip_member(stack.enter_context(zipfile.ZipFile(file)), path, members))
            elif name.endswith(".gz"):
                yield unpacked(gzip.open(file))
            elif name.endswith(".xz"):
                yield unpacked(lzma.open(file))
            else:
                yield file
    except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, gzip.BadGzipFile) as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{path} is a damaged or truncated archive ({reason}): get the file again") from error


class _Limited(io.RawIOBase):
    """A stream of what a file unpacks to, that ends with an error where this is too much for the file's size."""

    def __init__(self, stream: BinaryIO, path: Path, size: int):
        self._stream, self._path, self._most = stream, path, most_unpacked(size)
        self._left = self._most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        self._left -= len(content)
        if self._left < 0:
            raise DataError(
                f"{self._path} unpacks to more than {self._most:,} bytes, which is no data set of its size: get the "
                "file again, or unpack it yourself"
            )
        buffer[: len(content)] = content
        return len(content)


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _zip_member(archive: zipfile.ZipFile, path: Path, members: tuple[str, ...]) -> BinaryIO:
    for name in archive.namelist():
        _check_inside(path, name)
    for member in members:
        for info in archive.infolist():
            if not info.is_dir() and PurePosixPath(info.filename).name == member:
                try:
                    return cast(BinaryIO, archive.open(info))
                except RuntimeError as error:  # What zipfile says of a password, and of a rare compression.
                    raise DataError(f"{path} cannot be unpacked ({error}): unpack it yourself") from error
    raise DataError(f"{path} holds no {' or '.join(members)}: unpack it, if it holds the images in another form")


def _tar_member(archive: tarfile.TarFile, path: Path, members: tuple[str, ...]) -> Iterator[BinaryIO]:
    """The first of the members, and then the rest of the archive, whose paths and checksum count too."""
    found = False
    for info in archive:
        _check_inside(path, info.name)
        if not found and info.isreg() and PurePosixPath(info.name).name in members:
            found = True
            stream = archive.extractfile(info)
            assert stream is not None
            yield cast(BinaryIO, stream)
    if not found:
        raise DataError(f"{path} holds no {' or '.join(members)}: unpack it, if it holds the images in another form")


def _check_inside(path: Path, member: str) -> None:
    if leads_out(member):
        raise DataError(f"{path}: its member '{member}' leads out of the archive, so nothing of it is read")
