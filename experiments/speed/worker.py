"""One program on its cores, in a process of its own that does what it is told: lines of JSON in, lines of JSON out.

`python worker.py PROGRAM FOLDER CORES`, where CORES are numbers with commas between them. `workers` is the other end.
"""

import itertools
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

BEGAN = time.perf_counter()


class Worker:
    """What the commands do. Each returns what is answered."""

    def __init__(self, program: str, folder: Path, cores: list[int]):
        self._name, self._folder, self._cores = program, folder, cores
        self._program: Any = None
        self._job: Any = None
        self._rates: dict[str, float] = {}

    def start(self) -> dict[str, float]:
        """Imports the framework, builds the program and takes the first two steps; seconds since the process began."""
        import programs
        from job import Job

        self._job = Job.read(self._folder)
        self._job.data, self._job.weights  # noqa: B018 (made here, so that it is not counted below)
        marks = [time.perf_counter()]
        self._program = programs.create(self._name, self._job, len(self._cores))
        marks.append(time.perf_counter())
        for _ in range(2):
            self._program.train(1)
            marks.append(time.perf_counter())
        build, first, second = (after - before for before, after in itertools.pairwise(marks))
        return {"build": build, "first_step": first, "second_step": second, "compile": max(0.0, first - second)}

    def check(self) -> dict[str, float]:
        """The losses of the job without Dropout."""
        import programs
        from job import Job

        job = Job.read(self._folder.parent / "check")
        return programs.create(self._name, job, len(self._cores)).losses()._asdict()

    def train(self, seconds: float) -> dict[str, float]:
        """Trains for about so many seconds; images and seconds."""
        return self._timed("train", self._program.train, seconds, self._job.batch)

    def evaluate(self, seconds: float) -> dict[str, float]:
        """Evaluates for about so many seconds; images and seconds."""
        return self._timed("evaluate", self._program.evaluate, seconds, self._job.evaluation_batch)

    def latency(self, seconds: float) -> dict[str, float]:
        """Predicts single images for about so many seconds; the median in milliseconds."""
        images = self._job.data[0]
        times: list[float] = []
        began = time.perf_counter()
        while len(times) < 5 or (time.perf_counter() - began < seconds and len(times) < 10_000):
            image = images[len(times) % len(images)]
            before = time.perf_counter()
            self._program.predict(image)
            times.append(time.perf_counter() - before)
        return {"milliseconds": 1000 * sorted(times)[len(times) // 2], "calls": len(times)}

    def profile(self, kind: str, seconds: float) -> dict[str, float]:
        """Profiles about so many seconds of training or evaluation, warmed up; seconds a batch by part."""
        size = self._job.batch if kind == "train" else self._job.evaluation_batch
        images = getattr(self, kind)(seconds)["images"]
        found = self._program.profile(kind, images // size)
        return {part: size * value / images for part, value in found.items()}

    def memory(self) -> dict[str, float]:
        """The most memory that the process has held so far, in MiB."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"peak_mib": peak / (2**20 if sys.platform == "darwin" else 2**10)}

    def _timed(self, kind: str, action: Any, seconds: float, size: int) -> dict[str, float]:
        """Runs as many batches as the last call says will fit, at least one."""
        if kind not in self._rates:
            for batches in (1, 2):  # The first compiles.
                before = time.perf_counter()
                action(batches)
                self._rates[kind] = batches / (time.perf_counter() - before)
        batches = max(1, round(seconds * self._rates[kind]))
        before = time.perf_counter()
        action(batches)
        passed = time.perf_counter() - before
        self._rates[kind] = batches / passed
        return {"images": batches * size, "seconds": passed}


def main() -> None:
    program, folder, cores = sys.argv[1], Path(sys.argv[2]), [int(core) for core in sys.argv[3].split(",")]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    # What libraries print goes to stderr; the answers have the pipe for themselves.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    worker = Worker(program, folder, cores)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(worker, command["do"])(*command["with"])
        except Exception as error:
            import traceback

            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
