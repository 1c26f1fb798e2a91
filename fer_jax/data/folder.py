"""A user's own pictures: a folder for each class, or for each split with a folder for each class in it.

    faces/happy/a.png             faces/train/happy/a.png
    faces/sad/b.jpg               faces/validation/happy/b.jpg    (or val/; need not be there)
                                  faces/test/sad/c.webp

The classes are the names of the folders, by the alphabet. Without split folders, 70 % of every class are to train on,
15 % for validation and 15 % for the test, drawn once by seed 0 and the names.
"""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fer_jax.data import bucket_copy, places
from fer_jax.data.dataset import DataSet, Split
from fer_jax.data.fit_image import SUFFIXES, fit_image
from fer_jax.data.folds import stratified_order
from fer_jax.data.twins import is_among
from fer_jax.errors import ConfigError, DataError, warn

_SPLIT_FOLDERS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
_HELD_OUT = 0.15
# Part of the key of prepared copies: to be raised when the same pictures would be read in another way.
_VERSION = 1


def load(*, path: str = "", image_shape: tuple[int, int, int] = (48, 48, 1)) -> DataSet:
    """Loads pictures from a folder; they are read once, and a prepared copy is used as long as no file changes.

    Args:
      path: the folder.
      image_shape: (height, width, channels) to which every picture is fitted.

    Returns:
      'train' and 'test', and 'validation' unless there are split folders without it; images [N, *image_shape], extras
      'file' (path inside the folder). In each split the classes are mixed evenly.

    Raises:
      ConfigError: if no path is given.
      DataError: naming the folder or file, if it cannot be read or a class lacks examples.
    """
    if not path:
        raise ConfigError("config.data.path is empty: for config.data.name = 'folder' it names the folder of pictures")
    tree = _scan(bucket_copy.here(path))
    return places.from_files(
        places.Recipe(
            name="folder",
            title=str(tree.root),
            splits=("train", "test"),
            expected="",
            advice="",
            find=lambda folder: None,
            describe=lambda data: data.source,
        ),
        places.Source(
            words=f"pictures in {tree.root}",
            files=(),
            read=lambda: _read(tree, image_shape),
            detail=repr((_VERSION, image_shape, tree.classes, tree.stamps)),
        ),
    )


@dataclass(frozen=True)
class _Tree:
    """What is in the folder.

    Attributes:
      root: the folder.
      classes: sorted.
      splits: the pictures of each split and class, sorted; one split named '' where there are no split folders.
      stamps: path, size and time of change of every picture: a change of any makes another prepared copy.
      passed_over: what is no picture, by kind.
    """

    root: Path
    classes: tuple[str, ...]
    splits: dict[str, dict[str, list[Path]]]
    stamps: list[tuple[str, int, int]]
    passed_over: Counter[str]


def _scan(root: Path) -> _Tree:
    passed_over: Counter[str] = Counter()
    folders = _folders(root, passed_over)
    # A class may be called 'train', as among cars and planes: a split folder holds folders.
    splits = {name: path for name, path in folders.items() if name in _SPLIT_FOLDERS and _folders(path, Counter())}
    if not splits:
        classes_of = {"": folders}
    else:
        others = sorted(folders.keys() - splits.keys())
        if others:
            raise DataError(f"{root} holds the splits {', '.join(sorted(splits))}, but also {others[0]}: move it away")
        for needed in ("train", "test"):
            if needed not in splits:
                raise DataError(f"{root} holds {', '.join(sorted(splits))}, but no {needed}: add it, or use no splits")
        if {"val", "validation"} <= splits.keys():
            raise DataError(f"{root} holds both val and validation: keep one")
        classes_of = {_SPLIT_FOLDERS[name]: _folders(path, passed_over) for name, path in splits.items()}
    pictures = {
        split: {name: _pictures(path, passed_over) for name, path in classes.items()}
        for split, classes in classes_of.items()
    }
    classes = tuple(sorted({name for of_split in pictures.values() for name in of_split}))
    _check_classes(root, classes, pictures)
    paths = [path for of_split in pictures.values() for paths in of_split.values() for path in paths]
    stamps = [(str(path.relative_to(root)), stat.st_size, stat.st_mtime_ns) for path in paths for stat in [path.stat()]]
    return _Tree(root, classes, pictures, sorted(stamps), passed_over)


def _entries(folder: Path, passed_over: Counter[str]) -> list[Path]:
    """What is in a folder and not hidden, sorted."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    passed_over["hidden"] += sum(path.name.startswith(".") for path in entries)
    return [path for path in entries if not path.name.startswith(".")]


def _folders(folder: Path, passed_over: Counter[str]) -> dict[str, Path]:
    entries = _entries(folder, passed_over)
    folders = {path.name: path for path in entries if path.is_dir()}
    passed_over["outside every class"] += len(entries) - len(folders)
    return folders


def _pictures(folder: Path, passed_over: Counter[str]) -> list[Path]:
    pictures = []
    for path in _entries(folder, passed_over):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            pictures.append(path)
        else:
            passed_over["folders inside a class" if path.is_dir() else "of another kind"] += 1
    return pictures


def _check_classes(root: Path, classes: tuple[str, ...], pictures: dict[str, dict[str, list[Path]]]) -> None:
    if len(classes) < 2:
        found = f"only {classes[0]}" if classes else "none"
        raise DataError(f"{root} needs a folder for each of two classes or more, and holds {found}")
    kinds = f"({', '.join(suffix[1:] for suffix in SUFFIXES)})"
    for split, of_split in pictures.items():
        if split and not any(of_split.values()):
            raise DataError(f"the {split} split of {root} holds no picture {kinds}: add some, or remove its folder")
    for name in classes:
        counts = {split: len(of_split.get(name, [])) for split, of_split in pictures.items()}
        if "" in counts and counts[""] < 3:
            raise DataError(
                f"{root / name} holds {counts['']} pictures {kinds}, and each class needs 3, for train, validation and "
                "test: add some, or remove the folder"
            )
        if counts.get("train") == 0:
            raise DataError(
                f"{root / 'train' / name} holds no picture {kinds}: add some, or remove the class from every split"
            )
        for split, count in counts.items():
            if count == 0:
                warn(f"{root} has no example of '{name}' in its {split} split: scores there say nothing about it")


def _read(tree: _Tree, image_shape: tuple[int, int, int]) -> DataSet:
    splits = {}
    total = len(tree.stamps)
    with tqdm(total=total, desc=f"reading {tree.root.name}", unit="image", leave=False, disable=None) as progress:
        for name, of_split in tree.splits.items():
            of_class = [of_split.get(class_name, []) for class_name in tree.classes]
            paths = [path for pictures in of_class for path in pictures]
            labels = np.repeat(np.arange(len(of_class), dtype=np.int32), [len(pictures) for pictures in of_class])
            images = np.empty((len(paths), *image_shape), np.uint8)
            for row, path in enumerate(paths):
                images[row] = fit_image(path, image_shape)
                progress.update()
            files = np.array([_text(path.relative_to(tree.root)) for path in paths])
            splits[name] = Split(images, labels, {"file": files})
    facts = [f"{total:,} pictures of {len(tree.classes)} classes"]
    if "" in splits:
        splits = _drawn(splits[""])
        facts.append("split by the program (70 % train, 15 % validation, 15 % test of every class)")
    else:
        splits = {name: split[stratified_order(split.labels)] for name, split in splits.items()}
        facts.append("split as its folders are")
    if twins := _twins(splits):
        facts.append(twins)
        warn(f"{tree.root}: {twins}, so their scores are too good")
    if left := [f"{count} {kind}" for kind, count in tree.passed_over.items() if count]:
        facts.append(f"files passed over: {', '.join(left)}")
        warn(f"{tree.root} holds files that are no picture in a class folder, which are passed over: {', '.join(left)}")
    return DataSet("folder", splits, tree.classes, source=", ".join(facts))


def _twins(splits: dict[str, Split]) -> str:
    """How many pictures that are held out are, pixel by pixel, also trained on; '' for none."""
    counts = []
    for name in ("validation", "test"):
        images = splits[name].images if name in splits else splits["train"].images[:0]
        if seen := int(is_among(images, splits["train"].images).sum()):
            counts.append(f"{seen} of {len(images)} {name} pictures")
    return f"{' and '.join(counts)} are also in train" if counts else ""


def _text(path: Path) -> str:
    """A path as text that any file can hold: names on disk are bytes, and not all are UTF-8."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")


def _drawn(split: Split) -> dict[str, Split]:
    """70 % of every class, 15 % and 15 %, at least one each."""
    random = np.random.RandomState(0)
    rows: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for label in np.unique(split.labels):
        shuffled = random.permutation(np.flatnonzero(split.labels == label))
        held_out = max(1, round(_HELD_OUT * len(shuffled)))
        rows["test"].append(shuffled[:held_out])
        rows["validation"].append(shuffled[held_out : 2 * held_out])
        rows["train"].append(shuffled[2 * held_out :])
    drawn = {name: split[np.sort(np.concatenate(parts))] for name, parts in rows.items()}
    return {name: part[stratified_order(part.labels)] for name, part in drawn.items()}
