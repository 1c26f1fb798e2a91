"""Lists of examples to leave out, in a file: which they are, of which data, and why."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fer_jax.buckets import failures, named
from fer_jax.data.dataset import DataSet, Split
from fer_jax.errors import DataError, did_you_mean, reason


def exclude(data: DataSet, path: str) -> DataSet:
    """Leaves examples out of a data set.

    Args:
      data: the data set as it was when the list was made.
      path: a JSON file: 'data' (the name), 'fingerprint' (of the whole data set) and 'exclude', by split the positions
        in it, from 0; other keys are for people.

    Returns:
      The rest, in the same order; `source` says how many were left out.

    Raises:
      DataError: if the file cannot be read, is of other data, names what is not there, or leaves a split empty.
    """
    content = _read(path)
    if content["data"] != data.name or content["fingerprint"] != data.fingerprint:
        raise DataError(
            f"{path} lists examples of other data ('{content['data']}', fingerprint {content['fingerprint'][:12]}) "
            f"than '{data.name}', fingerprint {data.fingerprint[:12]}: make the list again with these data and options"
        )
    splits, left_out = dict(data.splits), []
    for name, positions in content["exclude"].items():
        if name not in splits:
            raise DataError(f"{path}: '{data.name}' has no split '{name}'; {did_you_mean(name, splits)}")
        splits[name], count = _without(splits[name], positions, f"{path}, split '{name}'")
        left_out.append(f"{count:,} of {name}")
    words = f"without the examples that {path} lists ({', '.join(left_out) or 'none'})"
    return replace(data, splits=splits, source=f"{data.source}, {words}")


def _read(path: str) -> Mapping[str, Any]:
    try:
        content = json.loads(named(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"config.data.exclude: {path} is not JSON ({error}): make the list again") from error
    except failures(path) as error:
        raise DataError(f"config.data.exclude: {path} cannot be read: {reason(error)}") from error
    expected = {"data": str, "fingerprint": str, "exclude": dict}
    if not isinstance(content, dict) or any(not isinstance(content.get(key), kind) for key, kind in expected.items()):
        raise DataError(
            f"config.data.exclude: {path} is not a list of examples, which has 'data', 'fingerprint' and 'exclude': "
            "make it with python -m fer_jax.audit"
        )
    return content


def _without(split: Split, positions: Any, where: str) -> tuple[Split, int]:
    """The examples that are not listed, and how many were."""
    if not isinstance(positions, list):
        raise DataError(f"{where}: positions are a list of whole numbers, not {positions!r}")
    keep = np.ones(len(split), bool)
    for position in positions:
        if not isinstance(position, int) or isinstance(position, bool) or not 0 <= position < len(split):
            raise DataError(f"{where}: {position!r} is not a position in 0..{len(split) - 1}; make the list again")
        keep[position] = False
    if not keep.any():
        raise DataError(f"{where}: the list leaves no example: shorten it")
    return split[keep], int((~keep).sum())
