"""How far a sweep is, over its whole grid, and what is left: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from fer_jax.sweep.grid import Grid
from fer_jax.sweep.jobs import Job
from fer_jax.writers import format_seconds

EVERY_S = 60.0
"""Seconds between two lines within a job, where there is no terminal."""


def weights(grid: Grid) -> dict[str, float]:
    """How much work an epoch of each variant is, relative to the others: multiply-adds, where all are known."""
    known = all(recipe.multiply_adds for recipe in grid.recipes.values())
    return {name: float(recipe.multiply_adds or 1) if known else 1.0 for name, recipe in grid.recipes.items()}


class Progress:
    """Tells of cells and jobs; it holds the terminal while training's own lines go to a log.

    Args:
      grid: the experiment.
      cells: how many of it are wanted.
      kept: how many of these are done.
      jobs: what is to be done.
    """

    def __init__(self, grid: Grid, cells: int, kept: int, jobs: Sequence[Job]):
        self._weights = weights(grid)
        self._epochs = {name: recipe.config.epochs for name, recipe in grid.recipes.items()}
        self._cells, self._kept, self._folds = cells, kept, grid.experiment.folds
        self._left = sum(map(self._work, jobs))
        self._done_here = 0.0
        # Of epochs that began in this process, after the first of their job, which waits for the compiler.
        self._steady_s, self._steady_work = 0.0, 0.0
        self._begun, self._to_begin = 0, len(jobs)
        self._began = self._told = time.perf_counter()
        self._job: Job | None = None
        self._mark: float | None = None
        self._bar = tqdm(
            total=100,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {postfix}",
            leave=False,
            disable=not sys.stderr.isatty(),
            file=sys.stderr,
        )
        self._whole = self._left
        # Training's lines go elsewhere while a job runs; these do not.
        self._out = sys.stdout

    def begin(self, job: Job, log: Any) -> None:
        """A job begins; its training is told in `log`."""
        self._job, self._epoch, self._mark = job, 0, None
        self._begun, self._to_begin = self._begun + 1, self._to_begin - 1
        self._say(f"[{self._kept}/{self._cells}] training {job} (log: {log})")

    def epoch(self, epoch: int) -> None:
        """An epoch of the job has ended, counted from 1; what an earlier process trained tells nothing of the pace."""
        assert self._job is not None
        one = self._work(self._job) / self._job.config.epochs
        self._left -= one * (epoch - self._epoch)
        self._done_here += one
        now = time.perf_counter()
        if self._mark is not None:
            self._steady_s += now - self._mark
            self._steady_work += one
        self._mark = now
        self._epoch = epoch
        text = f"epoch {epoch}/{self._job.config.epochs}, {self.left()} left of the whole grid"
        self._bar.n = round(100 * (1 - self._left / self._whole))
        self._bar.set_description_str(f"[{self._kept}/{self._cells}]", refresh=False)
        self._bar.set_postfix_str(text)
        if self._bar.disable and time.perf_counter() - self._told > EVERY_S:
            self._say(f"    {text}")

    def done(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """The job's rows have been kept."""
        assert self._job is not None
        self._left -= self._work(self._job) * (1 - self._epoch / self._job.config.epochs)
        self._kept += len(rows)
        for row in rows:
            split = "test" if "test_accuracy" in row["last"] else "val"
            last, best = (f"{100 * row[state][f'{split}_accuracy']:.2f}" for state in ("last", "best"))
            selected = f", {best} selected (epoch {row['best']['epoch']})" if row["selected_by"] else ""
            fold = f", fold {row['fold']}" if self._folds else ""
            self._say(f"    {row['variant']}, seed {row['seed']}{fold}: {split} accuracy {last} last{selected}")
        left = f", {self.left()} left" if self._left > 1e-9 * self._whole else ""
        self._say(f"[{self._kept}/{self._cells}] done in {format_seconds(self._elapsed())}{left}")

    def failed(self, job: Job, sentence: str, again: bool) -> None:
        """The job came to nothing; `again` if its cells are trained again, one by one."""
        work = self._work(job)
        self._to_begin += len(job.cells) if again else 0
        self._left += work * self._epoch / job.config.epochs if again else -work * (1 - self._epoch / job.config.epochs)
        self._say(f"    {'failed together, so one by one' if again else 'FAILED'}: {job}: {sentence}")

    def left(self) -> str:
        """The time that is left, as the work of this process so far lets it expect.

        The pace is that of steady epochs; what a run takes besides, compiling most of all, it takes once.
        """
        if not self._steady_work:
            # All runs are of one epoch, or the first has only begun.
            return format_seconds(self._elapsed() * self._left / self._done_here) if self._begun > 1 else "?"
        pace = self._steady_s / self._steady_work
        besides = max(0.0, self._elapsed() - pace * self._done_here) / self._begun
        return format_seconds(pace * max(self._left, 0.0) + besides * self._to_begin)

    def close(self) -> None:
        """Takes the bar away."""
        self._bar.close()

    def _elapsed(self) -> float:
        return time.perf_counter() - self._began

    def _work(self, job: Job) -> float:
        return sum(self._weights[cell.variant] * self._epochs[cell.variant] for cell in job.cells)

    def _say(self, text: str) -> None:
        self._told = time.perf_counter()
        tqdm.write(text, file=self._out)
        self._out.flush()
