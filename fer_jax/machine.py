"""The machine that this process runs on."""

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator
from pathlib import Path


def available_cores() -> int:
    """The CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """The processor's name, with its family, model and stepping where the system tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "cpu family", "model", "stepping")
    fields = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    return " ".join(fields[key] for key in wanted if key in fields) or platform.processor()


def give_back_memory() -> None:
    """Gives the system what this process has freed and the C library kept, where that is glibc."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """While entered, whether this process holds a file or folder, which ends with the process, however that ends.

    Where the system or the disk has no such locks, everybody holds it.
    """
    try:
        import fcntl
    except ImportError:
        yield True
        return
    opened = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = True
        except BlockingIOError:
            mine = False
        except OSError:
            mine = True
        yield mine
    finally:
        os.close(opened)
