"""A restored checkpoint must compute what it computed when it was saved."""

import json

import pytest
from tiny_runs import change_record

from fer_jax import provenance, resume, same_run, train
from fer_jax.errors import CheckpointError, ConfigError


@pytest.fixture
def finished(tiny_config, tmp_path):
    """A finished run of one epoch, and its config with one epoch more to go."""
    tiny_config.epochs = 1
    train.train(tiny_config, workdir=str(tmp_path))
    tiny_config.epochs = 2
    return tiny_config, tmp_path


def by_one_bit(record):
    record["logits"][0][0] *= 1 + 2**-23


def by_a_little(record):
    record["logits"][3][5] += 5e-5


def by_more(record):
    record["logits"][3][5] += 5e-2


def score_by_one_image(record):
    record["scores"]["accuracy"] += 0.01


def score_loss_by_one_bit(record):
    record["scores"]["loss"] *= 1 + 2**-40


@pytest.mark.parametrize(
    ("change", "name"),
    [(by_one_bit, "logits"), (score_by_one_image, "accuracy"), (score_loss_by_one_bit, "test loss")],
)
def test_on_the_same_layout_one_bit_is_too_much(finished, change, name):
    config, workdir = finished
    change_record(workdir, 7, change)
    with pytest.raises(CheckpointError, match=f"{name}.* not what was recorded"):
        train.train(config, workdir=str(workdir))


@pytest.mark.parametrize(("change", "fits"), [(by_one_bit, True), (by_a_little, True), (by_more, False)])
def test_on_another_layout_rounding_is_allowed_and_no_more(finished, monkeypatch, change, fits):
    config, workdir = finished
    change_record(workdir, 7, change)
    here = provenance.layout()
    monkeypatch.setattr(resume, "layout", lambda: {**here, "devices": 1})
    if fits:
        assert train.train(config, workdir=str(workdir))["epoch"] == 2
    else:
        with pytest.raises(CheckpointError, match="logits"):
            train.train(config, workdir=str(workdir))


def test_other_data_are_refused(finished, monkeypatch):
    config, workdir = finished
    record = json.loads((workdir / "run.json").read_text())
    record["data"]["fingerprint"] = "0" * 64
    (workdir / "run.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="other data"):
        train.train(config, workdir=str(workdir))


def test_several_changed_keys_are_all_named(finished):
    config, workdir = finished
    config.seed, config.optim.learning_rate = 5, 0.5
    with pytest.raises(ConfigError, match="config.optim.learning_rate, config.seed"):
        train.train(config, workdir=str(workdir))


def test_a_run_interrupted_before_its_first_save_begins_again(tiny_config, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(train, "_compile", lambda *arguments: 1 / 0)
        train.train(tiny_config, workdir=str(tmp_path))
    record = train.train(tiny_config, workdir=str(tmp_path))
    assert record["finished"] and record["epoch"] == 2


def test_epochs_may_not_grow_where_the_schedule_depends_on_them(finished, monkeypatch):
    config, workdir = finished
    monkeypatch.setattr(same_run, "SCHEDULES_THAT_NEED_EPOCHS", frozenset({"constant"}))
    with pytest.raises(ConfigError, match="config.epochs"):
        train.train(config, workdir=str(workdir))


def test_on_another_layout_an_image_or_two_may_change_sides(finished, monkeypatch):
    config, workdir = finished
    here = provenance.layout()
    monkeypatch.setattr(resume, "layout", lambda: {**here, "devices": 1})

    def by_images(count):
        return lambda record: record["scores"].update(accuracy=record["scores"]["accuracy"] + count / 100)

    change_record(workdir, 7, by_images(3))
    with pytest.raises(CheckpointError, match="test accuracy"):
        train.train(config, workdir=str(workdir))
    change_record(workdir, 7, by_images(-1))
    assert train.train(config, workdir=str(workdir))["epoch"] == 2
