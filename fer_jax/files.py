"""Files written whole or not at all, on this machine or in a bucket, and how much a packed one may hold."""

import contextlib
import errno
import os
import stat
import zipfile
from pathlib import Path

from fer_jax import processes
from fer_jax.buckets import failures, is_bucket
from fer_jax.errors import ConfigError, UserError, reason

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


def kind(mode: int) -> str:
    """What has this `st_mode`, in a word: 'file', 'folder', 'pipe', 'socket' or 'device'."""
    words = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    return words.get(stat.S_IFMT(mode), "device")


def behind_links(path: Path) -> Path:
    """The path that a file is written at: a link stays, and what it leads to is replaced.

    Raises:
      ConfigError: there is something else than a file, which a file would take the place of.
      UserError: it cannot be told what is there.
    """
    try:
        real = Path(os.path.realpath(path))
        found = kind(os.stat(real).st_mode)
    except FileNotFoundError:
        return real
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be written: {reason(error)}") from error
    if found == "folder":
        raise ConfigError(f"{path} is a folder: name a file")
    if found != "file":
        raise ConfigError(f"{path} is a {found}, and no file: name another")
    return real


def check_target(path: Path, overwrite: bool) -> None:
    """Checks what is where the file of `--out` is to be, before anything is computed.

    Raises:
      ConfigError: a file that must not be replaced, or something else than a file.
      UserError: it cannot be told what is there.
    """
    if behind_links(path).exists() and not overwrite:
        raise ConfigError(f"{path} exists already: add --overwrite to replace it, or name another with --out")


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file, text in UTF-8; what was there before stays until all of it is written.

    Of several processes the first writes.

    Raises:
      UserError: it cannot be written, or would take the place of something else than a file.
    """
    if not processes.is_first():
        return
    # An object in a bucket is there when all of it has come.
    target = path if is_bucket(path) else behind_links(path)
    partial = path if is_bucket(path) else target.with_name(target.name + ".partial")
    try:
        if isinstance(content, str):
            partial.write_text(content, encoding="utf-8")
        else:
            partial.write_bytes(content)
        if partial != path:
            os.replace(partial, target)
    except failures(path) as error:
        if partial != path:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        full = getattr(error, "errno", None) == errno.ENOSPC
        hint = ": free some space and start the same command again" if full else ""
        raise UserError(f"{path} cannot be written: {reason(error)}{hint}") from error
