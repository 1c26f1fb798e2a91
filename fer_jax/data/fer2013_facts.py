"""What FER2013 is: its classes, its splits, and how many images of each class a split has.

Goodfellow et al. 2013, "Challenges in Representation Learning: A report on three machine learning contests".
"""

import hashlib

import numpy as np

from fer_jax.data.dataset import DataSet, Split

CLASS_NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SIDE = 48
SPLITS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
"""Our name of a split by what the `Usage` column calls it, in the order of the rows."""

COUNTS = {
    "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "validation": (467, 56, 496, 895, 653, 415, 607),
    "test": (491, 55, 528, 879, 594, 416, 626),
}
"""Images of each class in the published data."""

CONTENTS = {
    "train": "3f77837cc23475b1967a0f3adf72b67a13ab12a17d1f5ed952d30d95fc0f503a",
    "validation": "c8b1cc391804381db549b2f9249f789318d618e1d5bd1bb43abd52d7b3075d76",
    "test": "f63fab5b49bec9efa320b31f1550e2350b6448ea52da372b995a8a32d79b2862",
}
"""The `content` of each split of the published data."""


def counts(split: Split) -> tuple[int, ...]:
    """Images of each class."""
    return tuple(np.bincount(split.labels, minlength=len(CLASS_NAMES)).tolist())


def count_fault(data: DataSet) -> str:
    """The first way in which the class counts are not the published ones, in words; '' if they all are."""
    for name, official in COUNTS.items():
        if name not in data.splits:
            return f"it has no {name} split"
        for emotion, found, published in zip(CLASS_NAMES, counts(data.splits[name]), official, strict=True):
            if found != published:
                return f"{found} and not {published} {emotion} in {name}"
    return ""


def content(split: Split) -> str:
    """What a split holds, whatever its order: the SHA-256 of every label and image, added up (mod 2^256)."""
    total = 0
    for label, image in zip(split.labels.tolist(), split.images, strict=True):
        digest = hashlib.sha256(bytes([label]) + image.tobytes()).digest()
        total += int.from_bytes(digest, "little")
    return _hexadecimal(total)


def add_contents(one: str, other: str) -> str:
    """The `content` of two splits together."""
    return _hexadecimal(int(one, 16) + int(other, 16))


def _hexadecimal(total: int) -> str:
    return f"{total % 2**256:064x}"
