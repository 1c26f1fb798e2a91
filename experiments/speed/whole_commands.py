"""Whole commands as a user starts them, watched from outside: seconds, memory, and when the first step was done."""

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from workers import HERE, ROOT, WorkerError

TRAIN_IMAGES, TEST_IMAGES = 60_000, 10_000

FIRST_STEPS = re.compile(rb"Epoch 1/\d+:[^\r\n]*\| *(?!0[./])[\d.]+[kM]?/")
"""fer_jax's progress bar with more than 0 images."""
SCRIPT_STEP = re.compile(rb"^step 1\b", re.MULTILINE)
"""What `torch_script` prints after its first step."""


def write_mnist(folder: Path) -> None:
    """Noise in the four files of MNIST, of MNIST's size: `--data_dir` takes them."""
    rng = np.random.default_rng(2)
    (folder / "mnist").mkdir(parents=True)
    for prefix, count in (("train", TRAIN_IMAGES), ("t10k", TEST_IMAGES)):
        for kind, shape, most in (("images-idx3", (count, 28, 28), 256), ("labels-idx1", (count,), 10)):
            header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
            content = rng.integers(0, most, shape, dtype=np.uint8).tobytes()
            (folder / "mnist" / f"{prefix}-{kind}-ubyte").write_bytes(header + content)


def fer_jax_command(data: Path, workdir: Path, **overrides: object) -> list[str]:
    """`python -m fer_jax.main` on `configs/mnist_15k.py` and the files of `write_mnist`."""
    return [
        *[sys.executable, "-m", "fer_jax.main", "--config=configs/mnist_15k.py"],
        *[f"--data_dir={data}", f"--workdir={workdir}"],
        *[f"--config.{key.replace('__', '.')}={value}" for key, value in overrides.items()],
    ]


def torch_command(job: Path, data: Path, *words: str) -> list[str]:
    """The same training as a script in PyTorch."""
    return [sys.executable, str(HERE / "torch_script.py"), str(job), str(data / "mnist"), *words]


def forget_compiled(caches: Path) -> None:
    """Empties fer_jax's cache of compiled programs; prepared data stay."""
    shutil.rmtree(caches / "cache" / "fer_jax" / "compiled", ignore_errors=True)


def run_to_end(command: Sequence[str], env: Mapping[str, str], cores: Sequence[int]) -> dict[str, float]:
    """Seconds of the whole command, and the most memory that its process held, in MiB.

    Raises:
      WorkerError: it failed.
    """
    began = time.perf_counter()
    process = _start(command, env, cores, subprocess.PIPE)
    assert process.stdout is not None
    try:
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        process.stdout.close()
        _end(process)
    if process.returncode:
        raise WorkerError(_failed(command, printed, process.returncode))
    return {"seconds": seconds, "peak_mib": usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)}


def seconds_until(
    command: Sequence[str], pattern: re.Pattern[bytes], env: Mapping[str, str], cores: Sequence[int]
) -> float:
    """Seconds from the start of a command until its terminal shows `pattern`; it is ended then.

    Raises:
      WorkerError: it ended before.
    """
    ours, theirs = pty.openpty()
    # A terminal without a size gets no progress bar.
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    printed = b""
    began = time.perf_counter()
    process = _start(command, env, cores, theirs)
    os.close(theirs)
    try:
        while True:
            if not select.select([ours], [], [], 600)[0]:
                raise WorkerError(_failed(command, printed, "no output for ten minutes"))
            try:
                more = os.read(ours, 65_536)
            except OSError:  # The terminal of a process that has ended.
                more = b""
            if not more:
                raise WorkerError(_failed(command, printed, process.wait()))
            printed += more
            if pattern.search(printed):
                return time.perf_counter() - began
    finally:
        _end(process)
        os.close(ours)


def _start(
    command: Sequence[str], env: Mapping[str, str], cores: Sequence[int], output: int
) -> subprocess.Popen[bytes]:
    def pin() -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)

    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
        env=env,
        preexec_fn=pin,
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None and process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _failed(command: Sequence[str], printed: bytes, code: object) -> str:
    tail = printed.decode(errors="replace").strip().splitlines()[-15:]
    return "\n".join([*tail, f"'{' '.join(command)}' failed ({code})"])
