"""What the logits of a split are worth: numbers with their intervals, in float64 on the host."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from scipy.special import stdtrit

CALIBRATION_BINS = 15
NORMAL_QUANTILE = NormalDist().inv_cdf(0.975)
INTERVAL = "Wilson 95 % on the images"
"""What the intervals of `score` are: they tell how few images were counted, not how seeds differ."""


def score(logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """All scores of a state on some examples, as JSON takes them.

    Args:
      logits: [N, classes], N at least 1; the logarithms of probabilities do as well.
      labels: int [N].
      class_names: the name of each label.

    Returns:
      `examples`; `loss` (mean cross-entropy, nats); `accuracy` and the other shares, from 0 to 1; what is undefined
      (the precision of a class that is never predicted, the recall of one without an example) is None:
      - `accuracy_interval`: [low, high]; `interval` says what every interval here is.
      - `top2`: the label is among the two most probable classes.
      - `macro_f1`: see `macro_f1`.
      - `balanced_accuracy`: the mean recall of the classes that have an example.
      - `calibration_error`: see `calibration_error`.
      - `per_class`: by name: `precision`, `precision_interval`, `recall`, `recall_interval`, `f1`, `examples`.
      - `confusion`: counts; a row is a true class, a column a predicted one.
    """
    logits = np.asarray(logits, np.float64)
    counts = confusion(logits, labels)
    hits, true, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    recalls = hits[true > 0] / true[true > 0]
    two_best = np.argsort(-logits, axis=1, kind="stable")[:, :2]
    return {
        "examples": len(labels),
        "loss": mean_loss(logits, labels),
        "accuracy": accuracy(logits, labels),
        "accuracy_interval": list(wilson(int(hits.sum()), len(labels))),
        "interval": INTERVAL,
        "top2": float((two_best == np.asarray(labels)[:, None]).any(axis=1).mean()),
        "macro_f1": macro_f1(counts),
        "balanced_accuracy": float(recalls.mean()),
        "calibration_error": calibration_error(logits, labels),
        "per_class": {
            name: _class_scores(int(hits[index]), int(true[index]), int(predicted[index]))
            for index, name in enumerate(class_names)
        },
        "confusion": counts.tolist(),
    }


def _class_scores(hits: int, true: int, predicted: int) -> dict[str, Any]:
    return {
        "precision": hits / predicted if predicted else None,
        "precision_interval": list(wilson(hits, predicted)) if predicted else None,
        "recall": hits / true if true else None,
        "recall_interval": list(wilson(hits, true)) if true else None,
        "f1": 2 * hits / (true + predicted) if true + predicted else None,
        "examples": true,
    }


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """The logarithm of the softmax of logits [N, classes], in float64."""
    shifted = np.asarray(logits, np.float64)
    shifted = shifted - shifted.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def mean_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy in nats."""
    return float(-log_probabilities(logits)[np.arange(len(labels)), labels].mean())


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The share of examples whose label has the largest logit; among equals the first class is predicted."""
    return int((logits.argmax(axis=1) == labels).sum()) / len(labels)


def confusion(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """int64 [classes, classes]: how many examples of the row's class were taken for the column's."""
    classes = logits.shape[1]
    pairs = np.asarray(labels, np.int64) * classes + logits.argmax(axis=1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def macro_f1(counts: np.ndarray) -> float:
    """The mean F1 score of the classes in a confusion matrix that have an example or were predicted.

    A class that was predicted and has no example counts as 0, which is scikit-learn's convention.
    """
    both = counts.sum(axis=0) + counts.sum(axis=1)
    return float((2 * np.diag(counts)[both > 0] / both[both > 0]).mean())


def binned(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The predictions of logits [N, classes] by their probability, as `calibration_error` counts them.

    Returns:
      The probability of each prediction float64 [N], whether it is right bool [N], and the number of its bin int [N].
    """
    probability = np.exp(log_probabilities(logits).max(axis=1))
    bins = np.clip(np.ceil(probability * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    return probability, logits.argmax(axis=1) == labels, bins


def calibration_error(logits: np.ndarray, labels: np.ndarray) -> float:
    """The expected calibration error: how far the probability of the prediction is from the share that is right.

    Over 15 bins of equal width, each closed above: the mean of |accuracy - mean probability|, weighted by the bin's
    examples. (Guo, Pleiss, Sun and Weinberger 2017, "On Calibration of Modern Neural Networks", equation 3.)
    """
    probability, hit, bins = binned(logits, labels)
    gaps = np.bincount(bins, weights=hit - probability, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, `successes` of `n` (at least 1) independent trials.

    E. B. Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    Returns:
      (low, high), within 0 and 1.
    """
    square = NORMAL_QUANTILE**2
    centre = (successes + square / 2) / (n + square)
    half = NORMAL_QUANTILE / (n + square) * math.sqrt(successes * (n - successes) / n + square / 4)
    # At the ends the formula gives 0 and 1 up to a rounding.
    return centre - half if successes else 0.0, centre + half if successes < n else 1.0


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean of independent values, one a seed: mean and half-width, t * s / sqrt(n).

    Student 1908, "The probable error of a mean"; s is the standard deviation with n - 1.

    Raises:
      ValueError: fewer than two values have no interval.
    """
    n = len(values)
    if n < 2:
        raise ValueError(f"{n} value(s) have no interval: two or more are needed")
    mean = sum(values) / n
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    return mean, float(stdtrit(n - 1, 0.975)) * deviation / math.sqrt(n)
