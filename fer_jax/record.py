"""The record of a run: what `run.json` tells while it trains and afterwards, and an epoch's line in metrics.jsonl."""

from collections.abc import Mapping
from typing import Any

from fer_jax import provenance
from fer_jax.build import Run
from fer_jax.data.subsets import OFFICIAL
from fer_jax.evaluate import Scores
from fer_jax.metrics import Progress, means

NOTHING_DONE: dict[str, Any] = {
    "epoch": 0,
    "step": 0,
    "best": None,
    "last": None,
    "rate_reduced_after": [],
    "seconds_training": 0.0,
}
"""Where a run stands before its first step; a checkpoint holds the same keys for where it was saved.

`rate_reduced_after` lists the epochs after which the schedule 'plateau' reduced the learning rate.
"""


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
            "targets": run.targets,
        },
        "params": {"total": summary.total, "trainable": summary.trainable, "non_trainable": summary.non_trainable},
        "protocol": run.options.protocol,
        "selected_by": run.splits.watched_name,
        "select_by": run.options.select_by,
        "test_reads": earlier.get("test_reads", 0),
        "seconds_compiling": earlier.get("seconds_compiling", 0.0),
        **{key: earlier.get(key, value) for key, value in NOTHING_DONE.items()},
    }


def standing(record: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the record that a checkpoint keeps, because a resume goes back to it."""
    return {key: record[key] for key in NOTHING_DONE}


def count_test_read(record: dict[str, Any], split: str) -> None:
    """Counts an evaluation of a state on `split`, if that is the test split: once, whatever the views and subsets."""
    record["test_reads"] += split == "test"


def note_test(record: dict[str, Any], which: str, subsets: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes a state's plain scores on the test split beside those on the watched one."""
    official = subsets[OFFICIAL]
    record[which] = {**record[which], "test_loss": official["loss"], "test_accuracy": official["accuracy"]}
    for name, found in subsets.items():
        if name != OFFICIAL:
            record[which][f"test_accuracy_{name}"] = found["accuracy"]


def prefix(run: Run) -> str:
    """What the watched split's numbers begin with: 'val' or 'test'."""
    return {"validation": "val", "test": "test"}[run.splits.watched_name]


def note_scores(record: dict[str, Any], run: Run, epoch: int, scores: Scores) -> bool:
    """Writes an epoch's scores into the record; whether they are the best so far (the earlier among equals)."""
    step = (epoch + 1) * run.steps_per_epoch
    record["last"] = {"epoch": epoch + 1, "step": step, **_named(run, scores)}
    record.update(epoch=epoch + 1, step=step)
    chosen_by = f"{prefix(run)}_{run.options.select_by}"
    is_best = record["best"] is None or record["last"][chosen_by] > record["best"][chosen_by]
    if is_best:
        record["best"] = record["last"]
    return is_best


def epoch_line(
    record: Mapping[str, Any], run: Run, epoch: int, progress: Progress, scores: Scores, seconds: float, steps: int
) -> dict[str, Any]:
    """An epoch's line in metrics.jsonl; its learning rate is that of the epoch's first step.

    Args:
      record: of the run, as it was when the epoch began.
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
        "learning_rate": run.optimizer.learning_rate(epoch * run.steps_per_epoch, len(record["rate_reduced_after"])),
        "train_loss": loss,
        "train_accuracy": accuracy,
        "seconds": round(seconds, 3),
        "images_per_second": round(images / seconds, 1),
        **_named(run, scores),
    }


def _named(run: Run, scores: Scores) -> dict[str, float]:
    found = {"loss": scores.loss, "accuracy": scores.accuracy}
    found |= {f"accuracy_{name}": value for name, value in scores.subsets.items()}
    if run.options.select_by == "macro_f1":
        found["macro_f1"] = scores.macro_f1
    return {f"{prefix(run)}_{name}": value for name, value in found.items()}
