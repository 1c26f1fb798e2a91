"""Which examples belong together and which apart: splits that are the same for the same data, even in every class."""

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np


def stratified_order(labels: np.ndarray) -> np.ndarray:
    """A shuffled order, by seed 0, of which every stretch has the class mix of the whole.

    Args:
      labels: int [N].

    Returns:
      int [N], each row once.
    """
    random = np.random.RandomState(0)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        # Evenly spaced over 0..1, so that a class of a few is not all at one end.
        place[rows] = (np.arange(len(rows)) + random.uniform()) / len(rows)
    return np.argsort(place, kind="stable")


def image_folds(labels: np.ndarray, folds: int) -> np.ndarray:
    """The fold of each example when examples are dealt out one by one: each class to within one of even.

    Args:
      labels: int [N].
      folds: how many.

    Returns:
      int [N], 0..folds-1.
    """
    random = np.random.RandomState(0)
    fold = np.empty(len(labels), np.int64)
    dealt = 0
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        # Each class goes on where the one before stopped, so that the totals are even too.
        fold[rows] = (dealt + np.arange(len(rows))) % folds
        dealt += len(rows)
    return fold


def person_folds(labels: np.ndarray, persons: Sequence[str] | np.ndarray, folds: int) -> np.ndarray:
    """The fold of each example when nobody may be in two: greedy, each class as even as persons allow.

    Persons are placed from the one with the largest share of any class down, each where the squared class shares,
    summed over classes, grow least; so all classes weigh the same, however rare. Nothing is drawn: names decide among
    persons, and among folds the emptiest, then the last. So whoever makes up half of a class is not in fold 0, the
    default test split, and that class can be learnt there.

    Args:
      labels: int [N].
      persons: text [N].
      folds: how many.

    Returns:
      int [N], 0..folds-1.
    """
    classes = int(labels.max()) + 1
    total = np.maximum(np.bincount(labels, minlength=classes), 1)
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, person in enumerate(persons):
        rows_of[str(person)].append(row)
    share = {person: np.bincount(labels[rows], minlength=classes) / total for person, rows in rows_of.items()}
    filled = np.zeros((folds, classes))
    fold = np.empty(len(labels), np.int64)
    for person in sorted(share, key=lambda name: (-share[name].max(), name)):
        growth = (filled * share[person]).sum(axis=1)
        best = min(range(folds), key=lambda k: (round(growth[k], 12), round(filled[k].sum(), 12), -k))
        filled[best] += share[person]
        fold[rows_of[person]] = best
    return fold


def united(names: Sequence[str], *links: Sequence[Hashable]) -> list[str]:
    """One name for all the examples that are linked, directly or through others.

    Args:
      names: of each example; equal names are a link.
      links: something of each example, several times; where it is equal, that is a link too.

    Returns:
      for each example the first name, by the alphabet, among those it is linked with.
    """
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for values in links:
        first: dict[Hashable, str] = {}
        for name, value in zip(names, values, strict=True):
            low, high = sorted((root(name), root(first.setdefault(value, name))))
            parent[high] = low
    return [root(name) for name in names]
