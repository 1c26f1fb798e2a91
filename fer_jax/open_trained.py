"""Opening a trained network without its data: what predicting and fine-tuning take."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fer_jax import card, data, provenance
from fer_jax.buckets import named
from fer_jax.build import Core, build_core, resolve
from fer_jax.data.dataset import DataSet
from fer_jax.data.subsets import OFFICIAL
from fer_jax.errors import ConfigError, note
from fer_jax.forms import misfit
from fer_jax.open_run import checkpoint_word, member_place, read_trained_run, restore_checked
from fer_jax.steps import TrainState, evaluated_part


class Trained(NamedTuple):
    """A trained network, without its data.

    Attributes:
      name: what it is called by: the run's folder as it was given, or the name of the release.
      folder: the run's folder; None for a release.
      card: the file of its model card, which a run that has not ended does not have.
      calibrations: of a release, as the entries of calibration.json; a run keeps them in its folder.
      config: as it stands in config.json.
      record: as it stands in run.json; of a run with several members what it tells of the one chosen.
      core: all that the config names but the data.
      dataset: what run.json tells of the data set, without an example of it.
      member: the place of the one chosen, from 0.
      step: how many the state has taken.
      state: what evaluation needs of that member's state, arrays on the host; without a key.
    """

    name: str
    folder: Path | None
    card: Path
    calibrations: Sequence[Mapping[str, Any]]
    config: dict[str, Any]
    record: dict[str, Any]
    core: Core
    dataset: DataSet
    member: int
    step: int
    state: TrainState


def open_trained(
    workdir: str, *, checkpoint: str | int = "best", member: int | None = None, data_dir: str = ""
) -> Trained:
    """Opens a run to compute with its network; its data need not be there.

    Args:
      workdir: the run's folder.
      checkpoint: 'last', 'best' or the number of a step.
      member: of a run with several, counted from 0; None is the first.
      data_dir: as in training; read for the names of the classes only, where an old run.json does not tell them.

    Raises:
      ConfigError: no run in `workdir`, one that this version does not read, or a member that it does not have.
      CheckpointError: no such checkpoint, or it fails the checks that were saved with it.
    """
    checkpoint = checkpoint_word(checkpoint)
    folder = named(workdir)
    stated, record = read_trained_run(folder)
    config = resolve(stated)
    dataset = _without_examples(folder, config, record, data_dir)
    core = build_core(config, record["data"]["train_examples"], dataset.class_names)
    if len(dataset.class_names) != core.model.num_classes:
        raise _damaged(folder)
    place = member_place(core.members, member, note)
    # A network outlives the version that trained it, whose sums may have been in another order.
    restored = restore_checked(core, folder, checkpoint, record, exactly=False)
    state = evaluated_part(restored.arrays["state"]).replace(rng=None)
    own = core.members.unpack_tree(state)[place]
    return Trained(
        name=str(folder),
        folder=folder,
        card=folder / card.FILE,
        calibrations=(),
        config=stated,
        record=core.members.record_of(record, place),
        core=core,
        dataset=dataset,
        member=place,
        step=int(np.asarray(own.step)),
        state=own,
    )


def _without_examples(folder: Path, config: Any, record: Mapping[str, Any], data_dir: str) -> DataSet:
    """What the record of a run tells of its data set."""
    known = record["data"]
    if misfit(known, {"stand_in_for": (None, str), "train_examples": int}) is not None or known["train_examples"] < 1:
        raise _damaged(folder)
    try:
        names = known.get("class_names") or _scored_classes(record)
    except (AttributeError, LookupError, TypeError) as error:
        raise _damaged(folder) from error
    if names and misfit(names, [str]) is not None:
        raise _damaged(folder)
    if not names:
        names = data.load(**config.data, data_dir=data_dir).class_names
    return DataSet(known["name"], {}, tuple(names), known["source"], known["stand_in_for"])


def _damaged(folder: Path) -> ConfigError:
    return ConfigError(f"{folder / provenance.FILE} is damaged (its 'data'): restore it, or name another --workdir")


def _scored_classes(record: Mapping[str, Any]) -> list[str]:
    """The classes by whose names the final scores of a run are told; none where it has no scores."""
    found = (record.get("scores") or {}).get("best") or {}
    found = found[0] if isinstance(found, list) else found
    for split in found.values():
        return list(split["plain"][OFFICIAL]["per_class"])
    return []
