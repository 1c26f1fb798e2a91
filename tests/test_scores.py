"""Scores against numbers worked out by hand, scikit-learn and SciPy."""

import json

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from fer_jax import scores
from fer_jax.score_table import format_classes, format_scores, has_parts

NAMES = ("cat", "dog", "owl")
# Predictions 0 0 1 1 2 0; right in places 0, 2 and 4.
LOGITS = np.log([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.6, 0.1, 0.3]])
LABELS = np.array([0, 1, 1, 2, 2, 1])


def drawn(seed=0, n=500, classes=7):
    """Logits that are right about half of the time, and labels of which some classes have few."""
    rng = np.random.RandomState(seed)
    labels = rng.choice(classes, n, p=np.arange(1, classes + 1) / (classes * (classes + 1) / 2))
    return rng.normal(0, 1, (n, classes)) + 1.5 * np.eye(classes)[labels], labels


def test_by_hand():
    found = scores.score(LOGITS, LABELS, NAMES)
    assert found["examples"] == 6
    assert found["accuracy"] == 0.5
    assert found["loss"] == pytest.approx(-np.log([0.7, 0.4, 0.8, 0.3, 0.8, 0.1]).mean(), rel=1e-12)
    assert found["top2"] == 5 / 6
    assert found["confusion"] == [[1, 0, 0], [2, 1, 0], [0, 1, 1]]
    assert found["balanced_accuracy"] == pytest.approx((1 + 1 / 3 + 1 / 2) / 3)
    assert found["macro_f1"] == pytest.approx((2 / 4 + 2 / 5 + 2 / 3) / 3)
    dog = found["per_class"]["dog"]
    assert (dog["precision"], dog["recall"], dog["f1"], dog["examples"]) == (1 / 2, 1 / 3, 2 / 5, 3)
    assert dog["recall_interval"] == pytest.approx([0.0615, 0.7923], abs=5e-5)
    assert found["interval"] == "Wilson 95 % on the images"


def test_the_calibration_error_by_hand():
    # Bins of 1/15: 0.5 and 0.5 together (both wrong); 0.6 wrong; 0.7 right; 0.8 and 0.8 together (both right).
    assert scores.calibration_error(LOGITS, LABELS) == pytest.approx((1.0 + 0.6 + 0.3 + 0.4) / 6, rel=1e-9)
    sure = np.array([[40.0, 0.0], [0.0, 40.0]])
    assert scores.calibration_error(sure, np.array([0, 1])) == pytest.approx(0, abs=1e-12)
    assert scores.calibration_error(sure, np.array([1, 0])) == pytest.approx(1, abs=1e-12)


def test_a_bin_is_closed_above():
    # Probabilities 0.6 = 9/15 and 0.62 lie in two bins, so their faults do not cancel.
    logits = np.log([[0.6 - 1e-12, 0.4 + 1e-12], [0.62, 0.38]])
    assert scores.calibration_error(logits, np.array([0, 1])) == pytest.approx((0.4 + 0.62) / 2)
    logits = np.log([[0.61, 0.39], [0.62, 0.38]])
    assert scores.calibration_error(logits, np.array([0, 1])) == pytest.approx(abs(0.39 - 0.62) / 2)


@pytest.mark.parametrize("seed", range(3))
def test_as_scikit_learn(seed):
    logits, labels = drawn(seed)
    found, predicted = scores.score(logits, labels, "abcdefg"), logits.argmax(axis=1)
    assert 0.3 < found["accuracy"] < 0.8
    assert found["accuracy"] == sk.accuracy_score(labels, predicted)
    assert found["loss"] == pytest.approx(sk.log_loss(labels, np.exp(scores.log_probabilities(logits))), rel=1e-12)
    assert found["top2"] == sk.top_k_accuracy_score(labels, logits, k=2)
    assert found["macro_f1"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"), rel=1e-12)
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, predicted), rel=1e-12)
    assert found["confusion"] == sk.confusion_matrix(labels, predicted).tolist()
    precision, recall, f1, support = sk.precision_recall_fscore_support(labels, predicted)
    for index, name in enumerate("abcdefg"):
        of_class = found["per_class"][name]
        assert of_class["precision"] == pytest.approx(precision[index], rel=1e-12)
        assert of_class["recall"] == pytest.approx(recall[index], rel=1e-12)
        assert of_class["f1"] == pytest.approx(f1[index], rel=1e-12)
        assert of_class["examples"] == support[index]


def test_a_class_without_an_example_or_a_prediction_is_undefined_and_json():
    logits, labels = LOGITS[[0, 1]], np.array([0, 1])
    found = scores.score(logits, labels, NAMES)
    dog, owl = found["per_class"]["dog"], found["per_class"]["owl"]
    assert dog["precision"] is None and dog["precision_interval"] is None and dog["recall"] == 0 and dog["f1"] == 0
    assert owl["recall"] is None and owl["recall_interval"] is None and owl["f1"] is None and owl["examples"] == 0
    # Owl is neither: it counts in no mean.
    assert found["macro_f1"] == pytest.approx(sk.f1_score(labels, [0, 0], average="macro"))
    assert found["balanced_accuracy"] == 0.5
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    # Predicted and without an example: F1 is 0 and counts, as in scikit-learn; recall does not.
    found = scores.score(LOGITS[[0, 4]], np.array([0, 0]), NAMES)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0) / 2) and found["balanced_accuracy"] == 0.5


def test_large_logits_do_not_overflow():
    logits = np.array([[1e4, 0.0], [0.0, 1e4]])
    assert scores.mean_loss(logits, np.array([0, 0])) == 5e3
    assert np.isnan(scores.mean_loss(np.array([[np.nan, 0.0]]), np.array([0])))


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 10), (3, 10), (50, 100), (2371, 3589), (3589, 3589)])
def test_wilson_as_scipy(successes, n):
    expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert scores.wilson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)
    low, high = scores.wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1 and low < high


def test_the_interval_over_seeds():
    values = [0.661, 0.655, 0.668]
    mean, half = scores.t_interval(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx((low, high), rel=1e-9)
    with pytest.raises(ValueError, match="two or more"):
        scores.t_interval([0.5])


def test_the_tables_show_every_score_with_its_interval():
    found = scores.score(LOGITS, LABELS, NAMES)
    part = scores.score(LOGITS[:2], LABELS[:2], NAMES)
    states = {"selected": {"plain": {"official": found, "twin_free": part}, "flip": {"official": found}}}
    lines = format_scores("test", states).splitlines()
    assert lines[0] == "Test split in per cent; [ ]: Wilson 95 % on the images"
    assert lines[1].split() == [
        *("view", "images", "n", "accuracy", "macro-F1", "balanced", "top-2", "calibration", "error"),
    ]
    assert lines[2].split() == [
        *("selected", "plain", "official", "6", "50.00", "[18.76,", "81.24]", "52.22", "61.11", "83.33", "38.33"),
    ]
    assert lines[3].split()[:4] == ["selected", "plain", "twin-free", "2"]
    assert lines[4].split()[:4] == ["selected", "flip", "official", "6"]
    lines = format_classes("test", "selected state", {"official": part}).splitlines()
    assert "by class, selected state, in per cent; [ ]: Wilson 95 % on the images" in lines[0]
    assert lines[3].split() == ["official", "dog", "1", "-", "0.00", "[0.00,", "79.35]", "0.00"]
    assert lines[4].split() == ["official", "owl", "0", "-", "-", "-"]


def test_one_view_of_a_whole_split_has_no_parts():
    assert not has_parts({"plain": {"official": {}}})
    assert has_parts({"plain": {"official": {}, "fer_plus": {}}})
    assert has_parts({"plain": {"official": {}}, "flip": {"official": {}}})
