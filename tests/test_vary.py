"""How a config says what varies, and what is refused."""

import json
import sys
from pathlib import Path

import ml_collections
import pytest
from absl import flags
from absl.testing import flagsaver
from commands import assert_refused, call_command

from fer_jax import command, main
from fer_jax.build import build, default_config, resolve
from fer_jax.errors import ConfigError
from fer_jax.train import train

CONFIGS = Path(__file__).parent.parent / "configs"


@pytest.fixture
def config(tiny_config):
    return tiny_config


def test_a_locked_config_takes_dotted_keys_and_they_survive(config):
    config.vary = {"optim.learning_rate": [0.01], "model.dropout": (0.0, 0.1)}
    whole = resolve(config)
    expected = {"model.dropout": (0.0, 0.1), "optim.learning_rate": (0.01,)}
    assert whole.vary == expected and list(whole.vary) == list(expected)
    stored = json.loads(whole.to_json())
    assert stored["vary"] == {"model.dropout": [0.0, 0.1], "optim.learning_rate": [0.01]}
    assert resolve(stored).vary == resolve(whole).vary == expected
    assert "model.dropout" in str(whole)
    with pytest.raises(AttributeError, match='Did you mean "vary"'):
        whole.vari = {}


def test_nothing_varies_by_default_and_old_configs_resolve(config):
    whole = resolve(config).to_dict()
    assert whole["vary"] is None and whole["num_seeds"] == 1
    del whole["vary"], whole["num_seeds"]
    assert not build(resolve(whole)).members.many
    assert resolve({**whole, "vary": {}}).vary is None


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        (
            {"model.name": ("a", "b")},
            r"config\.vary: 'model\.name' cannot vary; what can: model\.dropout, model\.last_dropout, optim\.learning",
        ),
        ({"batch_size": (1, 2)}, r"config\.vary: 'batch_size' cannot vary"),
        ({"dropout": (0.1,)}, r"config\.vary: 'dropout' cannot vary"),
        ({"model": {"dropout": (0.1,)}}, r"config\.vary: 'model' cannot vary"),
        ({"model.dropout": 0.1}, r"config\.vary: 'model\.dropout' needs a list of numbers, as in .*, not 0\.1$"),
        ({"model.dropout": ()}, r"needs a list of numbers"),
        ({"model.dropout": (0.1, "x")}, r"needs a list of numbers"),
        ({"model.dropout": (True,)}, r"needs a list of numbers"),
        ({"model.dropout": (0.1, 0.1)}, r"has a value twice: 0\.1, 0\.1"),
        ("model.dropout=0.1", r"config\.vary must give lists of values by key, as in "),
        # What the key itself is refused for.
        ({"model.dropout": (0.1, 1.0)}, r"^config\.model\.dropout must be at least 0 and below 1, not 1\.0$"),
        ({"loss.label_smoothing": (0.1, -0.1)}, r"^config\.loss\.label_smoothing must be at least 0 and below 1"),
        ({"optim.learning_rate": (0.1, 0.0)}, r"^config\.optim\.learning_rate must be above 0, not 0\.0$"),
        ({"optim.weight_decay": (0.0, 0.1)}, r"^config\.optim\.weight_decay is of 'adamw' and 'sgd'"),
        ({"ema_decay": (0.0, 1.0)}, r"^config\.ema_decay must be at least 0 and below 1, not 1\.0$"),
    ],
    ids=str,
)
def test_what_cannot_vary_is_refused_before_anything_starts(config, tmp_path, vary, message):
    config.vary = vary
    with pytest.raises(ConfigError, match=message):
        train(config, workdir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("seed", "seeds", "message"), [(0, 0, "num_seeds must be at least 1"), (2**31 - 1, 2, "at most")]
)
def test_there_are_only_so_many_seeds(config, seed, seeds, message):
    config.seed, config.num_seeds = seed, seeds
    with pytest.raises(ConfigError, match=message):
        build(resolve(config))


def test_every_rate_of_a_network_can_vary():
    config = default_config("fer2013_cnn", "synthetic_faces")
    config.vary = {"model.last_dropout": (0.0, 0.5), "model.dense_dropout": (0.1,)}
    assert set(resolve(config).vary) == {"model.last_dropout", "model.dense_dropout"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [("{'model.dropout': (0.0, 0.1)}", {"model.dropout": (0.0, 0.1)}), ("{}", None)],
)
def test_a_literal_does_on_the_command_line(value, expected, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    saved = flagsaver.save_flag_values(main.FLAGS)
    words = ["fer_jax", f"--config={CONFIGS / 'mnist_10k.py'}", f"--config.vary={value}", "--config.num_seeds=3"]
    monkeypatch.setattr(sys, "argv", words)
    try:
        command.parse(main.FLAGS, words)
        config = resolve(main.FLAGS["config"].value)
    finally:
        flagsaver.restore_flag_values(saved, main.FLAGS)
        main.FLAGS.unparse_flags()
        flags.FLAGS.unparse_flags()
    assert config.vary == expected and config.num_seeds == 3


@pytest.mark.parametrize("value", ["model.dropout=0.1", "{'model.dropout'", "3"])
def test_what_is_no_mapping_on_the_command_line_is_told(value, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = ["--mode=summary", f"--config={CONFIGS / 'mnist_10k.py'}", f"--config.vary={value}"]
    result = call_command(main, *words, monkeypatch=monkeypatch, capsys=capsys)
    assert_refused(result, "config.vary must give lists of values by key, as in config.vary = {'model.dropout': (0.0")


def test_a_plain_mapping_does(config):
    stated = {"model": {"name": "tiny"}, "data": {"name": "digits"}, "vary": {"model.dropout": [0, 1e-3]}}
    assert resolve(stated).vary == {"model.dropout": (0.0, 0.001)}
    assert resolve(ml_collections.ConfigDict(config)).vary is None
