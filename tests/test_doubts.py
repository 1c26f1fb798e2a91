"""What of a config is told when training begins, because it does nothing or too much."""

from pathlib import Path

import pytest
from tiny_runs import train_tiny

from fer_jax.build import default_config, resolve
from fer_jax.doubts import doubts
from fer_jax.python_file import call_function
from fer_jax.schedules import SCHEDULES

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.py"))


def doubts_of(**changes):
    config = default_config("mnist_15k", "digits")
    config.update_from_flattened_dict(changes)
    return doubts(resolve(config))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_defaults_are_not_doubted(schedule):
    assert not doubts_of(**{"optim.schedule": schedule})


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_no_config_of_ours_is_doubted(file):
    _, config = call_function("config", str(file), "get_config", kind="a config file", hint="")
    assert not doubts(resolve(config))


@pytest.mark.parametrize(
    ("schedule", "key", "value", "users"),
    [
        ("constant", "decay_rate", 0.3, "'inverse_time'"),
        ("plateau", "warmup_epochs", 2.0, "'cosine'"),
        ("inverse_time", "final_rate", 0.1, "'cosine' and 'one_cycle'"),
        ("cosine", "patience", 3, "'plateau'"),
        ("one_cycle", "factor", 0.5, "'plateau'"),
    ],
)
def test_an_option_of_another_schedule_is_doubted(schedule, key, value, users):
    (said,) = doubts_of(**{"optim.schedule": schedule, f"optim.{key}": value})
    assert said.startswith(f"config.optim.{key} = {value} changes nothing under config.optim.schedule = '{schedule}'")
    assert said.endswith(f"it is of {users}")


def test_what_varies_is_doubted_too():
    (said,) = doubts_of(vary={"optim.decay_rate": (0.1, 0.3)})
    assert said.startswith("config.optim.decay_rate = (0.1, 0.3) changes nothing")
    assert not doubts_of(vary={"optim.decay_rate": (0.1, 0.3)}, **{"optim.schedule": "inverse_time"})


def test_two_corrections_of_the_same_are_doubted():
    assert not doubts_of(sampling="balanced") and not doubts_of(**{"loss.logit_adjustment": 1.0})
    (said,) = doubts_of(sampling="balanced", **{"loss.logit_adjustment": 1.0})
    assert "config.sampling = 'balanced' and config.loss.logit_adjustment = 1.0 each make up for" in said
    (said,) = doubts_of(**{"loss.class_weights": "balanced", "loss.logit_adjustment": 1.0})
    assert "config.loss.class_weights = 'balanced' and config.loss.logit_adjustment = 1.0" in said


def test_a_doubt_is_told_and_the_run_goes_on(tmp_path, capsys):
    _, record = train_tiny(tmp_path / "run", sampling="balanced", epochs=1, loss={"class_weights": "balanced"})
    assert record["finished"] and "warning: config.sampling = 'balanced' and" in capsys.readouterr().err
