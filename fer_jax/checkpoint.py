"""Checkpoints of a run, with Orbax: saved whole or not at all, checked when they are restored.

A checkpoint holds the arrays (state and the unfinished epoch's sums) and a record in JSON: where training stood, what
it had scored, a digest of the arrays, one of the record itself, and the logits of fixed pictures. The digests tell a
damaged file; the logits and the score tell a program that no longer computes what was trained.
"""

import contextlib
import hashlib
import inspect
import json
import shutil
import sys
import time
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from fer_jax import processes
from fer_jax.buckets import is_bucket
from fer_jax.config import check_at_least
from fer_jax.errors import CheckpointError, LostProcessError, reason
from fer_jax.forms import misfit
from fer_jax.sharding import on_host

FOLDER = "checkpoints"
DAMAGED = "checkpoints-damaged"
PARTIAL = "*.orbax-checkpoint-tmp*"
COMMITTED = "commit_success.txt"
"""What Orbax writes last into a checkpoint; in a bucket it is what tells a whole one."""
LATE_S = 0.5
"""How long nothing may come back of a failed save before it counts as removed, in seconds."""


NO_SPACE = "no space left on the device"
_RANK = "metrics"
"""The folder in a checkpoint, and the file in that, where Orbax keeps its rank; it reads all of them when it begins."""


class Restored(NamedTuple):
    """A checkpoint as read: its step, the arrays in the shape of the template, and its record."""

    step: int
    arrays: Any
    record: dict[str, Any]


def check_policy(*, every_epochs: int, every_steps: int, keep: int) -> None:
    """Checks the options of `Checkpoints` before there is a folder.

    Raises:
      ConfigError: a number out of range.
    """
    check_at_least("config.checkpoint.every_epochs", every_epochs, 1)
    check_at_least("config.checkpoint.every_steps", every_steps, 0)
    check_at_least("config.checkpoint.keep", keep, 1)


def saved_steps(workdir: Any) -> list[int]:
    """The steps that have a folder among a run's checkpoints, oldest first, whatever is in it.

    In a bucket a save that was killed leaves one too, which does not count.
    """
    folder, in_bucket = workdir / FOLDER, is_bucket(workdir)
    found = (
        [path for path in folder.iterdir() if path.name.isascii() and path.name.isdecimal()] if folder.is_dir() else []
    )
    return sorted(int(path.name) for path in found if not in_bucket or (path / COMMITTED).exists())


def unranked_steps(workdir: Any) -> list[int]:
    """The steps whose checkpoint has a rank that cannot be read, oldest first; with one of them Orbax cannot begin."""
    folders = {step: workdir / FOLDER / str(step) / _RANK for step in saved_steps(workdir)}
    # One that was saved inside an epoch has none.
    return [step for step, folder in folders.items() if folder.exists() and not _is_rank(folder / _RANK)]


def is_ranked(workdir: Any, step: int) -> bool:
    """Whether the checkpoint of a step is among those of which the best is kept."""
    return _is_rank(workdir / FOLDER / str(step) / _RANK / _RANK)


def _is_rank(path: Any) -> bool:
    try:
        return misfit(json.loads(path.read_text()), {"rank": float}) is None
    except (OSError, ValueError, RecursionError):
        return False


class Checkpoints:
    """The checkpoints of one run: the newest `keep` and the best.

    Args:
      workdir: the run's folder, as `buckets.named` gives it, or a word for one on this machine.
      every_epochs: epochs between two saves; the last epoch is always saved.
      every_steps: save within an epoch too, each time so many steps of it are done; 0 is never.
      keep: how many of the newest are kept; the best is kept besides.

    Raises:
      ConfigError: a number out of range.
    """

    def __init__(self, workdir: Any, *, every_epochs: int = 1, every_steps: int = 0, keep: int = 2):
        check_policy(every_epochs=every_epochs, every_steps=every_steps, keep=keep)
        self.every_epochs = every_epochs
        self.every_steps = every_steps
        self._in_bucket = is_bucket(workdir)
        self._workdir = workdir if self._in_bucket else Path(workdir).absolute()
        options = ocp.CheckpointManagerOptions(
            # By rank alone: a save inside an epoch has no score, and counts among the newest only.
            preservation_policy=policies.AnyPreservationPolicy(
                [
                    policies.LatestN(keep),
                    policies.BestN(get_metric_fn=_rank, n=1, keep_checkpoints_without_metrics=False),
                ]
            ),
            best_fn=_rank,
            enable_async_checkpointing=False,
        )
        try:
            self._manager = ocp.CheckpointManager(self._workdir / FOLDER, options=options)
        except (ValueError, TypeError, KeyError, OSError) as error:
            # It reads what each checkpoint is ranked by.
            damaged = unranked_steps(self._workdir)
            which = f"{FOLDER}/{damaged[0]} is damaged" if damaged else "something in it is damaged, or no checkpoint"
            raise CheckpointError(
                f"{self._workdir / FOLDER} cannot be read ({_reason(error)}): {which}; move it away"
            ) from error

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, oldest first."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, arrays: Any, record: Mapping[str, Any], rank: float | None) -> None:
        """Saves `arrays` (a pytree) and `record` (JSON) under `step`; `rank` is what 'best' compares, if it has one.

        Raises:
          CheckpointError: it could not be written (a full disk, say); earlier checkpoints stay as they are.
        """
        record = {**record, "step": step, "sha256": digest(arrays)}
        record["record_sha256"] = record_digest(record)
        try:
            with _quiet_closed_loops():
                self._manager.save(
                    step,
                    args=ocp.args.Composite(
                        arrays=ocp.args.StandardSave(_one_copy(arrays)), record=ocp.args.JsonSave(record)
                    ),
                    metrics=None if rank is None else {"rank": rank},
                    force=True,
                )
                self._manager.wait_until_finished()
        except Exception as error:
            if processes.tells_of_another(error):
                raise LostProcessError(_reason(error)) from error
            self._discard_partial()
            why = _reason(error)
            advice = "free some space" if why == NO_SPACE else "mend that"
            raise CheckpointError(
                f"the checkpoint of step {step} could not be written to {self._workdir / FOLDER}: {why}; earlier "
                f"checkpoints are kept: {advice} and start the same command again"
            ) from error

    def _discard_partial(self) -> None:
        """Removes what a failed save has written, again while writes that were under way bring it back."""
        now = time.monotonic()
        give_up, quiet = now + 20 * LATE_S, now + LATE_S
        while now < min(give_up, quiet):
            if self._remove_partial():
                quiet = now + LATE_S
            time.sleep(LATE_S / 10)
            now = time.monotonic()

    def _remove_partial(self) -> bool:
        if not processes.is_first():
            return False
        folder = self._workdir / FOLDER
        if not self._in_bucket:
            found = list(folder.glob(PARTIAL))
        else:
            found = [path for path in folder.iterdir() if not (path / COMMITTED).exists()] if folder.exists() else []
        for path in found:
            _remove(path)
        return bool(found)

    def restore(self, step: int, template: Any) -> Restored:
        """Reads one checkpoint into the shapes, types and shardings of `template`.

        Raises:
          CheckpointError: it is missing, damaged, or has other arrays than `template`.
        """
        if step not in self._manager.all_steps():
            known = ", ".join(map(str, self.steps())) or "none"
            raise CheckpointError(f"{self._workdir / FOLDER} has no checkpoint of step {step}; it has: {known}")
        name = f"the checkpoint {self._workdir / FOLDER / str(step)}"
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
        try:
            with _quiet_closed_loops():
                read = self._manager.restore(
                    step,
                    args=ocp.args.Composite(arrays=ocp.args.StandardRestore(abstract), record=ocp.args.JsonRestore()),
                )
            found = digest(read.arrays)
        except Exception as error:
            raise CheckpointError(f"{name} cannot be read") from error
        if not isinstance(read.record, dict) or found != read.record.get("sha256"):
            raise CheckpointError(f"{name} is damaged: its arrays are not those saved")
        # Older ones have no digest of their record, and do not tell their step.
        if read.record.get("record_sha256", expected := record_digest(read.record)) != expected:
            raise CheckpointError(f"{name} is damaged: its record is not the one saved")
        if read.record.get("step", step) != step:
            raise CheckpointError(f"{name} is that of step {read.record['step']} under another name")
        return Restored(step, read.arrays, read.record)

    def restore_newest(self, template: Any) -> tuple[Restored | None, list[str]]:
        """Reads the newest checkpoint that is whole, and says which newer ones are not.

        A damaged one is moved to `checkpoints-damaged/`, so that its step can be saved again and nothing is lost. What
        is left of a save that the run did not survive is removed.

        Returns:
          The checkpoint (None where there is none), and a sentence for each damaged one.

        Raises:
          CheckpointError: there are checkpoints, and none of them is whole.
        """
        notes: list[str] = []
        self._remove_partial()
        processes.wait("what a killed save left has been removed")
        for step in reversed(self.steps()):
            try:
                return self.restore(step, template), notes
            except CheckpointError as error:
                notes.append(str(error))
        if notes:
            raise CheckpointError(f"{notes[0]}, and no older checkpoint is whole: start again in another --workdir")
        return None, notes

    def set_aside(self, steps: Collection[int]) -> None:
        """Moves the checkpoints of these steps to `checkpoints-damaged/`."""
        set_aside(self._workdir, steps)
        self._manager.reload()

    def close(self) -> None:
        """Ends Orbax's threads."""
        self._manager.close()


def set_aside(workdir: Any, steps: Collection[int]) -> None:
    """Moves the checkpoints of these steps to `checkpoints-damaged/`; the first process does it, all wait for it."""
    for step in steps if processes.is_first() else ():
        target = workdir / DAMAGED / str(step)
        _remove(target)
        target.parent.mkdir(exist_ok=True)
        if is_bucket(workdir):
            # A folder is there as long as something is in it.
            (target.parent / "README.txt").write_text("Checkpoints that could not be read.\n")
        (workdir / FOLDER / str(step)).rename(target)
    processes.wait("damaged checkpoints have been set aside")


@contextlib.contextmanager
def _quiet_closed_loops() -> Iterator[None]:
    """Drops the traceback that each write or read still under way prints when a save or a restore has failed.

    TensorStore's threads print it when they come to report to an event loop that Orbax has closed, and Python warns of
    those that never began. Some come late, so after a failure it stays this way.
    """
    previous = sys.unraisablehook
    filters = contextlib.ExitStack()
    filters.enter_context(warnings.catch_warnings())
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)

    def hook(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed" and not inspect.iscoroutine(unraisable.object):
            previous(unraisable)

    sys.unraisablehook = hook
    yield
    sys.unraisablehook = previous
    filters.close()


def _remove(folder: Any) -> None:
    """Removes a folder with all that is in it, if it is there."""
    if is_bucket(folder):
        folder.rmtree(missing_ok=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _one_copy(arrays: Any) -> Any:
    """A pytree of arrays with one copy of those that every device of the only process holds.

    Of several copies Orbax has each device write a part, and compiles a program for every shape to cut it out.
    """

    def of(array: Any) -> Any:
        several = isinstance(array, jax.Array) and array.is_fully_addressable and array.is_fully_replicated
        return array.addressable_data(0) if several else array

    return jax.tree.map(of, arrays)


def _rank(metrics: Mapping[str, float]) -> float:
    return metrics["rank"]


def _reason(error: BaseException) -> str:
    text = str(error)
    if "No space left" in text or "ENOSPC" in text:
        return NO_SPACE
    return reason(error)


def record_digest(record: Mapping[str, Any]) -> str:
    """SHA-256 over a record as it is in JSON, but for the digest itself."""
    told = {key: value for key, value in record.items() if key != "record_sha256"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def digest(arrays: Any) -> str:
    """SHA-256 over the names, types, shapes and values of a pytree's arrays."""
    sha = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(arrays):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        value = np.ascontiguousarray(on_host(leaf))
        sha.update(f"{jax.tree_util.keystr(path)} {value.dtype} {value.shape} ".encode())
        sha.update(value.tobytes())
    return sha.hexdigest()
