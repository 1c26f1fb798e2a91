"""Networks by name: `create(name='mnist_15k', dropout=0.1)` is what `config.model` says."""

from collections.abc import Callable
from functools import partial
from typing import Any

from fer_jax.config import check_keywords
from fer_jax.errors import ConfigError, did_you_mean
from fer_jax.models import compact, fer, mini, mnist, residual
from fer_jax.models.network import Network

__all__ = ["MODELS", "Network", "check_name", "create"]

MODELS: dict[str, Callable[..., Any]] = {
    **{
        name: partial(mnist.MnistNobias if name == "mnist_nobias" else mnist.MnistNet, table=table)
        for name, table in mnist.TABLES.items()
    },
    **{name: partial(compact.CompactNet, table=table) for name, table in compact.TABLES.items()},
    "fer2013_vgg": fer.Fer2013Vgg,
    "fer2013_cnn": fer.Fer2013Cnn,
    "facial_expressions": fer.FacialExpressions,
    "fer2013_mini": mini.Fer2013Mini,
    "fer2013_best": residual.ResidualNet,
}


def check_name(name: str) -> None:
    """Raises ConfigError unless there is a network called `name`."""
    if name not in MODELS:
        raise ConfigError(f"config.model.name: no network '{name}'; {did_you_mean(name, MODELS)}")


def create(*, name: str, **fields: Any) -> Network:
    """The network called `name`, with its Module's fields set (see there what each means).

    Raises:
      ConfigError: the name or a field is unknown, or a value is out of its range.
    """
    check_name(name)
    check_keywords("model", MODELS[name], fields)
    return MODELS[name](**fields)
