"""A sweep that is killed again and again ends like one that was not: as a command, with SIGKILL."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from commands import JAX_CACHE
from sweep_files import HEAD, TWO, write_experiment

from fer_jax.sweep.results import read_results

# The command, with a network that compiles in a second, and without plots.
PROGRAM = """
import sys
from functools import partial
from fer_jax import command, models
from fer_jax.models import mnist
from fer_jax.sweep import __main__ as sweep
table = (mnist.block(4, kernel=5, pool=True), mnist.logits(kernel=12))
models.MODELS["tiny"] = partial(mnist.MnistNet, table=table)
sys.argv[0] = "fer_jax"
sys.modules["matplotlib"] = None
command.run(sweep.main, sweep.FLAGS)
"""
TIMES = ("seconds_compiling", "seconds_training", "test_reads", "command")
"""What a kill may change in a row: a restored state is checked by evaluating it, which counts as a read."""


def start(folder, **options):
    """The sweep of the experiment in a folder; its runs are there too."""
    words = [f"--experiment={folder / 'experiment.py'}", f"--workdir={folder / 'runs'}", "--at_once=2"]
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": JAX_CACHE}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], cwd=Path(__file__).parents[1], env=environment, text=True, **options
    )


def rows(folder):
    """The rows without what a kill may change."""
    found = read_results(folder / "results.jsonl").rows
    return [{key: value for key, value in row.items() if key not in TIMES} for row in found]


def table(folder):
    """The tables without seconds."""
    return [line.rpartition("|")[0].rpartition("|")[0] for line in (folder / "table.md").read_text().splitlines()]


def test_three_kills_change_no_number(tmp_path):
    text = (HEAD + TWO).replace("config.epochs = 2", "config.epochs = 3\n    config.checkpoint.every_steps = 4")
    straight = write_experiment(tmp_path / "straight" / "dropout", text).parent
    killed = write_experiment(tmp_path / "killed" / "dropout", text).parent
    process = start(straight, stdout=subprocess.PIPE)
    assert process.stdout is not None
    for line in process.stdout:
        if "] training" in line:
            break
    began = time.monotonic()
    process.stdout.read()
    process.stdout.close()
    assert process.wait() == 0
    lasts = time.monotonic() - began
    delays = []
    for _ in range(3):
        process = start(killed, stdout=subprocess.PIPE)
        assert process.stdout is not None
        for line in process.stdout:
            if "] training" in line:
                break
        delays.append(random.uniform(0, lasts / 3))
        time.sleep(delays[-1])
        process.kill()
        process.wait()
        process.stdout.close()
    process = start(killed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert process.wait() == 0
    assert len(rows(straight)) == 4
    assert rows(killed) == rows(straight), delays
    assert table(killed) == table(straight), delays
