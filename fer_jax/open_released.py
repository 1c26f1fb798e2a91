"""Opening a network that comes with the package: without its data, to predict with it, or with them, to export it."""

from typing import Any

import numpy as np

from fer_jax import releases
from fer_jax.build import build, build_core, resolve
from fer_jax.checkpoint import Restored
from fer_jax.data.dataset import DataSet
from fer_jax.errors import ConfigError
from fer_jax.open_run import Opened
from fer_jax.open_trained import Trained
from fer_jax.steps import TrainState


def open_released(name: str) -> Trained:
    """Opens a released network to compute with it; its data need not be there.

    Raises:
      ConfigError: there is none of this name.
      CheckpointError: its file is missing or another than was released.
    """
    found = releases.read(name)
    known = found.record["data"]
    core = build_core(resolve(found.config), known["train_examples"], known["class_names"])
    return Trained(
        name=name,
        folder=None,
        card=found.card,
        calibrations=found.calibrations,
        config=found.config,
        record=found.record,
        core=core,
        dataset=DataSet(known["name"], {}, tuple(known["class_names"]), known["source"], known["stand_in_for"]),
        member=0,
        step=found.step,
        state=_state(found),
    )


def open_released_run(name: str, data_dir: str = "") -> Opened:
    """Opens a released network with the training split of its data, as `open_run` opens a run.

    Args:
      name: of the release.
      data_dir: as in training.

    Raises:
      ConfigError: there is none of this name, or other data are found than it was trained on.
      CheckpointError: its file is missing or another than was released.
      DataError: its data are not there and cannot be had.
    """
    found = releases.read(name)
    run, known = build(resolve(found.config), data_dir), found.record["data"]
    if known["fingerprint"] != run.dataset.fingerprint:
        raise ConfigError(
            f"--model={name} was trained on other data ({known['name']}: {known['source']}) than now found "
            f"({run.dataset.name}: {run.dataset.source}): name the folder of its own with --data_dir"
        )
    return Opened(
        folder=releases.FOLDER / name,
        card=found.card,
        config=found.config,
        record=found.record,
        run=run,
        restored=Restored(found.step, {"state": _state(found)}, {}),
        steps=[found.step],
        split="train",
        examples=run.splits.train,
    )


def _state(found: releases.Release) -> TrainState:
    state: dict[str, Any] = {"step": np.int32(found.step), **found.variables, "opt_state": (), "rng": None}
    return TrainState(**state)
