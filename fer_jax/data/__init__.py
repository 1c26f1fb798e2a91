"""Data sets by name, and the splits that a protocol makes of one."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from fer_jax.config import check_at_least, check_choice
from fer_jax.data import digits, mnist
from fer_jax.data.dataset import DataSet, Split
from fer_jax.data.download import UnavailableError
from fer_jax.errors import DataError

__all__ = ["DataSet", "ProtocolSplits", "Split", "load", "protocol_splits"]

LOADERS: dict[str, Callable[[str], DataSet]] = {
    "digits": digits.load,
    "mnist": mnist.load,
}
# Those that need neither files nor a network.
EMBEDDED = ("digits",)
PROTOCOLS = ("seed", "clean")


class ProtocolSplits(NamedTuple):
    """What a protocol trains on, watches and tests on.

    Attributes:
      train: the examples to train on.
      watched: the examples that are evaluated each epoch and choose the best checkpoint.
      watched_name: 'test' or 'validation'.
      test: the test examples; the same object as `watched` where that is the test split.
    """

    train: Split
    watched: Split
    watched_name: str
    test: Split


def load(*, name: str, fallback: str = "", limit: int = 0, data_dir: str = "") -> DataSet:
    """Loads a data set into host memory.

    Args:
      name: 'mnist' or 'digits'.
      fallback: an embedded data set ('digits') to use if `name` can be neither found nor downloaded; '' for none. A
        damaged data set is an error all the same.
      limit: how many examples of every split `protocol_splits` is to keep; 0 for all. Only checked here.
      data_dir: the one folder to look in; '' for the usual places, which are described in the data set's module. It
        makes no difference to an embedded data set.

    Returns:
      The whole data set. If it is the fallback, `stand_in_for` is `name`, and `source` ends with the reason.

    Raises:
      ConfigError: if a name is unknown or the limit is negative.
      DataError: if the data set is damaged, or cannot be had and there is no fallback.
    """
    check_choice("config.data.name", name, LOADERS)
    if fallback:
        check_choice("config.data.fallback", fallback, EMBEDDED)
    check_at_least("config.data.limit", limit, 0)
    try:
        return LOADERS[name](data_dir)
    except UnavailableError as error:
        if not fallback:
            raise
        stand_in = LOADERS[fallback]("")
        return replace(stand_in, stand_in_for=name, source=f"{stand_in.source}, because {error}")


def protocol_splits(data: DataSet, protocol: str, limit: int = 0) -> ProtocolSplits:
    """Splits a data set as a protocol asks.

    Args:
      data: a data set with at least 'train' and 'test'.
      protocol: 'seed' trains on all training examples and watches the test split. 'clean' watches the data set's own
        validation split or, where there is none, the last twelfth of the training examples, rounded down, which are
        then not trained on: 55,000/5,000 for MNIST.
      limit: keeps the first `limit` examples of each split, after splitting; 0 keeps all.

    Raises:
      ConfigError: if the protocol is unknown or the limit is negative.
      DataError: if a split is empty.
    """
    check_choice("config.protocol", protocol, PROTOCOLS)
    check_at_least("config.data.limit", limit, 0)
    keep = limit or None
    train, test = data.splits["train"], data.splits["test"][:keep]
    if protocol == "seed":
        watched_name, watched = "test", test
    elif "validation" in data.splits:
        watched_name, watched = "validation", data.splits["validation"][:keep]
    else:
        boundary = len(train) - len(train) // 12
        watched_name, watched = "validation", train[boundary:][:keep]
        train = train[:boundary]
    train = train[:keep]
    for name, split in (("train", train), (watched_name, watched), ("test", test)):
        if not len(split):
            raise DataError(
                f"the {name} split of '{data.name}' is empty under config.protocol = '{protocol}' ({data.source}): "
                "use a larger data set"
            )
    return ProtocolSplits(train, watched, watched_name, test)
