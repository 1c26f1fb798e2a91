"""Whole runs with everything on: going on where they stopped, the plateau, and what the record says."""

import json

import pytest
from test_train import assert_same_end, run

from fer_jax.build import build, resolve
from fer_jax.errors import ConfigError
from fer_jax.writers import read_metrics


@pytest.fixture
def full_config(tiny_config):
    """Five epochs with everything on and a rate that goes down often."""
    config = tiny_config
    config.epochs, config.steps_per_call = 5, 1
    config.sampling, config.ema_decay = "balanced", 0.8
    config.augment.update(flip=0.5, shift=0.1, rotate=10.0, scale=0.1, erase=0.3, brightness=0.1, mixup=0.2, cutmix=1.0)
    config.loss.update(label_smoothing=0.1, class_weights="balanced", logit_adjustment=0.5)
    config.optim.update(name="adamw", weight_decay=0.01, clip_norm=1.0)
    config.optim.update(schedule="plateau", factor=0.5, patience=1)
    return config


def test_a_run_with_everything_on_that_is_killed_ends_bit_identical(full_config, tmp_path, kill):
    full_config.checkpoint.every_steps = 2
    straight = run(full_config, tmp_path / "straight")
    lines = read_metrics(tmp_path / "straight")
    # The first of the rates is the config's; each reduction halves it.
    expected, rates = 0.01, []
    for epoch in range(1, 6):
        rates.append(expected)
        expected *= 0.5 if epoch in straight["rate_reduced_after"] else 1
    assert [line["learning_rate"] for line in lines] == pytest.approx(rates, rel=1e-12)
    assert straight["rate_reduced_after"] and rates[-1] < 0.01
    # Inside an epoch after a reduction, with a save in it; then at the first step of the next epoch, with none.
    after = straight["rate_reduced_after"][0]
    for place in ((after, 5), (after + 1, 1)) if after < 4 else ((after, 5),):
        kill(place, lambda: run(full_config, tmp_path / "killed"))
    killed = run(full_config, tmp_path / "killed")
    assert killed["rate_reduced_after"] == straight["rate_reduced_after"]
    assert killed["best"] == straight["best"] and killed["last"] == straight["last"]
    assert_same_end(full_config, tmp_path / "killed", tmp_path / "straight")


def test_a_plateau_can_be_lengthened_and_a_cosine_not(tiny_config, tmp_path):
    tiny_config.optim.update(schedule="plateau", factor=0.5, patience=1)
    tiny_config.epochs = 3
    run(tiny_config, tmp_path / "straight")
    tiny_config.epochs = 2
    run(tiny_config, tmp_path / "grown")
    tiny_config.epochs = 3
    run(tiny_config, tmp_path / "grown")
    assert_same_end(tiny_config, tmp_path / "grown", tmp_path / "straight")
    for schedule in ("cosine", "one_cycle"):
        tiny_config.epochs = 1
        tiny_config.optim.schedule = schedule
        run(tiny_config, tmp_path / schedule)
        tiny_config.epochs = 2
        with pytest.raises(ConfigError, match=r"config\.epochs"):
            run(tiny_config, tmp_path / schedule)


def test_the_rate_told_is_that_of_the_first_step_of_an_epoch(tiny_config, tmp_path):
    tiny_config.optim.update(schedule="cosine", warmup_epochs=1.0)
    run(tiny_config, tmp_path)
    assert [line["learning_rate"] for line in read_metrics(tmp_path)] == pytest.approx([0.01 / 7, 0.01])


def test_a_run_that_began_before_a_key_existed_goes_on(tiny_config, tmp_path):
    run(tiny_config, tmp_path / "straight")
    tiny_config.epochs = 1
    run(tiny_config, tmp_path / "old")
    path = tmp_path / "old" / "config.json"
    old = json.loads(path.read_text())
    for key in ("augment", "loss", "sampling", "ema_decay"):
        del old[key]
    del old["optim"]["weight_decay"]
    path.write_text(json.dumps(old))
    tiny_config.epochs = 2
    run(tiny_config, tmp_path / "old")
    assert_same_end(tiny_config, tmp_path / "old", tmp_path / "straight")
    tiny_config.augment.flip = 0.5
    with pytest.raises(ConfigError, match=r"config\.augment\.flip"):
        run(tiny_config, tmp_path / "old")


def test_the_record_names_the_targets(tiny_config):
    built = build(resolve(tiny_config))
    assert built.targets == "labels" and built.shares is None
    tiny_config.loss.targets = "fer_plus"
    with pytest.raises(ConfigError, match=r"needs FER\+ votes"):
        build(resolve(tiny_config))


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("", "sampling", "balance", r"config\.sampling: .* did you mean 'balanced'\?"),
        ("", "ema_decay", 1.0, r"config\.ema_decay must be at least 0 and below 1, not 1\.0"),
        ("augment", "flip", 2.0, r"config\.augment\.flip must be at most 1"),
        ("loss", "label_smoothing", 2.0, r"config\.loss\.label_smoothing must be at least 0 and below 1"),
    ],
)
def test_a_bad_value_is_told_before_the_data_are_read(tiny_config, monkeypatch, section, key, value, message):
    (tiny_config[section] if section else tiny_config)[key] = value
    monkeypatch.setattr("fer_jax.data.load", None)
    with pytest.raises(ConfigError, match=message):
        build(resolve(tiny_config))


def test_balanced_sampling_needs_every_class(tiny_config):
    tiny_config.sampling = "balanced"
    tiny_config.data.limit = 5
    with pytest.raises(ConfigError, match=r"config\.sampling = 'balanced' needs an example of every class"):
        build(resolve(tiny_config))
