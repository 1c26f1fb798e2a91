"""What of a config can vary over the members of a run, and what a member trains, given values that are traced."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax

from fer_jax import losses, optim
from fer_jax.data.augment import Augment
from fer_jax.errors import ConfigError
from fer_jax.members import Members, Values
from fer_jax.models import Network
from fer_jax.schedules import Schedule
from fer_jax.steps import Recipe

SCHEDULED = ("learning_rate", "decay_rate", "warmup_epochs", "final_rate", "factor")
"""Of `config.optim`, what the learning rates are made of: it reaches a program as a table of them."""

_OPTIM = (*SCHEDULED, "momentum", "weight_decay", "clip_norm")
_RATES = "rates"
_EXAMPLE = "config.vary = {'model.dropout': (0.0, 0.1)}"


def keys_that_vary(model_fields: Mapping[str, Any]) -> list[str]:
    """The keys of a config that can vary, given the fields of its network with their defaults."""
    rates = [f"model.{name}" for name, default in model_fields.items() if isinstance(default, float)]
    return [*rates, *(f"optim.{key}" for key in _OPTIM), "loss.label_smoothing", "ema_decay"]


def check_vary(vary: Any, model_fields: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """What varies, as a config states it -> tuples of floats by key, in the order of the keys.

    Args:
      vary: keys of the config, with their sections, and a list of values for each; None and {} are nothing.
      model_fields: the fields of the network with their defaults; those that are floats can vary.

    Raises:
      ConfigError: it is no mapping, a key cannot vary, or its values are no list of different numbers.
    """
    if vary is None:
        return {}
    if not isinstance(vary, Mapping):
        raise ConfigError(f"config.vary must give lists of values by key, as in {_EXAMPLE}, not {vary!r}")
    can_vary = keys_that_vary(model_fields)
    found = {}
    for key in sorted(vary, key=str):
        values = vary[key]
        if key not in can_vary:
            raise ConfigError(f"config.vary: '{key}' cannot vary; what can: {', '.join(can_vary)}")
        if not (isinstance(values, list | tuple) and values and all(map(_is_number, values))):
            raise ConfigError(f"config.vary: '{key}' needs a list of numbers, as in {_EXAMPLE}, not {values!r}")
        if len(set(values)) < len(values):
            raise ConfigError(f"config.vary: '{key}' has a value twice: {', '.join(map(str, values))}")
        found[key] = tuple(map(float, values))
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def with_values(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A config, as nested dicts, in which a member's values stand in place of those that vary."""
    changed = {key: dict(value) if isinstance(value, Mapping) else value for key, value in config.items()}
    for key, value in values.items():
        section, dot, name = key.rpartition(".")
        (changed[section] if dot else changed)[name] = value
    return changed


def value_arrays(members: Members, schedules: Sequence[Schedule]) -> dict[str, np.ndarray]:
    """What varies as arrays [members], and where the learning rates do, their tables [members, places].

    Args:
      members: of the run.
      schedules: one for each.
    """
    found = {}
    for key in members.each[0].values:
        if not _is_scheduled(key):
            found[key] = np.array([member.values[key] for member in members.each])
    if "optim.clip_norm" in found:
        # 0 is never.
        found["optim.clip_norm"] = np.where(found["optim.clip_norm"] == 0, np.inf, found["optim.clip_norm"])
    if rates_vary(members.each[0].values):
        found[_RATES] = np.array([schedule.rates for schedule in schedules])
    return found


def rates_vary(values: Values) -> bool:
    """Whether the learning rates of a run's members differ from its first step on; `values` are any member's."""
    return any(map(_is_scheduled, values))


def _is_scheduled(key: str) -> bool:
    section, _, name = key.rpartition(".")
    return section == "optim" and name in SCHEDULED


def make_parts(
    config: Mapping[str, Any],
    model: Network,
    schedule: Schedule,
    augment: Augment | None,
    *,
    class_counts: Sequence[int],
    class_names: Sequence[str],
) -> Callable[[Mapping[str, jax.Array]], tuple[Network, optax.GradientTransformation, Recipe]]:
    """From a member's entries of `value_arrays` to its network, its Optax chain and its recipe.

    Args:
      config: the run's, as nested dicts.
      model: the network, whatever its rates.
      schedule: of any member.
      augment: of the run.
      class_counts: see `losses.create`; so are the names.
    """

    def parts(values: Mapping[str, Any]) -> tuple[Network, optax.GradientTransformation, Recipe]:
        own = with_values(config, {key: value for key, value in values.items() if key != _RATES})
        fields = {key.removeprefix("model."): value for key, value in values.items() if key.startswith("model.")}
        tx = optim.chain(
            rates=values.get(_RATES, schedule.rates),
            steps_per_rate=schedule.steps_per_rate,
            **{key: own["optim"][key] for key in ("name", "momentum", "nesterov", "weight_decay", "clip_norm")},
        )
        objective = losses.create(**own["loss"], class_counts=class_counts, class_names=class_names)
        return model.clone(**fields), tx, Recipe(augment, objective, own["ema_decay"])

    return parts
