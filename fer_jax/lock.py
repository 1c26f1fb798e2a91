"""One run to a folder: a second process that would train in it is refused."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from fer_jax.errors import ConfigError

try:
    import fcntl
except ImportError:  # Not on Windows.
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Holds a folder, until the process ends at the latest, however it ends. It leaves no file.

    Where the file system knows no locks nothing is held.

    Raises:
      ConfigError: another process holds it.
    """
    if fcntl is None:
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"another process is training in {folder}: wait until it ends, or name another folder with --workdir"
            ) from error
        except OSError:
            pass
        yield
    finally:
        os.close(held)
