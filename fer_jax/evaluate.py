"""Exact evaluation of a split: the logits of every example once, and what they are worth on the host in float64."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.special import logsumexp

from fer_jax import scores
from fer_jax.aligned import aligned
from fer_jax.data.dataset import Split
from fer_jax.data.pipeline import eval_order
from fer_jax.data.subsets import OFFICIAL, Subset
from fer_jax.members import Members
from fer_jax.programs import Programs
from fer_jax.sharding import Mesh, on_host, place, replicated, round_up, sharded_columns
from fer_jax.steps import Examples, TrainState

BATCH_SIZE = 128
"""Images at once in evaluation: it changes speed and memory only. Twice as many, and a CPU is a quarter slower."""

SubsetScores = Mapping[str, Mapping[str, Any]]
"""What `scores.score` gives for each subset of a split."""


class EvalSplit(NamedTuple):
    """A split as it lies on the devices.

    Attributes:
      examples: its images and labels.
      order: visits each of its examples once; see `data.pipeline`.
      subsets: how it is scored, 'official' first; see `data.subsets`.
    """

    examples: Examples
    order: jax.Array
    subsets: Mapping[str, Subset]


class Scores(NamedTuple):
    """What an epoch is watched by, over all examples of a split unless it says otherwise.

    Attributes:
      loss: mean cross-entropy, in nats.
      accuracy: from 0 to 1.
      macro_f1: mean F1 score of the classes, from 0 to 1.
      subsets: the accuracy on each subset of the split other than the official whole.
    """

    loss: float
    accuracy: float
    macro_f1: float
    subsets: Mapping[str, float]


def on_device(split: Split, mesh: Mesh, shares: np.ndarray | None = None) -> Examples:
    """The split's uint8 images, labels and, where given, shares, whole on every device of the mesh.

    The devices of a CPU share the images, with each other and where possible with the split.
    """
    images = aligned(split.images) if jax.default_backend() == "cpu" else split.images
    return Examples(*place((images, split.labels, shares), replicated(mesh)))


def prepare(split: Split, mesh: Mesh, subsets: Mapping[str, Subset] | None = None) -> EvalSplit:
    """Puts a split on the devices for evaluation; without `subsets` it is scored as a whole only."""
    order = eval_order(len(split), round_up(BATCH_SIZE, mesh))
    subsets = subsets or {OFFICIAL: Subset(np.ones(len(split), bool), split.labels)}
    return EvalSplit(on_device(split, mesh), place(order, sharded_columns(mesh)), subsets)


def split_logits(programs: Programs, state: TrainState, split: EvalSplit, view: str = "plain") -> np.ndarray:
    """The logits of a split's examples in their order, float64 [N, classes]; waits for the device.

    Of several members they are [members, N, classes].

    Args:
      programs: of the run.
      state: to be evaluated.
      split: on the devices.
      view: what is shown of each image (see `data.views`). With more than one copy these are the logarithms of the
        probabilities' mean over the copies, whose softmax is that mean.

    Raises:
      AssertionError: not every example was visited exactly once, which would be a fault of the programs.
    """
    order = on_host(split.order)
    found = programs.logits(state, split.examples, split.order, np.int32(len(order)), view)
    visited = np.asarray(on_host(found), np.float64)
    rows, expected = order.ravel(), len(split.examples.labels)
    holds = rows < expected
    times = np.bincount(rows[holds], minlength=expected)
    assert (times == 1).all(), f"counted {times.sum()} of {expected} examples, {(times > 0).sum()} different ones"
    *members, _, _, classes = visited.shape
    logits = np.empty((*members, expected, classes))
    logits[..., rows[holds], :] = visited.reshape(*members, -1, classes)[..., holds, :]
    return logits


def evaluate(programs: Programs, state: TrainState, split: EvalSplit) -> Scores | list[Scores]:
    """The `Scores` that an epoch is watched by, of several members a list of them; waits for the device."""
    logits = split_logits(programs, state, split)
    if logits.ndim == 2:
        return watched_scores(logits, split)
    return [watched_scores(own, split) for own in logits]


def watched_scores(logits: np.ndarray, split: EvalSplit) -> Scores:
    """The scores that an epoch is watched by, from the logits of a split's examples [N, classes]."""
    labels = split.subsets[OFFICIAL].labels
    return Scores(
        scores.mean_loss(logits, labels),
        scores.accuracy(logits, labels),
        scores.macro_f1(scores.confusion(logits, labels)),
        {
            name: scores.accuracy(logits[subset.mask], subset.labels[subset.mask])
            for name, subset in split.subsets.items()
            if name != OFFICIAL
        },
    )


def full_scores_of_each(
    members: Members,
    programs: Programs,
    state: TrainState,
    split: EvalSplit,
    class_names: Sequence[str],
    views: Sequence[str],
) -> Iterator[tuple[str, list[SubsetScores]]]:
    """All scores of each member's state on a split, one view after the other: (view, their scores)."""
    for view in views:
        each = members.unpack(split_logits(programs, state, split, view))
        yield view, [score_subsets(logits, split, class_names) for logits in each]


def ensemble_logits(each: Sequence[np.ndarray]) -> np.ndarray:
    """Of members' logits, each [N, classes], the logarithms of the mean of their probabilities."""
    return logsumexp([scores.log_probabilities(logits) for logits in each], axis=0) - np.log(len(each))


def score_subsets(logits: np.ndarray, split: EvalSplit, class_names: Sequence[str]) -> SubsetScores:
    """The full scores of each subset of a split, from the logits of its examples [N, classes]."""
    return {
        name: scores.score(logits[subset.mask], subset.labels[subset.mask], class_names)
        for name, subset in split.subsets.items()
    }


def in_short(found: SubsetScores) -> Scores:
    """The part of full scores that `evaluate` gives, with the same bits."""
    official = found[OFFICIAL]
    others = {name: score["accuracy"] for name, score in found.items() if name != OFFICIAL}
    return Scores(official["loss"], official["accuracy"], official["macro_f1"], others)
