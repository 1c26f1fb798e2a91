"""FER+: ten taggers' votes for each row of FER2013, from `fer2013new.csv`.

Barsoum et al. 2016, "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label Distribution";
GitHub microsoft/FERPlus (MIT).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_jax.data.dataset import DataSet
from fer_jax.data.fer2013_facts import SPLITS
from fer_jax.errors import ConfigError, DataError

FILE = "fer2013new.csv"
VOTES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
"""What a tagger may say, in the order of the columns; 'NF' is 'not a face'."""

COLUMN = {"neutral": 0, "happy": 1, "surprise": 2, "sad": 3, "angry": 4, "disgust": 5, "fear": 6}
"""Where the votes for each class of FER2013 stand among them."""

TAGGERS = 10
"""Who voted on each image."""


def with_votes(data: DataSet, path: Path) -> DataSet:
    """Joins the votes to a FER2013 whose examples know their row.

    Args:
      data: FER2013, with 'row' in the extras of every split.
      path: FER+'s CSV, with a row for each row of FER2013 in the same order.

    Returns:
      The data set with 'votes', uint8 [N, 10], in the extras, in the order of `VOTES`.

    Raises:
      DataError: naming the file and the line (from 1, the header being line 1), if it is damaged or of other images.
    """
    usages, votes = _read(path)
    total = sum(len(split) for split in data.splits.values())
    if len(votes) != total:
        raise DataError(
            f"{path} has votes for {len(votes)} rows and FER2013 beside it has {total}: get both again, or remove it"
        )
    usage_of = {name: usage for usage, name in SPLITS.items()}
    splits = {}
    for name, split in data.splits.items():
        rows = split.extras["row"]
        other = np.flatnonzero(usages[rows] != usage_of[name])
        if len(other):
            row = int(rows[other[0]])
            raise DataError(
                f"{path}, line {row + 2}: its Usage is {usages[row]}, and that of row {row} of FER2013 is "
                f"{usage_of[name]}: get both again, or remove it"
            )
        splits[name] = replace(split, extras={**split.extras, "votes": votes[rows]})
    return replace(data, splits=splits)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The usage, text [N], and the votes, uint8 [N, 10], of every row."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeError) as error:
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    names = [name.strip() for name in lines[0].split(",")]
    for column in ("Usage", *VOTES):
        if names.count(column) != 1:
            raise DataError(f"{path}, line 1: FER+ has a column '{column}', once; get the file again, or remove it")
    usage, *columns = (names.index(column) for column in ("Usage", *VOTES))
    while lines and not lines[-1].strip():
        lines.pop()
    usages, votes = [], []
    for line, text in enumerate(lines[1:], 2):
        fields = [field.strip() for field in text.split(",")]
        if len(fields) != len(names):
            raise DataError(
                f"{path}, line {line}: {len(names)} fields are expected and {len(fields)} found; get the file again, "
                "or remove it"
            )
        usages.append(fields[usage])
        votes.append([_count(fields[column], f"{path}, line {line}") for column in columns])
        if not 0 < sum(votes[-1]) <= TAGGERS:
            raise DataError(
                f"{path}, line {line}: its votes add up to {sum(votes[-1])}, of {TAGGERS} taggers; get the file "
                "again, or remove it"
            )
    return np.array(usages), np.array(votes, np.uint8).reshape(-1, len(VOTES))


def _count(word: str, where: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 2):
        raise DataError(f"{where}: '{word[:20]}' is no number of votes; get the file again, or remove it")
    return int(word)


def soft_labels(votes: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """The shares of the votes for the seven emotions; an example without such a vote keeps its label.

    Args:
      votes: uint8 [N, 10], in the order of FER+'s columns.
      labels: int32 [N].
      class_names: the seven of FER2013, in any order.

    Returns:
      float32 [N, 7]; each row sums to 1.

    Raises:
      ConfigError: the classes are others.
    """
    if sorted(class_names) != sorted(COLUMN):
        raise ConfigError(
            f"config.loss.targets = 'fer_plus' is for FER2013's seven classes, not for {', '.join(class_names)}: "
            "take config.loss.targets = 'labels'"
        )
    wanted = votes[:, [COLUMN[name] for name in class_names]].astype(np.float64)
    total = wanted.sum(axis=1, keepdims=True)
    own = np.eye(len(class_names))[labels]
    return np.where(total > 0, wanted / np.maximum(total, 1), own).astype(np.float32)
