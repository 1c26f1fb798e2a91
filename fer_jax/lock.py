"""One process to a folder: a second one that would train in it is refused, unless it is in a bucket."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from fer_jax.buckets import is_bucket
from fer_jax.errors import UserError, warn
from fer_jax.machine import held


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """While entered, no other process trains in the folder, which is made where there is none.

    A bucket has no lock that ends with the process that holds it, so there it is for the user to see to; which is said.

    Raises:
      UserError: one does, or the folder cannot be made.
    """
    if is_bucket(folder):
        warn(f"{folder} is in a bucket, which cannot be locked: see that no other run trains there")
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--workdir {folder} cannot be made: {error.strerror}") from error
    with held(folder) as mine:
        if not mine:
            raise UserError(f"another process is training in {folder}: wait for it, or name another --workdir")
        yield


@contextlib.contextmanager
def only_one_sweep(folder: Path) -> Iterator[None]:
    """While entered, no other process sweeps the experiment in the folder, whatever workdir it trains in.

    Two would write the same rows into its results. A folder that is not there needs no lock.

    Raises:
      UserError: one does.
    """
    if not folder.is_dir():
        yield
        return
    with held(folder) as mine:
        if not mine:
            raise UserError(f"another sweep of the experiment in {folder} is running: wait for it")
        yield
