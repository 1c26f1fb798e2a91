"""How an epoch is cut into calls of the device: signals, progress and saves happen between them."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np

from fer_jax import processes
from fer_jax.build import Run
from fer_jax.metrics import Progress
from fer_jax.sharding import on_host
from fer_jax.steps import Examples, TrainState, steps_taken

CPU_CALL_SECONDS = 2.0
"""How long a call takes on a CPU: what Ctrl-C waits for, and how often the progress bar moves."""


class Pace:
    """How many steps the next call takes: `steps_per_call`, or what fits the platform if that is 0.

    Args: those of the run. A step of a large network takes seconds, so on a CPU the first call takes one.
    """

    def __init__(self, steps_per_call: int, steps_per_epoch: int):
        on_cpu = jax.default_backend() == "cpu"
        self._adapts = steps_per_call == 0 and on_cpu
        self.steps = steps_per_call or (1 if on_cpu else steps_per_epoch)

    def measured(self, steps: int, seconds: float) -> None:
        """Told how long a call of `steps` took."""
        if self._adapts:
            # At most doubled, because the first calls include what is slow once.
            fits = int(CPU_CALL_SECONDS * steps / max(seconds, 1e-6))
            self.steps = processes.of_first(max(1, min(fits, 2 * self.steps)))


def calls(
    run: Run,
    examples: Examples,
    state: TrainState,
    progress: Progress,
    *,
    epoch: int,
    pace: Pace,
    save_every: int,
    watch: Callable[[int, Progress, TrainState], None],
    trace: Path | None = None,
) -> Iterator[tuple[TrainState, Progress, int]]:
    """Trains the rest of an epoch, call by call.

    The device never waits for the host: what a call has counted is read when the next one is under way.

    Args:
      run: what is trained.
      examples: the training split on the devices.
      state: where training stands; used up by the first call.
      progress: what the epoch has added up so far.
      epoch: counted from 0.
      pace: how long calls are.
      save_every: a call ends wherever the epoch's step is a multiple of this; 0 is nowhere.
      watch: told the epoch's step, its sums so far and the newest state, once a call. A run of one takes no step after
        a bad one, so that state shows what it did.
      trace: write a profile of the second call (the first where there is only one) to this folder.

    Yields:
      The state, the sums and the epoch's step after each call.
    """
    order = run.programs.order(state, np.int32(epoch))
    steps = run.steps_per_epoch
    done = first = steps_taken(state) - epoch * steps
    count = 0
    while done < steps:
        began, start, before = time.perf_counter(), done, progress
        done = min(start + pace.steps, steps)
        if save_every:
            done = min(done, (start // save_every + 1) * save_every)
        traced = trace is not None and (count == 1 or (count == 0 and done == steps))
        with jax.profiler.trace(str(trace)) if traced else contextlib.nullcontext():
            state, progress = run.programs.train(state, progress, examples, order, np.int32(done))
            if traced:
                jax.block_until_ready(progress)
        if start > first:
            watch(start, on_host(before), state)
            pace.measured(done - start, time.perf_counter() - began)
        count += 1
        yield state, progress, done
    watch(done, on_host(progress), state)
