"""What is wrong with a data set: twins within and across its splits, conflicting labels, blanks, what FER+ says of it.

Only figures and positions come out, no images. An example is a row of a split; a group is all the examples of one
image, where they are more than one; which images are near twins is said in `twins.find_near`.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, combinations_with_replacement, pairwise
from typing import Any, NamedTuple

import numpy as np

from fer_jax.data import twins
from fer_jax.data.dataset import DataSet, Split
from fer_jax.data.fer_plus import TAGGERS, VOTES
from fer_jax.data.subsets import fer_plus_majority

LISTS = {
    "train_twins": "training examples whose image is in another split too",
    "near_twins": "training examples that have a near twin in another split",
    "conflicts": "examples of an image that carries more than one label",
    "blank": "examples whose image has one value all over",
    "not_a_face": "examples that all ten voters of FER+ call not a face",
    "test_twins": "examples outside the training split whose image is in it too",
    "test_near_twins": "examples outside the training split that have a near twin in it",
}
"""The lists of examples, and what is in them."""
RECOMMENDED = "recommended"
"""The list of training examples that are better not trained on; the other splits stay as they are, to compare on."""
REASONS = ("train_twins", "near_twins", "conflicts", "blank", "not_a_face")
"""The lists whose training examples it is made of."""

_ORDER = ("train", "validation", "test")

_Masks = dict[str, dict[str, np.ndarray]]


class Findings(NamedTuple):
    """What was found in a data set.

    Attributes:
      figures: numbers, text, lists and dicts, as they stand in the report.
      lists: by the names of `LISTS` and `RECOMMENDED`, of each split the positions in it, rising. What has none, or was
        not looked for, is left out.
    """

    figures: dict[str, Any]
    lists: dict[str, dict[str, list[int]]]


class _Part(NamedTuple):
    """A split, and which image each example shows: int64 [N], the same number in every split."""

    name: str
    split: Split
    image: np.ndarray


def examine(data: DataSet, near: float = 0.95) -> Findings:
    """Looks for everything.

    Args:
      data: a data set.
      near: the cosine above which two images are near twins, in (0, 1]; 1 leaves out the search for them, which takes
        half a minute of one core for FER2013.
    """
    names = [name for name in _ORDER if name in data.splits] + sorted(data.splits.keys() - set(_ORDER))
    numbers = twins.number_identical([data.splits[name].images for name in names])
    parts = [_Part(name, data.splits[name], number) for name, number in zip(names, numbers, strict=True)]
    figures: dict[str, Any] = {"classes": {part.name: _classes(part.split, data.class_names) for part in parts}}
    masks: _Masks = {}
    looks = [_look_for_twins(parts), _look_for_blanks(parts)]
    if near < 1:
        looks.append(_look_for_near_twins(parts, near))
    if any("votes" in part.split.extras for part in parts):
        looks.append(_look_at_votes(parts, data.class_names))
    if all("person" in part.split.extras for part in parts):
        looks.append(_look_for_people(parts))
    for found, chosen in looks:
        figures |= found
        masks |= chosen
    lists = {key: _positions(masks[key]) for key in LISTS if key in masks}
    reasons = [masks[key]["train"] for key in REASONS if "train" in masks.get(key, {})]
    lists[RECOMMENDED] = _positions({"train": np.any(reasons, axis=0)})
    return Findings(figures, {key: positions for key, positions in lists.items() if positions})


def _positions(masks: Mapping[str, np.ndarray]) -> dict[str, list[int]]:
    return {name: np.flatnonzero(mask).tolist() for name, mask in masks.items() if mask.any()}


def _classes(split: Split, class_names: Sequence[str]) -> dict[str, int]:
    counts = np.bincount(split.labels, minlength=len(class_names))
    return dict(zip(class_names, counts.tolist(), strict=True))


def _label_kinds(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many different labels each image carries, int64 [highest number + 1]."""
    pairs = np.unique(np.stack([images, labels.astype(np.int64)], axis=1), axis=0)
    return np.bincount(pairs[:, 0])


def _members(parts: Sequence[_Part]) -> np.ndarray:
    """Which image is in which split, bool [images, splits]."""
    images = max((int(part.image.max(initial=-1)) + 1 for part in parts), default=0)
    return np.stack([np.bincount(part.image, minlength=images) > 0 for part in parts], axis=1)


def _leaks(parts: Sequence[_Part], member: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Of each training example whether its image is marked for another split; of the others, for the training split."""
    train = [part.name for part in parts].index("train")
    others = np.delete(member, train, axis=1).sum(axis=1) > 0
    inside = {"train": others[parts[train].image]}
    outside = {part.name: member[part.image, train] for part in parts if part.name != "train"}
    return inside, outside


def _look_for_twins(parts: Sequence[_Part]) -> tuple[dict[str, Any], _Masks]:
    images = np.concatenate([part.image for part in parts])
    labels = np.concatenate([part.split.labels for part in parts])
    inside, outside = _leaks(parts, _members(parts))
    conflicting = _label_kinds(images, labels) > 1
    figures = {
        "twins": {
            **{part.name: _groups(part.image, part.split.labels) for part in parts},
            "all": _groups(images, labels),
        },
        "shared": [_shared(first, second) for first, second in combinations(parts, 2)],
    }
    conflicts = {part.name: conflicting[part.image] for part in parts}
    return figures, {"train_twins": inside, "test_twins": outside, "conflicts": conflicts}


def _groups(images: np.ndarray, labels: np.ndarray) -> dict[str, int]:
    counts, kinds = np.bincount(images), _label_kinds(images, labels)
    repeated, conflicting = counts[counts > 1], counts[kinds > 1]
    distinct = int((counts > 0).sum())
    return {
        "examples": len(images),
        "distinct": distinct,
        "surplus": len(images) - distinct,
        "groups": len(repeated),
        "in_groups": int(repeated.sum()),
        "largest_group": int(repeated.max(initial=0)),
        "conflicting_groups": len(conflicting),
        "in_conflicting_groups": int(conflicting.sum()),
    }


def _shared(first: _Part, second: _Part) -> dict[str, Any]:
    in_first, in_second = np.isin(first.image, second.image), np.isin(second.image, first.image)
    images = np.concatenate([first.image[in_first], second.image[in_second]])
    labels = np.concatenate([first.split.labels[in_first], second.split.labels[in_second]])
    return {
        "first": first.name,
        "second": second.name,
        "distinct": len(np.unique(images)),
        "in_first": int(in_first.sum()),
        "in_second": int(in_second.sum()),
        "labels_differ": int((_label_kinds(images, labels) > 1).sum()),
    }


def _look_for_blanks(parts: Sequence[_Part]) -> tuple[dict[str, Any], _Masks]:
    blank = {part.name: twins.is_blank(part.split.images) for part in parts}
    return {"blank": {name: int(mask.sum()) for name, mask in blank.items()}}, {"blank": blank}


def _look_for_near_twins(parts: Sequence[_Part], near: float) -> tuple[dict[str, Any], _Masks]:
    numbers = np.concatenate([part.image for part in parts])
    labels = np.concatenate([part.split.labels for part in parts])
    # Of each image the first example, which is where `number_identical` counts from.
    _, first = np.unique(numbers, return_index=True)
    starts = np.cumsum([0, *(len(part.image) for part in parts)])
    rows = [first[(first >= start) & (first < stop)] - start for start, stop in pairwise(starts)]
    images = np.concatenate([part.split.images[row] for part, row in zip(parts, rows, strict=True)])
    member = _members(parts)
    labels_of = np.where(_label_kinds(numbers, labels) > 1, -1, labels[first])
    found = twins.find_near(images, labels_of, member, near)

    def place(image: int) -> list[Any]:
        part = int(np.searchsorted(starts, first[image], side="right")) - 1
        return [parts[part].name, int(first[image] - starts[part])]

    between = []
    for i, j in combinations_with_replacement(range(len(parts)), 2):
        one, two = parts[i], parts[j]
        pair: dict[str, Any] = {"first": one.name, "second": two.name}
        pair["in_first"] = int(found.seen[one.image, j].sum())
        pair["in_second"] = int(found.seen[two.image, i].sum())
        if i != j:
            pair["in_first_or_same"] = int((found.seen | member)[one.image, j].sum())
            pair["in_second_or_same"] = int((found.seen | member)[two.image, i].sum())
        between.append(pair)
    figures = {
        "above": near,
        "pairs": found.pairs,
        "labels_differ": found.labels_differ,
        "between": between,
        "closest": [
            {"cosine": round(cosine, 6), "first": place(one), "second": place(two)}
            for (one, two), cosine in zip(found.closest.tolist(), found.cosines.tolist(), strict=True)
        ],
    }
    inside, outside = _leaks(parts, found.seen)
    return {"near": figures}, {"near_twins": inside, "test_near_twins": outside}


def _look_at_votes(parts: Sequence[_Part], class_names: Sequence[str]) -> tuple[dict[str, Any], _Masks]:
    figures, masks = {}, {}
    for part in parts:
        if "votes" in part.split.extras:
            votes = part.split.extras["votes"]
            majority, mask = fer_plus_majority(votes)
            differ = mask & (majority != part.split.labels)
            not_a_face = masks[part.name] = votes[:, VOTES.index("NF")] == TAGGERS
            figures[part.name] = {
                "not_a_face": int(not_a_face.sum()),
                "with_majority": int(mask.sum()),
                "labels_differ": int(differ.sum()),
                "classes": {
                    name: {
                        "with_majority": int((mask & (part.split.labels == label)).sum()),
                        "labels_differ": int((differ & (part.split.labels == label)).sum()),
                    }
                    for label, name in enumerate(class_names)
                },
            }
    return {"fer_plus": figures}, {"not_a_face": masks}


def _look_for_people(parts: Sequence[_Part]) -> tuple[dict[str, Any], _Masks]:
    people = {part.name: part.split.extras["person"] for part in parts}
    shared = []
    for first, second in combinations(people, 2):
        in_first, in_second = np.isin(people[first], people[second]), np.isin(people[second], people[first])
        shared.append(
            {
                "first": first,
                "second": second,
                "people": len(np.unique(people[first][in_first])),
                "in_first": int(in_first.sum()),
                "in_second": int(in_second.sum()),
            }
        )
    return {"people": {"in": {name: len(np.unique(who)) for name, who in people.items()}, "shared": shared}}, {}
