"""How long the cells of an experiment will take: from rows of this machine, or else from a few steps timed here."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from fer_jax import provenance
from fer_jax.build import build
from fer_jax.distill import with_teacher
from fer_jax.evaluate import evaluate, on_device
from fer_jax.final_scores import prepare_split
from fer_jax.resume import template
from fer_jax.sweep.grid import Cell, Grid
from fer_jax.sweep.jobs import Job
from fer_jax.sweep.progress import weights

TIMED_STEPS = 5


def estimate(
    grid: Grid, rows: Mapping[Cell, Mapping[str, Any]], jobs: Sequence[Job], data_dir: str
) -> tuple[float, str]:
    """Seconds that jobs will take, and in words what that is known from.

    Args:
      grid: the experiment.
      rows: that are kept.
      jobs: that are to be run, at least one.
      data_dir: as in training.
    """
    work = weights(grid)
    here = provenance.layout()
    # Seconds of one unit of work, for each variant that has been trained on such a machine.
    rates: dict[str, list[float]] = {}
    for cell, row in rows.items():
        if row["machine"] == here:
            seconds = (row["seconds_training"] + row["seconds_compiling"]) / row["members"]
            rates.setdefault(cell.variant, []).append(seconds / (row["epochs"] * work[cell.variant]))
    if rates:
        mean = {name: sum(values) / len(values) for name, values in rates.items()}
        others = sum(mean.values()) / len(mean)
        seconds = sum(
            mean.get(cell.variant, others) * work[cell.variant] * job.config.epochs
            for job in jobs
            for cell in job.cells
        )
        return seconds, "from the cells that were trained on such a machine"
    job = jobs[0]
    unit = _seconds_of_an_epoch(job, data_dir) / sum(work[cell.variant] for cell in job.cells)
    seconds = unit * sum(work[cell.variant] * one.config.epochs for one in jobs for cell in one.cells)
    return seconds, f"from {TIMED_STEPS} steps of '{job}' timed here, without compiling"


def _seconds_of_an_epoch(job: Job, data_dir: str) -> float:
    """Trains a few steps and evaluates once; nothing is kept."""
    run = with_teacher(build(job.config, data_dir), job.config)
    examples, watched = on_device(run.splits.train, run.mesh, run.shares), prepare_split(run, run.splits.watched_name)
    arrays = template(run)
    state, progress = arrays["state"], arrays["progress"]
    order = run.programs.order(state, np.int32(0))
    steps = min(TIMED_STEPS, run.steps_per_epoch)
    state, progress = run.programs.train(state, progress, examples, order, np.int32(0))
    evaluate(run.programs, state, watched)
    began = time.perf_counter()
    state, progress = run.programs.train(state, progress, examples, order, np.int32(steps))
    jax.block_until_ready(progress)
    trained = time.perf_counter()
    evaluate(run.programs, state, watched)
    return (trained - began) / steps * run.steps_per_epoch + time.perf_counter() - trained
