"""`fer_jax.sweep`: bad input is one sentence, what is done is kept, and tables say what the rows say."""

import contextlib
import csv
import io
import json
import math
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from commands import assert_refused
from sweep_files import HEAD, TWO, FakeTraining, write_experiment

from fer_jax import lock
from fer_jax.errors import Interrupted, UserError
from fer_jax.sweep import __main__ as command_line
from fer_jax.sweep import run as sweep_run
from fer_jax.sweep import write
from fer_jax.sweep.numbers import Number, prediction_half_width
from fer_jax.sweep.results import read_results
from fer_jax.sweep.sweep import sweep
from fer_jax.sweep.table import Percent, Table, comma_separated, latex, markdown
from fer_jax.sweep.write import BEGIN, END

ROOT = Path(__file__).parents[1]


@pytest.fixture
def command(run_module):
    return partial(run_module, command_line)


DRAW = write._plots


@pytest.fixture
def training(monkeypatch):
    """Takes the place of training, and leaves out the plots, which take more time than all else."""
    fake = FakeTraining()
    monkeypatch.setattr(sweep_run, "train", fake)
    monkeypatch.setattr(write, "_plots", lambda grid, kept: {})
    return fake


@pytest.fixture
def words(tmp_path):
    """--experiment and --workdir of the experiment of two variants and two seeds."""
    file = write_experiment(tmp_path / "dropout")
    return f"--experiment={file}", f"--workdir={tmp_path / 'runs'}", "--at_once=2"


def rows(tmp_path):
    return read_results(tmp_path / "dropout" / "results.jsonl").rows


@pytest.mark.parametrize(
    ("stated", "sentence"),
    [
        (
            "variants=[Variant('a', {'model.dropuot': 0.3})]",
            "config.model has no key 'dropuot'; did you mean 'dropout'?",
        ),
        ("variants=[Variant('a', {'modle.dropout': 0.3})]", "config has no key 'modle'; did you mean 'model'?"),
        ("variants=[Variant('a', {'epochs.x': 3})]", "config.epochs is a value and has no key 'x'"),
        ("variants=[Variant('a', {'model': {}})]", "config.model is a section: change its keys, one by one"),
        ("variants=[Variant('a', {'seed': 3})]", "config.seed is the sweep's own"),
        ("variants=[Variant('a', {'epochs': 'many'})]", "config.epochs must be of type int, not 'many'"),
        ("variants=[Variant('a', {'epochs': 0})]", "variant 'a': config.epochs must be at least 1, not 0"),
        ("variants=[Variant('a', {'model.dropout': 1.5})]", "'a': config.model.dropout must be at least 0 and below 1"),
        ("variants=[Variant('a'), Variant('a', {'epochs': 3})]", "two variants are called 'a' and 'a': give each"),
        ("variants=[Variant('a b'), Variant('A-b', {'epochs': 3})]", "two variants are called 'a b' and 'A-b'"),
        (
            "variants=[Variant('a'), Variant('b', {'epochs': 2})]",
            "variants 'a' and 'b' are the same config: leave",
        ),
        ("variants={'a': {}}", "variants must be a list of Variant(name, {key: value}), not {'a': {}}: in a dict two"),
        ("variants=[]", "variants is empty: an experiment has at least one"),
        ("variants=[Variant('a/b')]", "a variant cannot be called 'a/b': letters"),
        ("variants=[Variant('a', 3)]", "the changes of variant 'a' must be values by key"),
        ("variants=[Variant('a', config=3)]", "the config of variant 'a' must be an ml_collections"),
        ("variants=[Variant('a', stated={'lst': 3})]", "stated of variant 'a' has 'lst'; did you mean 'last'?"),
        ("variants=[Variant('plain')], baseline='plan'", "baseline 'plan' is no variant; did you mean 'plain'?"),
        ("variants=[Variant('a')], baseline=3", "baseline must be the name of a variant, not 3"),
        ("variants=[Variant('a', stated={'last': True})]", "stated of variant 'a' must be accuracies in per cent"),
        ("variants=[Variant('a', stated={'last': float('nan')})]", "from 0 to 100, as in {'last': 99.2}, not {'last'"),
        ("variants=[Variant('a', stated={'best': 990})]", "from 0 to 100, as in {'last': 99.2}, not {'best': 990}"),
        (
            "variants=[Variant('a', {'protocol': 'clean'}), *(Variant(p, {'protocol': p}) for p in ('full', 'tune'))]",
            "variants 'tune' (protocol 'tune') and 'full' (protocol 'full') have scores on no split in common, so no",
        ),
        ("seeds=0", "seeds must be a whole number of at least 1, not 0"),
        ("seeds=1.5", "seeds must be a whole number of at least 1, not 1.5"),
        ("base=default_config", "base must be an ml_collections.ConfigDict"),
        ("base={'epochs': 3}", "base must be an ml_collections.ConfigDict"),
        ("None", "get_experiment() must return a fer_jax.sweep.Experiment, not None; does it lack its return?"),
        ("config", "get_experiment() must return a fer_jax.sweep.Experiment, not "),
        ("(", "SyntaxError"),
        ("exit(0)", "experiment.py, line 12 (return exit(0)): SystemExit: 0"),
    ],
)
def test_what_an_experiment_file_cannot_say_is_told(command, tmp_path, stated, sentence):
    if "=" in stated:
        # What it states stands in place of what would be right.
        stated = f"Experiment(**{{**dict(base=config, variants=[Variant('a')], seeds=2), **dict({stated})}})"
    file = write_experiment(tmp_path / "bad", HEAD + stated + "\n")
    assert_refused(command(f"--experiment={file}"), f"fer_jax: --experiment={file}", sentence)
    assert [path.name for path in file.parent.iterdir()] == ["experiment.py"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "--experiment=FILE is missing, for example"),
        (["--experiment=none.py"], "--experiment=none.py: there is no such file"),
        ([f"--experiment={Path(__file__).parent}"], " is a folder, not an experiment file"),
        ([f"--experiment={Path(__file__).parents[1] / 'configs' / 'mnist_10k.py'}"], "defines no function get_exp"),
        (["--experimnt=x"], "--experimnt: no such flag; did you mean '--experiment'?"),
        (["--format=latx"], "--format=latx: no such format; did you mean 'latex'?"),
    ],
)
def test_a_wrong_word_is_told(command, words, sentence):
    assert_refused(command(*words), sentence)


def test_flags_that_do_not_fit_the_experiment_are_told(command, words, training):
    assert_refused(command(words[0], "--at_once=-1"), "--at_once must be at least 0, not -1")
    assert_refused(command(words[0], "--table=variants"), "results.jsonl has no row yet: run the sweep first", code=1)
    assert command(*words).code == 0
    assert_refused(command(*words, "--table=varants"), "--table=varants: no such table; did you mean 'variants'?")


def test_data_that_do_not_exist_are_told_with_their_variant(command, tmp_path, training):
    file = write_experiment(tmp_path / "bad", HEAD + TWO.replace('{"model.dropout": 0.3}', '{"data.name": "nope"}'))
    result = command(f"--experiment={file}")
    assert_refused(result, f"{file}: variant 'more': config.data.name: no such choice as 'nope'; known: digits, ")
    assert not training.configs


def test_what_an_experiment_file_prints_is_in_no_table(command, words, training, tmp_path):
    assert command(*words).code == 0
    file = write_experiment(tmp_path / "dropout", "print('beside the point')\n" + HEAD + TWO)
    result = command(f"--experiment={file}", "--table=variants", "--format=csv")
    assert result.out.startswith("variant,parameters,") and result.err == "beside the point\n"


def test_a_stand_in_is_refused_before_anything_is_trained(command, tmp_path, training, monkeypatch):
    monkeypatch.delenv("FER_JAX_DATA", raising=False)
    text = HEAD.replace("config.epochs = 2", "config.data.name, config.data.fallback = 'mnist', 'digits'") + TWO
    file = write_experiment(tmp_path / "bad", text)
    result = command(f"--experiment={file}")
    assert_refused(result, "'plain' is about mnist, which could not be had, and a table of results takes", code=1)
    assert not training.configs


def test_a_sweep_leaves_rows_tables_and_plots(command, words, training, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "_plots", DRAW)
    result = command(*words)
    assert result.code == 0 and not result.err
    assert [(row["variant"], row["seed"], row["last"]["test_accuracy"]) for row in rows(tmp_path)] == [
        *[("plain", 0, 0.5), ("plain", 1, 0.51)],
        *[("more", 0, 0.6), ("more", 1, 0.63)],
    ]
    assert {row["members"] for row in rows(tmp_path)} == {2}
    assert "[2/4] done in " in result.out and "left" in result.out and "belongs in the log" not in result.out
    folder = tmp_path / "dropout"
    pictures = {"accuracy.png", "accuracy.svg", "curves.png", "curves.svg"}
    assert {path.name for path in folder.iterdir()} == {
        *("experiment.py", "results.jsonl", "table.md", "README.md"),
        *pictures,
    }
    assert (folder / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (folder / "curves.svg").read_bytes()
    readme = (folder / "README.md").read_text()
    assert "Is more Dropout better?" in readme and f"--experiment={folder / 'experiment.py'}" in readme
    assert readme.partition(BEGIN)[2].partition(END)[0].strip() == (folder / "table.md").read_text().strip()
    logs = list((tmp_path / "runs").glob("*/log.txt"))
    assert len(logs) == 2 and "belongs in the log" in logs[0].read_text()


def test_the_table_has_means_intervals_and_paired_differences(command, words, training):
    assert command(*words).code == 0
    table = list(csv.DictReader(io.StringIO(command(*words, "--table=variants", "--format=csv").out)))
    plain, more = table
    # Two seeds: half-width = t_1 * |a - b| / 2, with t_1 = tan(0.475 pi).
    t = math.tan(0.475 * math.pi)
    assert float(plain["test, last epoch"]) == pytest.approx(50.5)
    assert float(plain["test, last epoch, half-width"]) == pytest.approx(t * 1 / 2)
    # 10 and 12 points better, seed by seed.
    assert float(more["Δ test, last epoch"]) == pytest.approx(11)
    assert float(more["Δ test, last epoch, half-width"]) == pytest.approx(t * 2 / 2)
    assert more["Δ test, last epoch, note"] == "within noise"
    assert (plain["Δ test, last epoch"], plain["n"], plain["parameters"]) == ("baseline", "2", "5890")
    assert plain["seconds a seed"] == "4.0"
    text = command(*words, "--table=variants").out
    assert "| more | 5,890 | 2 | 2 | 61.50 ± 19.06 | 61.50 ± 19.06 | +11.00 ± 12.71, within noise |" in text
    assert "selected by accuracy on the test split; that flatters" in text and "P." in text
    assert r"$61.50 \pm 19.06$" in command(*words, "--format=latex").out
    seeds = command(*words, "--table=seeds").out
    assert "| more | 1 | 63.00 | 63.00 | 2 |" in seeds


def test_several_ways_of_scoring_have_a_table_of_their_own(command, words, training):
    training.views = ["plain", "flip"]
    assert command(*words).code == 0
    lines = command(*words, "--table=scores").out.splitlines()
    assert lines[0].startswith(
        "| variant | state | view | images | images, n | accuracy | macro-F1 | balanced accuracy |"
    )
    assert len(lines) == 2 + 2 * 2 * 2 + 2
    assert lines[3].startswith("| plain | selected epoch | flip | official | 360 | 49.50 ± 6.35 | 48.50 ± 6.35 |")


def test_a_variant_that_selects_no_epoch_has_no_selected_one(command, words, training, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "_plots", DRAW)
    training.views = ["plain", "flip"]
    text = TWO.replace("seeds=2", "seeds=1").replace("variants=[", 'variants=[Variant("whole", {"protocol": "full"}), ')
    write_experiment(tmp_path / "dropout", HEAD + text.replace("seeds=1", 'seeds=1, baseline="plain"'))
    assert command(*words).code == 0
    table = command(*words, "--table=variants").out
    assert "| whole | 5,890 | 2 | 1 | 50.00 |  | +0.00 |  | 8.0 |" in table
    assert "| more | 5,890 | 2 | 1 | 60.00 | 60.00 | +10.00 | +10.00 | 4.0 |" in table
    assert "No epoch of 'whole' was selected, because" in table
    assert "Epochs of 'plain', 'more' are selected by accuracy on the test split; that flatters" in table
    seeds = command(*words, "--table=seeds").out
    assert "| whole | 0 | 50.00 |  |  |" in seeds and "| plain | 0 | 50.00 | 50.00 | 2 |" in seeds
    scores = command(*words, "--table=scores").out
    assert "| whole | last epoch | flip |" in scores and "| whole | selected epoch" not in scores
    assert (tmp_path / "dropout" / "accuracy.png").exists()


def test_a_baseline_that_selects_no_epoch_is_compared_at_the_last(command, words, training, tmp_path):
    text = TWO.replace('Variant("plain")', 'Variant("plain", {"protocol": "full"})')
    write_experiment(tmp_path / "dropout", HEAD + text)
    assert command(*words).code == 0
    table = command(*words, "--table=variants", "--format=csv").out
    assert "Δ test, last epoch" in table and "Δ test, selected epoch" not in table


def test_a_difference_over_fewer_seeds_says_so(command, words, training, tmp_path):
    assert command(*words).code == 0
    path = tmp_path / "dropout" / "results.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    assert "| more | 5,890 | 2 | 2 | 61.50 ± 19.06 | 61.50 ± 19.06 | +12.00, n = 1 | +12.00, n = 1 |" in (
        command(*words, "--table=variants").out
    )


@pytest.mark.parametrize(
    ("values", "within"),
    [((0.01, 0.02, 0.03), True), ((0.02, 0.021, 0.022), False), ((0.0, 0.0), True), ((0.1,), None)],
)
def test_within_noise_means_that_the_interval_contains_0(values, within):
    assert Number("", ("a", "b"), (), values, tuple(range(len(values)))).within_noise is within


def test_the_prediction_interval_is_wider_than_that_of_the_mean():
    # n = 2: t_1 * s * sqrt(1/2 + 1/m), with s = |a - b| / sqrt(2).
    t = math.tan(0.475 * math.pi)
    assert prediction_half_width((1.0, 3.0), m=2) == pytest.approx(t * math.sqrt(2))
    assert prediction_half_width((1.0, 3.0), m=1) == pytest.approx(t * math.sqrt(2) * math.sqrt(1.5))


def test_what_is_done_is_not_done_again(command, words, training):
    assert command(*words).code == 0
    trained = len(training.configs)
    result = command(*words)
    assert "all 4 cells are done; nothing was trained" in result.out and len(training.configs) == trained


def test_a_run_whose_epochs_are_not_all_there_makes_no_row(command, words, training, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_run, "read_metrics", lambda folder: [])
    result = command(*words)
    assert result.code == 1 and "metrics.jsonl has 0 of 2 epochs: delete " in result.out
    assert not (tmp_path / "dropout" / "results.jsonl").exists()


def test_a_changed_variant_is_run_again_and_nothing_else(command, words, training, tmp_path):
    assert command(*words).code == 0
    before = rows(tmp_path)
    del training.configs[:]
    write_experiment(tmp_path / "dropout", HEAD + TWO.replace("0.3", "0.4"))
    result = command(*words)
    assert result.code == 0 and "2 rows in" in result.err and "in no table" in result.err
    assert [(config.model.dropout, config.num_seeds) for config in training.configs] == [(0.4, 2)]
    assert rows(tmp_path)[:4] == before and len(rows(tmp_path)) == 6
    assert "53.50 ± 6.35" in (tmp_path / "dropout" / "table.md").read_text()
    # What was measured under the old definition counts again when that comes back.
    write_experiment(tmp_path / "dropout")
    assert "nothing was trained" in command(*words).out
    assert "61.50 ± 19.06" in (tmp_path / "dropout" / "table.md").read_text()


def test_more_seeds_and_other_names_keep_what_is_done(command, words, training, tmp_path):
    assert command(*words).code == 0
    del training.configs[:]
    write_experiment(tmp_path / "dropout", HEAD + TWO.replace("seeds=2", "seeds=3").replace("more", "other"))
    assert command(*words).code == 0
    # The third seeds of both, which differ in what can vary: one run.
    assert [(config.seed, config.num_seeds) for config in training.configs] == [(2, 1)]
    assert training.configs[0].vary["model.dropout"] == (0.1, 0.3)
    assert "| other | 5,890 | 2 | 3 |" in (tmp_path / "dropout" / "table.md").read_text()


def test_a_torn_last_line_is_told_and_the_rows_before_it_are_kept(command, words, training, tmp_path):
    assert command(*words).code == 0
    path = tmp_path / "dropout" / "results.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    result = command(*words)
    assert result.code == 0 and f"the last line of {path} is torn; the 3 rows before it are kept" in result.err
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-1])
    assert not command(*words).err


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "line 2 is no JSON"),
        ("[" * 100_000, "line 2 is no JSON"),
        ("3", "line 2 is no row of a sweep (it is no object with keys)"),
        ('{"variant": "a"}', "(its 'seed' is missing"),
    ],
)
def test_a_damaged_row_is_told_with_its_line(command, words, training, tmp_path, line, sentence):
    assert command(*words).code == 0
    path = tmp_path / "dropout" / "results.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], line + "\n", *lines[2:]]))
    before = path.read_bytes()
    assert_refused(command(*words), f"{path}, line 2 is no", sentence, "take that line out", code=1)
    assert path.read_bytes() == before


FULL = {"examples": 360, "accuracy": 0.5, "macro_f1": 0.5, "balanced_accuracy": 0.5, "top2": 0.5}
FULL["calibration_error"] = 0.1


def a_row():
    """A row that a sweep has written, with full scores."""
    row = json.loads((ROOT / "experiments" / "digits_smoke" / "results.jsonl").read_text().splitlines()[0])
    return {**row, "scores": {state: {"plain": {"official": dict(FULL)}} for state in ("last", "best")}}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *[("machine.devices", None), ("machine.processor", None), ("select_by", "foo"), ("selected_by", "train")],
        *[("protocol", "none"), ("members", 10**400), ("members", 0), ("epochs", 0), ("epochs", -1), ("epochs", 9)],
        *[("last.epoch", None), ("best.epoch", 1.5), ("best.epoch", 0), ("last.epoch", 9)],
        *[("last.val_accuracy", None), ("last.test_accuracy", 1.5), ("best.test_accuracy", math.nan)],
        *[("curve.train_loss", None), ("curve.train_loss", []), ("curve.val_accuracy", [0.5] * 7)],
        *[("curve.val_accuracy", [None] * 8), ("curve.train_loss", [math.inf] * 8), ("curve.val_loss", [10**400] * 8)],
        *[("seconds_training", math.nan), ("seconds_compiling", -1.0), ("seconds_training", 10**400)],
        *[("scores.best.plain.official.accuracy", value) for value in (None, "x", 2, "null")],
        *[("scores.last.plain.official.examples", None), ("scores.last.plain.other", FULL), ("test_reads", -1)],
    ],
)
def test_a_row_that_no_run_gives_is_told_with_its_key(tmp_path, place, value):
    row = a_row()
    path = tmp_path / "results.jsonl"
    path.write_text(f"{json.dumps(row)}\n" * 2)
    assert len(read_results(path).rows) == 2
    *above, key = place.split(".")
    inner = row
    for name in above:
        inner = inner[name]
    # None takes the key away, and 'null' makes it null.
    inner[key] = None if value == "null" else value
    if value is None:
        del inner[key]
    path.write_text(f"{json.dumps(a_row())}\n{json.dumps(row)}\n")
    # That a run had fewer epochs shows in its curve.
    told = "curve.learning_rate" if place == "epochs" and value == 9 else place
    with pytest.raises(UserError) as caught:
        read_results(path)
    assert f"{path}, line 2 is no row of a sweep (its '{told}' is missing or cannot be so): res" in str(caught.value)


def test_states_without_scores_are_no_row(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps({**a_row(), "last": {}, "best": {}}) + "\n")
    with pytest.raises(UserError, match="its 'last.epoch' is missing"):
        read_results(path)


@pytest.mark.parametrize("line", ["[]", "3", "null"])
def test_a_last_line_that_is_no_row_is_told(tmp_path, line):
    path = tmp_path / "results.jsonl"
    path.write_text(f"{json.dumps(a_row())}\n{line}")
    with pytest.raises(UserError, match="line 2 is no row of a sweep .it is no object with keys.: restore it"):
        read_results(path)


def test_an_empty_line_is_no_row_and_only_a_line_without_an_end_is_torn(tmp_path):
    path, row = tmp_path / "results.jsonl", json.dumps(a_row())
    path.write_text(f"{row}\n\n{row}\n\n")
    found = read_results(path)
    assert len(found.rows) == 2 and not found.torn and found.ended
    path.write_text(f"{row}\n{row[:50]}")
    assert read_results(path).torn and len(read_results(path).rows) == 1
    path.write_text(f"{row}\n{row[:50]}\n")
    with pytest.raises(UserError, match="line 2 is no JSON"):
        read_results(path)


def test_rows_on_other_data_are_not_mixed_with_new_ones(command, words, training, tmp_path):
    assert command(*words).code == 0
    path = tmp_path / "dropout" / "results.jsonl"
    row = {**rows(tmp_path)[0], "data": "0" * 64}
    path.write_text(json.dumps(row) + "\n")
    assert_refused(command(*words), f"{path}: the row of plain, seed 0 was measured on other data", "--data_dir")
    # Of a variant that is finished too.
    path.write_text("".join(json.dumps({**row, "seed": seed}) + "\n" for seed in (0, 1)))
    for more in ([], ["--dry_run"]):
        result = command(*words, *more)
        assert_refused(result, f"{path}: the row of plain, seed 0 was measured on other data", "--data_dir")


def test_rows_on_different_data_stand_in_no_table(command, words, training, tmp_path):
    assert command(*words).code == 0
    path = tmp_path / "dropout" / "results.jsonl"
    found = rows(tmp_path)
    path.write_text("".join(json.dumps({**row, "data": row["variant"] * 12}) + "\n" for row in found))
    for more in ([], ["--table=variants"]):
        result = command(*words, *more)
        assert_refused(result, f"{path}: the rows of plain, seed 0 and of more, seed 0 were measured on different data")


def test_a_row_that_is_not_of_its_variant_is_told(command, words, training, tmp_path):
    assert command(*words).code == 0
    path = tmp_path / "dropout" / "results.jsonl"
    path.write_text(path.read_text().replace('"protocol": "seed"', '"protocol": "full"', 1))
    result = command(*words, "--table=variants")
    assert_refused(result, f"{path}: the row of plain, seed 0 says protocol = full, and its variant has seed", code=1)


def test_a_file_that_changes_under_a_sweep_is_noticed(command, words, training, tmp_path):
    changed = HEAD + TWO.replace("0.3", "0.4")
    training.after = lambda: write_experiment(tmp_path / "dropout", changed)
    result = command(*words)
    assert_refused(
        result, "experiment.py was changed while its sweep ran: the 2 of 4 cells that are finished are", code=1
    )
    assert len(rows(tmp_path)) == 2 and len(training.configs) == 1
    training.after = lambda: None
    assert command(*words).code == 0
    assert [config.model.dropout for config in training.configs] == [0.1, 0.4]


def test_a_cell_that_fails_is_told_and_the_others_go_on(command, words, training, tmp_path):
    training.seeds_that_diverge, training.rate_that_diverges = {1}, 0.3
    result = command(*words)
    assert result.code == 1 and result.err.count("\n") == 1 and "Traceback" not in result.err
    assert result.err.startswith("fer_jax: 1 of 4 cells failed (more, seed 1): the reasons stand above")
    assert "  more, seed 1: the loss of seed 1 is not a finite number" in result.out
    assert [(row["variant"], row["seed"]) for row in rows(tmp_path)] == [("plain", 0), ("plain", 1), ("more", 0)]
    table = (tmp_path / "dropout" / "table.md").read_text()
    assert "| more | 5,890 | 2 | 1 | 60.00 | 60.00 | +10.00 | +10.00 |" in table and "1 of 4 cells are missing" in table
    # Tried again it is tried alone, because it is known to spoil the others.
    del training.configs[:]
    training.seeds_that_diverge = set()
    assert command(*words).code == 0
    assert [(config.seed, config.num_seeds) for config in training.configs] == [(1, 1)]


def test_ctrl_c_ends_a_sweep_as_it_ends_training(command, words, training, tmp_path):
    def stop():
        if len(training.configs) == 2:
            raise Interrupted("interrupted; step 3 is saved", signal.SIGINT)

    training.after = stop
    result = command(*words)
    assert result.code == 130 and result.err == "fer_jax: interrupted; step 3 is saved\n"
    assert len(rows(tmp_path)) == 2


def test_two_sweeps_do_not_train_in_one_folder(command, words, training, tmp_path):
    with lock.only_one(tmp_path / "runs"):
        assert_refused(command(*words), f"another process is training in {tmp_path / 'runs'}", code=1)
    assert command(*words).code == 0


def test_two_sweeps_of_one_experiment_do_not_write_its_rows_twice(command, words, training, tmp_path):
    def start():
        with pytest.raises(UserError, match=f"another sweep of the experiment in {tmp_path / 'dropout'} is running"):
            sweep(str(tmp_path / "dropout" / "experiment.py"), workdir=str(tmp_path / "others"))

    training.after = start
    assert command(*words).code == 0
    assert len(rows(tmp_path)) == 4 and not (tmp_path / "others").exists()


def test_rows_are_read_when_no_other_sweep_can_add_any(command, words, training, tmp_path, monkeypatch):
    """What a sweep adds just before another of the same experiment begins is neither trained again nor lost."""
    assert command(*words).code == 0
    path = tmp_path / "dropout" / "results.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    del training.configs[:]

    @contextlib.contextmanager
    def after_the_other(folder):
        path.write_bytes(whole)
        yield

    monkeypatch.setattr("fer_jax.sweep.sweep.only_one_sweep", after_the_other)
    assert "nothing was trained" in command(*words).out
    assert path.read_bytes() == whole and not training.configs


def test_the_runs_may_be_in_the_folder_of_the_experiment(command, words, training, tmp_path):
    assert command(words[0], f"--workdir={tmp_path / 'dropout'}").code == 0
    assert len(rows(tmp_path)) == 4


def test_a_readme_keeps_what_a_person_wrote(command, words, training, tmp_path):
    readme = tmp_path / "dropout" / "README.md"
    readme.write_text(f"mine\n{BEGIN}\nold\n{END}\nand mine\n")
    assert command(*words).code == 0
    text = readme.read_text()
    assert text.startswith("mine\n") and text.endswith("\nand mine\n") and "old" not in text and "61.50" in text
    readme.write_text("all mine\n")
    result = command(*words)
    assert result.code == 0 and f"{readme} has no place for the tables" in result.err
    assert readme.read_text() == "all mine\n"


def test_without_matplotlib_there_are_tables_and_a_sentence(command, words, training, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "_plots", DRAW)
    monkeypatch.delitem(sys.modules, "fer_jax.sweep.plots", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = command(*words)
    assert result.code == 0 and "plots need matplotlib, which is not installed: pip install" in result.err
    assert (tmp_path / "dropout" / "table.md").exists() and not list((tmp_path / "dropout").glob("*.png"))


def test_a_dry_run_shows_the_grid_and_writes_nothing(command, words, training, tmp_path):
    result = command(*words, "--dry_run")
    assert result.code == 0 and "2 variants x 2 seeds (0 to 1)" in result.out
    assert "more   0/2 done  5,890 parameters, 2 epochs: model.dropout = 0.3" in result.out
    assert "plain, seeds 0 to 1\n" in result.out and "timed here" in result.out
    assert not training.configs and not (tmp_path / "runs").exists() and not list(Path().iterdir())
    assert [path.name for path in (tmp_path / "dropout").iterdir()] == ["experiment.py"]


def test_low_beginnings_of_curves_are_cut_off_and_ends_never():
    pyplot = pytest.importorskip("matplotlib.figure", reason="plots are of the extra 'report'")
    from fer_jax.sweep.plots import _show_the_ends

    axes = pyplot.Figure().subplots()
    assert not _show_the_ends(axes, [np.array([98.0, 98.5, 99.0, 98.1])])
    assert _show_the_ends(axes, [np.array([30.0, 97.0, 98.0, 99.0]), np.array([90.0, 95.0, 99.5, 98.5])])
    low, high = axes.get_ylim()
    assert 97 < low < 98 and 99.5 < high < 100


def test_the_three_forms_of_a_table():
    table = Table(
        "t", ["Δ name", "a_b"], [["x|y", Percent(0.5, 0.1, "so")], ["50 %", Percent(0.25)], ["n", None]], ["Why."]
    )
    assert markdown(table) == (
        "| Δ name | a_b |\n|---|---|\n| x\\|y | 50.00 ± 10.00, so |\n| 50 % | 25.00 |\n| n |  |\n\nWhy.\n"
    )
    assert comma_separated(table) == ('Δ name,a_b,"a_b, half-width","a_b, note"\nx|y,50.0,10.0,so\n50 %,25.0,,\nn,,,\n')
    assert latex(table).splitlines() == [
        *("% Why.", r"\begin{tabular}{lr}", r"\toprule", r"$\Delta$ name & a\_b \\", r"\midrule"),
        *(r"x|y & $50.00 \pm 10.00$, so \\", r"50 \% & $25.00$ \\", r"n &  \\", r"\bottomrule", r"\end{tabular}"),
    ]
