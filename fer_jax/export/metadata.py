"""What travels in every exported file beside the network: text by key, JSON where it is more than a sentence.

| key | what |
|---|---|
| `labels` | the class names, in the order of the probabilities |
| `input`, `output` | name, type and shape of the pixels and of the probabilities; N is 1 or more |
| `stand_in` | what must be said if the run's data are not those that its config names; missing where they are |
| `model_card` | `model_card.md` of the run; where its folder has none, what would stand in it |
| `config` | the run's whole config |
| `data` | name, source and fingerprint of the data |
| `checkpoint` | run, step, epoch and what was asked for; of several members which; what that state had scored |
| `trained_with`, `exported_with` | commit of the code, and versions |
"""

import importlib.metadata
import json
from pathlib import Path
from typing import Any

from fer_jax import card, provenance
from fer_jax.export.content import INPUT, OUTPUT
from fer_jax.open_run import Opened
from fer_jax.writers import stand_in_sentences


def metadata(opened: Opened, checkpoint: str, place: int | None, packages: tuple[str, ...]) -> dict[str, str]:
    """The metadata of an export.

    Args:
      opened: the run.
      checkpoint: as it was asked for: 'best', 'last' or a step.
      place: of the member, counted from 0; None is all of them as one.
      packages: that make the file, for their versions.

    Raises:
      OSError: the run has a model card that cannot be read.
    """
    run, record = opened.run, opened.record
    stand_in = " ".join(stand_in_sentences(run.dataset))
    here = provenance.environment()
    versions = {name: importlib.metadata.version(name) for name in packages}
    values: dict[str, Any] = {
        "labels": list(run.dataset.class_names),
        "input": {
            "name": INPUT,
            "dtype": "uint8",
            "shape": ["N", *run.model.image_shape],
            "values": "pixels, 0 to 255",
        },
        "output": {"name": OUTPUT, "dtype": "float32", "shape": ["N", run.model.num_classes]},
        "config": opened.config,
        "data": {key: record["data"][key] for key in ("name", "source", "fingerprint", "stand_in_for")},
        "checkpoint": {
            "run": Path(opened.folder).resolve().name,
            "asked_for": checkpoint,
            "finished_run": record["finished"],
            **(_of_all(opened) if place is None else _of_member(opened, place)),
        },
        "trained_with": {"git": record.get("git"), "versions": record.get("versions")},
        "exported_with": {"git": here["git"], "versions": {**here["versions"], **versions}},
    }
    texts = {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}
    if stand_in:
        texts["stand_in"] = stand_in
    texts["model_card"] = _card(opened)
    return texts


def _card(opened: Opened) -> str:
    if opened.card.is_file():
        return opened.card.read_text(encoding="utf-8")
    opening = [] if opened.record["finished"] else ["**The run has not ended: this is how far it had come.**"]
    return card.card(opened.folder.resolve().name, opened.run, opened.config, opened.record, opening)


def _of_member(opened: Opened, place: int) -> dict[str, Any]:
    run, step = opened.run, opened.steps[place]
    record = run.members.record_of(opened.record, place)
    told = (record[which] for which in ("best", "last"))
    return {
        "step": step,
        "epoch": step // run.steps_per_epoch,
        **({"member": place, "is": str(run.members.each[place])} if run.members.many else {}),
        "scores": next((entry for entry in told if entry and entry["step"] == step), None),
    }


def _of_all(opened: Opened) -> dict[str, Any]:
    return {"ensemble_of": list(map(str, opened.run.members.each)), "steps": opened.steps}
