"""Opening a run that has been trained: its config, its data, one of its splits and one of its checkpoints, checked."""

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fer_jax import card, provenance
from fer_jax.buckets import local, named
from fer_jax.build import Core, Run, build, resolve
from fer_jax.checkpoint import FOLDER, Checkpoints, Restored
from fer_jax.config import check_choice
from fer_jax.data.dataset import Split
from fer_jax.errors import CheckpointError, ConfigError, did_you_mean
from fer_jax.members import Members
from fer_jax.resume import best_of, template, verify_logits
from fer_jax.same_run import CONFIG_FILE, check_same_run, read_run
from fer_jax.sharding import on_host
from fer_jax.writers import say, say_stand_in

SPLITS = ("train", "validation", "test", "seen")


class Opened(NamedTuple):
    """A trained run with one checkpoint and one split.

    Attributes:
      folder: the run's folder; of a release where its files are, without their suffixes.
      card: the file of its model card, which a run that has not ended does not have.
      config: as it stands in config.json.
      record: as it stands in run.json; who evaluates the test split counts that in it and writes it back.
      run: all that the config names, built.
      restored: the checkpoint; its logits have been verified. Its `state` is the one asked for: with several members
        'best' is the best of each.
      steps: which each member's state has taken.
      split: 'train', 'validation', 'test' or 'seen' (see `data.protocol_splits`).
      examples: those of the split.
    """

    folder: Path
    card: Path
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
    checkpoint: str | int = "last",
    data_dir: str = "",
    config: Mapping[str, Any] | None = None,
    buckets: bool = False,
) -> Opened:
    """Opens a run for evaluation; says so if its data are a stand-in.

    Args:
      workdir: the run's folder.
      split: 'train', 'validation', 'test' or 'seen'; '' is the one that the run's protocol watches.
      checkpoint: 'last', 'best' or the number of a step.
      data_dir: as in training.
      config: what the caller takes for the run's config, to be checked; None takes what the run has.
      buckets: whether the folder may be in a bucket.

    Raises:
      ConfigError: no run in `workdir`, another config, a split it does not have, or other data than it was trained on.
      CheckpointError: no such checkpoint, or it fails the checks that were saved with it.
    """
    if split:
        check_choice("--split", split, SPLITS)
    checkpoint = checkpoint_word(checkpoint)
    folder = named(workdir) if buckets else local(workdir)
    stated, record = read_trained_run(folder)
    run = build(resolve(stated), data_dir)
    say_stand_in(run.dataset)
    wanted = json.loads(resolve(config).to_json()) if config else stated
    check_same_run(folder, stated, record, wanted, run.dataset)
    split = split or run.splits.watched_name
    examples = _split(run, split)
    restored = restore_checked(run, folder, checkpoint, record)
    steps = run.members.unpack(on_host(restored.arrays["state"].step))
    return Opened(folder, folder / card.FILE, stated, record, run, restored, list(map(int, steps)), split, examples)


def checkpoint_word(checkpoint: str | int) -> str:
    """'last', 'best' or the number of a step, in digits; raises ConfigError unless `checkpoint` is one of these."""
    word = str(checkpoint)
    if not word.isdecimal():
        check_choice("--checkpoint", word, ("last", "best", "the number of a step"))
    return word


def restore_checked(
    run: Run | Core, folder: Path, checkpoint: str, record: Mapping[str, Any], exactly: bool = True
) -> Restored:
    """The checkpoint asked for, its logits verified; with several members 'best' is the best of each.

    Args:
      run: what the state is to be computed with.
      folder: of the run.
      checkpoint: 'last', 'best' or the number of a step.
      record: of the run.
      exactly: as in `verify_logits`.

    Raises:
      CheckpointError: no such checkpoint, or it fails the checks that were saved with it.
    """
    if not (folder / FOLDER).is_dir():
        raise CheckpointError(f"{folder / FOLDER} does not exist: the run has saved nothing yet")
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        restored = checkpoints.restore(_step(run, checkpoint, record, checkpoints), template(run))
    if checkpoint == "best" and run.members.many:
        restored = best_of(restored)
    verify_logits(run, restored, exactly)
    return restored


def member_place(members: Members, member: int | None, tell: Callable[[str], None] = say) -> int:
    """The place of the member that a command asks for; None is the first, which is told where there are several.

    Raises:
      ConfigError: there is no such member.
    """
    count = len(members)
    if member is None and count > 1:
        tell(f"The run has {count} members; this is of the first ({members.each[0]}): --member=1 is the next.")
    if not 0 <= (member or 0) < count:
        has = f"has the members 0 to {count - 1}" if count > 1 else "has one member"
        raise ConfigError(f"--member={member}: the run {has}")
    return member or 0


def read_trained_run(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The config and the record of the run in a folder.

    Raises:
      ConfigError: there is none, or one that this version does not read.
      UserError: a file of it is damaged.
    """
    try:
        stated, record = read_run(folder)
    except ConfigError as error:
        raise ConfigError(
            f"{folder / CONFIG_FILE} is damaged, or does not fit this version of fer_jax ({error}): use the version "
            f"that trained the run, whose commit stands in {provenance.FILE}"
        ) from error
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


def _step(run: Run | Core, checkpoint: str, record: Mapping[str, Any], checkpoints: Checkpoints) -> int:
    if checkpoint.isdecimal():
        return int(checkpoint)
    # With several members every checkpoint carries the best state of each.
    if checkpoint == "best" and record["best"] is not None and not run.members.many:
        return record["best"]["step"]
    if not checkpoints.steps():
        raise CheckpointError("the run has saved no checkpoint yet")
    return checkpoints.steps()[-1]
