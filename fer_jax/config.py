"""What a config is: its sections, their defaults and types, and how two configs differ.

A section is the keyword arguments of one function or class; that signature is the one place where a key, its type
and its default stand. So an unknown key is found at the start, and a key that nothing reads cannot exist.
"""

import inspect
import math
import numbers
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fer_jax.errors import ConfigError, did_you_mean


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The keywords of `function` that have a default: what a section holds when a config says nothing."""
    return {
        name: parameter.default
        for name, parameter in _keywords(function).items()
        if parameter.default is not inspect.Parameter.empty
    }


def check_keywords(section: str, function: Callable[..., Any], keywords: Mapping[str, Any]) -> None:
    """Checks that `function(**keywords)` would find every key known and of its annotated type.

    Args:
      section: the config section the keywords come from, for the message; '' for the top level.
      function: a function with keyword arguments, a class, or a `functools.partial` of either.
      keywords: the section.

    Raises:
      ConfigError: naming the key, and the nearest known one.
    """
    known = _keywords(function)
    hints = typing.get_type_hints(_unwrapped(function))
    prefix = f"config.{section}." if section else "config."
    for key, value in keywords.items():
        if key not in known:
            raise ConfigError(f"{prefix}{key}: unknown key; {did_you_mean(key, known)}")
        expected = hints.get(key)
        if not _has_type(value, expected):
            name = getattr(expected, "__name__", str(expected))
            raise ConfigError(f"{prefix}{key} must be of type {name}, not {value!r}")


def _unwrapped(function: Callable[..., Any]) -> Any:
    function = getattr(function, "func", function)
    return function.__init__ if inspect.isclass(function) else function


def _keywords(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters that a config may set: named, not already bound, and not Flax's own two."""
    bound = set(getattr(function, "keywords", {})) | {"self"}
    if inspect.isclass(getattr(function, "func", function)):
        bound |= {"parent", "name"}
    return {
        name: parameter
        for name, parameter in inspect.signature(_unwrapped(function)).parameters.items()
        if name not in bound and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    }


def _has_type(value: Any, expected: Any) -> bool:
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if expected is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if expected in (str, bool):
        return isinstance(value, expected)
    return True


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The dotted keys in which two nested configs differ, sorted."""
    flat_old, flat_new = dict(flatten(old)), dict(flatten(new))
    absent = object()
    return sorted(
        key for key in flat_old.keys() | flat_new.keys() if flat_old.get(key, absent) != flat_new.get(key, absent)
    )


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """The values of a nested config by their dotted keys; a tuple as a list."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, list(value) if isinstance(value, tuple) else value


def check_number(key: str, value: Any, whole: bool = False) -> None:
    """Raises ConfigError unless `value` is a number, and a whole one if that is asked for."""
    if not isinstance(value, numbers.Integral if whole else numbers.Real) or isinstance(value, bool):
        raise ConfigError(f"{key} must be a {'whole ' if whole else ''}number, not {value!r}")


def check_at_least(key: str, value: float, least: float) -> None:
    """Raises ConfigError unless `value` is a finite number >= `least`."""
    if not (math.isfinite(value) and value >= least):
        raise ConfigError(f"{key} must be at least {least}, not {value}")


def check_at_most(key: str, value: float, most: float) -> None:
    """Raises ConfigError unless `value` is a number <= `most`."""
    if not value <= most:
        raise ConfigError(f"{key} must be at most {most}, not {value}")


def check_above(key: str, value: float, bound: float) -> None:
    """Raises ConfigError unless `value` is a finite number > `bound`."""
    if not (math.isfinite(value) and value > bound):
        raise ConfigError(f"{key} must be above {bound}, not {value}")


def check_rate(key: str, value: Any) -> None:
    """Raises ConfigError unless `value` is in [0, 1); a traced value passes."""
    if isinstance(value, int | float) and not 0 <= value < 1:
        raise ConfigError(f"{key} must be at least 0 and below 1, not {value}")


def is_zero(value: Any) -> bool:
    """Whether a number is known to be 0, so that what it is the strength of can be left out; a traced value is not."""
    return isinstance(value, int | float) and value == 0


def check_choice(key: str, value: str, choices: Iterable[str]) -> None:
    """Raises ConfigError unless `value` is one of `choices`."""
    choices = list(choices)
    if value not in choices:
        raise ConfigError(f"{key}: no such choice as '{value}'; {did_you_mean(str(value), choices)}")


def check_network(workdir: str, model: str, checkpoint: str | int, member: int | None) -> None:
    """Checks that a command names one network: a run's, or one that comes with the package.

    Raises:
      ConfigError: none is, or two are, or a state of a network that has only one.
    """
    if bool(workdir) == bool(model):
        raise ConfigError(
            f"--workdir=RUN and --model=NAME are {'both given' if model else 'missing'}: name either the folder of a "
            "trained run (--workdir=runs/mnist_15k) or a network that comes with fer_jax (--model=mnist_15k)"
        )
    if model and (checkpoint != "best" or member is not None):
        raise ConfigError(f"--model={model} has one state: leave out --checkpoint and --member")
