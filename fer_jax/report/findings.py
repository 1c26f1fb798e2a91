"""What a report picks out of a split's logits: the most confident mistakes, and how sure it is against how right."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fer_jax.data.dataset import Split
from fer_jax.data.fer_plus import VOTES
from fer_jax.scores import CALIBRATION_BINS, binned, log_probabilities


class Mistake(NamedTuple):
    """An example that is classified wrongly.

    Attributes:
      image: uint8 [H, W, C].
      true: the name of its class.
      true_probability: that the network gives that class, 0 to 1.
      predicted: the name of the predicted class.
      probability: that the network gives that.
      known: where the image is from, and what FER+'s taggers said of it: short lines.
    """

    image: np.ndarray
    true: str
    true_probability: float
    predicted: str
    probability: float
    known: list[str]


def most_confident_mistakes(
    logits: np.ndarray, examples: Split, split: str, class_names: Sequence[str], most: int
) -> list[Mistake]:
    """At most `most` mistakes, by falling probability of the prediction; among equals the earlier example first.

    Args:
      logits: [N, classes].
      examples: N of them.
      split: their split's name.
      class_names: the name of each label.
      most: how many at most.
    """
    log_odds = log_probabilities(logits)
    wrong = np.flatnonzero(logits.argmax(axis=1) != examples.labels)
    mistakes = []
    for position in wrong[np.argsort(-log_odds[wrong].max(axis=1), kind="stable")][:most]:
        true, predicted = examples.labels[position], logits[position].argmax()
        probabilities = np.exp(log_odds[position])
        mistakes.append(
            Mistake(
                image=examples.images[position],
                true=class_names[true],
                true_probability=float(probabilities[true]),
                predicted=class_names[predicted],
                probability=float(probabilities[predicted]),
                known=_known(examples, position, split),
            )
        )
    return mistakes


def _known(examples: Split, position: int, split: str) -> list[str]:
    extras = examples.extras
    if "file" in extras:
        lines = [str(extras["file"][position])]
    elif "row" in extras:
        lines = [f"row {extras['row'][position]:,}"]
    else:
        lines = [f"{split} image {position:,}"]
    if "votes" in extras:
        votes = extras["votes"][position]
        said = VOTES[votes.argmax()].replace("NF", "not a face")
        lines.append(f"FER+: {said}, {votes.max()} of {votes.sum()}")
    return lines


class Reliability(NamedTuple):
    """The predictions by the bin of their probability; the bins divide 0..1 equally.

    Attributes:
      confidence: mean probability in each bin [B]; 0 where it is empty.
      accuracy: share that is right [B]; 0 where it is empty.
      examples: in each bin, int [B].
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    examples: np.ndarray


def reliability(logits: np.ndarray, labels: np.ndarray) -> Reliability:
    """Bins the predictions of logits [N, classes] for labels [N] as `scores.calibration_error` does."""
    probability, hit, bins = binned(logits, labels)
    examples = np.bincount(bins, minlength=CALIBRATION_BINS)
    divisor = np.maximum(examples, 1)
    return Reliability(
        np.bincount(bins, weights=probability, minlength=CALIBRATION_BINS) / divisor,
        np.bincount(bins, weights=hit, minlength=CALIBRATION_BINS) / divisor,
        examples,
    )
