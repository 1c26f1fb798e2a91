"""Going on with a run: where did it stand, and does its checkpoint still compute what it did."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fer_jax.build import Core, Run
from fer_jax.checkpoint import FOLDER, Checkpoints, Restored, is_ranked, set_aside, unranked_steps
from fer_jax.errors import CheckpointError, warn
from fer_jax.evaluate import EvalSplit, Scores, evaluate
from fer_jax.forms import misfit
from fer_jax.metrics import Progress
from fer_jax.provenance import layout
from fer_jax.record import prefix, standing
from fer_jax.sharding import by_member, on_host, place, replicated
from fer_jax.steps import TrainState

OTHER_LAYOUT_TOLERANCE = 1e-4
"""How far logits and scores may be off on another backend or device count, relative to the largest logit."""


def probe_images(image_shape: tuple[int, ...]) -> np.ndarray:
    """The fixed pictures, uint8 [8, H, W, C], whose logits identify a state."""
    return np.random.RandomState(0).randint(0, 256, (8, *image_shape)).astype(np.uint8)


def probe_logits(run: Run | Core, state: TrainState) -> list[list[float]]:
    """The logits of the probe images [8][classes]; of several members [members][8][classes]."""
    images = place(probe_images(run.model.image_shape), replicated(run.mesh))
    return np.asarray(on_host(run.programs.predict(state, images)), np.float64).tolist()


def template(run: Run | Core) -> dict[str, Any]:
    """The arrays of a checkpoint at step 0: their shapes, types and places on the devices.

    With several members `best` holds the evaluated part of each one's best state so far.
    """
    seeds = run.members.pack([member.seed for member in run.members.each])
    state = run.programs.init(np.int32(seeds))
    best = {"best": run.programs.keep(None, state, None)} if run.programs.keep else {}
    return {"state": state, "progress": empty_progress(run), **best}


def empty_progress(run: Run | Core) -> Progress:
    """The sums of an epoch that has not begun, on the devices."""
    return place(run.members.stack(Progress.empty()), by_member(run.mesh))


def set_unranked_aside(workdir: Path) -> None:
    """Tells of checkpoints whose rank cannot be read, beside which no other can be restored, and sets them aside."""
    steps = unranked_steps(workdir)
    for step in steps:
        name = f"the checkpoint {workdir / FOLDER / str(step)}"
        warn(f"{name} is damaged: what it is ranked by cannot be read; it is set aside")
    # With none too: processes that see a folder at other moments must all come to where they wait.
    set_aside(workdir, steps)


def standing_of(
    run: Run,
    record: Mapping[str, Any],
    state: TrainState,
    best: TrainState | None,
    scores: Sequence[Scores] | None,
) -> dict[str, Any]:
    """What a checkpoint tells of where training stands, and what its states compute, to be checked when it is restored.

    Args:
      run: that is trained.
      record: of the run, now.
      state: that is saved.
      best: the best state of each member, where these are saved with it.
      scores: of each member's state on the watched split; None inside an epoch.
    """
    told = {
        "standing": standing(record),
        "scores": scores and _in_a_record(run, [(one.loss, one.accuracy) for one in scores]),
        "logits": probe_logits(run, state),
        "layout": layout(),
    }
    if best is not None:
        names = f"{prefix(run)}_loss", f"{prefix(run)}_accuracy"
        found = [entry and tuple(entry[name] for name in names) for entry in record["best"]]
        told["best"] = {
            "scores": _in_a_record(run, found) if all(found) else None,
            "logits": probe_logits(run, best),
        }
    return told


def _in_a_record(run: Run, found: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Each member's loss and accuracy on the watched split, as a checkpoint's record has them."""
    losses, accuracies = (run.members.pack(column) for column in zip(*found, strict=True))
    return {"split": run.splits.watched_name, "loss": losses, "accuracy": accuracies}


def restore_newest(run: Run, checkpoints: Checkpoints) -> Restored | None:
    """The newest whole checkpoint, its logits verified; each damaged one is told, and then set aside."""
    restored, notes = checkpoints.restore_newest(template(run))
    for sentence in notes:
        warn(f"{sentence}; going on from the checkpoint before it")
    if notes and restored is not None:
        checkpoints.set_aside([step for step in checkpoints.steps() if step > restored.step])
    if restored is not None:
        verify_logits(run, restored)
        if run.members.many:
            verify_logits(run, best_of(restored))
    return restored


def restore_state(run: Run, checkpoints: Checkpoints, record: Mapping[str, Any], which: str) -> Restored:
    """The 'last' or the 'best' state that the record of the run tells of.

    Raises:
      CheckpointError: it is missing or damaged.
    """
    if not run.members.many:
        return checkpoints.restore(record[which]["step"], template(run))
    restored = checkpoints.restore(record["last"][0]["step"], template(run))
    return best_of(restored) if which == "best" else restored


def best_of(restored: Restored) -> Restored:
    """From a checkpoint of several members: the best state of each, with what was recorded of these."""
    return Restored(restored.step, {"state": restored.arrays["best"]}, {**restored.record, **restored.record["best"]})


def lost_best(run: Run, workdir: Path, checkpoints: Checkpoints, record: Mapping[str, Any]) -> str:
    """Why the best state that the record of a run alone tells of cannot be had, in a sentence; '' where it can.

    A checkpoint that is there and cannot be used is set aside.
    """
    best = record["best"]
    if run.members.many or best is None or not run.splits.selects:
        return ""
    step = best["step"]
    try:
        checkpoints.restore(step, template(run))
    except CheckpointError as error:
        why = str(error)
    else:
        if is_ranked(workdir, step):
            return ""
        why = f"the checkpoint {workdir / FOLDER / str(step)} is damaged: what it is ranked by is gone"
    if step in checkpoints.steps():
        checkpoints.set_aside([step])
    return why


def verify_logits(run: Run | Core, restored: Restored, exactly: bool = True) -> None:
    """Checks a restored state against the logits in its record.

    Args:
      run: what computes them now.
      restored: the state.
      exactly: whether they must be equal to the bit on the layout that wrote it.

    Raises:
      CheckpointError: they differ: by one bit where they must not, by more than 1e-4 elsewhere.
    """
    damaged = CheckpointError(f"the record of the checkpoint of step {restored.step} is damaged")
    if misfit(restored.record, {"logits": list, "layout": dict, "scores": (None, dict)}) is not None:
        raise damaged
    try:
        expected = np.asarray(restored.record["logits"], np.float64)
    except (TypeError, ValueError) as error:
        raise damaged from error
    found = np.asarray(probe_logits(run, restored.arrays["state"]))
    tolerance = OTHER_LAYOUT_TOLERANCE * max(1.0, float(np.abs(expected).max()))
    name = f"output (the logits) of the checkpoint of step {restored.step}"
    _compare(name, found, expected, restored.record["layout"] if exactly else {}, tolerance)


def verify_scores(restored: Restored, found: Sequence[Scores], split: str, examples: int) -> None:
    """Checks new scores of a restored state on a split of `examples` against those in its record, if it has some.

    `found` has an entry for each member.

    Raises:
      CheckpointError: they differ.
    """
    recorded = restored.record["scores"]
    if recorded is None or recorded["split"] != split:
        return
    # On another layout an image that lies between two classes may fall on the other side.
    allowed = {"loss": 10 * OTHER_LAYOUT_TOLERANCE, "accuracy": max(10 * OTHER_LAYOUT_TOLERANCE, 2 / examples)}
    for name, tolerance in allowed.items():
        _compare(
            f"{split} {name} of the checkpoint of step {restored.step}",
            np.asarray([getattr(one, name) for one in found]),
            np.atleast_1d(recorded[name]),
            restored.record["layout"],
            tolerance,
        )


def verify(run: Run, restored: Restored, watched: EvalSplit) -> None:
    """Evaluates a restored state on the watched split and checks the scores in its record, if it has any."""
    if restored.record["scores"] is not None:
        scores = run.members.unpack(evaluate(run.programs, restored.arrays["state"], watched))
        verify_scores(restored, scores, run.splits.watched_name, len(run.splits.watched))


def _compare(name: str, found: np.ndarray, expected: np.ndarray, layout_then: Mapping, tolerance: float) -> None:
    """Raises CheckpointError if two arrays differ: at all on the layout that wrote one, by `tolerance` elsewhere."""
    allowed = 0.0 if layout() == layout_then else tolerance
    worst = float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")
    if not worst <= allowed:
        raise CheckpointError(
            f"the {name} is not what was recorded when it was saved (off by {worst:.3g}, allowed {allowed:.3g}): "
            "the code, a library or the machine now computes something else"
        )
