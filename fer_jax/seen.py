"""Whether a network has been trained on the images that a run is to be judged by."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fer_jax.build import Run
from fer_jax.data import SEEN, DataSet, Split, facial_expressions, protocol_splits
from fer_jax.data.facial_expressions import split_examples
from fer_jax.forms import misfit

_NUMBER = "number"
"""The extra that tells examples apart, in whatever split they are."""
_NEEDED = {
    **{"name": str, "fingerprint": str, "protocol": str, "limit": int, "fold": int, "split_by": str},
    "before": (None, dict),
}


class Seen(NamedTuple):
    """What a network has seen of the images that judge a run.

    Attributes:
      counts: by split, 'validation' or 'test': on how many of its images it was trained, where that is not 0.
      unknown: whether it may have been trained on others of them: on the same set, of which other examples were left
        out, or which was read otherwise, so that one cannot tell. Other sets count as not seen.
    """

    counts: dict[str, int]
    unknown: bool


def trained_on(config: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """What a network was trained on, for run.json of one that begins with it.

    Args:
      config: of its run, resolved.
      record: of its run.

    Returns:
      `name` and `fingerprint` of the data, `protocol`, `limit`, `fold`, `split_by`; `before`, the same of the network
      that it had begun with itself, None where there is none or it does not say.
    """
    knows = misfit(record, {"init_from": {"trained_on": dict}}) is None
    return {
        **{key: record["data"][key] for key in ("name", "fingerprint")},
        "protocol": config["protocol"],
        **{key: config["data"][key] for key in ("limit", "fold", "split_by")},
        "before": record["init_from"]["trained_on"] if knows else None,
    }


def seen_images(run: Run, trained: Mapping[str, Any]) -> Seen:
    """What a network, and those that it had begun with, has seen of the images that judge a run.

    Args:
      run: that is judged.
      trained: what the network was trained on, as `trained_on` has it.
    """
    counts: dict[str, int] = {}
    unknown = False
    one: Mapping[str, Any] | None = trained
    while one is not None and misfit(one, _NEEDED) is None:
        found = _seen_of(run, one)
        unknown |= found is None and _may_share(run, one)
        for split, count in (found or {}).items():
            counts[split] = max(count, counts.get(split, 0))
        one = one["before"]
    return Seen(counts, unknown)


def in_words(run: Run, seen: Mapping[str, int]) -> str:
    """{'validation': 5000} -> 'all of this run's 5,000 validation images'."""
    sizes = {name: len(split) for name, split in run.splits.by_name().items()}
    counts = {split: "all" if count == sizes[split] else f"{count:,}" for split, count in seen.items()}
    return " and ".join(f"{counts[split]} of this run's {sizes[split]:,} {split} images" for split in seen)


def _may_share(run: Run, trained: Mapping[str, Any]) -> bool:
    """Whether other data of the same name may have trained on what judges the run: what a run cuts out itself."""
    if trained["name"] != run.dataset.name:
        return False
    cut = run.splits.watched_name == "validation" and "validation" not in run.dataset.splits
    # A folder is another for everybody who has one.
    return run.dataset.name == facial_expressions.NAME or (cut and run.dataset.name != "folder")


def _seen_of(run: Run, trained: Mapping[str, Any]) -> dict[str, int] | None:
    """As `Seen.counts`; None if its data cannot be told to be the run's."""
    own = _numbered(run.dataset)
    theirs = _as_split_there(run.dataset, own, trained)
    if theirs is None:
        return None
    known = protocol_splits(theirs, trained["protocol"], trained["limit"]).train.extras[_NUMBER]
    sizes = {name: len(split) for name, split in run.splits.by_name().items()}
    judges = protocol_splits(own, run.options.protocol).by_name()
    # A limit keeps the first of a split.
    counts = {
        name: int(np.isin(judges[name].extras[_NUMBER][: sizes[name]], known).sum())
        for name in judges.keys() - {"train", SEEN}
    }
    return {name: counts[name] for name in sorted(counts, reverse=True) if counts[name]}


def _numbered(data: DataSet) -> DataSet:
    """The data set with a number at each example."""
    splits, first = {}, 0
    for name, split in data.splits.items():
        numbers = np.arange(first, first + len(split))
        splits[name] = replace(split, extras={**split.extras, _NUMBER: numbers})
        first += len(split)
    return replace(data, splits=splits)


def _as_split_there(data: DataSet, numbered: DataSet, trained: Mapping[str, Any]) -> DataSet | None:
    """The numbered data set, split as it was for another network; None if that had other data."""
    if trained["fingerprint"] == data.fingerprint:
        return numbered
    if trained["name"] != data.name or data.name != facial_expressions.NAME:
        return None
    # Each fold is a data set of its own, with a fingerprint of its own.
    examples = _joined(numbered)
    fold, split_by = trained["fold"], trained["split_by"]
    found = replace(data, splits=split_examples(examples, fold, split_by))
    plain = {name: replace(split, extras=_without_numbers(split)) for name, split in found.splits.items()}
    return found if replace(data, splits=plain).fingerprint == trained["fingerprint"] else None


def _joined(data: DataSet) -> Split:
    """All examples of facial_expressions as they are before they are split: by the names of their files."""
    parts = list(data.splits.values())
    extras = {key: np.concatenate([part.extras[key] for part in parts]) for key in parts[0].extras}
    images, labels = (np.concatenate([getattr(part, what) for part in parts]) for what in ("images", "labels"))
    return Split(images, labels, extras)[np.argsort(extras["file"])]


def _without_numbers(split: Split) -> dict[str, np.ndarray]:
    return {key: values for key, values in split.extras.items() if key != _NUMBER}
