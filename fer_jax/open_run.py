"""Opening a run that has been trained: its config, its data, one of its splits and one of its checkpoints, checked."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fer_jax import provenance
from fer_jax.build import Run, build, resolve
from fer_jax.checkpoint import FOLDER, Checkpoints, Restored
from fer_jax.config import check_choice
from fer_jax.data.dataset import Split
from fer_jax.errors import CheckpointError, ConfigError, did_you_mean
from fer_jax.members import Members
from fer_jax.resume import CONFIG_FILE, best_of, check_same_run, read_run, template, verify_logits
from fer_jax.writers import say, say_stand_in

SPLITS = ("train", "validation", "test")


class Opened(NamedTuple):
    """A trained run with one checkpoint and one split.

    Attributes:
      folder: the run's folder.
      config: as it stands in config.json.
      record: as it stands in run.json; who evaluates the test split counts that in it and writes it back.
      run: all that the config names, built.
      restored: the checkpoint; its logits have been verified. Its `state` is the one asked for: with several members
        'best' is the best of each.
      steps: which each member's state has taken.
      split: 'train', 'validation' or 'test'.
      examples: those of the split.
    """

    folder: Path
    config: dict[str, Any]
    record: dict[str, Any]
    run: Run
    restored: Restored
    steps: list[int]
    split: str
    examples: Split


def open_run(
    workdir: str,
    *,
    split: str = "",
    checkpoint: str = "last",
    data_dir: str = "",
    config: Mapping[str, Any] | None = None,
) -> Opened:
    """Opens a run for evaluation; says so if its data are a stand-in.

    Args:
      workdir: the run's folder.
      split: 'train', 'validation' or 'test'; '' is the one that the run's protocol watches.
      checkpoint: 'last', 'best' or the number of a step.
      data_dir: as in training.
      config: what the caller takes for the run's config, to be checked; None takes what the run has.

    Raises:
      ConfigError: no run in `workdir`, another config, a split it does not have, or other data than it was trained on.
      CheckpointError: no such checkpoint, or it fails the checks that were saved with it.
    """
    if split:
        check_choice("--split", split, SPLITS)
    if not checkpoint.isdecimal():
        check_choice("--checkpoint", checkpoint, ("last", "best", "the number of a step"))
    folder = Path(workdir)
    stated, record = _read_run(folder)
    run = build(resolve(stated), data_dir)
    say_stand_in(run.dataset)
    wanted = json.loads(resolve(config).to_json()) if config else stated
    check_same_run(folder, stated, record, wanted, run.dataset)
    split = split or run.splits.watched_name
    examples = _split(run, split)
    if not (folder / FOLDER).is_dir():
        raise CheckpointError(f"{folder / FOLDER} does not exist: the run has saved nothing yet")
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        restored = checkpoints.restore(_step(run, checkpoint, record, checkpoints), template(run))
    if checkpoint == "best" and run.members.many:
        restored = best_of(restored)
    verify_logits(run, restored)
    steps = run.members.unpack(np.asarray(restored.arrays["state"].step))
    return Opened(folder, stated, record, run, restored, list(map(int, steps)), split, examples)


def member_place(members: Members, member: int | None) -> int:
    """The place of the member that a command asks for; None is the first, which is said where there are several.

    Raises:
      ConfigError: there is no such member.
    """
    count = len(members)
    if member is None and count > 1:
        say(f"The run has {count} members; this is of the first ({members.each[0]}): --member=1 is the next.")
    if not 0 <= (member or 0) < count:
        has = f"has the members 0 to {count - 1}" if count > 1 else "has one member"
        raise ConfigError(f"--member={member}: the run {has}")
    return member or 0


def _read_run(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The config and the record of the run in a folder."""
    try:
        stated, record = read_run(folder)
    except ConfigError as error:
        raise ConfigError(f"{folder / CONFIG_FILE} is damaged, or of another version of fer_jax: {error}") from error
    if stated is None or record is None:
        known = [str(path.parent) for path in folder.parent.glob(f"*/{provenance.FILE}")]
        hint = f"; {did_you_mean(str(folder), known)}" if known else ": name the folder of a trained run"
        raise ConfigError(f"--workdir={folder} holds no run (no {CONFIG_FILE} and {provenance.FILE} in it){hint}")
    return stated, record


def _split(run: Run, name: str) -> Split:
    splits = run.splits.by_name()
    if name not in splits:
        raise ConfigError(
            f"--split={name}: a run of protocol '{run.options.protocol}' has the splits {', '.join(sorted(splits))}"
        )
    return splits[name]


def _step(run: Run, checkpoint: str, record: dict, checkpoints: Checkpoints) -> int:
    if checkpoint.isdecimal():
        return int(checkpoint)
    # With several members every checkpoint carries the best state of each.
    if checkpoint == "best" and record["best"] is not None and not run.members.many:
        return record["best"]["step"]
    if not checkpoints.steps():
        raise CheckpointError("the run has saved no checkpoint yet")
    return checkpoints.steps()[-1]
