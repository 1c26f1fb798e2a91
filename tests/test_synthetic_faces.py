"""The drawn faces: the same every time, of seven classes that can be told apart, and only by what is drawn."""

import numpy as np
import pytest

from fer_jax import data
from fer_jax.data import synthetic_faces

FER2013_CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces.load()


def features(images: np.ndarray) -> np.ndarray:
    """Pixels at half the size, each image with mean 0 and deviation 1: [N, 576]."""
    pixels = images[..., 0].astype(np.float64)
    pixels -= pixels.mean((1, 2), keepdims=True)
    pixels /= pixels.std((1, 2), keepdims=True)
    return pixels.reshape(len(pixels), 24, 2, 24, 2).mean((2, 4)).reshape(len(pixels), -1)


def linear_accuracy(train, train_labels: np.ndarray, test) -> float:
    """Of a ridge regression onto the classes, which is learnt in a tenth of a second."""
    x = np.c_[features(train.images), np.ones(len(train))]
    weights = np.linalg.solve(x.T @ x + 100 * np.eye(x.shape[1]), x.T @ np.eye(7)[train_labels])
    scores = np.c_[features(test.images), np.ones(len(test))] @ weights
    return float((scores.argmax(1) == test.labels).mean())


def test_splits(faces):
    assert faces.name == "synthetic_faces" and faces.class_names == FER2013_CLASSES
    sizes = {name: len(split) for name, split in faces.splits.items()}
    assert sizes == {"train": 2000, "validation": 400, "test": 400}
    for split in faces.splits.values():
        assert split.images.shape == (len(split), 48, 48, 1) and split.images.dtype == np.uint8
        assert split.labels.shape == (len(split),) and split.labels.dtype == np.int32
        assert np.bincount(split.labels, minlength=7).min() > len(split) / 10
    every = np.concatenate([split.images for split in faces.splits.values()])
    assert len({image.tobytes() for image in every}) == 2800
    assert 60 < every.mean() < 195 and every.std((1, 2, 3)).min() > 5


def test_drawn_again_they_are_the_same(faces):
    again = data.load(name="synthetic_faces", data_dir="/nowhere")
    assert again.fingerprint == faces.fingerprint
    labels = np.arange(30) % 7
    one, other = (synthetic_faces.draw(labels, np.random.RandomState(seed)) for seed in (3, 4))
    np.testing.assert_array_equal(one, synthetic_faces.draw(labels, np.random.RandomState(3)))
    assert (one != other).any((1, 2, 3)).all()


def test_the_expression_shows_in_the_face_only():
    """Two labels, all else equal: brows, eyes, nose and mouth differ, and the ground does not."""
    drawn = [synthetic_faces.draw(np.full(20, label), np.random.RandomState(0))[..., 0].astype(int) for label in (3, 4)]
    changed = np.abs(drawn[0] - drawn[1]) > 0
    assert changed[:, 12:42, 8:40].mean() > 0.02
    assert not changed[:, :4].any() and not changed[:, :, :3].any() and not changed[:, :, -3:].any()


def test_a_linear_model_learns_them_and_shuffled_labels_teach_nothing(faces):
    train, test = faces.splits["train"], faces.splits["test"]
    assert linear_accuracy(train, train.labels, test) > 0.65
    shuffled = np.random.RandomState(0).permutation(train.labels)
    assert linear_accuracy(train, shuffled, test) < 0.3


def test_every_class_is_told_from_every_other(faces):
    train, test = faces.splits["train"], faces.splits["test"]
    for one in range(7):
        for other in range(one):
            parts = [split[np.isin(split.labels, (one, other))] for split in (train, test)]
            assert linear_accuracy(parts[0], parts[0].labels, parts[1]) > 0.7, (one, other)


def test_mean_brightness_gives_no_class_away(faces):
    train = faces.splits["train"]
    means = train.images.mean((1, 2, 3))
    by_class = [means[train.labels == label] for label in range(7)]
    spread = np.std(means)
    assert max(abs(part.mean() - means.mean()) for part in by_class) < 0.25 * spread
