"""Starting, asking and ending the processes that hold a program each; see `worker` for what they do."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from programs import ENVIRONMENT

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


class WorkerError(Exception):
    """A program could not do what it was asked; the message is a sentence for the user."""


def environment(cores: int, caches: Path) -> dict[str, str]:
    """The environment of every process: threads for the cores, and caches of compiled programs in a folder of ours."""
    found = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(cores))
    paths = [str(ROOT), *filter(None, [found.get("PYTHONPATH")])]
    return {
        **found,
        **threads,
        "PYTHONPATH": os.pathsep.join(paths),
        "XDG_CACHE_HOME": str(caches / "cache"),
        "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
        "KERAS_HOME": str(caches / "keras"),
        "FER_JAX_OFFLINE": "1",
    }


def make_job(network: str, folder: Path, env: dict[str, str], images: int = 0) -> dict[str, Any]:
    """Has `reference.py` write the jobs of a network into a folder; what it says of commit, versions and machine.

    Raises:
      WorkerError: it failed.
    """
    command = [sys.executable, str(HERE / "reference.py"), network, str(folder), str(images)]
    made = subprocess.run(command, capture_output=True, text=True, env=env)
    if made.returncode:
        raise WorkerError(f"{made.stderr}\n{network}: its job cannot be made")
    return json.loads(made.stdout)


class Worker:
    """A process with one program on its cores.

    Args:
      program: its name in `programs.PROGRAMS`.
      folder: of the job.
      cores: their numbers.
      caches: the folder for caches of compiled programs: an empty one makes a cold start.
    """

    def __init__(self, program: str, folder: Path, cores: Sequence[int], caches: Path):
        self.program, self.cores = program, list(cores)
        self._log = folder.parent / f"{program}-{'-'.join(map(str, cores))}.log"
        self._began = time.perf_counter()
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "worker.py"), program, str(folder), ",".join(map(str, cores))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**environment(len(cores), caches), **ENVIRONMENT.get(program, {})},
                # Ctrl-C is for the parent, which ends its workers.
                start_new_session=True,
            )

    def start(self) -> dict[str, float]:
        """Two training steps; adds the seconds from the start of the process to the end of the first."""
        found = self.ask("start")
        return {**found, "to_first_step": time.perf_counter() - self._began - found["second_step"]}

    def ask(self, command: str, *arguments: Any) -> dict[str, Any]:
        """The answer to a command.

        Raises:
          WorkerError: it failed, or the process ended.
        """
        self.tell(command, *arguments)
        return self.answer()

    def tell(self, command: str, *arguments: Any) -> None:
        """Gives a command; `answer` waits for it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": command, "with": arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._failed("its process ended")) from None

    def answer(self) -> dict[str, Any]:
        """Waits for the answer to the command given last.

        Raises:
          WorkerError: as `ask`.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            words = f"its process was ended by signal {-code}" if code < 0 else f"its process ended with code {code}"
            raise WorkerError(self._failed(words))
        found = json.loads(line)
        if "error" in found:
            raise WorkerError(self._failed(found["error"]))
        return found

    def _failed(self, words: str) -> str:
        tail = self._log.read_text(errors="replace").strip().splitlines()[-15:]
        return "\n".join([*tail, f"{self.program} failed: {words} (above, the end of what it printed)"])

    def stop(self) -> None:
        """Ends the process."""
        for end in (self._process.terminate, self._process.kill):
            if self._process.poll() is None:
                end()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout=5)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


@contextlib.contextmanager
def ended() -> Iterator[list[Worker]]:
    """A list for workers, all of which are ended on the way out."""
    workers: list[Worker] = []
    try:
        yield workers
    finally:
        for worker in workers:
            worker.stop()
