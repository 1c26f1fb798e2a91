"""Successive halving: which trials a rung is made of, and that the sweep goes on from one to the next."""

import json

import pytest
from sweep_files import FakeTraining, write_experiment

from fer_jax.build import default_config
from fer_jax.errors import ConfigError, UserError
from fer_jax.sweep import Variant, write
from fer_jax.sweep import run as sweep_run
from fer_jax.sweep.halving import successive_halving
from fer_jax.sweep.sweep import sweep

SEARCH = """'''How much Dropout?'''
from pathlib import Path

from fer_jax.build import default_config
from fer_jax.sweep import Variant
from fer_jax.sweep.halving import successive_halving


def get_experiment():
    config = default_config(model="tiny", data_name="digits")
    config.protocol = "tune"
    config.epochs, config.batch_size, config.data.limit = 8, 16, 100
    config.optim.schedule, config.optim.warmup_epochs = "cosine", 2.0
    trials = [Variant(f"rate {rate}", {"model.dropout": rate}) for rate in (0.0, 0.3, 0.1, 0.2, 0.4)]
    return successive_halving(config, trials, epochs=(2, 4, 8), seeds=1, results=Path(__file__).parent)
"""


@pytest.fixture
def training(monkeypatch, tiny):
    fake = FakeTraining()
    monkeypatch.setattr(sweep_run, "train", fake)
    monkeypatch.setattr(write, "_plots", lambda grid, kept: {})
    return fake


def test_each_rung_has_the_better_half_of_the_one_before(training, tmp_path):
    file = write_experiment(tmp_path / "search", SEARCH)
    sweep(str(file), workdir=str(tmp_path / "runs"), at_once=1)
    rows = [json.loads(line) for line in (file.parent / "results.jsonl").read_text().splitlines()]
    found = {}
    for row in rows:
        found.setdefault(row["epochs"], {}).setdefault(row["variant"], []).append(row["seed"])
    # The stand-in for training likes 0.3 best, and of the others the larger.
    assert {epochs: [name.split(",")[0] for name in names] for epochs, names in found.items()} == {
        2: ["rate 0.0", "rate 0.3", "rate 0.1", "rate 0.2", "rate 0.4"],
        4: ["rate 0.3", "rate 0.2", "rate 0.4"],
        8: ["rate 0.3", "rate 0.4"],
    }
    assert all(seeds == [0] for names in found.values() for seeds in names.values())
    assert {config.optim.warmup_epochs / config.epochs for config in training.configs} == {0.25}
    trained = len(training.configs)
    sweep(str(file), workdir=str(tmp_path / "runs"), at_once=1)
    assert len(training.configs) == trained


def test_a_rung_waits_for_all_cells_of_the_one_before(training, tmp_path):
    file = write_experiment(tmp_path / "search", SEARCH)
    training.seeds_that_diverge, training.rate_that_diverges = {0}, 0.1
    with pytest.raises(UserError, match=r"1 of 5 cells failed \(rate 0.1, 2 epochs, seed 0\)"):
        sweep(str(file), workdir=str(tmp_path / "runs"), at_once=1)
    rows = [json.loads(line) for line in (file.parent / "results.jsonl").read_text().splitlines()]
    assert {row["epochs"] for row in rows} == {2} and len(rows) == 4


@pytest.mark.parametrize(
    ("changes", "epochs", "message"),
    [
        ({}, (2, 2), r"must ascend .* not \(2, 2\)"),
        ({}, (), r"must ascend .* not \(\)"),
        ({"protocol": "clean", "of_b": "full"}, (1, 2), "variant 'b, 1 epochs': .* 'tune' or 'clean', not 'full'"),
        ({"protocol": "seed"}, (1, 2), "set config.protocol = 'tune' or 'clean', not 'seed'"),
    ],
)
def test_what_cannot_be(tmp_path, tiny, changes, epochs, message):
    config = default_config(model="tiny", data_name="digits")
    protocol = changes.get("protocol", "tune")
    config.protocol = protocol
    of_b = {"batch_size": 16, "protocol": changes.get("of_b", protocol)}
    with pytest.raises(ConfigError, match=message):
        successive_halving(config, [Variant("a"), Variant("b", of_b)], epochs=epochs, seeds=1, results=tmp_path)


def test_two_trials_of_one_name_are_refused(tmp_path, tiny):
    config = default_config(model="tiny", data_name="digits")
    config.protocol = "tune"
    with pytest.raises(ConfigError, match="two variants are called 'a' and 'A': give each its own name"):
        successive_halving(
            config, [Variant("a"), Variant("A", {"batch_size": 16})], epochs=(1, 2), seeds=1, results=tmp_path
        )
