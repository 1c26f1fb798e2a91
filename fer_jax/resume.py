"""Going on with a run: is it the same run, where did it stand, and does its checkpoint still compute what it did."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fer_jax.build import Core, Run, resolve
from fer_jax.checkpoint import Checkpoints, Restored
from fer_jax.config import differences
from fer_jax.data.dataset import DataSet
from fer_jax.errors import CheckpointError, ConfigError, UserError, warn
from fer_jax.evaluate import EvalSplit, Scores, evaluate
from fer_jax.forms import misfit
from fer_jax.members import OF_A_MEMBER, make_members
from fer_jax.metrics import Progress
from fer_jax.provenance import FILE, layout, read_json
from fer_jax.schedules import SCHEDULES_THAT_NEED_EPOCHS
from fer_jax.sharding import by_member, on_host, place, replicated
from fer_jax.steps import TrainState

CONFIG_FILE = "config.json"
OTHER_LAYOUT_TOLERANCE = 1e-4
"""How far logits and scores may be off on another backend or device count, relative to the largest logit."""


# What is read of them; a person may have edited these files.
_STATE = {"epoch": int, "step": int}
_STATES = (None, _STATE, [(None, _STATE)])
_NEEDED = {
    CONFIG_FILE: {"epochs": int},
    FILE: {
        "data": {"name": str, "source": str, "fingerprint": str},
        **{"stand_in": bool, "finished": bool, "epoch": int, "test_reads": int, "selected_by": (None, str)},
        **{"best": _STATES, "last": _STATES},
    },
}


def read_run(workdir: Path) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The config and the record of the run in a folder; None for the file that is not there.

    A key that did not exist yet when the run began has its default, which changes nothing.

    Raises:
      UserError: one is not what a run writes.
    """
    found = []
    for name, needed in _NEEDED.items():
        content = read_json(workdir / name)
        wrong = None if content is None else misfit(content, needed)
        if wrong is not None:
            raise UserError(
                f"{workdir / name} is damaged ({wrong or 'all of it'}): restore it, or name another --workdir"
            )
        found.append(content)
    config, record = found
    config = config and json.loads(resolve(config).to_json())
    if config and record:
        members = make_members(config["seed"], config["num_seeds"], config["vary"] or {})
        for key in OF_A_MEMBER if members.many else ():
            if not isinstance(record.get(key), list) or len(record[key]) != len(members):
                raise UserError(
                    f"{workdir / FILE} is damaged (in {key}: the run has {len(members)} members): restore it, or name "
                    "another --workdir"
                )
        if not members.many and any(isinstance(record[key], list) for key in ("best", "last")):
            raise UserError(
                f"{workdir / FILE} is damaged (the run has one member): restore it, or name another --workdir"
            )
    return config, record


def check_same_run(
    workdir: Path,
    old: Mapping[str, Any] | None,
    record: Mapping[str, Any],
    stated: Mapping[str, Any],
    dataset: DataSet,
) -> None:
    """Checks that a config and data go on with the run in `workdir`.

    Allowed to differ: `checkpoint.*`, and more `epochs` where no schedule depends on their number.

    Args:
      workdir: the run's folder, for the message.
      old: its config and
      record: its record, as `read_run` gives them.
      stated: the resolved config to go on with.
      dataset: the data found now.

    Raises:
      ConfigError: anything else differs; the sentence names the keys.
    """
    if old is not None:
        changed = [key for key in differences(old, stated) if not key.startswith("checkpoint.")]
        if stated["epochs"] > old["epochs"] and stated["optim"]["schedule"] not in SCHEDULES_THAT_NEED_EPOCHS:
            changed.remove("epochs")
        if changed:
            keys = ", ".join(f"config.{key}" for key in changed)
            raise ConfigError(
                f"{workdir} holds a run with another value of {keys}: name another --workdir, or take the old value"
            )
    if record["data"]["fingerprint"] != dataset.fingerprint:
        old_name = record["data"]["name"] + (", a stand-in" if record["stand_in"] else "")
        raise ConfigError(
            f"{workdir} holds a run on other data ({old_name}: {record['data']['source']}) than now found "
            f"({dataset.name}: {dataset.source}): name another --workdir, or delete it"
        )


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


def restore_newest(run: Run, checkpoints: Checkpoints) -> Restored | None:
    """The newest whole checkpoint, its logits verified; each damaged one is told, and then set aside."""
    restored, notes = checkpoints.restore_newest(template(run))
    for sentence in notes:
        warn(f"{sentence}; going on from the checkpoint before it")
    if notes and restored is not None:
        checkpoints.set_aside(newer_than=restored.step)
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
