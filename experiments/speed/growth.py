"""How the cost of a run of fer_jax grows with its epochs, its images and its seeds: three sizes each, whole commands.

    python experiments/speed/growth.py

Each run is `python -m fer_jax.main` on `configs/mnist_15k.py` and noise in MNIST's files, a process of its own on all
cores, compile cache warm. What is found goes to growth.json and, as a table, to README.md.
"""

import argparse
import datetime
import json
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tables
import whole_commands
from options import Parser, available_cores, positive, some_of
from progress import Progress
from workers import HERE, ROOT, WorkerError, environment

WHAT = ("epochs", "images", "seeds")


def sizes(quick: bool) -> dict[str, tuple[int, ...]]:
    """Those of a run. Seeds go one a core, so below a seed a core they cost nothing."""
    cores = len(available_cores())
    return {
        "epochs": (1, 2, 4),
        "images": (512, 1024, 2048) if quick else (15_000, 30_000, 60_000),
        "seeds": (cores, 2 * cores, 4 * cores),
    }


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command."""
    parser = Parser(prog="growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", type=some_of(WHAT), default=list(WHAT), help=f"of {', '.join(WHAT)}")
    parser.add_argument("--rounds", type=positive(int), default=3, help="runs of each size; the sizes take turns")
    parser.add_argument("--out", type=Path, default=HERE / "growth.json", help="the JSON file; README.md is beside it")
    parser.add_argument("--quick", action="store_true", help="a miniature, to see that everything runs")
    flags = parser.parse_args(argv)
    if flags.quick:
        flags.rounds = 1
        if flags.out == HERE / "growth.json":
            flags.out = Path(tempfile.gettempdir()) / "fer_jax_speed" / "growth.json"
    return flags


def base(quick: bool) -> dict[str, int]:
    """What stays while another grows."""
    return {"epochs": 1, "images": sizes(quick)["images"][0], "seeds": 1}


def options(what: str, size: int, quick: bool) -> dict[str, int]:
    """The overrides of a run."""
    chosen = {**base(quick), what: size}
    return {"epochs": chosen["epochs"], "data__limit": chosen["images"], "num_seeds": chosen["seeds"]}


def measure(flags: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Runs every size so often, in turns."""
    cores, data, workdir = available_cores(), folder / "data", folder / "run"
    env = environment(len(cores), folder)
    runs = [(what, size) for what in flags.what for size in sizes(flags.quick)[what]]
    progress = Progress([(what, str(size)) for what, size in runs] * (flags.rounds + 1))
    whole_commands.write_mnist(data)
    found: dict[str, dict[str, list[dict[str, float]]]] = {what: {} for what in flags.what}
    for number in range(flags.rounds + 1):
        for what, size in runs:
            # The first round compiles: what is compiled depends on the number of images.
            words = "compiling" if number == 0 else f"round {number} of {flags.rounds}"
            with progress.task((what, str(size)), f"{size} {what}: {words}"):
                shutil.rmtree(workdir, ignore_errors=True)
                command = whole_commands.fer_jax_command(data, workdir, **options(what, size, flags.quick))
                run = whole_commands.run_to_end(command, env, cores)
            if number:
                training = json.loads((workdir / "run.json").read_text())["seconds_training"]
                found[what].setdefault(str(size), []).append({**run, "training": training})
    progress.end()
    return found


def main() -> int:
    """Runs the command; the exit code."""
    flags = parse()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with tempfile.TemporaryDirectory(prefix="fer_jax_speed_") as folder:
            about = subprocess.run(
                [sys.executable, str(HERE / "reference.py")],
                capture_output=True,
                text=True,
                check=True,
                env=environment(len(available_cores()), Path(folder)),
            )
            results = {
                "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "command": shlex.join(["python", str(HERE.relative_to(ROOT) / "growth.py"), *sys.argv[1:]]),
                "settings": {"rounds": flags.rounds, "quick": flags.quick, "base": base(flags.quick)},
                **json.loads(about.stdout),
                "growth": measure(flags, Path(folder)),
            }
    except WorkerError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ngrowth: interrupted; nothing was written", file=sys.stderr)
        return 130
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    flags.out.write_text(json.dumps(results, indent=1) + "\n")
    text = tables.growth(results)
    tables.write(flags.out.parent / "README.md", "growth", text)
    print(text)
    print(f"Written to {flags.out} and to README.md beside it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
