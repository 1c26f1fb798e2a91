"""What a network has seen of the images that judge a run."""

from types import SimpleNamespace

import numpy as np
import pytest

from fer_jax.data import DataSet, Split, digits, protocol_splits
from fer_jax.data.facial_expressions import split_examples
from fer_jax.seen import Seen, in_words, seen_images, trained_on

DIGITS = digits.load()


def run_on(data, protocol, limit=0):
    """What is asked of a run."""
    return SimpleNamespace(
        dataset=data, options=SimpleNamespace(protocol=protocol), splits=protocol_splits(data, protocol, limit)
    )


def trained(data, protocol, limit=0, before=None, **where):
    where = {"fold": 0, "split_by": "person", **where}
    known = {"name": data.name, "fingerprint": data.fingerprint, "protocol": protocol, "limit": limit}
    return {**known, **where, "before": before}


@pytest.mark.parametrize(
    ("own", "limit", "theirs", "their_limit", "count"),
    [
        # The last twelfth of 1,437 are 119.
        ("clean", 0, "seed", 0, 119),
        ("tune", 0, "full", 0, 119),
        ("clean", 50, "seed", 0, 50),
        ("clean", 0, "seed", 1330, 12),
        ("clean", 0, "seed", 1318, 0),
        ("clean", 0, "clean", 0, 0),
        ("tune", 30, "clean", 0, 0),
        ("seed", 0, "seed", 0, 0),
        ("seed", 0, "full", 0, 0),
        ("full", 0, "seed", 0, 0),
    ],
)
def test_what_was_cut_out_for_validation_is_counted_to_the_image(own, limit, theirs, their_limit, count):
    run = run_on(DIGITS, own, limit)
    found = seen_images(run, trained(DIGITS, theirs, their_limit))
    assert found == Seen({"validation": count} if count else {}, False)
    if count:
        size = limit or 119
        assert in_words(run, found.counts) == (
            f"{'all' if count == size else count} of this run's {size} validation images"
        )


def test_what_it_had_begun_with_counts_too():
    run = run_on(DIGITS, "clean")
    first = trained(DIGITS, "seed")
    other = trained(DIGITS, "seed", before=first) | {"name": "folder", "fingerprint": "x"}
    assert seen_images(run, other).counts == {"validation": 119}
    assert seen_images(run, {**other, "before": {"name": "digits"}}) == Seen({}, False)
    config = {"protocol": "clean", "data": {"limit": 0, "fold": 0, "split_by": "person"}}
    record = {"data": {"name": "digits", "fingerprint": DIGITS.fingerprint}, "init_from": {"trained_on": first}}
    assert trained_on(config, record) == trained(DIGITS, "clean", before=first)
    for damaged in (None, [], {"trained_on": 3}):
        assert trained_on(config, {**record, "init_from": damaged})["before"] is None


def test_other_data_are_not_judged_and_other_examples_of_the_same_set_are_unknown():
    fewer = DataSet("digits", {**DIGITS.splits, "train": DIGITS.splits["train"][1:]}, DIGITS.class_names, "")
    assert seen_images(run_on(fewer, "clean"), trained(DIGITS, "seed")) == Seen({}, True)
    assert seen_images(run_on(fewer, "seed"), trained(DIGITS, "seed")) == Seen({}, False)
    assert seen_images(run_on(fewer, "clean"), trained(DIGITS, "seed") | {"name": "mnist"}) == Seen({}, False)
    folder = DataSet("folder", fewer.splits, DIGITS.class_names, "")
    assert seen_images(run_on(folder, "clean"), trained(DIGITS, "seed") | {"name": "folder"}) == Seen({}, False)


def of_fold(fold, split_by="person"):
    random = np.random.RandomState(0)
    files = np.array([f"{place:03}.jpg" for place in range(200)])
    extras = {"file": files, "person": np.array([f"p{place}" for place in random.randint(0, 60, 200)])}
    images = random.randint(0, 256, (200, 4, 4, 1)).astype(np.uint8)
    examples = Split(images, np.arange(200, dtype=np.int32) % 3, extras)
    return DataSet("facial_expressions", split_examples(examples, fold, split_by), ("a", "b", "c"), "")


@pytest.mark.parametrize(("fold", "split_by"), [(0, "person"), (1, "person"), (4, "person"), (0, "image")])
def test_of_another_fold_each_image_is_known_by_its_file(fold, split_by):
    ours, theirs = of_fold(0), of_fold(fold, split_by)
    files = {name: set(split.extras["file"]) for name, split in ours.splits.items()}
    known = set(theirs.splits["train"].extras["file"])
    expected = {name: len(files[name] & known) for name in ("validation", "test") if files[name] & known}
    assert bool(expected) == ((fold, split_by) != (0, "person"))
    found = seen_images(run_on(ours, "clean"), trained(theirs, "clean", fold=fold, split_by=split_by))
    assert found == Seen(expected, False)
    assert seen_images(run_on(ours, "clean"), trained(ours, "clean") | {"fingerprint": "x"}) == Seen({}, True)
