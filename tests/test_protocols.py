"""The protocols that keep away from the test split: 'tune' never looks, 'full' looks once and selects nothing."""

import numpy as np
import pytest

from fer_jax import data, provenance, train
from fer_jax.build import resolve
from fer_jax.data.dataset import DataSet, Split
from fer_jax.errors import ConfigError
from fer_jax.evaluate_run import evaluate_run
from fer_jax.writers import read_metrics


def rows(count, start=0):
    return Split(np.full((count, 2, 2, 1), 7, np.uint8), np.arange(start, start + count, dtype=np.int32))


@pytest.mark.parametrize("validation", [False, True])
def test_tune_splits_as_clean_does_and_has_no_test_split(validation):
    splits = {"train": rows(24), "test": rows(3, 100), **({"validation": rows(4, 50)} if validation else {})}
    clean, tune = (data.protocol_splits(DataSet("x", splits, (), ""), name) for name in ("clean", "tune"))
    assert tune.test is None and set(tune.by_name()) == {"train", "validation"} and tune.selects
    assert tune.train.labels.tolist() == clean.train.labels.tolist()
    assert tune.watched.labels.tolist() == clean.watched.labels.tolist()


@pytest.mark.parametrize(("count", "limit", "watched"), [(24, 0, [22, 23]), (24, 12, [11]), (5, 0, [4])])
def test_full_trains_on_all_and_watches_a_part_of_that(count, limit, watched):
    splits = {"train": rows(count), "test": rows(3, 100), "validation": rows(4, 50)}
    full = data.protocol_splits(DataSet("x", splits, (), ""), "full", limit)
    assert full.train.labels.tolist() == list(range(limit or count))
    assert full.watched.labels.tolist() == watched and full.watched_name == "seen" and not full.selects
    assert full.test.labels.tolist() == [100, 101, 102]


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_a_run_that_tunes_never_reads_the_test_split(tiny_config, tmp_path, capsys, num_seeds):
    tiny_config.update(protocol="tune", num_seeds=num_seeds)
    record = train.train(tiny_config, workdir=str(tmp_path))
    assert record["test_reads"] == 0 and "The test split was never read." in capsys.readouterr().out
    told = [record["last"], record["best"]] if num_seeds == 1 else [*record["last"], *record["best"]]
    assert all("val_accuracy" in one and "test_accuracy" not in one for one in told)
    scores = record["scores"]["best"] if num_seeds == 1 else record["scores"]["best"][0]
    assert set(scores) == {"validation"}
    with pytest.raises(ConfigError, match="a run of protocol 'tune' has the splits train, validation"):
        evaluate_run(str(tmp_path), split="test")


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_a_full_run_ends_with_its_last_state_and_one_look(tiny_config, tmp_path, capsys, num_seeds):
    tiny_config.update(protocol="full", num_seeds=num_seeds, epochs=3)
    record = train.train(tiny_config, workdir=str(tmp_path))
    assert record["test_reads"] == num_seeds and record["selected_by"] is None
    assert record["best"] == record["last"]
    last = record["last"] if num_seeds == 1 else record["last"][0]
    assert last["epoch"] == 3 and {"seen_accuracy", "test_accuracy"} <= last.keys()
    assert not any(key.startswith(("test", "val")) for line in read_metrics(tmp_path) for key in line)
    output = capsys.readouterr().out
    assert "choose nothing; the last state counts" in output and "Best" not in output and "None" not in output
    assert provenance.read_json(tmp_path / "run.json") == record


def test_a_full_run_that_was_killed_ends_like_one_that_was_not(tiny_config, tmp_path, kill):
    tiny_config.update(protocol="full", steps_per_call=1)
    record = train.train(tiny_config, workdir=str(tmp_path / "straight"))
    kill((1, 2), lambda: train.train(tiny_config, workdir=str(tmp_path / "killed")))
    again = train.train(tiny_config, workdir=str(tmp_path / "killed"))
    assert (again["last"], again["test_reads"]) == (record["last"], 1)


def test_a_schedule_that_waits_for_the_watched_split_is_refused(tiny_config):
    tiny_config.protocol, tiny_config.optim.schedule = "full", "plateau"
    with pytest.raises(ConfigError, match="'plateau' waits until the watched split gets no better"):
        train.train(resolve(tiny_config))
