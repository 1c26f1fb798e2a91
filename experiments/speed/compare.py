"""fer_jax beside PyTorch, Keras 3 and a plain Flax loop: the same networks, batches and float type on the same cores.

    pip install -e '.[bench]' && python experiments/speed/compare.py

Every program is a process of its own, pinned to its cores; the processes take turns, so that whatever else the machine
does falls on all of them. Nothing is compared unless all programs find the same losses from the same weights. What is
found goes to results.json and, as tables, to README.md; see there what each number is.
"""

import argparse
import datetime
import importlib.util
import json
import shlex
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tables
import whole_commands
from agreement import disagreements
from options import available_cores, parse
from programs import NEEDS
from progress import Progress, Task
from workers import HERE, ROOT, Worker, WorkerError, ended, environment, make_job

BY_NETWORK = ("jobs", "checks", "starts", "rates", "gain")
RATES = ("train", "evaluate", "latency")
MEASURED = {"train": "training", "evaluate": "evaluation", "latency": "single images"}


class Refused(Exception):
    """What the user must know, in a sentence."""


def check_packages(names: Iterable[str]) -> None:
    """Refuses if a program needs a package that is not here."""
    for name in names:
        for package in NEEDS[name]:
            if importlib.util.find_spec(package) is None:
                raise Refused(
                    f"{name} needs {package}, which is not installed: pip install -e '.[bench]', or leave it out "
                    "with --programs"
                )


def earlier_results(flags: argparse.Namespace) -> dict[str, Any]:
    """What is in the JSON file, for --add; nothing without it."""
    if not flags.add:
        return {}
    try:
        earlier = json.loads(flags.out.read_text())
        quick, cores = earlier["settings"]["quick"], earlier["settings"]["cores"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"--add: {flags.out} holds no results to add to: leave --add out") from error
    if (quick, cores) != (flags.quick, flags.cores):
        raise Refused(f"--add: {flags.out} is of other --cores or of --quick: measure all anew, or name another --out")
    return earlier


class Comparison:
    """What is measured, and the results so far.

    Args:
      flags: as `parse` gives them.
      folder: for jobs, logs and caches.
      earlier: results that these are added to.
    """

    def __init__(self, flags: argparse.Namespace, folder: Path, earlier: dict[str, Any]):
        self._flags, self._folder = flags, folder
        self._progress = Progress(self._tasks())
        self._most = available_cores()[: flags.cores[-1]]
        self.results: dict[str, Any] = {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "command": shlex.join(["python", *([str(HERE.relative_to(ROOT) / "compare.py"), *sys.argv[1:]])]),
            "settings": {
                **{key: getattr(flags, key) for key in ("rounds", "seconds", "cores", "networks", "programs")},
                "quick": flags.quick,
            },
            **{key: {} for key in BY_NETWORK},
        }
        self._earlier = earlier
        if earlier:
            self.results.update({key: earlier[key] for key in (*BY_NETWORK, "process", "seeds") if key in earlier})
            of_run = {key: earlier[key] for key in ("date", "command", "settings", "git")}
            self.results["earlier"] = [*earlier.get("earlier", []), of_run]

    def _tasks(self) -> list[Task]:
        flags, tasks = self._flags, []
        for network in flags.networks:
            tasks += [("reference", network)] + [("first", network)] * len(flags.programs)
            if "rates" in flags.parts:
                for _ in flags.cores:
                    tasks += [("start", network)] * len(flags.programs)
                    tasks += [(kind, network) for kind in RATES] * len(flags.programs) * flags.rounds
            if "gain" in flags.parts and len(flags.cores) > 1:
                tasks += [("gain start", network)] + [("gain", network)] * flags.rounds
        if "process" in flags.parts:
            tasks += [("process", "")] * len(self._process_tasks())
        return tasks + [("seeds", "")] * (2 * flags.rounds * bool(flags.seeds))

    def run(self) -> None:
        """Measures everything; what is there so far is written after each part."""
        flags = self._flags
        for network in flags.networks:
            self._begin(network)
        problems = [
            line for network in flags.networks for line in disagreements(network, self.results["checks"][network])
        ]
        if problems:
            hint = "nothing was compared; a program that is at fault can be left out with --programs"
            raise Refused(f"{'; '.join(problems)}: {hint}")
        for network in flags.networks:
            if "rates" in flags.parts:
                for cores in flags.cores:
                    self._rates(network, available_cores()[:cores])
                    self._write()
            if "gain" in flags.parts and len(flags.cores) > 1:
                self._gain(network)
                self._write()
        if "process" in flags.parts:
            self._processes()
        if flags.seeds:
            self._seeds(flags.seeds)
        self._write()
        self._progress.end()

    def _write(self) -> None:
        out = self._flags.out
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(self.results, indent=1) + "\n")
        tables.write(out.parent / "README.md", "compare", tables.comparison(self.results))

    def _caches(self, cores: int) -> Path:
        """A program compiled for one number of cores must not be taken for another."""
        return self._folder / f"caches-{cores}"

    def _job(self, network: str) -> Path:
        return self._folder / network / "train"

    def _begin(self, network: str) -> None:
        """The job; of each program the losses and the start with nothing compiled yet, on all cores."""
        with self._progress.task(("reference", network), f"{network}: weights and images"):
            env = environment(len(self._most), self._folder / "reference")
            about = make_job(network, self._folder / network, env, self._flags.images)
        for key in ("machine", "versions"):
            if self._earlier and about[key] != self._earlier[key]:
                raise Refused(f"--add: {self._flags.out} was measured with another {key.rstrip('s')}: measure all anew")
        self.results.update(about)
        job = json.loads((self._job(network) / "job.json").read_text())
        self.results["jobs"][network] = {key: job[key] for key in ("batch", "evaluation_batch", "images")}
        checks = self.results["checks"][network] = {}
        starts: dict[str, dict[str, Any]] = {}
        for program in self._flags.programs:
            with self._progress.task(("first", network), f"{network}: first start and losses of {program}"):
                with ended() as workers:
                    workers.append(Worker(program, self._job(network), self._most, self._caches(len(self._most))))
                    starts[program] = {"cold": workers[0].start()}
                    checks[program] = workers[0].ask("check")
        # The second start comes with the rates: without them an earlier pair of starts stays together.
        if "rates" in self._flags.parts or network not in self.results["starts"]:
            self.results["starts"][network] = starts

    def _rates(self, network: str, cores: list[int]) -> None:
        """Alternating rounds of all programs on these cores."""
        flags, words = self._flags, f"{network}, {len(cores)} core{'s' * (len(cores) > 1)}"
        found: dict[str, dict[str, Any]] = {program: {} for program in flags.programs}
        of_network = {} if len(cores) == flags.cores[0] else self.results["rates"][network]
        self.results["rates"][network] = {**of_network, str(len(cores)): found}
        with ended() as workers:
            for program in flags.programs:
                with self._progress.task(("start", network), f"{words}: starting {program}"):
                    worker = Worker(program, self._job(network), cores, self._caches(len(cores)))
                    workers.append(worker)
                    start = worker.start()
                    if cores == self._most:
                        self.results["starts"][network][program]["warm"] = start
            for kind in RATES:
                # A single image is soon predicted often enough.
                seconds = flags.seconds / 4 if kind == "latency" else flags.seconds
                for worker in workers:
                    worker.ask(kind, flags.seconds / 4)  # Warm-up.
                for number in range(flags.rounds):
                    # Whoever goes first in one round goes last in the next.
                    for worker in workers if number % 2 == 0 else workers[::-1]:
                        text = f"{words}: {MEASURED[kind]}, round {number + 1} of {flags.rounds}, {worker.program}"
                        with self._progress.task((kind, network), text):
                            answer = worker.ask(kind, seconds)
                        found[worker.program].setdefault(kind, []).append(_value(answer))
                if kind == "train":
                    for worker in workers:
                        found[worker.program].update(worker.ask("memory"))

    def _gain(self, network: str) -> None:
        """fer_jax on one core, on all, and one process on each core: images a second of all together."""
        flags = self._flags
        found: dict[str, list[float]] = {"one": [], "all": [], "each": []}
        with ended() as workers:
            with self._progress.task(("gain start", network), f"{network}: fer_jax on one core and on all"):
                for cores in ([core] for core in self._most):
                    workers.append(Worker("fer_jax", self._job(network), cores, self._caches(1)))
                workers.append(Worker("fer_jax", self._job(network), self._most, self._caches(len(self._most))))
                for worker in workers:
                    worker.start()
                    worker.ask("train", flags.seconds / 4)
            *singles, whole = workers
            for number in range(flags.rounds):
                text = f"{network}: what more cores give, round {number + 1} of {flags.rounds}"
                with self._progress.task(("gain", network), text):
                    found["one"].append(_value(singles[0].ask("train", flags.seconds)))
                    found["all"].append(_value(whole.ask("train", flags.seconds)))
                    for worker in singles:
                        worker.tell("train", flags.seconds)
                    found["each"].append(sum(_value(worker.answer()) for worker in singles))
        self.results["gain"][network] = {"cores": len(self._most), **found}

    def _process_tasks(self) -> list[tuple[str, str]]:
        """What is done with whole commands, in this order: (what, of which)."""
        flags = self._flags
        repeats = 1 if flags.quick else 3
        torch = [name for name in ("torch", "torch_channels_last") if name in flags.programs]
        tasks = [("prepare", "fer_jax"), ("first_step", "fer_jax_cold")]
        for _ in range(2 * repeats - 1):
            tasks += [("first_step", name) for name in ["fer_jax", *torch]]
        tasks += [("whole", "fer_jax_cold")]
        for _ in range(repeats):
            tasks += [("whole", name) for name in ["fer_jax", *torch]]
        return tasks

    def _processes(self) -> None:
        """mnist_15k as whole commands on all cores: when the first step is done, and the memory of an epoch."""
        caches, data, job = self._caches(0), self._folder / "data", self._folder / "mnist_15k" / "train"
        env = environment(len(self._most), caches)
        if not job.exists():
            make_job("mnist_15k", job.parent, env)
        whole_commands.write_mnist(data)
        limit = self._flags.images
        found: dict[str, Any] = {"first_step": {}, "whole": {}, "limit": limit}
        self.results["process"] = found
        for what, name in self._process_tasks():
            workdir = self._folder / "run"
            shutil.rmtree(workdir, ignore_errors=True)
            if name == "fer_jax_cold":
                whole_commands.forget_compiled(caches)
            words = {"prepare": "data prepared", "first_step": "until the first step", "whole": "a whole epoch"}[what]
            with self._progress.task(("process", ""), f"whole commands: {words}, {name}"):
                if what == "prepare":
                    command = whole_commands.fer_jax_command(data, workdir, epochs=1, data__limit=128)
                    whole_commands.run_to_end(command, env, self._most)
                elif name.startswith("torch"):
                    options = [f"--images={limit}"] * bool(limit) + ["--channels_last"] * (name != "torch")
                    command = whole_commands.torch_command(job, data, *options)
                else:
                    stepwise = {"steps_per_call": 1} if what == "first_step" else {}
                    command = whole_commands.fer_jax_command(data, workdir, epochs=1, **self._limit(), **stepwise)
                if what == "first_step":
                    pattern = whole_commands.SCRIPT_STEP if name.startswith("torch") else whole_commands.FIRST_STEPS
                    answer: Any = whole_commands.seconds_until(command, pattern, env, self._most)
                elif what == "whole":
                    answer = whole_commands.run_to_end(command, env, self._most)
                else:
                    continue
                found[what].setdefault(name, []).append(answer)

    def _limit(self) -> dict[str, int]:
        return {"data__limit": self._flags.images} if self._flags.images else {}

    def _seeds(self, count: int) -> None:
        """Images a second, compiling left out, of one seed on one core and of several in one command on all cores.

        Two epochs, because the first of a run holds what is done once.
        """
        epochs = 2
        caches, data = self._caches(0), self._folder / "data"
        if not data.exists():
            whole_commands.write_mnist(data)
        rates: dict[str, list[float]] = {"one": [], "together": []}
        for _ in range(self._flags.rounds):
            for name, seeds, cores in (("one", 1, self._most[:1]), ("together", count, self._most)):
                workdir = self._folder / f"seeds-{seeds}"
                shutil.rmtree(workdir, ignore_errors=True)
                command = whole_commands.fer_jax_command(data, workdir, epochs=epochs, num_seeds=seeds, **self._limit())
                words = f"{seeds} seed{'s' * (seeds > 1)} in one command"
                with self._progress.task(("seeds", ""), words):
                    whole_commands.run_to_end(command, environment(len(cores), caches), cores)
                record = json.loads((workdir / "run.json").read_text())
                images = self._flags.images or whole_commands.TRAIN_IMAGES
                rates[name].append(epochs * seeds * images / record["seconds_training"])
        medians = {name: statistics.median(found) for name, found in rates.items()}
        self.results["seeds"] = {"count": count, **medians}


def _value(answer: dict[str, float]) -> float:
    return answer["milliseconds"] if "milliseconds" in answer else answer["images"] / answer["seconds"]


def main() -> int:
    """Runs the command; the exit code."""
    flags = parse(description=__doc__)
    # Ended by a signal, it ends its workers too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        check_packages(flags.programs)
        with tempfile.TemporaryDirectory(prefix="fer_jax_speed_") as folder:
            comparison = Comparison(flags, Path(folder), earlier_results(flags))
            comparison.run()
    except (Refused, WorkerError) as error:
        print(f"\ncompare: {error}" if isinstance(error, WorkerError) else f"compare: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ncompare: interrupted; what was measured before is in " + str(flags.out), file=sys.stderr)
        return 130
    print(tables.comparison(comparison.results))
    print(f"Written to {flags.out} and to README.md beside it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
