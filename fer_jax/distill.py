"""Distillation: a run is taught what the members of another run answer, beside the labels (Hinton et al., 2015).

The teacher sees the training images as they are, once, before training; an image that is changed or mixed keeps its
target, or is mixed with its partner's. With several members the teacher's answer is the mean of their probabilities.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fer_jax.buckets import named
from fer_jax.build import Run, build_core, resolve
from fer_jax.checkpoint import digest
from fer_jax.errors import ConfigError
from fer_jax.evaluate import ensemble_logits, prepare, split_logits
from fer_jax.open_run import read_trained_run, restore_checked
from fer_jax.seen import in_words, seen_images, trained_on


def with_teacher(run: Run, config: Mapping[str, Any]) -> Run:
    """The run with the shares that its teacher makes of its training split, or as it is if its config has no teacher.

    Args:
      run: built.
      config: of the run, resolved.

    Raises:
      ConfigError: the teacher is no run, or one that cannot teach this one.
      CheckpointError: its checkpoint fails the checks that were saved with it.
    """
    if config["loss"]["targets"] != "teacher":
        return run
    source = config["loss"]["teacher"]
    try:
        folder = named(source)
        stated, record = read_trained_run(folder)
    except ConfigError as error:
        raise ConfigError(f"config.loss.teacher = '{source}': {error}") from error
    core = build_core(resolve(stated), record["data"]["train_examples"], run.dataset.class_names)
    _check_can_teach(source, core.model, stated, record, run)
    which = "best" if record["selected_by"] == "validation" else "last"
    restored = restore_checked(core, folder, which, record, exactly=False)
    logits = core.members.unpack(
        split_logits(core.programs, restored.arrays["state"], prepare(run.splits.train, core.mesh))
    )
    teachers = np.exp(ensemble_logits(logits))
    labels = np.eye(run.model.num_classes)[run.splits.train.labels]
    share = config["loss"]["teacher_share"]
    shares = (share * teachers + (1 - share) * labels).astype(np.float32)
    return run._replace(shares=shares, teacher={"source": source, "members": len(logits), "sha256": digest(shares)})


def check_same_teacher(folder: Path, record: Mapping[str, Any], run: Run) -> None:
    """Checks that a run goes on with the teacher that it began with.

    Raises:
      ConfigError: the teacher is another, or has been trained further.
    """
    known = record["data"].get("teacher")
    if known and run.teacher and known["sha256"] != run.teacher["sha256"]:
        raise ConfigError(
            f"{folder} holds a run whose teacher, {known['source']}, has answered otherwise: restore that run, or name "
            "another --workdir"
        )


def _check_can_teach(source: str, model: Any, config: Mapping[str, Any], record: Mapping[str, Any], run: Run) -> None:
    where = f"config.loss.teacher = '{source}'"
    if (model.num_classes, model.image_shape) != (run.model.num_classes, run.model.image_shape):
        raise ConfigError(f"{where} takes other images or tells other classes apart than this run's network")
    # Whether it has seen what this run is judged on could not be told otherwise.
    if record["data"]["fingerprint"] != run.dataset.fingerprint:
        raise ConfigError(f"{where} was trained on other data than this run is: train a teacher on these")
    seen = seen_images(run, trained_on(config, record)).counts
    if seen:
        raise ConfigError(
            f"{where} was trained on {in_words(run, seen)} too (protocol '{config['protocol']}'), which could then "
            "select nothing: train the teacher with config.protocol = 'clean' or 'tune', from random weights or such a "
            "run"
        )
