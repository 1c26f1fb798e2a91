"""Learning rates by name: a table of Python floats, made once, that training indexes and the record tells from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fer_jax.config import check_above, check_at_least, check_at_most, check_choice, check_rate
from fer_jax.errors import ConfigError

OPTIONS: dict[str, tuple[str, ...]] = {
    "constant": (),
    "inverse_time": ("decay_rate",),
    "cosine": ("warmup_epochs", "final_rate"),
    "one_cycle": ("final_rate",),
    "plateau": ("factor", "patience"),
}
"""What each schedule takes besides the learning rate."""
SCHEDULES = tuple(OPTIONS)

SCHEDULES_THAT_NEED_EPOCHS: frozenset[str] = frozenset({"cosine", "one_cycle"})
"""Schedules whose value at a step depends on the length of the run, so that a finished run cannot be lengthened."""

ONE_CYCLE_START = 1 / 25
ONE_CYCLE_RISE = 0.3
"""Of 'one_cycle': the first rate as a share of the highest, and the share of the run in which it rises."""


@dataclass(frozen=True)
class Schedule:
    """A table of learning rates and what indexes it.

    Attributes:
      rates: Python floats, before any rounding to float32.
      steps_per_rate: optimiser steps that each rate is held for; 0 where the number of reductions is the index.
      patience: of 'plateau'; 0 for the others.
    """

    rates: tuple[float, ...]
    steps_per_rate: int
    patience: int = 0

    def at(self, step: int, reductions: int = 0) -> float:
        """The rate of a step, counted from 0, after so many reductions (of 'plateau')."""
        place = step // self.steps_per_rate if self.steps_per_rate else reductions
        return self.rates[min(place, len(self.rates) - 1)]

    def reduces_now(self, epoch: int, best_epoch: int, reduced: Sequence[int]) -> bool:
        """Whether the rate goes down after an epoch: `patience` epochs without a new best or a reduction.

        Args:
          epoch: just done, counted from 1.
          best_epoch: the best of the watched split's accuracies up to now.
          reduced: the epochs after which the rate went down before.
        """
        return self.patience > 0 and epoch - max(best_epoch, *reduced, 0) >= self.patience


def make_schedule(
    name: str,
    *,
    learning_rate: float,
    decay_rate: float,
    warmup_epochs: float,
    final_rate: float,
    factor: float,
    patience: int,
    steps_per_epoch: int,
    epochs: int,
) -> Schedule:
    """The schedule of a run; the arguments are described in `optim.create`.

    Raises:
      ConfigError: a name or number out of range.
    """
    check_choice("config.optim.schedule", name, SCHEDULES)
    check_above("config.optim.learning_rate", learning_rate, 0)
    # What is more is infinite in float32.
    check_at_most("config.optim.learning_rate", learning_rate, 3e38)
    check_at_least("config.optim.decay_rate", decay_rate, 0)
    check_at_least("config.optim.warmup_epochs", warmup_epochs, 0)
    check_at_least("config.optim.final_rate", final_rate, 0)
    check_at_most("config.optim.final_rate", final_rate, 1)
    check_above("config.optim.factor", factor, 0)
    check_rate("config.optim.factor", factor)
    check_at_least("config.optim.patience", patience, 1)
    steps = epochs * steps_per_epoch
    if name == "constant":
        return Schedule((learning_rate,) * epochs, steps_per_epoch)
    if name == "inverse_time":
        rates = (round(learning_rate / (1 + decay_rate * epoch), 10) for epoch in range(epochs))
        return Schedule(tuple(rates), steps_per_epoch)
    if name == "plateau":
        # It cannot go down more often than there are epochs.
        return Schedule(tuple(learning_rate * factor**count for count in range(epochs + 1)), 0, patience)
    if name == "cosine":
        if warmup_epochs >= epochs:
            raise ConfigError(
                f"config.optim.warmup_epochs must be less than config.epochs = {epochs}, not {warmup_epochs}"
            )
        rise = round(warmup_epochs * steps_per_epoch)
        rising = [learning_rate * (step + 1) / rise for step in range(rise)]
    else:
        rise = int(ONE_CYCLE_RISE * steps)
        rising = [learning_rate * _eased(ONE_CYCLE_START, 1, step / rise) for step in range(rise)]
    falling = [learning_rate * _eased(1, final_rate, step / (steps - rise)) for step in range(steps - rise)]
    return Schedule(tuple(rising + falling), 1)


def _eased(start: float, end: float, progress: float) -> float:
    """From `start` to `end` along half a cosine, as `progress` goes from 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
