"""Kills a run again and again, at random and wherever it hurts, and checks that its end is that of a run left alone.

    python experiments/faults/torture.py --kills=50

A run of `mnist_11k` on scikit-learn's digits, laid out as MNIST's files, is killed with SIGKILL: at its start, while it
prepares its data, in a step, in an evaluation, in a save, while it scores its states. After some kills a file of the
newest checkpoint is truncated, has a bit flipped or is deleted, if there is another checkpoint. Each time the same
command is started again; when a run has come to its end the next begins, until all kills have been dealt. Of each run
the arrays of the last checkpoint must be those of the undisturbed run to the bit, and metrics.jsonl must hold every
epoch once with the same numbers. A damaged checkpoint must be named and passed over, unless the damage changed nothing.
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

import numpy as np

from fer_jax.data import digits

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

PHASES = ("start", "data", "step", "evaluation", "save", "scores")
"""Where `victim.py` can be hit; see there."""
EPOCHS = 6
CONFIG = (
    *(
        "--config=configs/mnist_11k.py",
        "--config.data.name=mnist",
        "--config.data.fallback=",
        "--config.data.limit=400",
    ),
    *(f"--config.epochs={EPOCHS}", "--config.steps_per_call=1", "--config.checkpoint.every_steps=2"),
)
LONGEST_S = {"start": 6.0, "data": 1.0, "step": 0.4, "evaluation": 0.1, "save": 0.3, "scores": 2.0}
"""How long after a phase has begun it may be hit, at most."""
DAMAGED = 0.4
"""How often a kill is followed by damage to the newest checkpoint."""


def arguments() -> argparse.Namespace:
    """The words of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="how many in all")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of places and times")
    parser.add_argument("--out", type=Path, default=HERE / "torture.json", help="the JSON file for what was found")
    return parser.parse_args()


def write_data(folder: Path) -> None:
    """Writes the digits as the four files of MNIST."""
    folder.mkdir(parents=True)
    for stem, split in zip(("train", "t10k"), digits.load().splits.values(), strict=True):
        for kind, values in (("images-idx3", split.images[..., 0]), ("labels-idx1", split.labels.astype(np.uint8))):
            header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
            (folder / f"{stem}-{kind}-ubyte").write_bytes(header + values.tobytes())


def start(workdir: Path, *hit: str) -> tuple[int, str]:
    """The exit code of the run, and what it printed; `hit` is where it is killed.

    Its data and its cache stand beside the workdir.
    """
    words = [*CONFIG, f"--workdir={workdir}", f"--data_dir={workdir.parent / 'data'}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(workdir.parent / "cache")}
    done = subprocess.run(
        [sys.executable, str(HERE / "victim.py"), *hit, "--", *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def saved_steps(workdir: Path) -> list[int]:
    """The steps that have a checkpoint, oldest first."""
    found = (path.name for path in (workdir / "checkpoints").glob("*") if path.name.isdecimal())
    return sorted(map(int, found))


def damage(folder: Path, dice: random.Random) -> str:
    """Truncates a file in a folder, flips a bit of it or deletes it; what was done, in words."""
    sizes = {path: path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}
    # Each byte alike: most are of the arrays.
    (path,) = dice.choices(list(sizes), weights=list(sizes.values()))
    whole, how = path.read_bytes(), dice.choice(("truncated", "flipped", "missing"))
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(whole[: dice.randrange(len(whole))])
    else:
        place = dice.randrange(len(whole))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << dice.randrange(8)]) + whole[place + 1 :])
    return f"{how} {path.relative_to(folder.parent)}"


def end_of(workdir: Path) -> dict[str, object]:
    """What two runs must have in common: the digest of the last arrays, each epoch's numbers, the scores."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    clock = ("seconds", "images_per_second")
    last = saved_steps(workdir)[-1]
    files = [path for path in (workdir / "checkpoints" / str(last)).glob("record/*") if path.is_file()]
    (record,) = (json.loads(path.read_text()) for path in files if '"sha256"' in path.read_text())
    run = json.loads((workdir / "run.json").read_text())
    return {
        "step": last,
        "sha256": record["sha256"],
        "epochs": [{key: value for key, value in line.items() if key not in clock} for line in lines],
        "scores": run["scores"],
        "finished": run["finished"],
    }


def disturb(workdir: Path, dice: random.Random, found: dict, kills: int) -> list[str]:
    """Kills a run, damages its checkpoints and starts it again until it has come to its end.

    Args:
      workdir: the run's folder, which does not exist.
      dice: chooses places and times.
      found: what has been found so far; counted on.
      kills: no more of them than there are in all.

    Returns:
      What went wrong, in words.
    """
    wrong, hurt, said = [], "", ""
    while True:
        phase = dice.choice(PHASES)
        at, delay = dice.randrange(1, EPOCHS + 1), dice.uniform(0, LONGEST_S[phase])
        hit = () if found["kills"] >= kills else (phase, str(at), f"{delay:.4f}")
        code, printed = start(workdir, *hit)
        said += printed
        if hurt and "Going on from step " in printed:
            step = hurt.split(" ")[1].split("/")[0]
            passed_over = f"checkpoints/{step} " in said and "going on from the checkpoint before it" in said
            harmless = f"Going on from step {int(step):,} " in printed
            found["damage_told" if passed_over else "damage_harmless"] += 1
            if passed_over == harmless:
                wrong.append(f"{hurt}: {printed[-500:]}")
            hurt = ""
        if code != -signal.SIGKILL:
            found["missed"] += bool(hit)
            return [*wrong, f"the run ended with {code}: {printed[-500:]}"] if code else wrong
        found["kills"] += 1
        found["by_phase"][phase] += 1
        told = f"{found['kills']}/{kills}: killed in {phase} {at} after {delay:.3f} s"
        steps = saved_steps(workdir)
        if not hurt and len(steps) > 1 and dice.random() < DAMAGED:
            said, hurt = "", damage(workdir / "checkpoints" / str(steps[-1]), dice)
            told += f"; {hurt}"
        print(told, flush=True)


def main() -> int:
    """Deals the kills; 0 if nothing differs."""
    words = arguments()
    dice = random.Random(words.seed)
    began = time.monotonic()
    found = {"kills": 0, "missed": 0, "runs": 0, "by_phase": dict.fromkeys(PHASES, 0)}
    found |= {"damage_told": 0, "damage_harmless": 0, "differences": []}
    with tempfile.TemporaryDirectory() as folder:
        straight, workdir = Path(folder) / "straight", Path(folder) / "run"
        write_data(Path(folder) / "data" / "mnist")
        code, printed = start(straight)
        if code:
            raise SystemExit(f"the run fails when nobody disturbs it:\n{printed}")
        expected = end_of(straight)
        while found["kills"] < words.kills:
            shutil.rmtree(workdir, ignore_errors=True)
            shutil.rmtree(Path(folder) / "cache" / "fer_jax" / "mnist", ignore_errors=True)
            wrong = disturb(workdir, dice, found, words.kills)
            if not wrong:
                wrong = [f"{key} differs" for key, value in end_of(workdir).items() if value != expected[key]]
            found["runs"] += 1
            found["differences"] += [f"run {found['runs']}: {what}" for what in wrong]
    found["seconds"] = round(time.monotonic() - began)
    words.out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    return 1 if found["differences"] else 0


if __name__ == "__main__":
    sys.exit(main())
