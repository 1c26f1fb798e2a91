"""Kills a sweep with SIGKILL at random, starts it again, and checks that its tables are those of one left alone.

    python experiments/faults/sweep_killed.py --kills=3

The experiment is copied into two folders; in each it is run from nothing, a cell at a time. A kill comes up to
`--latest` seconds after the first or the second run of a process has begun. Every row but its clock must be the same,
and so must the tables.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ONE = "--at_once=1"
CLOCK = ("seconds_compiling", "seconds_training", "test_reads", "command")
"""What a kill may change in a row: a restored state is checked by evaluating it, which counts as a read."""


def arguments() -> argparse.Namespace:
    """The words of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", type=Path, default=ROOT / "experiments" / "digits_smoke" / "experiment.py")
    parser.add_argument("--kills", type=int, default=3, help="how many")
    parser.add_argument("--latest", type=float, default=3.0, help="seconds after a run has begun")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of times")
    parser.add_argument("--out", type=Path, default=HERE / "sweep_killed.json", help="the JSON file for what was found")
    return parser.parse_args()


def start(file: Path, *words: str) -> subprocess.Popen[str]:
    """The sweep of an experiment, whose runs are beside it; in a group of its own, so that a kill hits all of it."""
    command = [sys.executable, "-m", "fer_jax.sweep", f"--experiment={file}", f"--workdir={file.parent / 'runs'}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*command, *words], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(file: Path, *words: str) -> str:
    """What a sweep prints that comes to its end."""
    process = start(file, *words)
    said = process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"{file}: the sweep ended with exit code {process.returncode}")
    return said


def kill_at_random(file: Path, dice: random.Random, latest: float) -> dict[str, float]:
    """Starts a sweep and kills it with all its processes; when, and how many cells were done then."""
    process, run, delay = start(file, ONE), dice.choice((1, 2)), round(dice.uniform(0, latest), 1)
    assert process.stdout is not None
    begun = 0
    for line in process.stdout:
        begun += "] training" in line
        if begun == run:
            break
    time.sleep(delay)
    if process.poll() is not None:
        raise SystemExit(f"{file}: the sweep had ended before it could be killed: take fewer kills")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    results = file.parent / "results.jsonl"
    cells = len(results.read_text().splitlines()) if results.exists() else 0
    return {"run": run, "after_s": delay, "cells_done": cells}


def end_of(file: Path) -> dict[str, Any]:
    """What two sweeps must have in common: the rows without the clock, and the tables without seconds."""
    rows = [json.loads(line) for line in (file.parent / "results.jsonl").read_text().splitlines()]
    tables = {name: finish(file, f"--table={name}", "--format=csv").splitlines() for name in ("variants", "seeds")}
    # The last column is the seconds.
    tables["variants"] = [line.rpartition(",")[0] for line in tables["variants"]]
    kept = [{key: value for key, value in row.items() if key not in CLOCK} for row in rows]
    return {"rows": sorted(kept, key=lambda row: (row["variant"], row["seed"])), "tables": tables}


def main() -> int:
    """Runs both sweeps and writes what was found; 0 if their ends are the same."""
    words = arguments()
    dice, name = random.Random(words.seed), words.experiment.parent.name
    with tempfile.TemporaryDirectory() as folder:
        alone, killed = (Path(folder) / which / name / "experiment.py" for which in ("alone", "killed"))
        for file in (alone, killed):
            file.parent.mkdir(parents=True)
            shutil.copy(words.experiment, file)
        finish(alone, ONE)
        kills = []
        for _ in range(words.kills):
            kills.append(kill_at_random(killed, dice, words.latest))
            print(f"killed {kills[-1]['after_s']} s after run {kills[-1]['run']} of its process had begun", flush=True)
        finish(killed, ONE)
        ends = [end_of(file) for file in (alone, killed)]
    different = [key for key in ends[0] if ends[0][key] != ends[1][key]]
    found = {
        "experiment": name,
        "cells": len(ends[0]["rows"]),
        "kills": kills,
        "different": different,
    }
    words.out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
