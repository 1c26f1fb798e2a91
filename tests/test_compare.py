"""Several runs in one report: their scores, the paired comparison, and what cannot be compared."""

import contextlib
import io
import re
import shutil
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from commands import assert_refused, call_command
from predict_runs import KNOWN
from special_files import special
from test_report import Page

from fer_jax import models, provenance, train
from fer_jax.build import default_config
from fer_jax.open_run import open_run
from fer_jax.report import __main__ as command_line
from fer_jax.report.chart import Line, chart, ticks
from fer_jax.report.compare import compare
from fer_jax.report.curves import Curve, charts_of_runs
from fer_jax.report.measure import measure
from fer_jax.report.paired import paired


@pytest.fixture(scope="module")
def trained(small_runs, tmp_path_factory):
    """A folder with the runs 'first' and 'second', on the same images with other seeds, and 'other', on others."""
    folder = tmp_path_factory.mktemp("compared")
    shutil.copytree(small_runs / "clean", folder / "first")
    shutil.copytree(small_runs / "many", folder / "other")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setattr(models, "MODELS", KNOWN)
        config = default_config(model="tiny", data_name="digits")
        config.protocol, config.seed, config.epochs, config.batch_size, config.data.limit = "clean", 1, 1, 16, 100
        config.optim.learning_rate = 0.01
        train.train(config, workdir=str(folder / "second"))
    return folder


@pytest.fixture
def runs(trained, tiny, tmp_path, monkeypatch):
    """A copy of them, in which the tests work."""
    shutil.copytree(trained, tmp_path / "runs", ignore=shutil.ignore_patterns("tensorboard"))
    monkeypatch.chdir(tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Runs the command in an empty folder beside the runs; what it changes in JAX is put back."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    (tmp_path / "empty").mkdir()
    yield partial(call_command, command_line, monkeypatch=monkeypatch, capsys=capsys)
    for name, value in before.items():
        jax.config.update(name, value)


def test_a_page_tells_what_each_run_scored_and_how_their_answers_differ(runs):
    (runs / "first" / "report.html").write_text("a report")
    before = {path: path.read_bytes() for path in runs.rglob("run.json")}
    path = compare(["first", "second"], out="page.html")
    text = path.read_text()
    found = Page(text)
    right = []
    for name in ("first", "second"):
        record = provenance.read_json(runs / name / "run.json")
        opened = open_run(name, checkpoint="best")
        measured = measure(opened, 0, ["plain"])
        right.append(measured.logits["plain"].argmax(axis=1) == opened.examples.labels)
        assert re.search(rf"{name} {100 * record['best']['val_accuracy']:.2f} % \(", found.text)
        assert f"{record['best']['val_loss']:.4f}" in found.text and f"{record['seconds_training']:,.0f}" in found.text
    first, second = (int((right[one] & ~right[1 - one]).sum()) for one in (0, 1))
    assert first + second > 0 and re.search(rf"first against second [+-].*? {first} {second} ", found.text)
    assert "key first second epochs 3 1 seed 0 1" in found.text
    assert [link["href"] for link in found.all("a")] == ["first/report.html"]
    assert "python -m fer_jax.report --workdir=second" in found.text
    assert len(found.all("svg")) == 4 and found.text.count("dropout") == 0
    assert not re.search(r"https?:|src=|@import|url\(", text) and found.all("script") == [{}]
    assert {path: path.read_bytes() for path in runs.rglob("run.json")} == before


def test_a_look_at_the_test_split_is_counted_in_each_run(runs, command):
    before = [provenance.read_json(runs / name / "run.json")["test_reads"] for name in ("first", "second")]
    result = command("--workdir=first", "--workdir=second", "--split=test")
    after = [provenance.read_json(runs / name / "run.json")["test_reads"] for name in ("first", "second")]
    assert result.code == 0 and after == [count + 1 for count in before]
    assert "The comparison is comparison.html" in result.out and "2 runs, test split" in Path(
        "comparison.html"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--workdir=../runs/first", "--workdir=../runs/first"), ("--workdir=../runs/first is given twice:",)),
        (
            ("--workdir=../runs/first", "--workdir=../empty/../runs/first"),
            ("is given twice (it is ../runs/first too)",),
        ),
        (("--workdir=../runs/first", "--workdir=none"), ("--workdir=none holds no run",)),
        (("--workdir=../runs/first", "--workdir=../runs/second", "--out=../runs"), ("is a folder: name a file",)),
        (("--workdir=../runs/first", "--workdir=../runs/second", "--out=no/a.html"), ("there is no folder no",)),
        (
            ("--workdir=../runs/first", "--workdir=../runs/second", "--out=../runs/first/run.json"),
            ("exists already: add --overwrite",),
        ),
        (("--workdir=../runs/first", "--out=a.html"), ("--out and --overwrite go with several --workdir",)),
    ],
)
def test_bad_words_are_told(runs, command, monkeypatch, words, parts):
    monkeypatch.chdir(runs.parent / "empty")
    assert_refused(command(*words), *parts)


def test_a_page_takes_the_place_of_no_pipe(runs, command, monkeypatch, tmp_path):
    monkeypatch.chdir(runs.parent / "empty")
    path = special("pipe", tmp_path / "a.html")
    result = command("--workdir=../runs/first", "--workdir=../runs/second", f"--out={path}", "--overwrite")
    assert_refused(result, f"{path} is a pipe, and no file: name another")
    assert path.is_fifo()


@pytest.mark.parametrize("split", ["", "test"])
def test_runs_on_other_images_are_refused_before_the_test_split_is_read(runs, command, split):
    before = {path: path.read_bytes() for path in runs.rglob("run.json")}
    result = command("--workdir=first", "--workdir=other", f"--split={split}", "--member=0")
    assert result.code == 2 and "only runs on the same data and split are compared" in result.err
    assert "(digits, " in result.err and not Path("comparison.html").exists()
    assert {path: path.read_bytes() for path in runs.rglob("run.json")} == before


def test_runs_that_watch_different_splits_are_told_to_name_one(runs, command):
    config = provenance.read_json(runs / "second" / "config.json")
    provenance.write_json(runs / "second" / "config.json", {**config, "protocol": "seed"})
    result = command("--workdir=first", "--workdir=second")
    assert result.code == 2 and "name one that both have with --split" in result.err


def test_the_paired_comparison_by_hand():
    first = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], bool)
    second = np.array([1, 1, 1, 0, 1, 1, 1, 1, 1, 0], bool)
    found = paired(first, second)
    assert (found.both, found.first, found.second, found.neither) == (3, 1, 5, 1)
    assert found.difference == pytest.approx(-0.4)
    # 2 (1 + 6) / 2**6, and the variance of -1 (5 times), 1 (once) and 0 over 10.
    assert found.p_value == pytest.approx(0.21875)
    half_width = 1.959964 * np.sqrt((0.6 - 0.16) / 10)
    assert found.interval == pytest.approx((-0.4 - half_width, -0.4 + half_width), abs=1e-6)
    same = paired(first, first)
    assert (same.difference, same.interval, same.p_value) == (0, (0, 0), 1)


@pytest.mark.parametrize(
    ("values", "whole", "expected"),
    [
        ([0.0, 1.0], False, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ([1, 2, 3], True, [1, 2, 3]),
        ([4, 4], True, [3, 4, 5]),
        ([1, 50], True, [0, 10, 20, 30, 40, 50]),
        ([0.0, 0.0], False, [-1, -0.5, 0, 0.5, 1]),
        ([97.3, 98.1], False, [97.2, 97.4, 97.6, 97.8, 98.0, 98.2]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(values, whole, expected):
    found = ticks(values, most=6, whole=whole)
    assert found == pytest.approx(expected)


def test_a_chart_places_its_points_and_leaves_out_what_is_not_finite():
    text = chart("t", [Line("<a>", [1, 2, 3], [0.0, float("nan"), 1.0])], x_name="epoch", alt="words", chosen=2)
    found = Page(text)
    (line,) = [one for one in found.all("g") if one["class"] == "line s0"]
    assert (line["data-name"], line["data-x"], line["data-y"]) == ("<a>", "1 3", "0 1")
    (frame,) = [one["data-frame"] for one in found.all("svg")]
    left, top, right, bottom = map(float, frame.split())
    assert found.all("polyline")[0]["points"] == f"{left:.1f},{bottom:.1f} {right:.1f},{top:.1f}"
    assert [one["x1"] for one in found.all("line") if one["class"] == "chosen"] == [f"{(left + right) / 2:.1f}"]
    assert "no finite value" in chart("t", [Line("a", [1], [float("inf")])], x_name="epoch", alt="")


def test_runs_that_watched_different_splits_are_told_apart_in_the_legend():
    line = {"epoch": 1, "train_loss": 1.0, "learning_rate": 0.1}
    one = Curve("one", [{**line, "val_loss": 1.0, "val_accuracy": 0.5}], "val")
    other = Curve("other", [{**line, "test_loss": 1.0, "test_accuracy": 0.5}], "test")
    text = charts_of_runs([one, other])
    assert "one, validation" in text and "other, test" in text and "each run's watched split" in Page(text).text
    assert "No run has ended an epoch" in charts_of_runs([Curve("a", [], "val")])
