"""The parts of a split that are scored beside the whole: without twins of training images, and as FER+ labels it."""

from typing import NamedTuple

import numpy as np

from fer_jax.data.dataset import DataSet, Split
from fer_jax.data.fer2013_facts import CLASS_NAMES
from fer_jax.data.fer_plus import COLUMN
from fer_jax.data.twins import is_among

OFFICIAL, TWIN_FREE, FER_PLUS = "official", "twin_free", "fer_plus"

# FER+'s first seven columns as labels of FER2013.
_FER_PLUS_LABELS = np.array([CLASS_NAMES.index(name) for name in COLUMN], np.int32)
NO_LABEL = -1


class Subset(NamedTuple):
    """Some examples of a split, and what is taken as their labels.

    Attributes:
      mask: bool [N], true for the examples that count.
      labels: int32 [N]; those of examples that do not count mean nothing.
    """

    mask: np.ndarray
    labels: np.ndarray


def subsets(data: DataSet, name: str, split: Split | None = None) -> dict[str, Subset]:
    """The ways in which a split is scored, 'official' first; one that has no example is left out.

    - 'official': every example under its own label.
    - 'twin_free': the examples that have no pixel-identical image in the data set's whole training split (without what
      `config.data.exclude` took out), however little of it is trained on. It is there for FER2013, and for any other
      set that has such twins. The training split has none, and a validation split that a protocol cuts off it neither.
    - 'fer_plus': the examples with a FER+ majority, under that label; where the split has the votes.

    Args:
      data: the data set.
      name: of the split.
      split: the examples to be scored, where they are not all of `data.splits[name]`.
    """
    split = data.splits[name] if split is None else split
    found = {OFFICIAL: Subset(np.ones(len(split), bool), split.labels)}
    if name != "train" and name in data.splits:
        mask = twin_free(split, data.splits["train"])
        if data.name == "fer2013" or not mask.all():
            found[TWIN_FREE] = Subset(mask, split.labels)
    if "votes" in split.extras:
        labels, mask = fer_plus_majority(split.extras["votes"])
        found[FER_PLUS] = Subset(mask, labels)
    return {key: subset for key, subset in found.items() if subset.mask.any()}


def twin_free(split: Split, train: Split) -> np.ndarray:
    """bool [N]: which images of a split have no pixel-identical image in `train`, whatever their labels are."""
    return ~is_among(split.images, train.images)


def fer_plus_majority(votes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The label on which more than 5 of the 10 taggers agree, where that is one of FER2013's seven emotions.

    So contempt, "unknown" and "not a face" make no label. (Barsoum et al. 2016, "Training deep networks for facial
    expression recognition with crowd-sourced label distribution"; the votes are those of `fer2013new.csv`.)

    Args:
      votes: uint8 [N, 10], FER+'s columns in the order of its file.

    Returns:
      labels int32 [N], labels of FER2013, -1 where there is no majority; mask bool [N], true where there is one.
    """
    emotions = votes[:, : len(_FER_PLUS_LABELS)]
    mask = emotions.max(axis=1) > 5
    return np.where(mask, _FER_PLUS_LABELS[emotions.argmax(axis=1)], np.int32(NO_LABEL)), mask
