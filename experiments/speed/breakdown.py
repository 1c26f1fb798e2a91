"""Where the time of a batch goes, in fer_jax and in eager PyTorch: products, what is made for them, all the rest.

    pip install -e '.[bench]' && python experiments/speed/breakdown.py

Each program is a process of its own on one core, as in `compare.py`; some batches of training and of evaluation are
profiled (`profiles`). What is found goes to breakdown.json and, as a table, to README.md. A profile costs time itself,
so the parts are for shares; the rates are those of `compare.py`.
"""

import argparse
import datetime
import json
import shlex
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import roofline
import tables
from compare import Refused, check_packages
from fer_jax import build
from networks import NETWORKS
from options import DEFAULT_NETWORKS, Parser, available_cores, positive, some_of
from profiles import PARTS
from programs import TITLES
from progress import Progress
from workers import HERE, ROOT, Worker, WorkerError, ended, environment, make_job

PROGRAMS = ("fer_jax", "torch_channels_last")
KINDS = ("train", "evaluate")
WORDS = {"train": "training", "evaluate": "evaluation"}


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command."""
    parser = Parser(prog="breakdown", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=some_of(NETWORKS), default=list(DEFAULT_NETWORKS), help="with commas")
    parser.add_argument("--programs", type=some_of(PROGRAMS), default=list(PROGRAMS), help=f"of {', '.join(PROGRAMS)}")
    parser.add_argument("--seconds", type=positive(float), default=4.0, help="of what is profiled, at least one batch")
    parser.add_argument("--out", type=Path, default=HERE / "breakdown.json", help="JSON; README.md is beside it")
    return parser.parse_args(argv)


def measure(flags: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Seconds a batch by network, program, kind and part, with the machine and versions."""
    progress = Progress([("profile", network) for network in flags.networks for _ in flags.programs])
    cores = available_cores()[:1]
    results: dict[str, Any] = {"jobs": {}, "breakdown": {}}
    for network in flags.networks:
        results.update(make_job(network, folder / network, environment(1, folder / "reference")))
        job = json.loads((folder / network / "train" / "job.json").read_text())
        results["jobs"][network] = {key: job[key] for key in ("batch", "evaluation_batch")}
        found = results["breakdown"][network] = {}
        for program in flags.programs:
            with progress.task(("profile", network), f"{network}: {program}"), ended() as workers:
                workers.append(Worker(program, folder / network / "train", cores, folder / "caches"))
                workers[0].start()
                found[program] = {kind: workers[0].ask("profile", kind, flags.seconds) for kind in KINDS}
    progress.end()
    return results


def table(results: Mapping[str, Any]) -> str:
    """A row for each network, kind and program."""
    rows = []
    for network, programs in results["breakdown"].items():
        config = build.resolve({"model": {"name": network}, "data": {"name": "digits"}})
        _, described = build.build_model(config)
        for kind in KINDS:
            batch = results["jobs"][network]["batch" if kind == "train" else "evaluation_batch"]
            whole, forward = (roofline.operations(described.rows, batch, training) for training in (True, False))
            counted = {"forward": forward, "gradients": whole - forward}
            for program, found in programs.items():
                seconds = found[kind]
                total = sum(seconds.values())
                if not total:
                    continue
                cells = [f"{1e3 * seconds[part]:.1f} ({100 * seconds[part] / total:.0f} %)" for part in PARTS]
                for place, part in enumerate(PARTS):
                    if not seconds[part]:
                        cells[place] = ""
                    elif part in counted:
                        cells[place] += f", {counted[part] / seconds[part] / 1e9:.0f} GFLOP/s"
                rows.append(
                    f"| `{network}` | {WORDS[kind]} | {TITLES[program]} | {1e3 * total:.1f} | {' | '.join(cells)} |"
                )
    header = "| network | | program | a batch, ms | products, forward | their gradients | made for them | the rest |"
    note = (
        "On one core, of a profile, which costs some time itself. GFLOP/s count the products of the direct form: "
        "Winograd's filtering takes 2/3 of them in training, and half of them in evaluation where rows are long, so "
        "the rate may pass the machine's. Made for them: copies and sums of what they read; what oneDNN copies is "
        "in its products."
    )
    return "\n".join([header, f"|{'---|' * 8}", *rows, "", note])


def main() -> int:
    """Runs the command; the exit code."""
    flags = parse()
    # Ended by a signal, it ends its workers too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        check_packages(flags.programs)
        with tempfile.TemporaryDirectory(prefix="fer_jax_speed_") as folder:
            measured = measure(flags, Path(folder))
    except (Refused, WorkerError) as error:
        print(f"\nbreakdown: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbreakdown: interrupted; nothing was written", file=sys.stderr)
        return 130
    results = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", str(HERE.relative_to(ROOT) / "breakdown.py"), *sys.argv[1:]]),
        **measured,
    }
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    flags.out.write_text(json.dumps(results, indent=1) + "\n")
    names = ("jax", "torch", "numpy")
    versions = ", ".join(f"{name} {results['versions'][name]}" for name in names if name in results["versions"])
    head = f"`{results['command']}`, {results['date']}; {results['machine']['processor']}, {versions}."
    text = f"{head}\n\n{table(results)}"
    tables.write(flags.out.with_name("README.md"), "breakdown", text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
