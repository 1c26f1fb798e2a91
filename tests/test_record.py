"""The recipe for the FER2013 record runs on a CPU in miniature, and keeps to what it may cost."""

import importlib
import json
from pathlib import Path

import jax
import pytest
from commands import JAX_CACHE

from fer_jax.build import check_config, resolve
from fer_jax.train import train

ROOT = Path(__file__).parents[1]


@pytest.fixture
def miniature(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("experiments.fer2013_record.miniature")


def test_the_network_keeps_within_its_parameters_and_multiply_adds(miniature):
    _, summary = check_config(resolve(miniature.final().base))
    assert summary.total <= 5_000_000 and summary.multiply_adds <= 500_000_000


def test_every_stage_can_be_stated_in_miniature(miniature, tmp_path):
    for name in miniature.STAGES:
        stated = miniature.stage(name, tmp_path)
        assert stated.base.model.channels == 4 and stated.base.data.limit == miniature.TENTH
        assert stated.base.protocol == ("tune" if name == "fer2013_record_search" else "clean")
    names = [trial.name for trial in miniature.trials()]
    assert len(set(names)) == 16 and names == [trial.name for trial in miniature.trials()]


def test_the_whole_recipe_runs_and_its_two_states_read_the_test_split(miniature, real_fer2013, tmp_path, monkeypatch):
    """All of the augmentation, the moving average and the ten crops are in it."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", JAX_CACHE)
    config = miniature.shrunk(miniature.final().base)
    config.data.limit, config.batch_size = 64, 16 * jax.device_count()
    record = train(config, workdir=str(tmp_path / "run"), data_dir=str(real_fer2013))
    assert record["finished"] and record["selected_by"] == "validation"
    assert record["test_reads"] == len({record["last"]["step"], record["best"]["step"]})
    of_last = record["scores"]["last"]["test"]
    assert set(of_last) == {"plain", "flip", "ten_crop"}
    assert {"official", "twin_free", "fer_plus"} <= {part for view in of_last.values() for part in view}
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2] and lines[0]["train_loss"] == pytest.approx(2.0, abs=0.3)
