"""What a section may hold, how two configs differ, and that every refusal names the key and the nearest known one."""

from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import ml_collections
import pytest

from fer_jax.build import Options, default_config, resolve
from fer_jax.config import (
    check_above,
    check_at_least,
    check_choice,
    check_keywords,
    check_rate,
    defaults,
    differences,
)
from fer_jax.errors import ConfigError, did_you_mean


def section(required: str, *, count: int = 3, rate: float = 0.1, name: str = "a", on: bool = False, anything=None):
    raise AssertionError("checking a section does not call what it belongs to")


class Plain:
    def __init__(self, folder: str, *, every: int = 1):
        raise AssertionError("checking a section does not build what it belongs to")


@dataclass
class Fields:
    size: int = 2
    label: str = "b"


class Network(nn.Module):
    width: int
    dropout: float = 0.1

    def __call__(self, x):
        return x


def test_defaults_are_those_of_the_signature():
    assert defaults(section) == {"count": 3, "rate": 0.1, "name": "a", "on": False, "anything": None}
    assert defaults(Plain) == {"every": 1}
    assert defaults(Fields) == {"size": 2, "label": "b"}


def test_what_is_bound_is_no_key():
    assert "count" not in defaults(partial(section, count=4))
    with pytest.raises(ConfigError, match=r"^config\.part\.count: unknown key"):
        check_keywords("part", partial(section, count=4), {"count": 5})
    with pytest.raises(ConfigError, match=r"^config\.part\.folder: unknown key"):
        check_keywords("part", partial(Plain, folder=""), {"folder": "x"})


def test_the_two_fields_that_flax_adds_are_no_keys():
    assert defaults(Network) == {"dropout": 0.1}
    check_keywords("model", Network, {"width": 3, "dropout": 0.2})
    for key in ("name", "parent"):
        with pytest.raises(ConfigError, match=rf"^config\.model\.{key}: unknown key"):
            check_keywords("model", Network, {key: None})


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"coutn": 1}, r"^config\.part\.coutn: unknown key; did you mean 'count'\?$"),
        ({"zzz": 1}, r"^config\.part\.zzz: unknown key; known: anything, count, name, on, rate, required$"),
        ({"count": 1.0}, r"^config\.part\.count must be of type int, not 1\.0$"),
        ({"count": True}, r"^config\.part\.count must be of type int, not True$"),
        ({"count": "1"}, r"^config\.part\.count must be of type int, not '1'$"),
        ({"count": None}, r"^config\.part\.count must be of type int, not None$"),
        ({"rate": "0.1"}, r"^config\.part\.rate must be of type float, not '0\.1'$"),
        ({"rate": False}, r"^config\.part\.rate must be of type float, not False$"),
        ({"name": 1}, r"^config\.part\.name must be of type str, not 1$"),
        ({"on": 1}, r"^config\.part\.on must be of type bool, not 1$"),
        ({"on": "False"}, r"^config\.part\.on must be of type bool, not 'False'$"),
    ],
)
def test_a_key_that_cannot_be_is_named(keywords, message):
    with pytest.raises(ConfigError, match=message):
        check_keywords("part", section, keywords)


def test_an_unknown_key_of_the_top_level_has_no_section():
    with pytest.raises(ConfigError, match=r"^config\.coutn: unknown key; did you mean 'count'\?$"):
        check_keywords("", section, {"coutn": 1})


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"required": "x", "count": 0, "rate": 0.5, "name": "", "on": True},
        {"rate": 1},
        {"anything": [1, 2]},
        {"anything": "x"},
    ],
)
def test_a_section_that_can_be_passes(keywords):
    check_keywords("part", section, keywords)


def test_differences_are_dotted_and_sorted():
    old = {"seed": 0, "optim": {"rate": 0.1, "name": "adam"}, "data": {"name": "mnist"}, "sizes": (1, 2)}
    assert differences(old, old) == []
    assert differences(old, {**old, "sizes": [1, 2]}) == []
    assert differences(old, {**old, "sizes": [1, 3]}) == ["sizes"]
    new = {"seed": 1, "optim": {"rate": 0.2, "name": "adam", "momentum": 0.9}, "sizes": (1, 2)}
    expected = ["data.name", "optim.momentum", "optim.rate", "seed"]
    assert differences(old, new) == differences(new, old) == expected


def test_a_key_that_is_none_differs_from_one_that_is_absent():
    assert differences({"a": None}, {}) == ["a"]


@pytest.mark.parametrize(
    ("check", "good", "bad", "message"),
    [
        (partial(check_at_least, least=1), [1, 2, 1.5], [0, -1, float("nan"), float("inf")], "must be at least 1"),
        (partial(check_above, bound=0), [1e-9, 1], [0, -1, float("nan"), float("inf")], "must be above 0"),
        (check_rate, [0, 0.0, 0.99], [1, 1.0, -0.1, float("nan")], "must be at least 0 and below 1"),
        (partial(check_choice, choices=("one", "two")), ["one", "two"], ["tow", "One", ""], "no such choice as"),
    ],
)
def test_a_number_or_choice_out_of_range_is_named(check, good, bad, message):
    for value in good:
        check("config.key", value)
    for value in bad:
        with pytest.raises(ConfigError, match=rf"^config\.key:? {message}"):
            check("config.key", value)


def test_the_nearest_known_word_is_suggested():
    assert did_you_mean("dropuot", ["dropout", "dtype"]) == "did you mean 'dropout'?"
    assert did_you_mean("x", ["b", "a"]) == "known: a, b"


def smallest():
    """The least that a config must state."""
    return {"model": {"name": "mnist_10k"}, "data": {"name": "digits"}}


def test_a_resolved_config_is_whole_and_locked():
    config = resolve(smallest())
    assert config.is_locked
    assert set(config) == {*defaults(Options), "model", "data", "augment", "loss", "optim", "checkpoint"}
    assert config.to_dict() == default_config("mnist_10k", "digits").to_dict()
    assert resolve(config).to_dict() == config.to_dict()


def test_a_resolved_config_holds_what_was_stated():
    stated = {**smallest(), "seed": 7, "optim": {"name": "sgd", "learning_rate": 1}}
    stated["model"]["dropout"] = 0.5
    config = resolve(ml_collections.ConfigDict(stated))
    changed = ["model.dropout", "optim.learning_rate", "optim.name", "seed"]
    assert differences(resolve(smallest()).to_dict(), config.to_dict()) == changed
    assert (config.seed, config.model.dropout, config.optim.name) == (7, 0.5, "sgd")


def test_resolving_leaves_what_was_stated_alone():
    stated = {**smallest(), "optim": {"name": "sgd"}}
    resolve(stated).unlock().optim.name = "adam"
    assert stated == {**smallest(), "optim": {"name": "sgd"}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epcohs": 3}, r"^config\.epcohs: unknown key; did you mean 'epochs'\?$"),
        ({"optm": {"name": "sgd"}}, r"^config\.optm: unknown key; did you mean 'optim'\?$"),
        ({"optim": {"learning_rat": 0.1}}, r"^config\.optim\.learning_rat: unknown key; did you mean 'learning_rate'"),
        ({"optim": {"steps_per_epoch": 3}}, r"^config\.optim\.steps_per_epoch: unknown key"),
        ({"data": {"name": "digits", "limt": 3}}, r"^config\.data\.limt: unknown key; did you mean 'limit'\?$"),
        ({"data": {"name": "digits", "data_dir": "x"}}, r"^config\.data\.data_dir: unknown key"),
        ({"checkpoint": {"kep": 3}}, r"^config\.checkpoint\.kep: unknown key; did you mean 'keep'\?$"),
        ({"checkpoint": {"workdir": "x"}}, r"^config\.checkpoint\.workdir: unknown key"),
        ({"model": {"name": "mnist_10k", "dropuot": 0.1}}, r"^config\.model\.dropuot: .* did you mean 'dropout'\?$"),
        ({"model": {"name": "mnist_10k", "table": ()}}, r"^config\.model\.table: unknown key"),
        ({"model": {"name": "mnist_10"}}, r"^config\.model\.name: no network 'mnist_10'; did you mean 'mnist_10k'\?$"),
        ({"model": {"name": 5}}, r"^config\.model\.name"),
        ({"model": {"dropout": 0.1}}, r"^config\.model\.name is missing: it says which model to use$"),
        ({"model": {}}, r"^config\.model\.name is missing"),
        ({"data": {"fallback": "digits"}}, r"^config\.data\.name is missing: it says which data to use$"),
        ({"model": "mnist_10k"}, r"^config\.model must be a section, not 'mnist_10k'$"),
        ({"optim": None}, r"^config\.optim must be a section, not None$"),
        ({"epochs": 2.0}, r"^config\.epochs must be of type int, not 2\.0$"),
        ({"seed": True}, r"^config\.seed must be of type int, not True$"),
        ({"optim": {"learning_rate": "0.1"}}, r"^config\.optim\.learning_rate must be of type float, not '0\.1'$"),
        ({"model": {"name": "mnist_10k", "use_bias": 0}}, r"^config\.model\.use_bias must be of type bool, not 0$"),
        ({"epochs": {"a": 1}}, r"^config\.epochs must be of type int, not \{'a': 1\}$"),
    ],
)
def test_a_config_that_cannot_be_resolved_is_refused_by_its_key(changes, message):
    with pytest.raises(ConfigError, match=message):
        resolve({**smallest(), **changes})


@pytest.mark.parametrize("missing", ["model", "data"])
def test_a_config_must_name_a_model_and_data(missing):
    stated = smallest()
    del stated[missing]
    with pytest.raises(ConfigError, match=rf"^config\.{missing}\.name is missing"):
        resolve(stated)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"seed": -1}, r"config\.seed must be at least 0"),
        ({"epochs": 0}, r"config\.epochs must be at least 1"),
        ({"batch_size": 0}, r"config\.batch_size must be at least 1"),
        ({"batch_size": -8}, r"config\.batch_size must be at least 1"),
        ({"protocol": "seeds"}, r"config\.protocol: .* did you mean 'seed'\?"),
        ({"steps_per_call": -1}, r"config\.steps_per_call must be at least 0"),
        ({"max_params": -1}, r"config\.max_params must be at least 0"),
    ],
)
def test_an_option_out_of_range_is_refused_by_its_key(keywords, message):
    with pytest.raises(ConfigError, match=message):
        Options(**keywords)
