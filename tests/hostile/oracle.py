"""What must hold of a reader, whatever it is given.

It returns what the format allows, or it is refused with sentences on stderr, as a command would tell them; it ends in
time, takes no more memory than its input is worth, runs nothing, and writes nothing beside its input.
"""

import contextlib
import logging as standard_logging
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from absl import logging
from commands import JAX_CACHE

from fer_jax.command import told
from fer_jax.machine import give_back_memory
from hostile.damage import Draw

SECONDS = 5.0
"""How long a reader may take."""
TIMES = 4
"""How often the bytes of the input may lie in memory."""
MEMORY = 64
"""What a reader may take in any case, in MiB."""
LONGEST = 1000
"""Letters in a sentence."""
_BUSY = 4
"""On a busy machine a reader may wait so many times as long as it may work."""
_ROOM = 2 << 30
"""Bytes of address space that a case may add: so a bomb ends the case, and not the machine."""


def _listed(folder: Path) -> list[tuple]:
    """Each file, folder and link, with its kind, size and time of change."""
    found = []
    for root, folders, files in os.walk(os.fsencode(folder)):
        for name in [*folders, *files]:
            stat = os.lstat(os.path.join(root, name))
            found.append((root, name, stat.st_mode, stat.st_size, stat.st_mtime_ns))
    return sorted(found)


def size_of(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(entry[3] for entry in _listed(folder))


@dataclass(frozen=True)
class Reader:
    """A reader of files that anybody may have made.

    Attributes:
      write: writes hostile input into an empty folder; returns what is known of what it holds, or None.
      read: reads the folder as a command would.
      check: fails if what was read is not what the format allows, or not what is known.
      weight: how many cases it has, relative to the others.
      memory: what it may take in any case, in MiB.
      changes: whether it may write into its folder, as what goes on with a run does.
      worth: the bytes of the input: those of its files, unless they stand for something larger.
    """

    write: Callable[[Draw, Path], Any]
    read: Callable[[Path], Any]
    check: Callable[[Any, Any], None]
    weight: int = 10
    memory: int = MEMORY
    changes: bool = False
    worth: Callable[[Path], int] = size_of


class Verdict(NamedTuple):
    """How a case ended: whether it was refused, in how many seconds, the input's bytes, and those that it took."""

    refused: bool
    seconds: float
    size: int
    taken: int


class Hang(BaseException):
    """A reader did not end; nothing may catch it."""


class _Watch:
    """Of this process: what a case did that no reader may do. Audit hooks cannot be taken out again."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.done: list[str] = []
        self.hooked = False

    def __call__(self, event: str, arguments: tuple) -> None:
        if self.folder is None:
            return
        if event in _FORBIDDEN:
            self.done.append(f"{event} {arguments[:2]!r:.300}")
        elif event in _WRITING or (event == "open" and _is_write(*arguments[1:])):
            path = _absolute(arguments[0], event, arguments) if isinstance(arguments[0], str | bytes) else ""
            if path and not path.startswith((self.folder, os.devnull, os.path.dirname(JAX_CACHE))):
                self.done.append(f"{event} {path!r}")


_FORBIDDEN = {"pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect"}
_WRITING = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
_watch = _Watch()


def _absolute(name: str | bytes, event: str, arguments: tuple) -> str:
    """Where a name leads; what walks through a tree names files by the folder that it has opened."""
    place = {"os.remove": 1, "os.rmdir": 1, "os.mkdir": 2}.get(event)
    opened = arguments[place] if place is not None else -1
    base = os.readlink(f"/proc/self/fd/{opened}") if opened != -1 else os.getcwd()
    return os.path.normpath(os.path.join(base, os.fsdecode(name)))


def _is_write(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return bool(isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


@contextlib.contextmanager
def sandbox() -> Iterator[Path]:
    """A folder for cases, with the caches and temporary files of the process in it."""
    if not _watch.hooked:
        sys.addaudithook(_watch)
        _watch.hooked = True
    names = ("XDG_CACHE_HOME", "FER_JAX_OFFLINE", "FER_JAX_DATA", "MPLCONFIGDIR")
    saved = {name: os.environ.get(name) for name in names}
    before, bytecode, verbosity = tempfile.tempdir, sys.dont_write_bytecode, logging.get_verbosity()
    root = standard_logging.getLogger()
    level = root.level
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tmp").mkdir()
        # Prepared copies are another reader's.
        os.environ.update(XDG_CACHE_HOME=os.devnull, FER_JAX_OFFLINE="1", MPLCONFIGDIR=str(Path(folder) / "matplotlib"))
        os.environ.pop("FER_JAX_DATA", None)
        # As in a command.
        logging.set_verbosity(logging.FATAL)
        root.setLevel(standard_logging.CRITICAL)
        tempfile.tempdir, sys.dont_write_bytecode = str(Path(folder) / "tmp"), True
        try:
            yield Path(folder)
        finally:
            logging.set_verbosity(verbosity)
            root.setLevel(level)
            tempfile.tempdir, sys.dont_write_bytecode = before, bytecode
            for name, value in saved.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def judge(reader: Reader, draw: Draw, folder: Path) -> Verdict:
    """Makes a case and reads it.

    Raises:
      AssertionError: something does not hold.
    """
    case = folder / "case"
    shutil.rmtree(case, ignore_errors=True)
    case.mkdir()
    known = reader.write(draw, case)
    before, temporary, size = _listed(case), _listed(folder / "tmp"), reader.worth(case)
    found: list[Any] = []
    code, seconds, taken, said = _run(lambda: found.append(reader.read(case)), folder)
    assert not _watch.done, f"it did what no reader may do: {_watch.done}"
    assert reader.changes or _listed(case) == before, "it changed its input"
    left = sorted(set(_listed(folder / "tmp")) - set(temporary))
    assert not left, f"it left temporary files: {[entry[1] for entry in left]}"
    assert seconds < SECONDS, f"it took {seconds:.1f} s"
    allowed = max(reader.memory << 20, TIMES * size)
    assert taken <= allowed, f"it took {taken >> 20} MiB for {size:,} bytes"
    _check_said(said, bool(code))
    if not code:
        reader.check(found[0], known)
    return Verdict(bool(code), seconds, size, taken)


def _run(action: Callable[[], None], folder: Path) -> tuple[int, float, int, str]:
    """The exit code, the seconds, the bytes of memory, and what was said on stderr, by whomever."""
    saved_stderr, saved_handler, saved_limit = sys.stderr, signal.getsignal(signal.SIGALRM), _limit()
    sys.stderr.flush()
    terminal = os.dup(2)
    with (folder / "stderr").open("w+", encoding="utf-8", errors="backslashreplace", buffering=1) as file:
        os.dup2(file.fileno(), 2)
        sys.stderr = file
        signal.signal(signal.SIGALRM, _hang)
        at_first = _memory(reset=True)
        _clock.start()
        try:
            _watch.folder, _watch.done = str(folder), []
            signal.setitimer(signal.ITIMER_REAL, SECONDS, SECONDS)
            code = told(action)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except (Exception, Hang) as error:
            raise AssertionError(f"the user would see a traceback: {type(error).__name__}: {error!s:.500}") from error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            _watch.folder = None
            seconds, taken = _clock.seconds(), _memory() - at_first
            resource.setrlimit(resource.RLIMIT_AS, saved_limit)
            signal.signal(signal.SIGALRM, saved_handler)
            sys.stderr = saved_stderr
            os.dup2(terminal, 2)
            os.close(terminal)
        file.seek(0)
        return code, seconds, taken, file.read()


class _Clock:
    """When a case began, on the wall and in the processor: others may keep a machine busy."""

    wall = cpu = 0.0

    def start(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def seconds(self) -> float:
        """Of work; of waiting, where there is little work in much of it."""
        work, waited = time.process_time() - self.cpu, time.perf_counter() - self.wall
        return work if waited < _BUSY * SECONDS else waited


_clock = _Clock()


def _hang(number: int, frame: Any) -> None:
    if _clock.seconds() >= SECONDS:
        raise Hang(f"it did not end within {SECONDS:g} s")


def _limit() -> tuple[int, int]:
    """Lets the process grow by so much and no more; the limits that it had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _ROOM, hard))
    return soft, hard


def _memory(reset: bool = False) -> int:
    """The most bytes that the process has had in memory since the last reset; 0 where the system does not tell."""
    try:
        if reset:
            # Who takes what lies free in the heap seems to take nothing.
            give_back_memory()
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def _check_said(said: str, refused: bool) -> None:
    """A refusal ends with its one sentence; before it, and where there is none, are warnings and notes at most."""
    lines = said.split("\n")
    assert lines.pop() == "", f"the last line is not ended: {said[-300:]!r}"
    for line in lines:
        assert line.startswith("fer_jax: "), f"stderr has {line[:300]!r} in {said[:3000]!r}"
        assert line.isprintable(), f"a terminal would obey {line[:300]!r}"
        assert len(line) <= LONGEST, f"a sentence has {len(line)} letters: {line[:300]!r}"
    if refused:
        assert lines and not lines[-1].startswith("fer_jax: warning: "), f"no sentence says why: {said[-300:]!r}"
