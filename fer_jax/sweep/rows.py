"""From a finished run to rows of results.jsonl."""

import json
from typing import Any

from fer_jax.members import make_members
from fer_jax.score_table import has_parts
from fer_jax.sweep.grid import Grid
from fer_jax.sweep.jobs import Job
from fer_jax.sweep.results import Row

_OF_THE_RUN = (
    *("protocol", "selected_by", "select_by", "params", "test_reads", "seconds_compiling", "seconds_training"),
    *("machine", "versions", "git"),
)
_FOLDERS = ("--workdir=", "--data_dir=")
_NOT_IN_THE_CURVE = ("epoch", "step", "seconds", "images_per_second")


def make_rows(grid: Grid, job: Job, record: dict[str, Any], lines: list[dict[str, Any]]) -> list[Row]:
    """A row for each cell of a job.

    Args:
      grid: the experiment.
      job: that has been trained.
      record: its run.json.
      lines: its metrics.jsonl.

    Returns:
      In each row:
      - `variant`, `seed`, `digest`: the cell; `changes`: how its config differs from the base config.
      - `config`: the network; `fold`, `epochs`, `params`, `data` (the fingerprint), `protocol`, `selected_by`.
      - `last`, `best`: scores at the end and at the selected epoch; `curve`: each epoch's; all from 0 to 1.
      - `scores`: all scores of the two states, where there is more than one view or subset, or macro-F1 selected.
      - `members`: how many were trained in the run; `seconds_compiling`, `seconds_training` and `test_reads` are of
        all of them together.
      - `machine`, `versions`, `git`, `command`: where it comes from; the command without the folders of the machine.
    """
    config = job.config
    members = make_members(config.seed, config.num_seeds, config.vary or {})
    rows = []
    for cell in job.cells:
        place = job.place(cell, grid, record.get("members"))
        own = members.record_of(record, place)
        curve = [members.line_of(line, place) for line in lines]
        row: dict[str, Any] = {
            "variant": cell.variant,
            "seed": cell.seed,
            "digest": cell.digest,
            "changes": grid.recipes[cell.variant].changes,
            "config": config.model.name,
            "fold": config.data.fold,
            "epochs": config.epochs,
            "data": record["data"]["fingerprint"],
            "members": len(members),
            "last": own["last"],
            "best": own["best"],
            **{key: record[key] for key in _OF_THE_RUN},
            "command": [word for word in record["command"] if not word.startswith(_FOLDERS)],
            "curve": {name: [line[name] for line in curve] for name in curve[0] if name not in _NOT_IN_THE_CURVE},
        }
        splits = own["scores"]["best"]
        split = "test" if "test" in splits else record["selected_by"]
        if has_parts(splits[split]) or record["select_by"] == "macro_f1":
            row["scores"] = {which: found[split] for which, found in own["scores"].items()}
        # As it will be read again.
        rows.append(json.loads(json.dumps(row)))
    return rows
