"""FER2013 as a tree of pictures: `train/<emotion>/*.png|jpg` and `test/<emotion>/*.png|jpg`.

Such trees put PublicTest and PrivateTest together. They are told apart where the names of the files allow it:
1. 'PublicTest_...' and 'PrivateTest_...' (the tree that Kaggle offers as 'FER-2013', in JPEG);
2. the number of the row in `fer2013.csv`, from 0 through all the files;
3. a number within the class, in the order of `fer2013.csv`: the first of each class are PublicTest's.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fer_jax.data.dataset import DataSet, Split
from fer_jax.data.fer2013_facts import CLASS_NAMES, CONTENTS, COUNTS, SIDE, add_contents, content
from fer_jax.data.fit_image import fit_image
from fer_jax.errors import DataError, did_you_mean

_SPELLINGS = {
    "angry": ("angry", "anger"),
    "disgust": ("disgust", "disgusted"),
    "fear": ("fear", "fearful"),
    "happy": ("happy", "happiness"),
    "sad": ("sad", "sadness"),
    "surprise": ("surprise", "surprised"),
    "neutral": ("neutral",),
}
_LABELS = {word: CLASS_NAMES.index(name) for name, words in _SPELLINGS.items() for word in words}
_ENDINGS = (".png", ".jpg", ".jpeg")
_LITTER = ("thumbs.db", "desktop.ini")
_PARTS = ("train", "test")


def find(folder: Path) -> tuple[tuple[Path, ...], str]:
    """The pictures of such a tree in `folder`, and what it lacks, in words.

    Returns:
      The pictures by part, class and number; () if there is no such tree. What is lacking is '' if it is whole.

    Raises:
      DataError: if a folder is named after no class, or a file is no picture.
    """
    parts = [part for part in _PARTS if (folder / part).is_dir()]
    if not parts:
        return (), ""
    paths: list[Path] = []
    lacking = [f"{part}/" for part in _PARTS if part not in parts]
    for part in parts:
        seen = set()
        for inside in sorted(path for path in (folder / part).iterdir() if path.is_dir() and not _is_litter(path)):
            if inside.name.lower() not in _LABELS:
                known = did_you_mean(inside.name, _LABELS)
                raise DataError(f"{inside}: '{inside.name}' is no class of FER2013; {known}")
            pictures = sorted((path for path in inside.iterdir() if not _is_litter(path)), key=_in_order)
            for path in pictures:
                if path.suffix.lower() not in _ENDINGS:
                    raise DataError(f"{path} is no picture by its name ({', '.join(_ENDINGS)}): move it away")
                if path.exists() and not path.is_file():
                    raise DataError(f"{path} is no file: move it away")
            if pictures:
                seen.add(CLASS_NAMES[_LABELS[inside.name.lower()]])
            paths += pictures
        lacking += [f"pictures in {part}/{name}" for name in CLASS_NAMES if name not in seen]
    return tuple(paths), ", ".join(lacking)


def read(folder: Path, paths: Sequence[Path]) -> DataSet:
    """Reads the pictures.

    Args:
      folder: what holds the tree.
      paths: its pictures, from `find`. Progress is shown if stderr is a terminal.

    Returns:
      'train' and 'test' and, where PublicTest and PrivateTest can be told apart, 'validation'; `source` is ''. With
      row numbers as names the examples are in that order and have 'row' in the extras; otherwise in an order drawn once
      by seed 0, as their own is unknown. 'file' is the path in `folder`.

    Raises:
      DataError: naming the picture, if one is damaged.
    """
    images = np.empty((len(paths), SIDE, SIDE, 1), np.uint8)
    for i, path in enumerate(tqdm(paths, desc=folder.name, unit="images", leave=False, disable=None)):
        images[i] = fit_image(path, (SIDE, SIDE, 1))
    labels = np.array([_LABELS[path.parent.name.lower()] for path in paths], np.int32)
    names = np.array([path.relative_to(folder).as_posix() for path in paths])
    is_train = np.array([path.parent.parent.name == "train" for path in paths])
    whole = Split(images, labels, {"file": names})
    rows = _rows(paths, is_train)
    if rows is not None:
        whole = Split(images, labels, {"file": names, "row": rows})[np.argsort(rows)]
        bounds = np.cumsum([sum(counts) for counts in COUNTS.values()])[:-1]
        parts = np.split(np.arange(len(rows)), bounds)
        splits = {name: whole[part] for name, part in zip(COUNTS, parts, strict=True)}
        return DataSet("fer2013", splits, CLASS_NAMES, source="")
    train, test = whole[is_train], whole[~is_train]
    is_public = _public([path for path in paths if path.parent.parent.name == "test"], test)
    splits = {"train": train, "test": test}
    if is_public is not None:
        splits = {"train": train, "validation": test[is_public], "test": test[~is_public]}
    for name, split in splits.items():
        splits[name] = split[np.random.RandomState(0).permutation(len(split))]
    return DataSet("fer2013", splits, CLASS_NAMES, source="")


def _rows(paths: Sequence[Path], is_train: np.ndarray) -> np.ndarray | None:
    """The row of each picture, int32 [N], if the names tell it."""
    numbers = np.array([_number(path) for path in paths])
    if len(paths) != sum(map(sum, COUNTS.values())) or not np.array_equal(np.sort(numbers), np.arange(len(paths))):
        return None
    if not np.array_equal(is_train, numbers < sum(COUNTS["train"])):
        return None
    return numbers.astype(np.int32)


def _public(paths: Sequence[Path], test: Split) -> np.ndarray | None:
    """Whether each picture of `test` is PublicTest's, bool [N], if the names tell it."""
    usages = [re.match("(public|private)_?test", path.name, re.IGNORECASE) for path in paths]
    if all(usages):
        public = np.array([usage is not None and usage[1].lower() == "public" for usage in usages])
        return public if 0 < public.sum() < len(public) else None
    numbers = np.array([_number(path) for path in paths])
    public = np.zeros(len(paths), bool)
    for label, (of_public, of_private) in enumerate(zip(COUNTS["validation"], COUNTS["test"], strict=True)):
        mine = np.flatnonzero(test.labels == label)
        order = np.argsort(numbers[mine])
        found = numbers[mine[order]]
        if len(mine) != of_public + of_private or not any(
            np.array_equal(found, np.arange(first, first + len(mine))) for first in (0, 1)
        ):
            return None
        public[mine[order[:of_public]]] = True
    # The published images under other numbers are not in the order of fer2013.csv.
    if content(test) == add_contents(CONTENTS["validation"], CONTENTS["test"]):
        return public if content(test[public]) == CONTENTS["validation"] else None
    return public


def _number(path: Path) -> int:
    """The last number in a name; -1 if there is none."""
    numbers = re.findall("[0-9]+", path.stem)
    return int(numbers[-1]) if numbers and len(numbers[-1]) < 18 else -1


def _in_order(path: Path) -> tuple[int, str]:
    return _number(path), path.name


def _is_litter(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _LITTER
