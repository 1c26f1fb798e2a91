"""Is the run in a folder the one that is asked for: its config, its record and its data."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fer_jax.build import resolve
from fer_jax.checkpoint import saved_steps
from fer_jax.config import differences
from fer_jax.data.dataset import DataSet
from fer_jax.errors import ConfigError, UserError
from fer_jax.forms import misfit
from fer_jax.members import OF_A_MEMBER, make_members
from fer_jax.provenance import FILE, read_json
from fer_jax.schedules import SCHEDULES_THAT_NEED_EPOCHS

CONFIG_FILE = "config.json"

# What is read of them; a person may have edited these files.
_STATE = {"epoch": int, "step": int}
_STATES = (None, _STATE, [(None, _STATE)])
_NEEDED = {
    CONFIG_FILE: {"epochs": int},
    FILE: {
        "data": {"name": str, "source": str, "fingerprint": str},
        **{"stand_in": bool, "finished": bool, "epoch": int, "step": int, "test_reads": int},
        **{"selected_by": (None, str), "best": _STATES, "last": _STATES},
        **{"seconds_compiling": float, "seconds_training": float},
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
        wrong = misfit(content, needed) if (workdir / name).exists() else None
        if wrong is not None:
            raise _damaged(workdir, name, wrong or "all of it")
        found.append(content)
    config, record = found
    config = config and json.loads(resolve(config).to_json())
    if config and record:
        _check_record(workdir, config, record)
    return config, record


def check_told_of(workdir: Path, config: Mapping[str, Any] | None, record: Mapping[str, Any] | None) -> None:
    """Checks that the checkpoints in a folder, if there are any, have the files that tell which run they are of.

    Args:
      workdir: the run's folder.
      config: its config and
      record: its record, as `read_run` gives them.

    Raises:
      UserError: one is missing.
    """
    missing = [name for name, found in ((CONFIG_FILE, config), (FILE, record)) if found is None]
    if missing and saved_steps(workdir):
        raise UserError(
            f"{workdir} holds the checkpoints of a run, and no {missing[0]}, without which nothing tells whether this "
            "is the same run: restore it, or name another --workdir"
        )


def _check_record(workdir: Path, config: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Checks a run's record against its config.

    Raises:
      UserError: they do not fit.
    """
    members = make_members(config["seed"], config["num_seeds"], config["vary"] or {})
    for key in OF_A_MEMBER if members.many else ():
        if not isinstance(record.get(key), list) or len(record[key]) != len(members):
            raise _damaged(workdir, FILE, f"in {key}: the run has {len(members)} members")
    if not members.many and any(isinstance(record[key], list) for key in ("best", "last")):
        raise _damaged(workdir, FILE, "the run has one member")
    if not 0 <= record["epoch"] <= config["epochs"]:
        raise _damaged(workdir, FILE, f"epoch is {record['epoch']}: the run has {config['epochs']}")
    if record["test_reads"] < 0:
        raise _damaged(workdir, FILE, f"test_reads is {record['test_reads']}")
    if record["finished"] and None in [entry for key in ("best", "last") for entry in members.unpack(record[key])]:
        raise _damaged(workdir, FILE, "it tells of a finished run without its scores")


def _damaged(workdir: Path, name: str, what: str) -> UserError:
    return UserError(f"{workdir / name} is damaged ({what}): restore it, or name another --workdir")


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
