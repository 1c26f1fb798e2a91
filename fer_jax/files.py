"""Files written whole or not at all, on this machine or in a bucket, and how much a packed one may hold."""

import contextlib
import errno
import os
import zipfile
from pathlib import Path

from fer_jax import processes
from fer_jax.buckets import failures, is_bucket
from fer_jax.errors import UserError, reason

_FREE, _TIMES = 1 << 24, 10


def most_unpacked(size: int) -> int:
    """The most bytes that are unpacked from a file of `size`: 16 MiB, or 10 times as many as it has.

    Pictures and their tables pack to a third or a fifth; what holds more than this fills the memory from a small file.
    """
    return max(_FREE, _TIMES * size)


def leads_out(member: str) -> bool:
    """Whether the name of an archive's member is none, or a path out of the archive."""
    plain = member.replace("\\", "/")
    return not plain or plain.startswith("/") or plain[1:2] == ":" or ".." in plain.split("/")


def check_zip(archive: zipfile.ZipFile, size: int) -> None:
    """Checks the names and the sizes of all members before one is read.

    Args:
      archive: opened.
      size: of its file, in bytes.

    Raises:
      UserError: what is wrong, for a sentence that names the file.
    """
    for name in archive.namelist():
        if leads_out(name):
            raise UserError(f"the archive's member '{name}' points out of the archive")
    if sum(member.file_size for member in archive.infolist()) > most_unpacked(size):
        raise UserError(
            f"its members unpack to more than {most_unpacked(size):,} bytes, which is too much for its size"
        )


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file, text in UTF-8; what was there before stays until all of it is written.

    Of several processes the first writes.

    Raises:
      UserError: it cannot be written.
    """
    if not processes.is_first():
        return
    # An object in a bucket is there when all of it has come.
    partial = path if is_bucket(path) else path.with_name(path.name + ".partial")
    try:
        if isinstance(content, str):
            partial.write_text(content, encoding="utf-8")
        else:
            partial.write_bytes(content)
        if partial != path:
            os.replace(partial, path)
    except failures(path) as error:
        if partial != path:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        full = getattr(error, "errno", None) == errno.ENOSPC
        hint = ": free some space and start the same command again" if full else ""
        raise UserError(f"{path} cannot be written: {reason(error)}{hint}") from error
