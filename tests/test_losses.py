"""Objectives against their formulas in NumPy, and the soft labels of FER+."""

import numpy as np
import pytest

from fer_jax import losses
from fer_jax.data.dataset import Split
from fer_jax.data.fer_plus import soft_labels
from fer_jax.errors import ConfigError

COUNTS = [60, 10, 30]
NAMES = ["cat", "dog", "fish"]
FER = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
LABELS = np.array([0, 1, 2, 1], np.int32)
LOGITS = np.random.RandomState(0).normal(size=(4, 3)).astype(np.float32) * 3


def objective(**options):
    return losses.create(**options, class_counts=COUNTS, class_names=NAMES)


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


PLAIN = -log_softmax(LOGITS)[np.arange(4), LABELS]


def test_by_default_it_is_plain_cross_entropy_to_the_bit():
    found = np.asarray(objective()(LOGITS, LABELS))
    assert (found == np.asarray(losses.cross_entropy(LOGITS, LABELS))).all()
    np.testing.assert_allclose(found, PLAIN, rtol=1e-5)


def test_smoothing_spreads_a_share_over_all_classes():
    found = objective(label_smoothing=0.3)(LOGITS, LABELS)
    np.testing.assert_allclose(found, 0.7 * PLAIN - 0.3 * log_softmax(LOGITS).mean(axis=1), rtol=1e-5)


def test_balanced_weights_are_inverse_to_a_class_and_one_on_average():
    weights = losses.balanced_weights(np.array(COUNTS, float), 1.0)
    np.testing.assert_allclose(weights, [100 / 180, 100 / 30, 100 / 90])
    found = objective(class_weights="balanced")(LOGITS, LABELS)
    np.testing.assert_allclose(found, weights[LABELS] * PLAIN, rtol=1e-5)
    half = losses.balanced_weights(np.array(COUNTS, float), 0.5)
    np.testing.assert_allclose(half / half[0], np.sqrt(weights / weights[0]))
    assert (half * COUNTS).sum() == pytest.approx(100)
    np.testing.assert_allclose(losses.balanced_weights(np.array(COUNTS, float), 0.0), 1)


def test_smoothing_does_not_weigh_the_classes_it_spreads_to():
    weights = losses.balanced_weights(np.array(COUNTS, float), 1.0)
    found = objective(class_weights="balanced", label_smoothing=0.3)(LOGITS, LABELS)
    expected = weights[LABELS] * (0.7 * PLAIN - 0.3 * log_softmax(LOGITS).mean(axis=1))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_logit_adjustment_adds_the_log_of_the_share_of_a_class():
    found = objective(logit_adjustment=1.5)(LOGITS, LABELS)
    adjusted = LOGITS + 1.5 * np.log([0.6, 0.1, 0.3])
    np.testing.assert_allclose(found, -log_softmax(adjusted)[np.arange(4), LABELS], rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{}, {"label_smoothing": 0.2}, {"class_weights": "balanced"}, {"logit_adjustment": 1.0, "label_smoothing": 0.1}],
    ids=str,
)
def test_a_mixture_costs_what_its_parts_cost(options):
    lowered = objective(**options)
    partner, weight = np.array([1, 2, 3, 0]), np.array([0.9, 0.5, 1.0, 0.75], np.float32)
    mixed = losses.mix(LABELS, partner, weight, LOGITS)
    expected = weight * lowered(LOGITS, LABELS) + (1 - weight) * lowered(LOGITS, LABELS[partner])
    np.testing.assert_allclose(lowered(LOGITS, mixed), expected, rtol=1e-5)


def test_shares_mix_as_labels_do():
    shares = np.eye(3, dtype=np.float32)[LABELS]
    partner, weight = np.array([1, 2, 3, 0]), np.array([0.9, 0.5, 1.0, 0.75], np.float32)
    one = losses.mix(LABELS, partner, weight, LOGITS)
    np.testing.assert_array_equal(one, losses.mix(shares, partner, weight, LOGITS))
    np.testing.assert_allclose(one[0], [0.9, 0.1, 0], rtol=1e-6)
    np.testing.assert_allclose(one[3], [0.25, 0.75, 0], rtol=1e-6)


def test_an_example_costs_the_same_in_any_batch():
    lowered = objective(label_smoothing=0.1, class_weights="balanced", logit_adjustment=1.0)
    whole = np.asarray(lowered(LOGITS, LABELS))
    for row in range(4):
        assert np.asarray(lowered(LOGITS[row : row + 1], LABELS[row : row + 1])) == pytest.approx(whole[row], rel=1e-6)


# neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown, not a face
VOTES = np.array(
    [
        [0, 0, 0, 0, 10, 0, 0, 0, 0, 0],
        [5, 0, 0, 3, 0, 0, 0, 1, 1, 0],
        [0, 1, 2, 0, 0, 3, 4, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 10],
        [0, 0, 0, 0, 0, 0, 0, 6, 4, 0],
    ],
    np.uint8,
)
OWN = np.array([6, 6, 6, 3, 5], np.int32)


def test_votes_become_shares_of_the_seven_emotions():
    found = soft_labels(VOTES, OWN, FER)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(
        found,
        [
            [1, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 3 / 8, 0, 5 / 8],
            [0, 0.3, 0.4, 0.1, 0, 0.2, 0],
            # Without a vote for one of the seven an example keeps its label.
            [0, 0, 0, 1, 0, 0, 0],
            [0, 0, 0, 0, 0, 1, 0],
        ],
        rtol=1e-6,
    )


def test_the_order_of_the_classes_is_that_of_their_names():
    found = soft_labels(VOTES[:1], OWN[:1], FER[::-1])
    assert found.tolist() == [[0, 0, 0, 0, 0, 0, 1]]


def test_soft_targets_follow_the_config():
    split = Split(np.zeros((5, 2, 2, 1), np.uint8), OWN, {"votes": VOTES})
    assert losses.soft_targets("labels", split, FER) is None
    np.testing.assert_array_equal(losses.soft_targets("fer_plus", split, FER), soft_labels(VOTES, OWN, FER))


def test_votes_for_other_classes_are_refused():
    split = Split(np.zeros((5, 2, 2, 1), np.uint8), OWN, {"votes": VOTES})
    with pytest.raises(ConfigError, match="FER2013's seven classes, not for cat, dog, fish"):
        losses.soft_targets("fer_plus", split, NAMES)


def test_soft_targets_need_votes():
    with pytest.raises(ConfigError, match=r"config\.loss\.targets = 'fer_plus' needs FER\+ votes"):
        losses.soft_targets("fer_plus", Split(np.zeros((5, 2, 2, 1), np.uint8), OWN), FER)


@pytest.mark.parametrize("options", [{"class_weights": "balanced"}, {"logit_adjustment": 1.0}], ids=str)
def test_a_class_without_an_example_is_told_by_its_name(options):
    key = next(iter(options))
    with pytest.raises(ConfigError, match=rf"config\.loss\.{key}.* has none of 'dog'"):
        losses.create(**options, class_counts=[5, 0, 3], class_names=NAMES)
    losses.create(label_smoothing=0.1, class_counts=[5, 0, 3], class_names=NAMES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_smoothing": 1.0}, r"config\.loss\.label_smoothing must be at least 0 and below 1, not 1\.0"),
        ({"label_smoothing": -0.1}, r"config\.loss\.label_smoothing must be at least 0"),
        ({"class_weights": "balance"}, r"config\.loss\.class_weights: .* did you mean 'balanced'\?"),
        ({"class_weights_exponent": -1.0}, r"config\.loss\.class_weights_exponent must be at least 0, not -1\.0"),
        ({"logit_adjustment": -1.0}, r"config\.loss\.logit_adjustment must be at least 0, not -1\.0"),
        ({"logit_adjustment": 1e300}, r"config\.loss\.logit_adjustment must be at most 100\.0"),
        ({"targets": "ferplus"}, r"config\.loss\.targets: .* did you mean 'fer_plus'\?"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_key(options, message):
    with pytest.raises(ConfigError, match=message):
        objective(**options)
