"""What every data set is, once loaded: uint8 images and int32 labels in host memory, by split."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Split:
    """Examples of one split.

    Attributes:
      images: uint8 [N, H, W, C].
      labels: int32 [N], indices into the data set's class names.
      extras: what else is known of each example, arrays [N, ...] by name: 'row' int32 (row of the source file, from
        0), 'votes' uint8 [N, 10] (FER+, in the order of its columns), 'file' and 'person' (text).
    """

    images: np.ndarray
    labels: np.ndarray
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: slice | np.ndarray) -> "Split":
        extras = {name: values[rows] for name, values in self.extras.items()}
        return Split(self.images[rows], self.labels[rows], extras)


@dataclass(frozen=True)
class DataSet:
    """A data set with the splits it came with ('train', 'test' and, where it has one, 'validation').

    Attributes:
      name: 'mnist', 'digits', ...
      splits: each split by name.
      class_names: the name of each label.
      source: where it was read from, in words for a person.
      stand_in_for: the data set that the config names first and that could not be had; '' if this is that one.
    """

    name: str
    splits: Mapping[str, Split]
    class_names: tuple[str, ...]
    source: str
    stand_in_for: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every pixel, label and extra: two runs with equal fingerprints saw the same data."""
        digest = hashlib.sha256()
        for name in sorted(self.splits):
            split = self.splits[name]
            digest.update(f"{name} {split.images.shape} ".encode())
            digest.update(np.ascontiguousarray(split.images).data)
            digest.update(np.ascontiguousarray(split.labels, "<i4").data)
            for key in sorted(split.extras):
                values = split.extras[key]
                # Text counts by its letters, whatever the width of the array that holds it.
                text = "\n".join(values).encode() if values.dtype.kind == "U" else b""
                digest.update(f"{key} {values.dtype.kind} ".encode())
                digest.update(text or np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()
