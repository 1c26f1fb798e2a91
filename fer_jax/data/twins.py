"""Images that are the same or nearly so: found by their bytes, and by the cosine between their pixels.

Everything is on the host, in numpy; nothing here knows what the images show.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

_TILE = 2048
"""Images on each side of a matrix product: 19 MB for images of 48x48, and 17 MB for the product."""
_ROUNDING = 1e-5
"""Float32 cosines are off by less; those as near to the bound are worked out again in float64."""
_KEPT = 1000


def number_identical(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Numbers the distinct images of several splits.

    Args:
      images: of each split, uint8 [N, H, W, C].

    Returns:
      of each split, int64 [N]: equal where all pixels are equal; from 0, in the order in which an image first appears.
    """
    first: dict[bytes, int] = {}
    return [
        np.array([first.setdefault(hashlib.sha256(image.tobytes()).digest(), len(first)) for image in split], np.int64)
        for split in images
    ]


def is_among(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which images are, pixel by pixel, among others: bool [N]; both uint8 [N, H, W, C]."""
    asked = {image.tobytes() for image in images}
    # The others are often many more, and only those that are asked for are kept.
    shared = {one for image in others if (one := image.tobytes()) in asked}
    return np.array([image.tobytes() in shared for image in images], bool)


def is_blank(images: np.ndarray) -> np.ndarray:
    """Which images are of one value all over.

    Args:
      images: uint8 [N, H, W, C].

    Returns:
      bool [N].
    """
    flat = images.reshape(len(images), images[0].size if len(images) else 0)
    return (flat == flat[:, :1]).all(axis=1)


class NearTwins(NamedTuple):
    """Pairs of images that are alike and not the same.

    Attributes:
      pairs: how many.
      labels_differ: how many of them have more than one label.
      seen: bool [N, S], whether an image has a near twin in a split.
      closest: int64 [K, 2], the pairs with the highest cosines, 1,000 at most; the highest first.
      cosines: float64 [K], of these.
    """

    pairs: int
    labels_differ: int
    seen: np.ndarray
    closest: np.ndarray
    cosines: np.ndarray


def find_near(images: np.ndarray, labels: np.ndarray, member: np.ndarray, near: float) -> NearTwins:
    """Finds all pairs of images whose pixels, less the mean of each image, have a cosine above `near`.

    So brightness and contrast make no difference. Above 0.95 two photographs of faces are the same one, cut, scaled or
    marked in another way (so were all of 40 pairs of FER2013 looked at between 0.95 and 0.955); drawn digits come as
    near without being copies. A blank image has no cosine. Memory beyond the arguments is below 200 MB for images of
    48x48, however many; progress is shown if stderr is a terminal.

    Args:
      images: uint8 [N, H, W, C], no two the same.
      labels: int [N], the label of an image, and a negative number if it has several.
      member: bool [N, S], in which splits an image is.
      near: the bound, in (0, 1].
    """
    seen = np.zeros_like(member)
    pairs = labels_differ = 0
    closest, cosines = np.zeros((0, 2), np.int64), np.zeros(0)
    for first, second, found in _pairs(images, near):
        pairs += len(first)
        labels_differ += int(((labels[first] != labels[second]) | (labels[first] < 0)).sum())
        for split in range(member.shape[1]):
            seen[first[member[second, split]], split] = True
            seen[second[member[first, split]], split] = True
        closest = np.concatenate([closest, np.stack([first, second], axis=1)])
        cosines = np.concatenate([cosines, found])
        best = np.argsort(-cosines, kind="stable")[:_KEPT]
        closest, cosines = closest[best], cosines[best]
    cosines = _exact(images, closest[:, 0], closest[:, 1])
    best = np.argsort(-cosines, kind="stable")
    return NearTwins(pairs, labels_differ, seen, closest[best], cosines[best])


def _pairs(images: np.ndarray, near: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The pairs above the bound, tile by tile: the lower and the higher place of each, and their cosines in float32."""
    count = len(images)
    total = count * (count - 1) // 2
    with tqdm(total=total, desc="near twins", unit=" pairs", unit_scale=True, leave=False, disable=None) as progress:
        for top in range(0, count, _TILE):
            rows = _unit(images[top : top + _TILE], np.float32)
            for side in range(top, count, _TILE):
                columns = rows if side == top else _unit(images[side : side + _TILE], np.float32)
                product = rows @ columns.T
                mask = product > near - _ROUNDING
                if side == top:
                    mask = np.triu(mask, 1)
                first, second = np.nonzero(mask)
                first, second, cosines = first + top, second + side, product[mask]
                close = np.flatnonzero(cosines < near + _ROUNDING)
                keep = np.ones(len(cosines), bool)
                keep[close] = _exact(images, first[close], second[close]) > near
                yield first[keep], second[keep], cosines[keep]
                n = len(rows)
                progress.update(n * (n - 1) // 2 if side == top else n * len(columns))


def _exact(images: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The cosines of pairs in float64, which any machine finds alike."""
    parts = [slice(start, start + _TILE) for start in range(0, len(first), _TILE)]
    vectors = ((_unit(images[first[part]], np.float64), _unit(images[second[part]], np.float64)) for part in parts)
    return np.concatenate([np.zeros(0), *(np.einsum("ij,ij->i", left, right) for left, right in vectors)])


def _unit(images: np.ndarray, dtype: type) -> np.ndarray:
    """Images as vectors of mean 0 and length 1, [N, H*W*C]; a blank one as zeros."""
    flat: np.ndarray = images.reshape(len(images), -1).astype(dtype)
    # The mean of a blank image is its value, exactly, so that nothing is left of it.
    flat -= flat.mean(axis=1, keepdims=True, dtype=np.float64).astype(dtype)
    length = np.sqrt(np.einsum("ij,ij->i", flat, flat))[:, None]
    flat /= np.where(length == 0, 1, length)
    return flat
