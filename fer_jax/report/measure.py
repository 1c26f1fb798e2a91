"""Measuring an opened run for a page: the logits of its split and what they are worth, checked and counted."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fer_jax import provenance
from fer_jax.data.subsets import subsets
from fer_jax.evaluate import SubsetScores, in_short, prepare, score_subsets, split_logits
from fer_jax.open_run import Opened
from fer_jax.record import count_test_read
from fer_jax.resume import verify_scores


class Measured(NamedTuple):
    """What one member of a run says of a split.

    Attributes:
      record: of the run, as that one's.
      logits: by view, float64 [N, classes].
      scores: by view and subset, as `scores.score` gives them; 'plain' and 'official' are there always.
    """

    record: dict[str, Any]
    logits: Mapping[str, np.ndarray]
    scores: Mapping[str, SubsetScores]


def measure(opened: Opened, place: int, views: Sequence[str]) -> Measured:
    """Evaluates a run on its split; a look at the test split is counted in run.json.

    Args:
      opened: the run.
      place: of the member, counted from 0.
      views: 'plain' first.

    Raises:
      CheckpointError: the scores are not those that were saved with the checkpoint.
      UserError: run.json cannot be written.
    """
    run, split, examples = opened.run, opened.split, opened.examples
    names, state = run.dataset.class_names, opened.restored.arrays["state"]
    prepared = prepare(examples, run.mesh, subsets(run.dataset, split, examples))
    logits_of_each = {view: run.members.unpack(split_logits(run.programs, state, prepared, view)) for view in views}
    if split == "test":
        # One member's scores are told, but those of all are checked.
        count_test_read(opened.record, split, len(run.members))
        provenance.write_json(opened.folder / provenance.FILE, opened.record)
    plain = [score_subsets(of_member, prepared, names) for of_member in logits_of_each["plain"]]
    verify_scores(opened.restored, list(map(in_short, plain)), split, len(examples))
    logits = {view: each[place] for view, each in logits_of_each.items()}
    found = {view: score_subsets(of_view, prepared, names) for view, of_view in logits.items()}
    return Measured(run.members.record_of(opened.record, place), logits, found)
