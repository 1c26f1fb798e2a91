"""`fer_jax.reproduce`: a number of an experiment is run again, and judged by its prediction interval."""

import json
import math
import shutil
from pathlib import Path

import pytest
from commands import assert_refused
from sweep_files import FakeTraining, write_experiment

from fer_jax import provenance, reproduce
from fer_jax.sweep import __main__ as sweep_command
from fer_jax.sweep import run as sweep_run
from fer_jax.sweep import write
from fer_jax.sweep.results import read_results

ROOT = Path(__file__).parents[1]


@pytest.fixture
def command(run_module):
    def call(*words, module=reproduce):
        return run_module(module, *words)

    return call


@pytest.fixture
def training(monkeypatch):
    fake = FakeTraining()
    monkeypatch.setattr(sweep_run, "train", fake)
    monkeypatch.setattr(write, "_plots", lambda grid, kept: {})
    return fake


@pytest.fixture
def experiments(command, training, tmp_path):
    """--experiments: a folder with one that has been run, dated."""
    file = write_experiment(tmp_path / "experiments" / "2026-01-02_dropout")
    result = command(f"--experiment={file}", f"--workdir={tmp_path / 'runs'}", module=sweep_command)
    assert result.code == 0
    del training.configs[:]
    return f"--experiments={tmp_path / 'experiments'}"


def contents(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path(folder).rglob("*") if path.is_file()}


def test_every_number_has_an_id(command, experiments):
    lines = command(experiments, "--list").out.splitlines()
    assert [line.split()[0] for line in lines] == [
        *(f"dropout/plain/{what}" for what in ("last", "best")),
        *(f"dropout/more/{what}" for what in ("last", "best", "last_difference", "best_difference")),
    ]
    assert lines[0].endswith("  50.50 ± 6.35 (n = 2)") and lines[4].endswith("  +11.00 ± 12.71 (n = 2)")


def test_a_score_has_an_id_too(command, tmp_path, training):
    training.views = ["plain", "flip"]
    file = write_experiment(tmp_path / "experiments" / "dropout")
    assert command(f"--experiment={file}", f"--workdir={tmp_path / 'runs'}", module=sweep_command).code == 0
    words = (f"--experiments={tmp_path / 'experiments'}", f"--workdir={tmp_path / 'again'}")
    result = command("dropout/more/best/flip/official/macro_f1", *words)
    assert result.code == 0 and "stated:  59.50 ± 19.06" in result.out and "now:     59.50" in result.out


@pytest.mark.parametrize("claim", ["dropout/more/last", "2026-01-02_dropout/more/last"])
def test_a_number_is_reproduced_and_the_experiment_not_touched(command, experiments, training, tmp_path, claim):
    folder = tmp_path / "experiments"
    before = contents(folder)
    result = command(claim, experiments, f"--workdir={tmp_path / 'again'}")
    assert result.code == 0 and not result.err
    # n = m = 2, s = 0.03 / sqrt(2): t * s * sqrt(1/2 + 1/2).
    half = math.tan(0.475 * math.pi) * 3 / math.sqrt(2)
    assert f"{61.5 - half:.2f} to {61.5 + half:.2f}" in result.out and "61.50 ± 19.06" in result.out
    assert "It falls within: reproduced." in result.out
    assert {config.model.dropout for config in training.configs} == {0.3}
    assert contents(folder) == before


def test_another_number_is_told_with_exit_code_1(command, experiments, monkeypatch, tmp_path):
    monkeypatch.setattr("sweep_files.accuracy", lambda seed, values: 0.01)
    result = command("dropout/more/last", experiments, f"--workdir={tmp_path / 'again'}")
    assert result.code == 1 and result.err.startswith("fer_jax: dropout/more/last: 1.00 falls outside ")
    assert "so the number was not reproduced" in result.err and "now:     1.00 (m = 2: 1.00, 1.00)" in result.out


def test_a_difference_trains_both_variants_and_fewer_seeds_widen_the_interval(command, experiments, training, tmp_path):
    words = (experiments, f"--workdir={tmp_path / 'again'}", "--seeds=1")
    result = command("dropout/more/last_difference", *words)
    assert result.code == 0 and "now:     +10.00 (m = 1: +10.00)" in result.out
    half = math.tan(0.475 * math.pi) * 2 / math.sqrt(2) * math.sqrt(1.5)
    assert f"{11 - half:.2f} to +{11 + half:.2f}" in result.out
    assert [(config.seed, config.num_seeds) for config in training.configs] == [(0, 1)]
    assert training.configs[0].vary["model.dropout"] == (0.1, 0.3)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "the id of a number is missing, for example digits_smoke/rate-0.001/last: --list prints all"),
        (["dropot/more/last"], "no experiment 'dropot' for 'dropot/more/last'; did you mean 'dropout'?"),
        (["dropout/mroe/last"], "no number 'dropout/mroe/last'; did you mean 'dropout/more/last'?"),
        (["dropout"], "no number 'dropout/'"),
        (["dropout/more/last", "--seeds=3"], "--seeds=3: 'dropout/more/last' is of 2 seeds"),
        (["dropout/more/last", "--seeds", "-1"], "--seeds must be at least 0, not -1"),
        (["dropout/more/last", "again"], "'again' is too much: name the id of one number, or --list"),
        (["--experiments=none", "--list"], "--experiments=none holds no */experiment.py"),
    ],
)
def test_a_wrong_word_is_told(command, experiments, training, words, sentence):
    assert_refused(command(*([] if "--list" in words else [experiments]), *words), sentence)
    assert not training.configs


def test_a_workdir_in_the_experiment_is_refused(command, experiments, training, tmp_path):
    folder = tmp_path / "experiments" / "2026-01-02_dropout"
    before = contents(folder)
    assert_refused(command("dropout/more/last", experiments, f"--workdir={folder / 'x'}"), "must stay as it is")
    assert contents(folder) == before and not training.configs


def test_a_number_of_one_seed_is_compared_and_not_judged(command, experiments, training, tmp_path, monkeypatch):
    path = tmp_path / "experiments" / "2026-01-02_dropout" / "results.jsonl"
    rows = [row for row in read_results(path).rows if row["seed"] == 0]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = command(experiments, "--list").out.splitlines()
    assert lines[0].endswith("  50.00 (n = 1: compared, not judged)")
    monkeypatch.setattr("sweep_files.accuracy", lambda seed, values: 0.59)
    result = command("dropout/more/last", experiments, f"--workdir={tmp_path / 'again'}")
    assert result.code == 3 and len(training.configs) == 1
    assert "stated:  60.00 (n = 1)" in result.out and "now:     59.00 (m = 1: 59.00)" in result.out
    assert "difference: -1.00" in result.out
    assert result.err == (
        "fer_jax: dropout/more/last: 59.00 is -1.00 from what is stated, and one run gives no interval to judge that "
        "by\n"
    )


@pytest.fixture
def begun(command, experiments, training, tmp_path):
    """Runs a number, and writes the record of its run as the command and the commit of an argument would."""
    workdir = f"--workdir={tmp_path / 'again'}"
    assert command("dropout/more/last", experiments, workdir).code == 0
    (folder,) = (path for path in (tmp_path / "again").iterdir() if path.is_dir())

    def call(module, commit, finished):
        git = {"commit": commit, "dirty": False}
        record = {"finished": finished, "command": ["python", "-m", module, "x"], "git": git}
        (folder / "run.json").write_text(json.dumps(record))
        return command("dropout/more/last", experiments, workdir)

    return call


@pytest.mark.parametrize("module", ["fer_jax.sweep", "fer_jax.reproduce"])
def test_runs_that_were_finished_before_reproduce_nothing(begun, module):
    result = begun(module, "a" * 40, True)
    assert result.code == 3 and "more, seeds 0 to 1: finished before in " in result.out
    assert f"at commit {'a' * 12}" in result.out and "reproduced" not in result.out
    assert (
        "falls within " in result.err
        and f"no verdict: nothing was trained, so it compares with runs of commit {'a' * 12} that" in result.err
    )


def test_a_run_that_goes_on_counts_if_the_call_that_was_killed_was_of_this_code(begun, monkeypatch):
    monkeypatch.setattr(provenance, "git_state", lambda module: {"commit": "b" * 40, "dirty": False})
    for module, commit in (("fer_jax.sweep", "b"), ("fer_jax.reproduce", "a")):
        result = begun(module, commit * 40, False)
        assert (
            result.code == 3
            and f"1 of 1 runs were begun before by another command or at another commit ({commit}" in result.err
        )
    result = begun("fer_jax.reproduce", "b" * 40, False)
    assert result.code == 0 and "begun before in " in result.out and "It falls within: reproduced." in result.out


def test_a_run_that_fails_is_told(command, experiments, training, tmp_path):
    training.seeds_that_diverge, training.rate_that_diverges = {1}, 0.3
    result = command("dropout/more/last", experiments, f"--workdir={tmp_path / 'again'}")
    assert result.code == 1 and "more, seed 1 could not be run again: the loss of seed 1 is not a" in result.err


def test_a_published_number_of_the_smoke_experiment_is_reproduced(command, tmp_path, monkeypatch):
    """The real thing, with real training."""
    monkeypatch.syspath_prepend(ROOT)
    shutil.copytree(ROOT / "experiments" / "digits_smoke", tmp_path / "experiments" / "digits_smoke")
    before = contents(tmp_path / "experiments")
    words = (f"--experiments={tmp_path / 'experiments'}", f"--workdir={tmp_path / 'again'}", "--seeds=1")
    result = command("digits_smoke/rate-0.003/best", *words)
    assert result.code == 0, result.err
    assert "It falls within: reproduced." in result.out
    assert contents(tmp_path / "experiments") == before
    result = command("digits_smoke/rate-0.003/best", *words)
    assert result.code == 3 and "nothing was trained, so it compares with runs of commit " in result.err
