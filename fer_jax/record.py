"""The record of a run: what `run.json` tells while it trains and afterwards, and an epoch's line in metrics.jsonl.

With several members, what each has of its own (`last`, `best`, `scores`, `rate_reduced_after`, and in a line every
figure but the time) is a list with an entry for each; `members` says who they are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fer_jax import provenance
from fer_jax.build import Run
from fer_jax.data.subsets import OFFICIAL
from fer_jax.evaluate import Scores
from fer_jax.members import OF_A_MEMBER, Members
from fer_jax.metrics import Progress, means
from fer_jax.vary import rates_vary

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


def nothing_done(members: Members) -> dict[str, Any]:
    """`NOTHING_DONE` as a run of these members has it."""
    own = {key: members.pack([NOTHING_DONE[key]] * len(members)) for key in OF_A_MEMBER}
    return {**NOTHING_DONE, **own}


def begin_record(run: Run, earlier: Mapping[str, Any] | None) -> dict[str, Any]:
    """The record when a process starts; what an earlier process had counted goes on.

    Args:
      run: what is trained.
      earlier: the record of an earlier process in the same workdir.
    """
    earlier = earlier or {}
    summary, dataset = run.summary, run.dataset
    each = [{"seed": member.seed, **member.values} for member in run.members.each]
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
            "class_names": list(dataset.class_names),
            "targets": run.targets,
            **({"teacher": run.teacher} if run.teacher else {}),
        },
        "params": {"total": summary.total, "trainable": summary.trainable, "non_trainable": summary.non_trainable},
        **({"members": each} if run.members.many else {}),
        **{key: earlier[key] for key in ("init_from", "lost_best") if key in earlier},
        "protocol": run.options.protocol,
        "selected_by": run.splits.watched_name if run.splits.selects else None,
        "select_by": run.options.select_by,
        "test_reads": earlier.get("test_reads", 0),
        "seconds_compiling": earlier.get("seconds_compiling", 0.0),
        **{key: earlier.get(key, value) for key, value in nothing_done(run.members).items()},
    }


def standing(record: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the record that a checkpoint keeps, because a resume goes back to it."""
    return {key: record[key] for key in NOTHING_DONE}


def count_test_read(record: dict[str, Any], split: str, states: int = 1) -> None:
    """Counts an evaluation of states on `split`, if that is the test split: each once, whatever views and subsets."""
    record["test_reads"] += states * (split == "test")


def with_test(entry: Mapping[str, Any], subsets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A state's scores on the watched split with its plain scores on the test split beside them."""
    official = subsets[OFFICIAL]
    others = {f"test_accuracy_{name}": found["accuracy"] for name, found in subsets.items() if name != OFFICIAL}
    return {**entry, "test_loss": official["loss"], "test_accuracy": official["accuracy"], **others}


def prefix(run: Run) -> str:
    """What the watched split's numbers begin with: 'val', 'test' or 'seen'."""
    return {"validation": "val"}.get(run.splits.watched_name, run.splits.watched_name)


def note_scores(record: dict[str, Any], run: Run, epoch: int, scores: Sequence[Scores]) -> list[bool]:
    """Writes the members' scores of an epoch into the record; which are the best so far (the earlier among equals).

    Where nothing is selected the last counts as the best.
    """
    step = (epoch + 1) * run.steps_per_epoch
    chosen_by = f"{prefix(run)}_{run.options.select_by}"
    last = [{"epoch": epoch + 1, "step": step, **_named(run, one)} for one in scores]
    best = run.members.unpack(record["best"])
    better = [
        old is None or not run.splits.selects or new[chosen_by] > old[chosen_by]
        for new, old in zip(last, best, strict=True)
    ]
    best = [new if is_best else old for new, old, is_best in zip(last, best, better, strict=True)]
    record.update(epoch=epoch + 1, step=step, last=run.members.pack(last), best=run.members.pack(best))
    return better


def epoch_line(
    record: Mapping[str, Any],
    run: Run,
    epoch: int,
    progress: Progress,
    scores: Sequence[Scores],
    seconds: float,
    steps: int,
) -> dict[str, Any]:
    """An epoch's line in metrics.jsonl; its learning rate is that of the epoch's first step.

    Args:
      record: of the run, as it was when the epoch began.
      run: what is trained.
      epoch: counted from 0; the line counts from 1.
      progress: the sums of the whole epoch.
      scores: of each member on the watched split.
      seconds: training took, in this process.
      steps: that this process trained of the epoch.
    """
    members = run.members
    losses, accuracies = zip(*(means(one.metrics) for one in members.unpack_tree(progress)), strict=True)
    reductions = map(len, members.unpack(record["rate_reduced_after"]))
    rates = [
        schedule.at(epoch * run.steps_per_epoch, count)
        for schedule, count in zip(run.schedules, reductions, strict=True)
    ]
    differ = rates_vary(members.each[0].values) or run.schedules[0].patience > 0
    named = [_named(run, one) for one in scores]
    images = len(members) * min(steps * run.options.batch_size, len(run.splits.train))
    return {
        "epoch": epoch + 1,
        "step": (epoch + 1) * run.steps_per_epoch,
        "learning_rate": members.pack(rates) if differ else rates[0],
        "train_loss": members.pack(losses),
        "train_accuracy": members.pack(accuracies),
        "seconds": round(seconds, 3),
        "images_per_second": round(images / seconds, 1),
        **{key: members.pack([one[key] for one in named]) for key in named[0]},
    }


def _named(run: Run, scores: Scores) -> dict[str, float]:
    found = {"loss": scores.loss, "accuracy": scores.accuracy}
    found |= {f"accuracy_{name}": value for name, value in scores.subsets.items()}
    if run.options.select_by == "macro_f1":
        found["macro_f1"] = scores.macro_f1
    return {f"{prefix(run)}_{name}": value for name, value in found.items()}
