"""`experiments/summarize.py`: published tables stay as they are, and several ways of scoring have a table."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from fer_jax import scores

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


@pytest.fixture(scope="module")
def summarize():
    spec = importlib.util.spec_from_file_location("summarize", EXPERIMENTS / "summarize.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["2026-11-21_eight_networks"])
def test_a_published_table_is_that_of_its_results(summarize, name):
    rows = [json.loads(line) for line in (EXPERIMENTS / name / "results.jsonl").read_text().splitlines()]
    assert summarize.table(rows) == (EXPERIMENTS / name / "table.md").read_text()


def write_run(folder, seed, views):
    """The files of a finished run whose network is right in 6, 7, 8 ... of ten, by seed."""
    labels = np.arange(10) % 2
    logits = np.eye(2)[np.where(np.arange(10) < 6 + seed, labels, 1 - labels)]
    found = scores.score(logits, labels, ("a", "b"))
    part = scores.score(logits[5:], labels[5:], ("a", "b"))
    state = {"epoch": 1, "step": 1, "test_accuracy": found["accuracy"]}
    subsets = {"official": found, "twin_free": part} if views else {"official": found}
    splits = {"test": {view: subsets for view in (views or ["plain"])}}
    record = {
        **{key: None for key in ("protocol", "selected_by", "machine", "versions", "git")},
        **{"stand_in": False, "finished": True, "data": {"fingerprint": "f"}, "params": {"total": 1000}},
        **{"last": state, "best": state, "test_reads": 1, "seconds_compiling": 1.0, "seconds_training": 2.0},
        "scores": {"best": splits, "last": splits},
    }
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "config.json").write_text(json.dumps({"model": {"name": "net"}, "seed": seed, "epochs": 1}))
    (folder / "metrics.jsonl").write_text(json.dumps({"epoch": 1, "step": 1, "train_loss": 0.5}) + "\n")
    return folder


def test_every_way_has_a_line_with_its_interval_over_seeds(summarize, tmp_path):
    rows = [summarize.read(write_run(tmp_path / str(seed), seed, ["plain", "flip"])) for seed in range(3)]
    lines = summarize.table(rows).splitlines()
    assert "| `net`, mean of 3, 95 % interval | | | | 70.00 ± 24.84 | 70.00 ± 24.84 | |" in lines
    assert "`net`, test split in per cent, mean ± 95 % interval over 3 seeds (Student's t):" in lines
    ways = [line.split(" | ")[:5] for line in lines if line.startswith(("| selected", "| last |"))]
    assert [way[:3] for way in ways] == [
        [f"| {state}", view, images]
        for state in ("selected", "last")
        for view in ("plain", "flip")
        for images in ("official", "twin-free")
    ]
    assert ways[0][3:] == ["10", "70.00 ± 24.84"]
    assert ways[1][3:] == ["5", "40.00 ± 49.68"]


def test_one_run_has_wilsons_interval_and_says_so(summarize, tmp_path):
    text = summarize.table([summarize.read(write_run(tmp_path / "run", 1, ["plain"]))])
    assert "`net`, test split in per cent, one run; [ ]: Wilson 95 % on the images:" in text
    assert "| selected | plain | official | 10 | 70.00 [39.68, 89.22] |" in text
    assert "± " not in text


def test_a_run_without_parts_has_one_table(summarize, tmp_path):
    row = summarize.read(write_run(tmp_path / "run", 0, []))
    assert "scores" not in row
    assert "Wilson" not in summarize.table([row])


def test_runs_on_different_folds_are_told_apart_by_them(summarize, tmp_path):
    rows = [summarize.read(write_run(tmp_path / str(seed), seed, ["plain", "flip"])) for seed in range(3)]
    for fold, row in enumerate(rows):
        row.update(seed=0, fold=fold)
    lines = summarize.table(rows).splitlines()
    assert lines[0].startswith("| network | parameters | fold |")
    assert [line.split(" | ")[2] for line in lines[2:5]] == ["0", "1", "2"]
    assert "`net`, test split in per cent, mean ± 95 % interval over 3 folds (Student's t):" in lines
