"""Kills a run again and again, at random and wherever it hurts, and checks that its end is that of a run left alone.

    python experiments/faults/torture.py --kills=50

A run of `mnist_11k` on scikit-learn's digits is killed with SIGKILL: at its start, while it prepares its data, in a
step, in an evaluation, in a save, while it scores its states. Each time the same command is started again; when a run
has come to its end the next begins, until all kills have been dealt. Of each run the arrays of the last checkpoint must
be those of the undisturbed run to the bit, and metrics.jsonl must hold every epoch once with the same numbers.
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

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

PHASES = ("start", "data", "step", "evaluation", "save", "scores")
"""Where `victim.py` can be hit; see there."""
EPOCHS = 6
CONFIG = (
    *(
        "--config=configs/mnist_11k.py",
        "--config.data.name=digits",
        "--config.data.fallback=",
        "--config.data.limit=400",
    ),
    *(f"--config.epochs={EPOCHS}", "--config.steps_per_call=1", "--config.checkpoint.every_steps=2"),
)
LONGEST_S = {"start": 6.0, "data": 0.3, "step": 0.4, "evaluation": 0.1, "save": 0.3, "scores": 2.0}
"""How long after a phase has begun it may be hit, at most."""


def arguments() -> argparse.Namespace:
    """The words of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="how many in all")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of places and times")
    parser.add_argument("--out", type=Path, default=HERE / "torture.json", help="the JSON file for what was found")
    return parser.parse_args()


def start(workdir: Path, *hit: str) -> subprocess.Popen:
    """The run, with where it is to be hit."""
    command = [sys.executable, str(HERE / "victim.py"), *hit, "--", *CONFIG, f"--workdir={workdir}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def left_alone(workdir: Path, hit: tuple[str, ...] = ()) -> tuple[int, str]:
    """The exit code of the run, and what it printed."""
    process = start(workdir, *hit)
    printed, _ = process.communicate()
    return process.returncode, printed


def end_of(workdir: Path) -> dict[str, object]:
    """What two runs must have in common: the digest of the last arrays, each epoch's numbers, the scores."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    clock = ("seconds", "images_per_second")
    steps = [int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdecimal()]
    files = [path for path in (workdir / "checkpoints" / str(max(steps))).glob("record/*") if path.is_file()]
    (record,) = (json.loads(path.read_text()) for path in files if '"sha256"' in path.read_text())
    run = json.loads((workdir / "run.json").read_text())
    return {
        "step": max(steps),
        "sha256": record["sha256"],
        "epochs": [{key: value for key, value in line.items() if key not in clock} for line in lines],
        "scores": run["scores"],
        "finished": run["finished"],
    }


def main() -> int:
    """Deals the kills; 0 if nothing differs."""
    words = arguments()
    dice = random.Random(words.seed)
    began = time.monotonic()
    found = {"kills": 0, "missed": 0, "runs": 0, "by_phase": dict.fromkeys(PHASES, 0), "differences": []}
    with tempfile.TemporaryDirectory() as folder:
        straight = Path(folder) / "straight"
        code, printed = left_alone(straight)
        if code:
            raise SystemExit(f"the run fails when nobody disturbs it:\n{printed}")
        expected = end_of(straight)
        while found["kills"] < words.kills:
            workdir = Path(folder) / "run"
            shutil.rmtree(workdir, ignore_errors=True)
            while True:
                phase = dice.choice(PHASES)
                at = dice.randrange(1, 2 * EPOCHS)
                delay = dice.uniform(0, LONGEST_S[phase])
                hit = () if found["kills"] >= words.kills else (phase, str(at), f"{delay:.4f}")
                code, printed = left_alone(workdir, hit)
                if code == -signal.SIGKILL:
                    found["kills"] += 1
                    found["by_phase"][phase] += 1
                    print(f"{found['kills']}/{words.kills}: killed in {phase} {at} after {delay:.3f} s", flush=True)
                    continue
                if code:
                    found["differences"].append(f"kill {found['kills']}: the run ended with {code}: {printed[-500:]}")
                    break
                found["missed"] += bool(hit)
                wrong = [key for key, value in end_of(workdir).items() if value != expected[key]]
                if wrong:
                    found["differences"].append(f"kill {found['kills']}: {', '.join(wrong)} differ")
                break
            found["runs"] += 1
    found["seconds"] = round(time.monotonic() - began)
    words.out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    return 1 if found["differences"] else 0


if __name__ == "__main__":
    sys.exit(main())
