"""Networks by name: `create(name='mnist_15k', dropout=0.1)` is what `config.model` says."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn

from fer_jax.config import check_keywords
from fer_jax.errors import ConfigError, did_you_mean
from fer_jax.models import mnist

MODELS: dict[str, Callable[..., nn.Module]] = {
    name: partial(mnist.MnistNet, table=table) for name, table in mnist.TABLES.items()
}


def create(*, name: str, **fields) -> nn.Module:
    """The network called `name`, with its Module's fields set (see there what each means).

    Raises:
      ConfigError: the name or a field is unknown, or a value is out of its range.
    """
    if name not in MODELS:
        raise ConfigError(f"config.model.name: no network '{name}'; {did_you_mean(name, MODELS)}")
    check_keywords("model", MODELS[name], fields)
    return MODELS[name](**fields)
