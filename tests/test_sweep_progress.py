"""How long a sweep says it will take still."""

import time
from pathlib import Path

import pytest

from fer_jax.build import default_config
from fer_jax.sweep import Experiment, Variant
from fer_jax.sweep.grid import make_grid
from fer_jax.sweep.jobs import make_jobs
from fer_jax.sweep.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def wait(seconds):
        now[0] += seconds

    return wait


@pytest.fixture
def jobs(clock):
    base = default_config(model="mnist_10k", data_name="digits")
    base.epochs = 4
    grid = make_grid(Path("x/experiment.py"), b"", "", Experiment(base=base, variants=[Variant("a")], seeds=3))
    return grid, make_jobs(grid, grid.cells(), 1, lambda name: False)


def test_compiling_is_counted_once_a_run(clock, jobs):
    grid, of_each = jobs
    progress = Progress(grid, 3, 0, of_each)
    progress.begin(of_each[0], "log")
    assert progress.left() == "?"
    clock(40)
    progress.epoch(1)
    assert progress.left() == "?"
    clock(10)
    progress.epoch(2)
    # Two epochs of this run; two runs with 30 s of compiling and four epochs.
    assert progress.left() == "2m 40s"
    clock(20)
    progress.epoch(4)
    progress.done([])
    assert progress.left() != "?"
    progress.close()


def test_a_run_that_goes_on_has_less_left(clock, jobs):
    grid, of_each = jobs
    progress = Progress(grid, 3, 0, of_each[2:])
    progress.begin(of_each[2], "log")
    clock(10)
    progress.epoch(3)
    clock(10)
    progress.epoch(4)
    assert progress.left() == "0s"
    progress.close()


def test_a_run_that_fails_is_counted_again_cell_by_cell(clock, jobs):
    grid, _ = jobs
    (job,) = make_jobs(grid, grid.cells(), 3, lambda name: False)
    progress = Progress(grid, 3, 0, [job])
    progress.begin(job, "log")
    for epoch in (1, 2):
        clock(30)
        progress.epoch(epoch)
    assert progress.left() == "1m 00s"
    progress.failed(job, "why", again=True)
    assert progress.left() == "2m 00s"
    progress.close()
