"""Ctrl-C and SIGTERM as a request: the loop finishes the call in flight, saves, and then stops."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from fer_jax import processes
from fer_jax.errors import Interrupted


@contextlib.contextmanager
def sigterm_raises(message: str) -> Iterator[None]:
    """While entered, SIGTERM raises Interrupted with a message where the program stands, so that it tidies up."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted(message, number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


class StopSignals:
    """While entered, the first SIGINT or SIGTERM is only noted; a second one acts as it would have.

    What the processes of a run agreed on last counts, so that what comes meanwhile is not seen half-way.
    """

    _WATCHED = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self._noted = 0
        self._agreed: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        # Python allows handlers in the main thread only; elsewhere whoever owns that thread decides.
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in self._WATCHED}
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()

    @property
    def received(self) -> int | None:
        """The number of the signal that has come, as of the last `agree` where there was one; None if none."""
        return (self._noted if self._agreed is None else self._agreed) or None

    def agree(self) -> None:
        """Decides on `received`. All processes of a run call it together, so that they stop at the same step."""
        self._agreed = processes.largest(self._noted)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
