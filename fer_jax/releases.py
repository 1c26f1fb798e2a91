"""Reading the trained networks that come with the package.

In `released/` each is a file of safetensors, its model card lies beside it, and `SHA256SUMS` has the digest of every
file, as `sha256sum --check` takes it. `fer_jax.release` makes them.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from fer_jax.config import check_choice
from fer_jax.errors import CheckpointError
from fer_jax.export.safetensors import RELEASED, unpack

FOLDER = Path(__file__).parent / "released"
SUMS = "SHA256SUMS"
SUFFIX = ".safetensors"
FACTS = RELEASED
"""The one key of the file's metadata. With more, two files of the same content may differ in their bytes."""

_MEND = "install fer_jax again, or restore it with git"


class Release(NamedTuple):
    """A released network.

    Attributes:
      config: of its run.
      record: what run.json tells of its run; a run of several members is told of as that one's alone.
      step: how many its state has taken.
      calibrations: as the entries of calibration.json.
      variables: {'params': ..., 'batch_stats': ...}, arrays on the host: those that the run is evaluated with.
      card: its model card.
    """

    config: dict[str, Any]
    record: dict[str, Any]
    step: int
    calibrations: list[dict[str, Any]]
    variables: dict[str, Any]
    card: Path


def names() -> list[str]:
    """The released networks, sorted."""
    return sorted(name.removesuffix(SUFFIX) for name in read_sums() if name.endswith(SUFFIX))


def read(name: str) -> Release:
    """Reads a released network, whose file must be the one that was released.

    Raises:
      ConfigError: there is none of this name; the sentence says which there are.
      CheckpointError: its file is missing or another.
    """
    check_choice("--model", name, names())
    path = FOLDER / f"{name}{SUFFIX}"
    try:
        if digest(path.read_bytes()) != read_sums()[path.name]:
            raise CheckpointError(f"{path} is not what was released: its SHA-256 is not that in {SUMS}; {_MEND}")
        variables, metadata = unpack(path)
        told = json.loads(metadata[FACTS])
        # A network without BatchNorm has no statistics, and a file holds no empty folder.
        variables = {"batch_stats": {}} | variables
        return Release(**told, variables=variables, card=path.with_suffix(".md"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): {_MEND}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is no released network of this version of fer_jax ({error}): {_MEND}") from error


def digest(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def read_sums() -> dict[str, str]:
    """The digests that stand in `SHA256SUMS`, by the names of the files; none where nothing is released.

    Raises:
      CheckpointError: the file is damaged.
    """
    path = FOLDER / SUMS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    try:
        return {name: found for found, name in (line.split() for line in lines)}
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {_MEND}") from error
