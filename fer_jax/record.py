"""The record of a run: what `run.json` tells while it trains and afterwards, and an epoch's line in metrics.jsonl."""

from collections.abc import Mapping
from typing import Any

from fer_jax import provenance
from fer_jax.build import Run
from fer_jax.evaluate import Scores
from fer_jax.metrics import Progress, means

NOTHING_DONE = {"epoch": 0, "step": 0, "best": None, "last": None, "seconds_training": 0.0}
"""Where a run stands before its first step; a checkpoint holds the same keys for where it was saved."""


def begin_record(run: Run, earlier: Mapping[str, Any] | None) -> dict[str, Any]:
    """The record when a process starts; what an earlier process had counted goes on.

    Args:
      run: what is trained.
      earlier: the record of an earlier process in the same workdir.
    """
    earlier = earlier or {}
    summary, dataset = run.summary, run.dataset
    return {
        **provenance.environment(),
        "started": earlier.get("started", provenance.now()),
        "ended": None,
        "finished": False,
        "stand_in": bool(dataset.stand_in_for),
        "data": {
            "name": dataset.name,
            "source": dataset.source,
            "fingerprint": dataset.fingerprint,
            "stand_in_for": dataset.stand_in_for,
            "train_examples": len(run.splits.train),
        },
        "params": {"total": summary.total, "trainable": summary.trainable, "non_trainable": summary.non_trainable},
        "protocol": run.options.protocol,
        "selected_by": run.splits.watched_name,
        "test_reads": earlier.get("test_reads", 0),
        "seconds_compiling": earlier.get("seconds_compiling", 0.0),
        **{key: earlier.get(key, value) for key, value in NOTHING_DONE.items()},
    }


def standing(record: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the record that a checkpoint keeps, because a resume goes back to it."""
    return {key: record[key] for key in NOTHING_DONE}


def count_test_read(record: dict[str, Any], split: str) -> None:
    """Counts an evaluation of a state on `split`, if that is the test split."""
    record["test_reads"] += split == "test"


def prefix(run: Run) -> str:
    """What the watched split's numbers begin with: 'val' or 'test'."""
    return {"validation": "val", "test": "test"}[run.splits.watched_name]


def note_scores(record: dict[str, Any], run: Run, epoch: int, scores: Scores) -> bool:
    """Writes an epoch's scores into the record; whether they are the best so far (the earlier among equals)."""
    step = (epoch + 1) * run.steps_per_epoch
    record["last"] = {"epoch": epoch + 1, "step": step, **_named(run, scores)}
    record.update(epoch=epoch + 1, step=step)
    accuracy = f"{prefix(run)}_accuracy"
    is_best = record["best"] is None or scores.accuracy > record["best"][accuracy]
    if is_best:
        record["best"] = record["last"]
    return is_best


def epoch_line(run: Run, epoch: int, progress: Progress, scores: Scores, seconds: float, steps: int) -> dict[str, Any]:
    """An epoch's line in metrics.jsonl.

    Args:
      run: what is trained.
      epoch: counted from 0; the line counts from 1.
      progress: the sums of the whole epoch.
      scores: on the watched split.
      seconds: training took, in this process.
      steps: that this process trained of the epoch.
    """
    loss, accuracy = means(progress.metrics)
    images = min(steps * run.options.batch_size, len(run.splits.train))
    return {
        "epoch": epoch + 1,
        "step": (epoch + 1) * run.steps_per_epoch,
        "learning_rate": run.optimizer.learning_rate(epoch * run.steps_per_epoch),
        "train_loss": loss,
        "train_accuracy": accuracy,
        "seconds": round(seconds, 3),
        "images_per_second": round(images / seconds, 1),
        **_named(run, scores),
    }


def _named(run: Run, scores: Scores) -> dict[str, float]:
    return {f"{prefix(run)}_loss": scores.loss, f"{prefix(run)}_accuracy": scores.accuracy}
