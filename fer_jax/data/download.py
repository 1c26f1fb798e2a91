"""Files from the network into the user's cache: checked by SHA-256, whole or not at all."""

import hashlib
import http.client
import os
import queue
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fer_jax.errors import DataError

CONNECT_SECONDS = 3.0
_STALL_SECONDS = 30.0
_CHUNK = 1 << 16


class UnavailableError(DataError):
    """A data set can be neither found nor downloaded: the one error that a fallback answers."""


def cache_folder() -> Path:
    """The folder for what can be made again: `$XDG_CACHE_HOME/fer_jax`, else `~/.cache/fer_jax`. It may not exist."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):
        return Path(given) / "fer_jax"
    try:
        return Path.home() / ".cache" / "fer_jax"
    except RuntimeError:
        # A container's user without a home: a folder that cannot be made, like any unwritable cache.
        return Path(os.devnull) / "fer_jax"


def is_offline() -> bool:
    """Whether FER_JAX_OFFLINE forbids downloads."""
    return os.environ.get("FER_JAX_OFFLINE", "") not in ("", "0")


def download(files: Mapping[str, str], mirrors: Sequence[str], folder: Path) -> None:
    """Downloads the files that `folder` does not hold.

    All mirrors are asked at once and the first to answer is used. Progress is shown if stderr is a terminal.

    Args:
      files: the SHA-256 of each file by its name.
      mirrors: the base URLs, http or https.
      folder: an existing folder.

    Raises:
      UnavailableError: if no mirror answers within 3 s in all, refuses, or breaks off.
      DataError: if a file is not what its checksum says, in the folder or from the mirror; nothing of it is kept.
    """
    for mirror in mirrors:
        if not mirror.startswith(("http://", "https://")):
            raise DataError(f"'{mirror}' cannot be downloaded from: a base URL begins with http:// or https://")
    for name, checksum in files.items():
        target = folder / name
        if target.is_file():
            if hashlib.sha256(target.read_bytes()).hexdigest() != checksum:
                raise DataError(f"{target} is not the file that is published under this name; move it away")
            continue
        mirror, content = _get(name, mirrors)
        mirrors = [mirror]
        if hashlib.sha256(content).hexdigest() != checksum:
            raise DataError(
                f"{_url(mirror, name)} is not the file that is published under this name (its SHA-256 differs); "
                "try again, or get it elsewhere"
            )
        _write(target, content)


def _url(mirror: str, name: str) -> str:
    return f"{mirror.rstrip('/')}/{name}"


def _get(name: str, mirrors: Sequence[str]) -> tuple[str, bytes]:
    """The mirror that answered first, and the content of its file."""
    mirror, response = _connect(name, mirrors)
    url = _url(mirror, name)
    content = bytearray()
    try:
        with response:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
            with tqdm(total=total, desc=name, unit="B", unit_scale=True, leave=False, disable=None) as progress:
                while chunk := response.read(_CHUNK):
                    content += chunk
                    progress.update(len(chunk))
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(f"{url} broke off ({_reason(error)})") from error
    if total is not None and len(content) < total:
        raise UnavailableError(f"{url} broke off after {len(content)} of {total} bytes")
    return mirror, bytes(content)


def _connect(name: str, mirrors: Sequence[str]) -> tuple[str, Any]:
    """Opens the file on the mirror that answers first.

    The requests run in threads because nothing else bounds the time of a name look-up, or of a host whose many
    addresses are tried one after the other.
    """
    answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    lock = threading.Lock()
    decided = False

    def ask(mirror: str) -> None:
        nonlocal decided
        try:
            response = urllib.request.urlopen(_url(mirror, name), timeout=_STALL_SECONDS)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            answers.put((mirror, error))
            return
        with lock:
            late, decided = decided, True
        if late:
            response.close()
        else:
            answers.put((mirror, response))

    for mirror in mirrors:
        threading.Thread(target=ask, args=(mirror,), daemon=True).start()
    deadline = time.monotonic() + CONNECT_SECONDS
    problems = []
    for _ in mirrors:
        try:
            mirror, answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            with lock:
                late, decided = decided, True
            if not late:
                problems.append(f"no answer within {CONNECT_SECONDS:g} s")
                break
            mirror, answer = answers.get()
        if not isinstance(answer, Exception):
            return mirror, answer
        problems.append(f"{mirror}: {_reason(answer)}")
    raise UnavailableError("; ".join(problems))


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.reason}"
    return str(getattr(error, "reason", error)) or type(error).__name__


def _write(target: Path, content: bytes) -> None:
    temporary = ""
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".download-", delete=False) as file:
            temporary = file.name
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise DataError(f"{target} cannot be written: {error.strerror}") from error
