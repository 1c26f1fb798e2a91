"""What a measurement is doing and about how long it will still take, on stderr."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import fmean

Task = tuple[str, str]
"""A kind of work and what it is done to: tasks that are equal take about as long."""

FIRST_GUESS = 15.0
"""Seconds of a task before one of its kind has been seen."""


class Progress:
    """Counts off a list of tasks.

    Args:
      tasks: all that will be done, in any order.
    """

    def __init__(self, tasks: Sequence[Task]):
        self._left = list(tasks)
        self._count = len(tasks)
        self._seen: dict[Task, list[float]] = {}
        self._wide = sys.stderr.isatty()

    @contextmanager
    def task(self, task: Task, words: str) -> Iterator[None]:
        """Does one of the tasks inside, and says so in words."""
        number = self._count - len(self._left) + 1
        text = f"[{number}/{self._count}] {words} - about {_words(self.seconds_left())} left"
        # On a terminal a line takes the place of the one before it.
        print(f"\r\033[K{text}" if self._wide else text, end="" if self._wide else "\n", file=sys.stderr, flush=True)
        began = time.perf_counter()
        yield
        self._seen.setdefault(task, []).append(time.perf_counter() - began)
        self._left.remove(task)

    def seconds_left(self) -> float:
        """From how long equal tasks took, or else those of the same kind."""
        return sum(self._expected(task) for task in self._left)

    def _expected(self, task: Task) -> float:
        of_kind = [seconds for (kind, _), found in self._seen.items() for seconds in found if kind == task[0]]
        return fmean(self._seen.get(task) or of_kind or [FIRST_GUESS])

    def end(self) -> None:
        """Ends the line."""
        if self._wide:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _words(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
