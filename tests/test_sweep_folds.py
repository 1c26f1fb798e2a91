"""`fer_jax.sweep` over folds of the data: each is trained on, and numbers are means over them."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from commands import assert_refused
from sweep_files import FakeTraining, write_experiment
from test_facial_expressions import write_set

from fer_jax.data import load
from fer_jax.scores import t_interval
from fer_jax.sweep import __main__ as command_line
from fer_jax.sweep import run as sweep_run
from fer_jax.sweep import write
from fer_jax.sweep.grid import load_grid
from fer_jax.sweep.jobs import make_jobs
from fer_jax.sweep.numbers import numbers, rows_of
from fer_jax.sweep.sweep import open_experiment

TEXT = """'''How far do folds differ?'''
from fer_jax.build import default_config
from fer_jax.sweep import Experiment, Variant


def get_experiment():
    config = default_config(model="tiny", data_name="facial_expressions")
    config.epochs = 2
    config.model.dropout = 0.1
    config.data.fallback = ""
    return Experiment(base=config, variants=[Variant("plain"), Variant("more", {CHANGES})], seeds=SEEDS, folds=FOLDS)
"""


class FakeFolds(FakeTraining):
    """A fold is worth 3 % more than the one before; its data have a fingerprint of their own."""

    def __call__(self, config, **given):
        record = super().__call__(config, **given)
        fold = config.data.fold
        both = {**record["last"], "test_accuracy": record["last"]["test_accuracy"] + 0.03 * fold}
        return record | {"last": both, "best": both, "data": {"fingerprint": fingerprint(fold)}}


def fingerprint(fold):
    return f"{fold}" * 64


@pytest.fixture
def training(monkeypatch):
    fake = FakeFolds()
    monkeypatch.setattr(sweep_run, "train", fake)
    monkeypatch.setattr(write, "_plots", lambda grid, kept: {})

    def find(*, fold, **options):
        return SimpleNamespace(fingerprint=fingerprint(fold), stand_in_for="", name="facial_expressions")

    monkeypatch.setattr(sweep_run, "data", SimpleNamespace(load=find))
    return fake


@pytest.fixture
def command(run_module):
    return partial(run_module, command_line)


def write_folds(tmp_path, changes="'model.dropout': 0.3", seeds=1, folds=3):
    text = TEXT.replace("CHANGES", changes).replace("SEEDS", str(seeds)).replace("FOLDS", str(folds))
    return write_experiment(tmp_path / "by_fold", text)


def test_every_fold_is_trained_on_and_numbers_are_means_over_folds(command, training, tmp_path):
    file = write_folds(tmp_path)
    result = command(f"--experiment={file}", f"--workdir={tmp_path / 'runs'}", "--at_once=1")
    assert result.code == 0 and "plain, seed 0, fold 2: test accuracy 56.00 last" in result.out
    assert sorted((run.data.fold, run.model.dropout) for run in training.configs) == [
        (fold, dropout) for fold in range(3) for dropout in (0.1, 0.3)
    ]
    grid, _, kept = open_experiment(str(file))
    found = numbers(grid, rows_of(kept))
    values = np.array([0.6, 0.63, 0.66])
    np.testing.assert_allclose(found["more/last"].values, values)
    np.testing.assert_allclose(found["more/last"].half_width, t_interval(list(values))[1])
    np.testing.assert_allclose(found["more/last_difference"].values, [0.1, 0.1, 0.1])
    table = (file.parent / "table.md").read_text()
    assert "mean over the folds (Student's t). The folds' training images overlap, so" in table
    assert "(same folds, same data order)" in table and "seconds a cell" in table
    assert "| more | 0 | 2 | 66.00 |" in table and "| variant | seed | fold |" in table
    training.configs.clear()
    again = command(f"--experiment={file}", f"--workdir={tmp_path / 'runs'}", "--at_once=1")
    assert again.code == 0 and "all 6 cells are done" in again.out and not training.configs


def test_a_fold_that_is_lost_is_the_only_one_that_is_trained_again(command, training, tmp_path):
    file = write_folds(tmp_path)
    assert command(f"--experiment={file}", f"--workdir={tmp_path / 'runs'}", "--at_once=1").code == 0
    results = file.parent / "results.jsonl"
    lines = results.read_text().splitlines(keepends=True)
    lost = next(number for number, line in enumerate(lines) if '"fold": 1' in line and '"variant": "more"' in line)
    results.write_text("".join(lines[:lost] + lines[lost + 1 :]))
    training.configs.clear()
    assert command(f"--experiment={file}", f"--workdir={tmp_path / 'other'}", "--at_once=1").code == 0
    assert [(run.data.fold, run.model.dropout) for run in training.configs] == [(1, 0.3)]


def test_cells_on_different_folds_are_never_trained_together(tmp_path, tiny):
    grid = load_grid(str(write_folds(tmp_path, seeds=2, folds=2)))
    jobs = make_jobs(grid, grid.cells(), 16, lambda name: False)
    assert [str(job) for job in jobs] == ["plain; more, seeds 0 to 1, fold 0", "plain; more, seeds 0 to 1, fold 1"]
    assert [job.config.data.fold for job in jobs] == [0, 1]
    assert len({cell.digest for cell in grid.cells()}) == 4 and len(set(grid.cells())) == 8
    assert grid.repeated == "seeds and folds" and str(grid.cells()[2]) == "plain, seed 0, fold 1"


def test_a_row_of_one_fold_on_other_data_than_its_own_is_refused(command, training, tmp_path, monkeypatch):
    file = write_folds(tmp_path)
    assert command(f"--experiment={file}", f"--workdir={tmp_path / 'runs'}", "--at_once=1").code == 0
    results = file.parent / "results.jsonl"
    results.write_text(results.read_text().replace(fingerprint(1), fingerprint(7), 1))
    assert_refused(command(f"--experiment={file}"), "plain, seed 0, fold 1", "were measured on different data")


@pytest.mark.parametrize(
    ("changes", "folds", "sentence"),
    [
        ("'data.fold': 2", 3, "variant 'more': config.data.fold is the sweep's own: it trains on each of 3 folds"),
        ("'model.dropout': 0.3", -1, "folds must be a whole number of at least 0, not -1"),
        ("'model.dropout': 0.3", "True", "folds must be a whole number of at least 0, not True"),
        ("'data.name': 'digits'", 3, "config.data.fold = 1 means nothing to config.data.name = 'digits'"),
        ("'data.split_by': 'image'", 6, "config.data.fold must be at most 4, not 5"),
    ],
)
def test_what_cannot_be_is_refused(command, tmp_path, monkeypatch, changes, folds, sentence):
    monkeypatch.setattr(sweep_run, "train", FakeFolds())
    if "split_by" in changes:
        write_set(tmp_path / "data")
    words = (f"--experiment={write_folds(tmp_path, changes, folds=folds)}", f"--data_dir={tmp_path / 'data'}")
    if "name" in changes:
        # The other variant's data are found, so that this one's are asked for.
        found = SimpleNamespace(fingerprint="", stand_in_for="", name="")
        load_or_find = SimpleNamespace(load=lambda **o: load(**o) if o["name"] == "digits" else found)
        monkeypatch.setattr(sweep_run, "data", load_or_find)
    assert_refused(command(*words), sentence)
