"""The full scores of a finished run: the selected and the last state, on the watched split and on the test split."""

from collections.abc import Callable
from typing import Any

from fer_jax.build import Run
from fer_jax.checkpoint import Checkpoints
from fer_jax.data.subsets import subsets
from fer_jax.data.views import views_up_to
from fer_jax.evaluate import EvalSplit, full_scores, in_short, prepare
from fer_jax.record import count_test_read, note_test
from fer_jax.resume import template, verify_logits, verify_scores


def prepare_split(run: Run, name: str) -> EvalSplit:
    """The watched or the test split on the devices, with the subsets in which it is scored."""
    split = run.splits.by_name()[name]
    return prepare(split, run.mesh, subsets(run.dataset, name, split))


def score_states(run: Run, checkpoints: Checkpoints, record: dict[str, Any], stop_if_asked: Callable[[], None]) -> None:
    """Writes `record['scores'][which][split][view][subset]`, of `which` in 'best' and 'last'.

    Under the clean protocol this is the one look at the test split. A state's look counts as one read: its views and
    subsets are scored together, and nothing is chosen by them.

    Args:
      run: whose training has ended.
      checkpoints: of the run.
      record: of the run.
      stop_if_asked: called after each pass over a split.

    Raises:
      CheckpointError: a state does not compute what it did when it was saved.
    """
    watched = run.splits.watched_name
    splits = {name: prepare_split(run, name) for name in dict.fromkeys((watched, "test"))}
    record["scores"] = {}
    for which in ("last", "best"):
        if which == "best" and record["best"]["step"] == record["last"]["step"]:
            record["best"], record["scores"]["best"] = record["last"], record["scores"]["last"]
            continue
        restored = checkpoints.restore(record[which]["step"], template(run))
        verify_logits(run, restored)
        found: dict[str, dict[str, Any]] = {name: {} for name in splits}
        for name, split in splits.items():
            count_test_read(record, name)
            views = full_scores(
                run.programs,
                restored.arrays["state"],
                split,
                run.dataset.class_names,
                views_up_to(run.options.tta),
            )
            for view, scores in views:
                found[name][view] = scores
                stop_if_asked()
        verify_scores(restored, in_short(found[watched]["plain"]), watched, len(run.splits.watched))
        record["scores"][which] = found
        if run.options.protocol == "clean":
            note_test(record, which, found["test"]["plain"])
