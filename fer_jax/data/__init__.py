"""Data sets by name, and the splits that a protocol makes of one."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fer_jax.config import check_at_least, check_choice
from fer_jax.data import digits, facial_expressions, fer2013, folder, index_lists, mnist, synthetic_faces
from fer_jax.data.dataset import DataSet, Split
from fer_jax.data.download import UnavailableError
from fer_jax.data.fit_image import fit_image
from fer_jax.errors import ConfigError, DataError

__all__ = ["DataSet", "ProtocolSplits", "Split", "load", "protocol_splits"]

# Each takes those of `load`'s options that mean something to it, under the same names.
LOADERS: dict[str, Callable[..., DataSet]] = {
    "digits": digits.load,
    "facial_expressions": facial_expressions.load,
    "fer2013": fer2013.load,
    "folder": folder.load,
    "mnist": mnist.load,
    "synthetic_faces": synthetic_faces.load,
}
# Those that need neither files nor a network.
EMBEDDED = ("digits", "synthetic_faces")
PROTOCOLS = ("seed", "clean", "tune", "full")
WITH_VALIDATION = ("clean", "tune")
"""Those with a split that is neither trained on nor the test split."""
SEEN = "seen"
"""Of 'full': the images that are watched though they are trained on, which choose nothing."""


class ProtocolSplits(NamedTuple):
    """What a protocol trains on, watches and tests on.

    Attributes:
      train: the examples to train on.
      watched: the examples that are evaluated each epoch and choose the best checkpoint.
      watched_name: 'test', 'validation' or, where nothing is selected, 'seen'.
      test: the test examples; the same object as `watched` where that is the test split; None where the protocol
        never looks at them.
    """

    train: Split
    watched: Split
    watched_name: str
    test: Split | None

    @property
    def selects(self) -> bool:
        """Whether the watched examples choose the best checkpoint; else the last is what counts."""
        return self.watched_name != SEEN

    def by_name(self) -> dict[str, Split]:
        """The splits that there are under the protocol: 'train', what it watches, and 'test'."""
        found = {"train": self.train, self.watched_name: self.watched}
        return found if self.test is None else {**found, "test": self.test}


def load(
    *,
    name: str,
    fallback: str = "",
    limit: int = 0,
    fold: int = 0,
    split_by: str = "person",
    path: str = "",
    exclude: str = "",
    image_shape: tuple[int, int, int] | None = None,
    data_dir: str = "",
) -> DataSet:
    """Loads a data set into host memory.

    Args:
      name: 'mnist', 'fer2013', 'facial_expressions', 'folder', or an embedded data set: 'digits', 'synthetic_faces'.
      fallback: an embedded data set to use if `name` can be neither found nor downloaded; '' for none. A damaged data
        set is an error all the same.
      limit: how many examples of every split `protocol_splits` is to keep; 0 for all. Only checked here.
      fold: which fifth of 'facial_expressions' is the test split, 0..4.
      split_by: 'person' or 'image': what the folds of 'facial_expressions' keep together.
      path: the folder of pictures of 'folder'.
      exclude: a file of examples to leave out, as written by the audit; '' for none. From a fallback nothing is left
        out.
      image_shape: (height, width, channels) of the network: images of another size go through `fit_image`. None leaves
        them as the data set has them.
      data_dir: the one folder to look in; '' for the usual places, which are described in `places`. It makes no
        difference to a data set that is not looked for.

    Returns:
      The whole data set. If it is the fallback, `stand_in_for` is `name`, and `source` ends with the reason.

    Raises:
      ConfigError: if a name is unknown, the limit is negative, or an option says something that means nothing to the
        data set.
      DataError: if the data set is damaged, or cannot be had and there is no fallback; if the examples to exclude are
        not those of this data set, or leave nothing.
    """
    check_choice("config.data.name", name, LOADERS)
    if fallback:
        check_choice("config.data.fallback", fallback, EMBEDDED)
    check_at_least("config.data.limit", limit, 0)
    chosen = {"fold": fold, "split_by": split_by, "path": path}
    taken = inspect.signature(LOADERS[name]).parameters
    for option, value in chosen.items():
        if option not in taken and value != inspect.signature(load).parameters[option].default:
            raise ConfigError(
                f"config.data.{option} = {value!r} means nothing to config.data.name = '{name}': leave it out, or "
                "choose another data set"
            )
    options = {**chosen, "data_dir": data_dir} | ({"image_shape": image_shape} if image_shape else {})
    try:
        data = _load(name, options)
    except UnavailableError as error:
        if not fallback:
            raise
        stand_in = _load(fallback, options)
        return replace(stand_in, stand_in_for=name, source=f"{stand_in.source}, because {error}")
    return index_lists.exclude(data, exclude) if exclude else data


def _load(name: str, options: dict[str, Any]) -> DataSet:
    """Calls a loader with those of the options that it takes, and fits the images to the network if it has not."""
    taken = inspect.signature(LOADERS[name]).parameters
    data = LOADERS[name](**{option: value for option, value in options.items() if option in taken})
    return _fitted(data, options["image_shape"]) if "image_shape" in options else data


def _fitted(data: DataSet, image_shape: tuple[int, int, int]) -> DataSet:
    found = data.splits["train"].images.shape[1:]
    if found == image_shape:
        return data
    splits = {
        name: replace(split, images=np.stack([fit_image(image, image_shape) for image in split.images]))
        for name, split in data.splits.items()
    }
    source = f"{data.source}, scaled from {found[1]}x{found[0]} to {image_shape[1]}x{image_shape[0]} pixels"
    return replace(data, splits=splits, source=source)


def protocol_splits(data: DataSet, protocol: str, limit: int = 0) -> ProtocolSplits:
    """Splits a data set as a protocol asks.

    Args:
      data: a data set with at least 'train' and 'test'.
      protocol: 'seed' trains on all training examples and watches the test split. 'clean' watches the data set's own
        validation split or, where there is none, the last twelfth of the training examples, rounded down, which are
        then not trained on: 55,000/5,000 for MNIST. 'tune' does the same and has no test split.
        'full' trains on all training examples and watches the last twelfth of these: that tells whether a run is
        well and whether a checkpoint computes what it did, and chooses nothing.
      limit: keeps the first `limit` examples of each split, after splitting; 0 keeps all.

    Raises:
      ConfigError: if the protocol is unknown or the limit is negative.
      DataError: if a split is empty.
    """
    check_choice("config.protocol", protocol, PROTOCOLS)
    check_at_least("config.data.limit", limit, 0)
    keep = limit or None
    train = data.splits["train"]
    test = None if protocol == "tune" else data.splits["test"][:keep]
    if protocol == "seed" and test is not None:
        watched_name, watched = "test", test
    elif protocol == "full":
        train = train[:keep]
        watched_name, watched = SEEN, train[len(train) - max(1, len(train) // 12) :]
    elif "validation" in data.splits:
        watched_name, watched = "validation", data.splits["validation"][:keep]
    else:
        boundary = len(train) - len(train) // 12
        watched_name, watched = "validation", train[boundary:][:keep]
        train = train[:boundary]
    train = train[:keep]
    splits = ProtocolSplits(train, watched, watched_name, test)
    for name, split in splits.by_name().items():
        if not len(split):
            raise DataError(
                f"the {name} split of '{data.name}' is empty under config.protocol = '{protocol}' ({data.source}): "
                "use a larger data set"
            )
    return splits
