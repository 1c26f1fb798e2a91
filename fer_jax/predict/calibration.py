"""Calibration by a temperature: one number that divides a network's logits, so that its probabilities come true.

It is fitted on the run's validation split, never on its test split, when a state predicts for the first time, and kept
in `calibration.json` in the run's folder; a released network brings its own. (Guo, Pleiss, Sun and Weinberger 2017, "On
Calibration of Modern Neural Networks", section 4.2.) No label changes by it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from fer_jax import data, provenance, scores
from fer_jax.build import resolve
from fer_jax.checkpoint import digest
from fer_jax.errors import UserError, warn
from fer_jax.forms import misfit
from fer_jax.open_trained import Trained
from fer_jax.steps import TrainState

FILE = "calibration.json"
LEAST, MOST = 0.05, 20.0
"""The temperatures that are tried: a network that is always right, or no better than chance, is given an end."""

_CASES = {"before": float, "after": float}
_ENTRY = {
    **{"step": int, "member": int, "view": str, "state_sha256": str, "temperature": float, "examples": int},
    **{"nll": _CASES, "calibration_error": _CASES},
}

Logits = Callable[[np.ndarray], np.ndarray]
"""uint8 images [N, H, W, C] -> float64 logits [N, classes]."""


class Calibration(NamedTuple):
    """What the logits of a state are divided by.

    Attributes:
      temperature: None where there is no split that it could be fitted on.
      about: where it is from, or why there is none, in words.
    """

    temperature: float | None
    about: str


def calibrate(trained: Trained, view: str, logits: Logits, data_dir: str = "") -> Calibration:
    """The calibration of a state: as it was kept, or fitted now, which says so on stderr.

    Args:
      trained: the network with its state.
      view: what is shown of each image; see `data.views`.
      logits: of the state and the view.
      data_dir: as in training.

    Raises:
      UserError: the file that keeps calibrations is damaged.
    """
    protocol = trained.config["protocol"]
    if protocol not in data.WITH_VALIDATION:
        return Calibration(None, about(protocol, ()))
    path = trained.folder / FILE if trained.folder else None
    kept = _read(path) if path else trained.calibrations
    key = key_of(trained.state, trained.step, trained.member, view)
    for entry in kept:
        if all(entry[name] == value for name, value in key.items()):
            return Calibration(entry["temperature"], about(protocol, [entry]))
    if path is None:
        return Calibration(None, f"uncalibrated: the release has no temperature for the view '{view}'")
    try:
        images, labels = _validation(trained, data_dir)
    except UserError as error:
        return Calibration(None, f"uncalibrated: the run's validation split cannot be had ({error})")
    entry = {**key, "split": "validation", **fit(logits(images), labels), "fitted": provenance.now()}
    try:
        provenance.write_json(path, {"calibrations": [*kept, entry]})
    except UserError as error:
        warn(f"{error}, so the temperature is fitted again each time")
    return Calibration(entry["temperature"], about(protocol, [entry]))


def key_of(state: TrainState, step: int, member: int, view: str) -> dict[str, Any]:
    """What a temperature is of, as its entry says it."""
    return {
        "step": step,
        "member": member,
        "view": view,
        "state_sha256": digest([state.params, state.batch_stats]),
    }


def fit(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """The temperature at which the mean cross-entropy of some examples is least.

    Args:
      logits: float64 [N, classes], N at least 1.
      labels: int [N].

    Returns:
      `temperature`, `examples`, and `nll` (nats) and `calibration_error` (see `scores.calibration_error`) of the same
      examples, each as {'before', 'after'}.
    """
    found = minimize_scalar(
        lambda log_t: scores.mean_loss(logits / np.exp(log_t), labels),
        bounds=(np.log(LEAST), np.log(MOST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    temperature = float(np.exp(found.x))
    cases = {"before": logits, "after": logits / temperature}
    return {
        "temperature": temperature,
        "examples": len(labels),
        "nll": {case: scores.mean_loss(values, labels) for case, values in cases.items()},
        "calibration_error": {case: scores.calibration_error(values, labels) for case, values in cases.items()},
    }


def _validation(trained: Trained, data_dir: str) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of the run's validation split; a UserError if they cannot be had as they were."""
    config = resolve(trained.config)
    dataset = data.load(**config.data, image_shape=trained.core.model.image_shape, data_dir=data_dir)
    if dataset.fingerprint != trained.record["data"]["fingerprint"]:
        raise UserError(f"'{dataset.name}' as found now is not what the run was trained on")
    splits = data.protocol_splits(dataset, config.protocol, config.data.limit)
    return splits.watched.images, splits.watched.labels


def _read(path: Path) -> list[dict[str, Any]]:
    content = provenance.read_json(path)
    if content is None:
        return []
    if misfit(content, {"calibrations": [_ENTRY]}) is not None or not all(
        LEAST <= entry["temperature"] <= MOST for entry in content["calibrations"]
    ):
        raise UserError(f"{path} is damaged: delete it, and the temperature is fitted again")
    return content["calibrations"]


def about(protocol: str, entries: Sequence[Mapping[str, Any]]) -> str:
    """What is said of the probabilities of a run of this protocol; `entries` are of calibration.json, or none."""
    if not entries:
        return f"uncalibrated: a run of protocol '{protocol}' has no validation split to fit on"
    entry = entries[0]
    nll, error = entry["nll"], entry["calibration_error"]
    return (
        f"calibrated: temperature {entry['temperature']:.3f}, fitted on {entry['examples']:,} validation images (NLL "
        f"{nll['before']:.4f} -> {nll['after']:.4f}, calibration error {100 * error['before']:.2f} % -> "
        f"{100 * error['after']:.2f} %)"
    )
