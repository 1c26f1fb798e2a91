"""A run on a set with twins and FER+ votes: every score in all its ways, while it trains and at its end."""

import json
from functools import partial

import numpy as np
import pytest
from conftest import TINY_TABLE

from fer_jax import data, final_scores, models, provenance, scores, train
from fer_jax.build import build, default_config, resolve
from fer_jax.checkpoint import Checkpoints
from fer_jax.data import digits
from fer_jax.data.dataset import DataSet, Split
from fer_jax.errors import CheckpointError, Interrupted
from fer_jax.evaluate import prepare, split_logits
from fer_jax.evaluate_run import evaluate_run
from fer_jax.models import mnist
from fer_jax.resume import template
from fer_jax.writers import read_metrics

LIMIT = 96


def faces():
    """Digits as a set like FER2013: three splits, twins between training and the others, and votes.

    All the training images that have a twin lie past LIMIT, so that a limited run does not train on them.
    """
    source = digits.load().splits["train"]
    rng = np.random.RandomState(0)

    def part(rows):
        votes = np.zeros((len(source.labels[rows]), 10), np.uint8)
        winner = np.where(rng.uniform(size=len(votes)) < 0.8, source.labels[rows] % 7, 9)
        votes[np.arange(len(votes)), winner] = 7
        return Split(source.images[rows], source.labels[rows], {"votes": votes})

    train, validation, test = part(slice(0, 300)), part(slice(300, 420)), part(slice(420, 560))
    validation.images[:10] = train.images[200:210]
    test.images[5:20] = train.images[250:265]
    names = tuple(f"class {digit}" for digit in range(10))
    return DataSet("fer2013", {"train": train, "validation": validation, "test": test}, names, "digits with twins")


def config_of(**options):
    config = default_config(model="tiny", data_name="digits")
    config.update(protocol="clean", epochs=3, batch_size=16, tta="ten_crop", **options)
    config.data.limit = LIMIT
    config.optim.learning_rate = 0.01
    return config


@pytest.fixture(autouse=True)
def faces_are_loaded(monkeypatch):
    monkeypatch.setattr(data, "load", lambda **options: faces())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The workdir of a finished run."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.MODELS, "tiny", partial(mnist.MnistNet, table=TINY_TABLE))
        patch.setattr(data, "load", lambda **options: faces())
        train.train(config_of(), workdir=str(folder))
    return folder


def state_of(folder, step):
    """The run in a folder, built, and its state at a step."""
    run = build(resolve(config_of()))
    checkpoints = Checkpoints(folder)
    state = checkpoints.restore(step, template(run)).arrays["state"]
    checkpoints.close()
    return run, state


def test_an_epoch_is_watched_in_three_ways(finished, tiny):
    record, lines = provenance.read_json(finished / "run.json"), read_metrics(finished)
    assert [key for key in lines[0] if key.startswith("val_")] == [
        *("val_loss", "val_accuracy", "val_accuracy_twin_free", "val_accuracy_fer_plus"),
    ]
    run, state = state_of(finished, record["last"]["step"])
    predicted = split_logits(run.programs, state, prepare(run.splits.watched, run.mesh)).argmax(axis=1)
    assert len(predicted) == LIMIT
    labels = run.splits.watched.labels
    # The first ten have twins in the training split, among images that the limit leaves out.
    assert lines[-1]["val_accuracy"] == (predicted == labels).mean()
    assert lines[-1]["val_accuracy_twin_free"] == (predicted == labels)[10:].mean()
    votes = run.splits.watched.extras["votes"]
    voted = votes[:, :7].max(axis=1) > 5
    theirs = np.array([6, 3, 5, 4, 0, 1, 2])[votes[:, :7].argmax(axis=1)]
    assert lines[-1]["val_accuracy_fer_plus"] == (predicted == theirs)[voted].mean()
    assert 0 < voted.sum() < LIMIT


def test_the_record_holds_both_states_on_both_splits_in_every_way(finished, tiny):
    record = provenance.read_json(finished / "run.json")
    assert set(record["scores"]) == {"best", "last"}
    assert record["test_reads"] == (1 if record["best"]["step"] == record["last"]["step"] else 2)
    for which, splits in record["scores"].items():
        assert list(splits) == ["validation", "test"]
        for name, views in splits.items():
            assert list(views) == ["plain", "flip", "ten_crop"]
            for found in views.values():
                examples = {subset: score["examples"] for subset, score in found.items()}
                assert list(examples) == ["official", "twin_free", "fer_plus"]
                assert (examples["official"], examples["twin_free"]) == (
                    (LIMIT, LIMIT - 10) if name == "validation" else (LIMIT, LIMIT - 15)
                )
        for name, prefix in (("validation", "val"), ("test", "test")):
            plain = splits[name]["plain"]
            assert record[which][f"{prefix}_loss"] == plain["official"]["loss"]
            assert record[which][f"{prefix}_accuracy"] == plain["official"]["accuracy"]
            assert record[which][f"{prefix}_accuracy_twin_free"] == plain["twin_free"]["accuracy"]
            assert record[which][f"{prefix}_accuracy_fer_plus"] == plain["fer_plus"]["accuracy"]
    run, state = state_of(finished, record["last"]["step"])
    for view in ("plain", "ten_crop"):
        logits = split_logits(run.programs, state, prepare(run.splits.test, run.mesh), view)
        kept = np.r_[0:5, 20:LIMIT]
        expected = scores.score(logits[kept], run.splits.test.labels[kept], run.dataset.class_names)
        assert record["scores"]["last"]["test"][view]["twin_free"] == json.loads(json.dumps(expected))


def test_the_console_shows_every_way(finished, tiny, capsys):
    train.train(config_of(), workdir=str(finished))
    text = capsys.readouterr().out
    assert "nothing was trained" in text
    assert "Test split in per cent; [ ]: Wilson 95 % on the images" in text
    record = provenance.read_json(finished / "run.json")
    selected, *others = states_of(record)
    assert f"split by class, {selected} state, plain, in per cent; [ ]: Wilson 95 % on the images" in text
    for state in (selected, *others):
        rows = rows_of(text, state)
        assert [row[0] for row in rows[::3]] == ["plain", "flip", "ten_crop"]
        assert [row[1] for row in rows[:3]] == ["official", "twin-free", "FER+"]
        found = record["scores"]["last" if state == "last" else "best"]["test"]["plain"]
        assert rows[0][3] == f"{100 * found['official']['accuracy']:.2f}"
    plain = record["scores"]["last"]["test"]["plain"]
    shown = [f"{plain[name]['accuracy']:.4f}" for name in ("official", "twin_free", "fer_plus")]
    assert f"test_accuracy: {shown[0]} (twin-free {shown[1]}, FER+ majority {shown[2]})\n" in text


def states_of(record):
    """How the rows of a run's table begin."""
    return ["last and selected"] if record["best"]["step"] == record["last"]["step"] else ["selected", "last"]


def test_evaluating_shows_the_same_table_for_any_split(finished, tiny, capsys):
    record = provenance.read_json(finished / "run.json")
    found = evaluate_run(str(finished), split="test", checkpoint="best")
    assert found.subsets == {
        name: score["accuracy"]
        for name, score in record["scores"]["best"]["test"]["plain"].items()
        if name != "official"
    }
    text = capsys.readouterr().out
    of_run = final_table(finished, capsys, states_of(record)[0])
    assert rows_of(text, f"step {record['best']['step']}") == of_run
    # All its views are one read.
    assert provenance.read_json(finished / "run.json")["test_reads"] == record["test_reads"] + 1
    evaluate_run(str(finished), split="train", tta="flip")
    text = capsys.readouterr().out
    assert "Train split in per cent" in text and "twin-free" not in text and "FER+ majority" in text
    assert " flip " in text and "ten_crop" not in text


def rows_of(text, start):
    """The rows of a table that begin with `start`, without it."""
    return [line.removeprefix(start).split() for line in text.splitlines() if line.startswith(f"{start}  ")]


def final_table(folder, capsys, state):
    train.train(config_of(), workdir=str(folder))
    return rows_of(capsys.readouterr().out, state)


def test_macro_f1_chooses_where_asked(tiny, tmp_path, capsys):
    config = config_of(select_by="macro_f1")
    config.tta = ""
    config.epochs = 5
    record = train.train(config, workdir=str(tmp_path))
    lines = read_metrics(tmp_path)
    best = max(lines, key=lambda line: (line["val_macro_f1"], -line["epoch"]))
    assert record["select_by"] == "macro_f1" and record["best"]["epoch"] == best["epoch"]
    assert record["best"]["val_macro_f1"] == best["val_macro_f1"]
    official = record["scores"]["best"]["validation"]["plain"]["official"]
    assert official["macro_f1"] == best["val_macro_f1"]
    assert f"- val_macro_f1: {lines[0]['val_macro_f1']:.4f} - " in capsys.readouterr().out


@pytest.mark.parametrize("select_by", ["accuracy", "macro_f1"])
def test_the_selected_state_is_the_best_by_what_selects(tiny, tmp_path, monkeypatch, select_by):
    """Accuracy and macro-F1 that run in opposite directions, and the checkpoint kept is that of the chosen epoch."""
    given = iter([(0.3, 0.6), (0.5, 0.5), (0.4, 0.2), (0.5, 0.1)])
    real = train.evaluate

    def evaluate(*arguments):
        accuracy, macro_f1 = next(given)
        return real(*arguments)._replace(accuracy=accuracy, macro_f1=macro_f1)

    monkeypatch.setattr(train, "evaluate", evaluate)
    monkeypatch.setattr(train, "score_states", lambda run, checkpoints, record, stop: None)
    config = config_of(select_by=select_by)
    config.epochs = 4
    record = train.train(config, workdir=str(tmp_path))
    epoch = {"accuracy": 2, "macro_f1": 1}[select_by]
    assert record["best"]["epoch"] == epoch
    kept = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert kept == [epoch * 6, 18, 24]


def test_a_signal_between_two_passes_is_heard_and_the_same_command_goes_on(tiny, tmp_path, monkeypatch):
    config = config_of()
    config.epochs = 1
    asked = []
    real = train._stop_if_asked

    def stop(session, step):
        asked.append(step)
        raise Interrupted("stopped", 2)

    monkeypatch.setattr(train, "_stop_if_asked", stop)
    with pytest.raises(Interrupted):
        train.train(config, workdir=str(tmp_path))
    assert asked == [6]
    monkeypatch.setattr(train, "_stop_if_asked", real)
    record = train.train(config, workdir=str(tmp_path))
    assert record["finished"] and set(record["scores"]["last"]) == {"validation", "test"}
    assert record["test_reads"] == 1, "the test split had not been begun"
    assert [line["epoch"] for line in read_metrics(tmp_path)] == [1]


def test_a_state_that_scores_otherwise_than_when_it_was_saved_is_told(tiny, tmp_path, monkeypatch):
    real = final_scores.in_short
    monkeypatch.setattr(final_scores, "in_short", lambda found: real(found)._replace(accuracy=0.123))
    config = config_of()
    config.update(epochs=1, tta="")
    with pytest.raises(CheckpointError, match="validation accuracy of the checkpoint of step 6 is not"):
        train.train(config, workdir=str(tmp_path))
