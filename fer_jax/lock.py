"""One process to a folder: a second one that would train in it is refused."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from fer_jax.errors import UserError
from fer_jax.machine import held


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """While entered, no other process trains in the folder, which is made where there is none.

    Raises:
      UserError: one does, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--workdir {folder} cannot be made: {error.strerror}") from error
    with held(folder) as mine:
        if not mine:
            raise UserError(f"another process is training in {folder}: wait for it, or name another --workdir")
        yield
