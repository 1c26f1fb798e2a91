"""Which examples count, and under which label: twins of training images, and FER+'s majority."""

import numpy as np

from fer_jax import data
from fer_jax.data.dataset import DataSet, Split
from fer_jax.data.subsets import fer_plus_majority, subsets, twin_free


def images(*values):
    """Images of 2x2 pixels, each of one value."""
    return np.full((len(values), 2, 2, 1), 0, np.uint8) + np.array(values, np.uint8).reshape(-1, 1, 1, 1)


def split(*values, **extras):
    return Split(images(*values), np.arange(len(values), dtype=np.int32) % 7, extras)


def dataset(train, test, name="other", **more):
    names = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    return DataSet(name, {"train": train, "test": test, **more}, names, "drawn")


def test_a_twin_is_equal_in_every_pixel_whatever_its_label():
    test = split(1, 2, 3, 9)
    one_off = images(3)
    one_off[0, 1, 1, 0] += 1
    train = Split(np.concatenate([images(7, 2, 9), one_off]), np.zeros(4, np.int32))
    assert twin_free(test, train).tolist() == [True, False, True, False]
    assert twin_free(test, split()).all()


def test_the_label_of_the_majority():
    votes = np.zeros((12, 10), np.uint8)
    for row in range(7):
        votes[row, row] = 6
        votes[row, 9] = 4
    votes[7, [0, 1]] = 5  # a tie
    votes[8, 7] = 10  # contempt
    votes[9, 9] = 10  # not a face
    votes[10, [0, 1, 2, 3, 8]] = 2
    votes[11, 3] = 10
    labels, mask = fer_plus_majority(votes)
    # Neutral, happiness, surprise, sadness, anger, disgust, fear in FER2013's order.
    assert labels.tolist() == [6, 3, 5, 4, 0, 1, 2, -1, -1, -1, -1, 4]
    assert mask.tolist() == [True] * 7 + [False] * 4 + [True]
    assert labels.dtype == np.int32 and mask.dtype == bool


def test_a_set_without_twins_or_votes_is_scored_as_a_whole():
    found = subsets(dataset(split(1, 2), split(3, 4)), "test")
    assert list(found) == ["official"]
    mask, labels = found["official"]
    assert mask.all() and labels.tolist() == [0, 1]


def test_a_set_with_twins_is_scored_without_them_too():
    faces = dataset(split(1, 2), split(3, 2, 5))
    found = subsets(faces, "test")
    assert list(found) == ["official", "twin_free"]
    assert found["twin_free"].mask.tolist() == [True, False, True]
    assert list(subsets(faces, "train")) == ["official"]


def test_fer2013_is_always_scored_without_twins_and_by_votes_where_it_has_them():
    votes = np.zeros((2, 10), np.uint8)
    votes[:, 0] = (10, 5)
    found = subsets(dataset(split(1, 2), split(3, 4, votes=votes), "fer2013"), "test")
    assert list(found) == ["official", "twin_free", "fer_plus"]
    assert found["fer_plus"].mask.tolist() == [True, False] and found["fer_plus"].labels[0] == 6
    assert list(subsets(dataset(split(1, 2), split(3, 4), "fer2013"), "test")) == ["official", "twin_free"]


def test_twins_are_looked_for_in_the_whole_training_split_whatever_is_scored():
    faces = dataset(split(1, 2, 3, 4), split(4, 5, 6), validation=split(3, 8))
    assert subsets(faces, "test", faces.splits["test"][:2])["twin_free"].mask.tolist() == [False, True]
    assert subsets(faces, "validation")["twin_free"].mask.tolist() == [False, True]


def test_a_validation_split_cut_off_the_training_split_is_no_twin_of_itself():
    faces = dataset(split(1, 2, 3, 4), split(5, 6), "fer2013")
    assert list(subsets(faces, "validation", faces.splits["train"][3:])) == ["official"]


def test_a_subset_without_an_example_is_left_out():
    votes = np.zeros((2, 10), np.uint8)
    found = subsets(dataset(split(1, 2), split(1, 2, votes=votes), "fer2013"), "test")
    assert list(found) == ["official"]


def test_the_counts_of_fer2013(real_fer2013):
    real = data.load(name="fer2013", data_dir=str(real_fer2013))
    expected = {"validation": (3_589, 3_309, 2_854), "test": (3_589, 3_301, 2_720)}
    for name, counts in expected.items():
        found = subsets(real, name)
        assert {key: int(subset.mask.sum()) for key, subset in found.items()} == dict(
            zip(("official", "twin_free", "fer_plus"), counts, strict=True)
        )
        # Most labels agree, which a wrong order of the emotions would not give.
        mask, labels = found["fer_plus"]
        assert 0.65 < (labels[mask] == real.splits[name].labels[mask]).mean() < 0.75
