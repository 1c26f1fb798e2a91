"""What is wrong with the words of a command, or with the config file they name, in one sentence each.

absl and ml_collections would tell it in their own words, some with a traceback in them, and a missing config file
only where the config is first used.
"""

import difflib
import re
from collections.abc import Sequence
from typing import Any

import ml_collections
from absl import flags

from fer_jax.errors import ConfigError, did_you_mean
from fer_jax.python_file import call_function

CONFIG = "config"
"""The flag that names a config file; --config.KEY=VALUE sets one of its keys."""

_OF_CONFIG = re.compile(rf"--?(no)?{CONFIG}(\.[^=]*)?(=.*)?", re.DOTALL)
_NOUNS = {bool: "true or false", int: "a whole number", float: "a number"}


def parse(values: flags.FlagValues, argv: Sequence[str], takes_words: bool = False) -> list[str]:
    """Parses all flags; those of the config last, because to load it imports JAX, which takes seconds.

    Args:
      values: the flags; the parser of CONFIG is a `ConfigFileParser`.
      argv: the command and its words.
      takes_words: whether there may be words that are no flags.

    Returns:
      Those words, without the command.

    Raises:
      ConfigError: a word is no flag, or no value of its flag.
    """
    plain, of_config = _sort(argv)
    _check_known(values, plain)
    try:
        words = values(plain)[1:]
        _check_words(words, takes_words)
        _check_order(of_config)
        for flag in (values[name] for name in values):
            # One that may come several times would have each of its values twice.
            if isinstance(flag, flags.MultiFlag):
                flag.unparse()
        words = values(argv)[1:]
        _check_words(words, takes_words)
    except flags.IllegalFlagValueError as error:
        raise ConfigError(_wrong_value(values, error)) from error
    except (flags.Error, KeyError, TypeError, ValueError) as error:
        missing = re.fullmatch(r"Missing value for flag (\S+)", str(error))
        raise ConfigError(f"{missing[1]} lacks its value: {missing[1]}=VALUE" if missing else _line(error)) from error
    return words


def _sort(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that have nothing to do with the config, and the others less their values ('--config.seed -1')."""
    plain: list[str] = []
    of_config: list[str] = []
    for word, before in zip(argv, ["", *argv], strict=False):
        if _OF_CONFIG.fullmatch(word):
            of_config.append(word)
        elif not (_OF_CONFIG.fullmatch(before) and "=" not in before and re.match(r"-?[\d.]|[^-]|$", word)):
            plain.append(word)
    return plain, of_config


def _check_known(values: flags.FlagValues, words: Sequence[str]) -> None:
    for word in words:
        if word == "--":
            return
        name, dot, key = word[2:].partition("=")[0].partition(".")
        if not word.startswith("--") or name + dot + key in values or name.removeprefix("no") in values:
            continue
        near = difflib.get_close_matches(name, list(values), n=1)
        hint = f"did you mean '--{near[0]}{dot}{key}'?" if near else ""
        hint = hint or f"--help lists the flags, and a key of the config is written --{CONFIG}.{name}{dot}{key}=VALUE"
        raise ConfigError(f"--{name}{dot}{key}: no such flag; {hint}")


def _check_words(words: Sequence[str], takes_words: bool) -> None:
    if words and not takes_words:
        hint = f"did you mean --{CONFIG}={words[0]}?" if words[0].endswith(".py") else "a flag is written --name=value"
        raise ConfigError(f"'{words[0]}' is no flag; {hint}")


def _check_order(words: Sequence[str]) -> None:
    """Checks that the config file comes once, and before what is set in it."""
    files = [index for index, word in enumerate(words) if re.fullmatch(rf"--?{CONFIG}(=.*)?", word, re.DOTALL)]
    key = words[0].partition("=")[0] if words else ""
    if words and not files:
        raise ConfigError(f"{key} sets a key of a config file, and --{CONFIG}=FILE is missing")
    if len(files) > 1:
        raise ConfigError(f"--{CONFIG} is given twice: a run has one config file")
    if words and files != [0]:
        raise ConfigError(f"{key} stands before --{CONFIG}: name the config file first")


def check_key(config: ml_collections.ConfigDict, key: str) -> None:
    """Checks that a dotted key names a value in a config.

    Raises:
      ConfigError: an unknown key, with the nearest known one, or a whole section.
    """
    inner: Any = config
    words = key.split(".")
    for index, word in enumerate(words):
        above = ".".join([CONFIG, *words[:index]])
        if not isinstance(inner, ml_collections.ConfigDict):
            raise ConfigError(f"--{CONFIG}.{key}: {above} is a value and has no keys; set it with --{above}=VALUE")
        if word not in inner:
            raise ConfigError(f"--{CONFIG}.{key}: {above} has no key '{word}'; {did_you_mean(word, inner.keys())}")
        inner = inner[word]
    if isinstance(inner, ml_collections.ConfigDict):
        raise ConfigError(f"--{CONFIG}.{key} is a section; set its keys, one by one: {', '.join(inner.keys())}")


def _wrong_value(values: flags.FlagValues, error: flags.IllegalFlagValueError) -> str:
    found = re.match(r"flag --([^=]+)=", str(error))
    cause = error.__context__
    if found is None or found[1] not in values:
        return _line(error)
    value = str(error)[found.end() :].removesuffix(f": {cause}")
    choices = getattr(values[found[1]].parser, "enum_values", None)
    if choices:
        return f"--{found[1]}={value}: no such {found[1]}; {did_you_mean(value, choices)}"
    is_whole = isinstance(values[found[1]].parser, flags.IntegerParser)
    kind = bool if values[found[1]].boolean else int if is_whole else type(values[found[1]].default)
    if kind not in _NOUNS:
        return _line(error)
    return f"--{found[1]}={value} must be {_NOUNS[kind]}"


class ConfigFileParser(flags.ArgumentParser):
    """Turns FILE or FILE:ARGUMENT into the locked config that FILE's get_config returns.

    Args:
      argv: all words of the command; each --config.KEY among them must name a value in the config.
    """

    syntactic_help = "a Python file that defines get_config()"

    def __init__(self, argv: Sequence[str]):
        self._argv = argv

    def parse(self, argument: str) -> ml_collections.ConfigDict:
        """Loads the config.

        Raises:
          ConfigError: there is no such file, or no config in it, or no such key in the config.
        """
        config = load_config(argument)
        for word in _sort(self._argv)[1]:
            _, dot, key = word.partition("=")[0].partition(".")
            if dot:
                check_key(config, key)
        return config

    def flag_type(self) -> str:
        """Its name in --helpfull."""
        return "config file"


def load_config(argument: str) -> ml_collections.ConfigDict:
    """The locked config of FILE or FILE:ARGUMENT.

    Raises:
      ConfigError: there is none; what went wrong in the file is told with its line.
    """
    file, *arguments = argument.split(":", 1)
    where = f"--{CONFIG}={file}"
    hint = f"write {where}:ARGUMENT"
    _, config = call_function(CONFIG, file, "get_config", kind="a config file", hint=hint, arguments=arguments)
    if not isinstance(config, ml_collections.ConfigDict):
        hint = "; does it lack its return?" if config is None else ""
        raise ConfigError(f"{where}: get_config() must return an ml_collections.ConfigDict, not {config!r:.60}{hint}")
    return config.lock()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
