"""What happened in the step that stopped a run: `--mode=diagnose`."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fer_jax.buckets import named
from fer_jax.build import Run, build, resolve
from fer_jax.checkpoint import FOLDER, Checkpoints
from fer_jax.distill import check_same_teacher, with_teacher
from fer_jax.errors import ConfigError, UserError
from fer_jax.evaluate import on_device
from fer_jax.forms import misfit
from fer_jax.init_from import beginning
from fer_jax.open_run import read_trained_run
from fer_jax.provenance import FILE
from fer_jax.resume import empty_progress, template
from fer_jax.same_run import check_same_run
from fer_jax.sharding import on_host
from fer_jax.steps import Examples, TrainState, leaf_name, steps_taken
from fer_jax.text_table import aligned
from fer_jax.writers import say


def diagnose(workdir: str, *, data_dir: str = "") -> bool:
    """Replays the step in which a run met a number that is not finite, and tells where it came from.

    The steps since the newest checkpoint are done again one by one; of the bad one every layer's output, every gradient
    and every parameter is looked at. Nothing is written.

    Args:
      workdir: the folder of the run.
      data_dir: as in training.

    Returns:
      Whether a bad step was found.

    Raises:
      ConfigError: no run in `workdir`, one that did not stop so, one of several members, or other data.
      CheckpointError: the newest checkpoint is damaged.
      UserError: what `run.json` tells of the step is.
    """
    folder = named(workdir)
    stated, record = read_trained_run(folder)
    if not record.get("diverged"):
        raise ConfigError(f"{folder} tells of no step that went wrong: there is nothing to diagnose")
    wrong = misfit(record, {"diverged": {"step": int, "member": int}})
    if wrong is not None:
        raise _damaged(folder, wrong)
    last, member = record["diverged"]["step"], record["diverged"]["member"]
    config = resolve(stated)
    run = with_teacher(build(config, data_dir), config)
    check_same_run(folder, stated, record, stated, run.dataset)
    check_same_teacher(folder, record, run)
    if not 0 <= member < len(run.members):
        raise _damaged(folder, "diverged.member")
    if not 0 < last <= run.options.epochs * run.steps_per_epoch:
        raise _damaged(folder, "diverged.step")
    if run.members.many:
        raise ConfigError(
            f"{folder} has several members, and one step of one member is replayed: train {run.members.each[member]} "
            "alone, and diagnose that run"
        )
    state = _start(run, folder)
    examples = on_device(run.splits.train, run.mesh, run.shares)
    say(f"Replaying steps {steps_taken(state) + 1:,} to {last:,} of {folder} ...")
    while (taken := steps_taken(state)) < last:
        epoch, place = divmod(taken, run.steps_per_epoch)
        order, before = run.programs.order(state, np.int32(epoch)), jax.tree.map(lambda leaf: leaf.copy(), state)
        state, progress = run.programs.train(state, empty_progress(run), examples, order, np.int32(place + 1))
        if int(on_host(progress.bad_step)) >= 0:
            _tell(run, examples, np.asarray(on_host(order))[place], before, state)
            return True
    say("No step was bad. What was not finite is the evaluation after it, which uses BatchNorm's moving statistics:\n")
    _say_table([("parameter or statistic", "after"), *((name, _size(leaf)) for name, leaf in _variables(state))])
    return False


def _damaged(folder: Path, place: str) -> UserError:
    return UserError(f"{folder / FILE} is damaged ({place}): restore it, or name another --workdir")


def _start(run: Run, folder: Path) -> TrainState:
    """The state of the newest checkpoint, or that of step 0."""
    if not (folder / FOLDER).is_dir():
        return beginning(run).arrays["state"]
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        steps = checkpoints.steps()
        return (checkpoints.restore(steps[-1], template(run)).arrays if steps else beginning(run).arrays)["state"]


def _tell(run: Run, examples: Examples, rows: np.ndarray, before: TrainState, after: TrainState) -> None:
    """Says what one step did."""
    assert run.programs.look is not None
    passes, seen = run.programs.look(before, examples, rows), rows[rows < len(run.splits.train)]
    names, arrays = [*passes.outputs.names, "logits"], [*passes.outputs.arrays, passes.logits]
    named_arrays = ((name, np.asarray(array, np.float64)) for name, array in zip(names, arrays, strict=True))
    outputs = [(name, array) for name, array in named_arrays if array.size]
    first = next((name for name, output in outputs if not np.isfinite(output).all()), None)
    say(f"\nStep {steps_taken(after):,}, on {len(seen)} images (rows {_few(seen)} of the split).")
    if first is None:
        say("Every layer's output is finite: it is the gradient, or the update, that is not.\n")
    else:
        say(f"The first output that is not finite is that of {first}.\n")
    _say_table([("layer", "output"), *((name, _size(output)) for name, output in outputs)])
    gradients = dict(_named(passes.gradients))
    olds = dict(_variables(before))
    changes = [
        (name, _size(olds[name]), _size(gradients[name]) if name in gradients else "", _size(new))
        for name, new in _variables(after)
    ]
    _say_table([("parameter or statistic", "before", "gradient", "after"), *changes])
    say("Each is the largest magnitude, or how many numbers are not finite.")


def _variables(state: TrainState) -> list[tuple[str, np.ndarray]]:
    return [*_named(state.params), *_named(state.batch_stats)]


def _named(tree: Any) -> list[tuple[str, np.ndarray]]:
    leaves = jax.tree_util.tree_leaves_with_path(on_host(tree))
    return [(leaf_name(path), np.asarray(leaf, np.float64)) for path, leaf in leaves]


def _size(values: np.ndarray) -> str:
    bad = values.size - int(np.isfinite(values).sum())
    return f"{bad:,} of {values.size:,} not finite" if bad else f"{np.abs(values).max():.3g}"


def _few(rows: np.ndarray, most: int = 8) -> str:
    return ", ".join(map(str, rows[:most])) + (f" and {len(rows) - most} more" if len(rows) > most else "")


def _say_table(rows: Sequence[tuple[str, ...]]) -> None:
    say(aligned(rows, left=range(len(rows[0])), rule=True) + "\n")
