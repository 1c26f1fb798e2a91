"""facial_expressions: 13,690 labels of faces by students of a course (GitHub `muxspace/facial_expressions`).

The set comes without splits. Here everybody in it is in one of five folds, so that no face is both learnt and asked;
which persons share a fold is worked out from names and labels alone. What is wrong with the files is put right or left
out, and said when they are read, and in `DataSet.source`:

- labels in upper case are taken as in lower case;
- an image with several rows counts once, and not at all if they contradict each other;
- an image without a row is left out, as it has no label;
- the name of a file is that of a person and a number; a name written in another way (Hrithik_Roshan, HrithikRoshan) and
  images that are the same file under two names are one person.
"""

import csv
import hashlib
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fer_jax.config import check_at_least, check_at_most, check_choice
from fer_jax.data import folds, places
from fer_jax.data.dataset import DataSet, Split
from fer_jax.data.fit_image import fit_image
from fer_jax.errors import DataError, did_you_mean, warn

NAME = "facial_expressions"
CLASS_NAMES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
FOLDS = 5
SPLIT_BY = ("person", "image")

_LEGEND, _IMAGES = Path("data") / "legend.csv", Path("images")
# Part of the key of prepared copies: to be raised when the same files would be read in another way.
_VERSION = 1
_SHOWN = 3


def load(
    *, fold: int = 0, split_by: str = "person", image_shape: tuple[int, int, int] = (48, 48, 1), data_dir: str = ""
) -> DataSet:
    """Loads the set.

    Args:
      fold: 0..4: this fifth is the test split, the next one (after 4 comes 0) the validation split, the rest is to be
        trained on.
      split_by: 'person' keeps everybody in one fold; 'image' deals images out one by one, as most who use the set do,
        so that most persons of the test split are also in the training split.
      image_shape: (height, width, channels) to which every picture is fitted.
      data_dir: a folder that holds `facial_expressions/`, with `data/legend.csv` and `images/`; no other place is
        searched. '' searches them all.

    Returns:
      'train', 'validation' and 'test', images [N, *image_shape], extras 'file' and 'person'.

    Raises:
      ConfigError: an option out of its range.
      UnavailableError: if no place has it.
      DataError: if it is damaged.
    """
    check_at_least("config.data.fold", fold, 0)
    check_at_most("config.data.fold", fold, FOLDS - 1)
    check_choice("config.data.split_by", split_by, SPLIT_BY)
    recipe = places.Recipe(
        name=NAME,
        title="facial_expressions",
        splits=("labelled",),
        expected=f"{_LEGEND} and {_IMAGES}/ of github.com/muxspace/facial_expressions",
        advice=(
            "clone github.com/muxspace/facial_expressions, and name the folder that holds the clone by --data_dir or "
            "FER_JAX_DATA"
        ),
        find=lambda folder: _find(folder, image_shape),
        describe=lambda data: data.source,
    )
    data = places.load(recipe, data_dir)
    return _split(data, fold, split_by)


def split_examples(examples: Split, fold: int, split_by: str) -> dict[str, Split]:
    """'train', 'validation' and 'test' of all examples in the order of their files; `fold` and `split_by` of `load`."""
    persons = examples.extras["person"]
    if split_by == "person":
        fold_of = folds.person_folds(examples.labels, persons, FOLDS)
    else:
        fold_of = folds.image_folds(examples.labels, FOLDS)
    distance = (fold_of - fold) % FOLDS
    rows = {"test": distance == 0, "validation": distance == 1, "train": distance > 1}
    splits = {}
    for name in ("train", "validation", "test"):
        split = examples[rows[name]]
        splits[name] = split[folds.stratified_order(split.labels)]
    return splits


def _split(data: DataSet, fold: int, split_by: str) -> DataSet:
    splits = split_examples(data.splits["labelled"], fold, split_by)
    words = f"fold {fold} of {FOLDS} by {split_by}"
    if split_by == "image":
        seen = int(np.isin(splits["test"].extras["person"], splits["train"].extras["person"]).sum())
        words += f", where {seen:,} of {len(splits['test']):,} test images show a person who is also trained on"
        warn(f"config.data.split_by = 'image': {words.partition(', where ')[2]}, so scores say little about new faces")
    return replace(data, splits=splits, source=f"{data.source}, {words}")


def _find(folder: Path, image_shape: tuple[int, int, int]) -> places.Source | None:
    legend, images = folder / _LEGEND, folder / _IMAGES
    if not legend.is_file() and not images.is_dir():
        return None
    missing = [f"{part}" for part, there in ((_LEGEND, legend.is_file()), (_IMAGES, images.is_dir())) if not there]
    return places.Source(
        words=f"{folder}",
        files=(legend,) if legend.is_file() else (),
        read=lambda: _read(folder, image_shape),
        missing=" and ".join(missing),
        detail=repr((_VERSION, image_shape, _stamps(images))) if images.is_dir() else "",
    )


def _stamps(images: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change of every file: reading 250 MB to see that nothing changed would take longer."""
    try:
        with os.scandir(images) as entries:
            found = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
    except OSError as error:
        raise DataError(f"{images} cannot be read: {error.strerror}") from error
    return sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in found)


def _read(folder: Path, image_shape: tuple[int, int, int]) -> DataSet:
    """All images with one label, in the order of their names, in one split; says what is wrong with the files."""
    legend = _read_legend(folder / _LEGEND)
    there = {name for name, _, _ in _stamps(folder / _IMAGES)}
    if lacking := [name for name in legend.labels if name not in there]:
        raise DataError(
            f"{folder / _LEGEND} line {legend.lines[lacking[0]]}: there is no {folder / _IMAGES / lacking[0]} "
            f"({len(lacking)} images are missing): get the folder again"
        )
    names = sorted(name for name, labels in legend.labels.items() if len(labels) == 1)
    labels = np.array([next(iter(legend.labels[name])) for name in names], np.int32)
    for label, class_name in enumerate(CLASS_NAMES):
        if label not in labels:
            raise DataError(f"{folder / _LEGEND} has no example of '{class_name}': get it again")
    images = np.empty((len(names), *image_shape), np.uint8)
    digests = []
    for row, name in enumerate(tqdm(names, desc="reading facial_expressions", unit="image", leave=False, disable=None)):
        path = folder / _IMAGES / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
        images[row] = fit_image(content, image_shape, name=str(path))
        digests.append(hashlib.sha256(content).digest())
    written = [_person(name) for name in names]
    persons = folds.united(written, [re.sub(r"[\W_]", "", person).casefold() for person in written], digests)
    faults = _faults(legend, there, names, digests)
    for fault in faults:
        warn(f"{folder}: {fault}")
    facts = [f"{legend.rows:,} rows, {len(names):,} images of {len(set(persons)):,} persons", *faults]
    extras = {"file": np.array(names), "person": np.array(persons)}
    return DataSet(NAME, {"labelled": Split(images, labels, extras)}, CLASS_NAMES, source="; ".join(facts))


def _person(name: str) -> str:
    """The person of a file: 'George_W_Bush' of 'George_W_Bush_0001.jpg'.

    Pictures of an agency ('facial-expressions_2868588k') all become one person, as they may well show one.
    """
    return re.sub(r"_\d+k?$", "", Path(name).stem)


def _faults(legend: "_Legend", there: set[str], names: list[str], digests: list[bytes]) -> list[str]:
    """What is wrong with the files and what is done about it, a clause each."""
    contradicting = sorted(name for name, labels in legend.labels.items() if len(labels) > 1)
    repeated = sorted(name for name, count in legend.counts.items() if count > 1 and name not in contradicting)
    unlabelled = sorted(there - legend.labels.keys())
    same: dict[bytes, list[str]] = {}
    for name, digest in zip(names, digests, strict=True):
        same.setdefault(digest, []).append(name)
    twins = [" = ".join(group) for group in same.values() if len(group) > 1]
    faults = [
        ("images with several equal rows are taken once", repeated),
        ("images with rows that contradict each other are left out", contradicting),
        ("images without a row are left out", unlabelled),
        ("groups of identical images under several names are kept, each group as one person", twins),
    ]
    found = [f"{fault}: {len(names)} ({_some(names)})" for fault, names in faults if names]
    if legend.folded:
        found.insert(0, f"labels in upper case are taken in lower case: {legend.folded}")
    return found


def _some(names: list[str]) -> str:
    more = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join([*names[:_SHOWN], *more])


@dataclass(frozen=True)
class _Legend:
    """What `legend.csv` says.

    Attributes:
      rows: how many it has.
      labels: the different labels of each image.
      counts: the rows of each image.
      lines: where each image is named first.
      folded: labels that are not in lower case.
    """

    rows: int
    labels: Mapping[str, set[int]]
    counts: Mapping[str, int]
    lines: Mapping[str, int]
    folded: int


def _read_legend(path: Path) -> _Legend:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8 (byte {error.start}): get it again") from error
    labels: dict[str, set[int]] = {}
    counts: dict[str, int] = {}
    lines: dict[str, int] = {}
    folded = 0
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [column.strip() for column in next(reader, [])]
        for column in ("image", "emotion"):
            if column not in header:
                raise DataError(f"{path} has no column '{column}', only {', '.join(header) or 'nothing'}: get it again")
        for row in reader:
            if not row:
                continue
            where = f"{path} line {reader.line_num}"
            if len(row) != len(header):
                raise DataError(f"{where}: {len(row)} values under {len(header)} columns; get it again")
            image, emotion = (row[header.index(column)].strip() for column in ("image", "emotion"))
            if not image or image in (".", "..") or re.search(r"[/\\\0]", image):
                raise DataError(f"{where}: '{image}' is not the bare name of a file in {_IMAGES}/; correct it")
            if emotion.lower() not in CLASS_NAMES:
                raise DataError(f"{where}: unknown emotion '{emotion}'; {did_you_mean(emotion.lower(), CLASS_NAMES)}")
            folded += emotion != emotion.lower()
            labels.setdefault(image, set()).add(CLASS_NAMES.index(emotion.lower()))
            counts[image] = counts.get(image, 0) + 1
            lines.setdefault(image, reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num}: {error}; get it again") from error
    if not labels:
        raise DataError(f"{path} has no rows: get it again")
    return _Legend(sum(counts.values()), labels, counts, lines, folded)
