"""A run that is taught what another answers."""

import shutil

import numpy as np
import pytest
from scipy.special import softmax
from tiny_runs import train_tiny

from fer_jax import train
from fer_jax.build import build, resolve
from fer_jax.distill import with_teacher
from fer_jax.errors import ConfigError
from fer_jax.open_run import open_run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two seeds."""
    folder = tmp_path_factory.mktemp("teacher") / "run"
    config, _ = train_tiny(folder, epochs=2, num_seeds=2)
    return folder, config


@pytest.fixture
def teacher(trained, tiny, tmp_path):
    """A copy of that run, and the config of a pupil on the same images."""
    shutil.copytree(trained[0], tmp_path / "teacher")
    config = trained[1].copy_and_resolve_references()
    config.num_seeds, config.seed = 1, 7
    config.loss.targets, config.loss.teacher = "teacher", str(tmp_path / "teacher")
    config.loss.teacher_share = 0.75
    return tmp_path / "teacher", config


def test_the_targets_are_the_mean_of_the_selected_states_and_the_labels(teacher):
    folder, config = teacher
    config = resolve(config)
    run = with_teacher(build(config), config)
    opened = open_run(str(folder), split="train", checkpoint="best")
    logits = opened.run.programs.predict(opened.restored.arrays["state"], opened.examples.images)
    labels = np.eye(10)[opened.examples.labels]
    assert (run.splits.train.labels == opened.examples.labels).all()
    np.testing.assert_allclose(
        run.shares, 0.75 * softmax(np.asarray(logits, np.float64), axis=-1).mean(0) + 0.25 * labels, rtol=0, atol=1e-5
    )
    assert run.shares.dtype == np.float32 and run.teacher["members"] == 2


def test_a_pupil_is_trained_on_them_and_its_record_says_so(teacher, tmp_path):
    _, config = teacher
    record = train.train(config, workdir=str(tmp_path / "pupil"))
    assert record["data"]["targets"] == "teacher" and len(record["data"]["teacher"]["sha256"]) == 64
    config.loss.targets, config.loss.teacher = "labels", ""
    alone = train.train(config, workdir=str(tmp_path / "alone"))
    assert "teacher" not in alone["data"]
    assert record["last"]["val_loss"] != alone["last"]["val_loss"]


def test_a_teacher_that_answers_otherwise_is_another(teacher, tmp_path):
    folder, config = teacher
    config.epochs, config.optim.schedule = 1, "constant"
    train.train(config, workdir=str(tmp_path / "pupil"))
    longer = resolve({**open_run(str(folder)).config, "epochs": 4})
    train.train(longer, workdir=str(folder))
    config.epochs = 2
    with pytest.raises(ConfigError, match="whose teacher, .* has answered otherwise"):
        train.train(config, workdir=str(tmp_path / "pupil"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss.teacher": "nowhere"}, "config.loss.teacher = 'nowhere': --workdir=nowhere holds no run"),
        ({"loss.teacher": ""}, "go together: set both or neither"),
        ({"loss.targets": "labels"}, "go together: set both or neither"),
        ({"loss.teacher_share": 0.0}, "config.loss.teacher_share must be above 0 and at most 1, not 0.0"),
        ({"data.limit": 0, "data.name": "mnist", "data.fallback": "digits"}, "trained on other data"),
    ],
)
def test_what_cannot_teach(teacher, tmp_path, monkeypatch, changes, message):
    monkeypatch.delenv("FER_JAX_DATA", raising=False)
    _, config = teacher
    for key, value in changes.items():
        config.update_from_flattened_dict({key: value})
    if "other data" in message:
        monkeypatch.setattr("fer_jax.data.dataset.DataSet.fingerprint", "another")
    with pytest.raises(ConfigError, match=message):
        train.train(config, workdir=str(tmp_path / "pupil"))
    assert not (tmp_path / "pupil").exists()


def test_a_teacher_that_has_seen_the_validation_images_cannot_teach(teacher, tmp_path):
    _, config = teacher
    config.protocol, config.loss.targets, config.loss.teacher = "seed", "labels", ""
    config.data.limit, config.epochs = 1330, 1
    train.train(config, workdir=str(tmp_path / "seen"))
    config.protocol, config.loss.targets, config.loss.teacher = "clean", "teacher", str(tmp_path / "seen")
    config.data.limit = 100
    with pytest.raises(ConfigError, match=r"on 12 of this run's 100 validation images too \(protocol 'seed'\)"):
        train.train(config, workdir=str(tmp_path / "pupil"))
