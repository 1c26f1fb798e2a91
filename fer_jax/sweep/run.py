"""Training cells: jobs one after the other, each through `fer_jax.train`, what is finished kept at once."""

import contextlib
import gc
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import jax

from fer_jax import data, provenance
from fer_jax.errors import ConfigError, DataError, Interrupted, UserError
from fer_jax.sweep.grid import Cell, Grid
from fer_jax.sweep.jobs import Job, alone, make_jobs
from fer_jax.sweep.progress import Progress
from fer_jax.sweep.results import Row
from fer_jax.sweep.rows import make_rows
from fer_jax.train import train
from fer_jax.writers import METRICS_FILE, read_metrics

LOG = "log.txt"
FAILED = "failed.json"
"""In the folder of a job of several cells that failed: from then on they are trained one by one."""

AT_ONCE = 16
"""Cells in a run on a GPU or TPU, which trains them side by side."""


def usual_at_once() -> int:
    """The most cells in a run, if nothing is said: one a device on a CPU, where a device trains one after the other."""
    return jax.device_count() if jax.default_backend() == "cpu" else AT_ONCE


def check_data(grid: Grid, cells: Iterable[Cell], data_dir: str) -> dict[Cell, str]:
    """The fingerprint of the data of each cell.

    Raises:
      UserError: the data cannot be had, or only a stand-in for them.
    """
    found: dict[Cell, str] = {}
    read: dict[str, str] = {}
    for cell in cells:
        name, fold, recipe = cell.variant, cell.repeat.fold, grid.recipes[cell.variant]
        key = recipe.data_key(fold)
        if key not in read:
            try:
                dataset = data.load(**recipe.data(fold), image_shape=recipe.image_shape, data_dir=data_dir)
            except (ConfigError, DataError) as error:
                raise type(error)(f"{grid.file}: variant '{name}': {error}") from error
            if dataset.stand_in_for:
                raise DataError(
                    f"variant '{name}' is about {dataset.stand_in_for}, which could not be had, and a table of results "
                    f"takes no stand-in ({dataset.name}): set FER_JAX_DATA to the folder that holds the data"
                )
            read[key] = dataset.fingerprint
        found[cell] = read[key]
    return found


def jobs_of(grid: Grid, pending: Iterable[Cell], folder: Path, at_once: int) -> list[Job]:
    """The jobs for cells that are to be trained, `at_once` (0: `usual_at_once`) cells in each at most."""
    wanted = set(pending)
    jobs: list[Job] = []
    for job in make_jobs(grid, wanted, at_once or usual_at_once(), lambda name: (folder / name).is_dir()):
        failed = (folder / job.name / FAILED).exists()
        jobs += alone(grid, [cell for cell in job.cells if cell in wanted]) if failed else [job]
    return jobs


def run_jobs(
    grid: Grid,
    jobs: Sequence[Job],
    folder: Path,
    data_dir: str,
    kept: set[Cell],
    keep_rows: Callable[[list[Row]], None],
) -> dict[Cell, str]:
    """Trains jobs; a job that stopped half-way goes on from its checkpoint.

    Args:
      grid: the experiment.
      jobs: of `jobs_of`.
      folder: holds a folder for each job.
      data_dir: as in training.
      kept: the cells that have a row; those trained here are added.
      keep_rows: told the new rows of each job that has ended.

    Returns:
      Of each cell that failed, why.

    Raises:
      Interrupted: a signal came; the state of the run has been saved.
      UserError: the experiment file was changed; what was finished has been kept.
    """
    failed: dict[Cell, str] = {}
    cells = len({*kept, *(cell for job in jobs for cell in job.cells)})
    progress = Progress(grid, cells, len(kept), jobs)
    queue = deque(jobs)
    with contextlib.closing(progress):
        while queue:
            job = queue.popleft()
            own = folder / job.name
            progress.begin(job, own / LOG)
            try:
                rows = _train(grid, job, own, data_dir, progress)
            except Interrupted:
                raise
            except (UserError, jax.errors.JaxRuntimeError) as error:
                sentence = " ".join(str(error).split())[:500]
                several = len(job.cells) > 1
                progress.failed(job, sentence, again=several)
                if several:
                    # One of them spoils the run of all.
                    provenance.write_json(own / FAILED, {"error": sentence})
                    queue.extendleft(reversed(alone(grid, [cell for cell in job.cells if cell not in kept])))
                else:
                    failed[job.cells[0]] = sentence
            else:
                new = [row for cell, row in zip(job.cells, rows, strict=True) if cell not in kept]
                keep_rows(new)
                kept.update(job.cells)
                progress.done(new)
            # The programs of a job are of no use to the next, and hold its data on the device.
            jax.clear_caches()
            gc.collect()
            grid.check_unchanged(kept=f"the {len(kept)} of {cells} cells that are finished are kept")
    return failed


def _train(grid: Grid, job: Job, folder: Path, data_dir: str, progress: Progress) -> list[Row]:
    """Trains a job in its folder; what training says goes to a log there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {error.strerror}") from error
    with (folder / LOG).open("a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        record = train(job.config, workdir=str(folder), data_dir=data_dir, epoch_ended=progress.epoch)
    lines = read_metrics(folder)
    if len(lines) != job.config.epochs:
        raise UserError(
            f"{folder / METRICS_FILE} has {len(lines)} of {job.config.epochs} epochs: delete {folder} to train it anew"
        )
    return make_rows(grid, job, record, lines)
