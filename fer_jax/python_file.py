"""Running a Python file that a user wrote, a config or an experiment; what is wrong with it is told with its line."""

import contextlib
import inspect
import re
import sys
import traceback
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from fer_jax.errors import ConfigError, UserError


def call_function(
    flag: str, file: str, name: str, *, kind: str, hint: str, arguments: Sequence[str] = ()
) -> tuple[ModuleType, Any]:
    """Runs a Python file and calls one of its functions; what it prints goes to stderr.

    From whatever folder the command was started, the file can import the configs that it forks: the nearest folder
    above it that holds a folder `configs` comes last in Python's search path.

    Args:
      flag: that names the file, for the messages: 'config'.
      file: its path.
      name: of the function.
      kind: of file, in words: 'a config file'.
      hint: what to do if the function needs an argument that is not there.
      arguments: of the call.

    Returns:
      The file as a module, and what the function returns.

    Raises:
      ConfigError: there is no such file or function; what went wrong in the file is told with its line.
    """
    where = f"--{flag}={file}"
    if not file:
        raise ConfigError(f"{where} names no file: --{flag}=FILE")
    if not Path(file).exists():
        raise ConfigError(f"{where}: there is no such file")
    if not Path(file).is_file():
        raise ConfigError(f"{where} is a folder, not {kind}")
    loader = SourceFileLoader(f"{flag}_file", file)
    module = module_from_spec(spec_from_loader(loader.name, loader))  # type: ignore[arg-type]
    project = next((each for each in Path(file).resolve().parents if (each / "configs").is_dir()), None)
    if project is not None and str(project) not in sys.path:
        sys.path.append(str(project))
    try:
        # The standard output is for what the command answers, which another program may read.
        with contextlib.redirect_stdout(sys.stderr):
            # Not through the loader, which leaves its bytecode beside the file and trusts it when a clock is coarse.
            exec(loader.source_to_code(Path(file).read_bytes(), file), vars(module))
            function = getattr(module, name, None)
            if not callable(function):
                raise ConfigError(f"{where} defines no function {name}()")
            _check_call(where, function, name, arguments, hint)
            return module, function(*arguments)
    except ConfigError as error:
        raise error if where in str(error) else ConfigError(f"{where}{_place(file, error)}: {error}") from error
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        # A file that ends the program would end it with an exit code of its own, and in silence.
        raise ConfigError(f"{where}{_place(file, error)}: {_what(error)}") from error


def _check_call(where: str, function: Any, name: str, arguments: Sequence[str], hint: str) -> None:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        if arguments:
            raise ConfigError(f"{where}: its {name}() takes no argument; leave out ':{arguments[0]}'") from None
        raise ConfigError(f"{where}: its {name}() needs an argument; {hint}") from None


def _place(file: str, error: BaseException) -> str:
    """', line N' in the file, or in the file it imports if the error is one of syntax there."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        other = "" if error.filename in (None, file) else f", which imports {error.filename}"
        return f"{other}, line {error.lineno}"
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f", line {lines[-1].lineno} ({lines[-1].line})" if lines else ""


def _what(error: BaseException) -> str:
    """What a file did wrong; for a misspelt key of a config the nearest one."""
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]  # ml_collections wraps a KeyError in an AttributeError.
    text = " ".join(str(error.args[0]).split()) if error.args else ""
    near = re.search(r'Did you mean "(\w+)" instead of "(\w+)"', text)
    unknown = re.match(r'Key "(\w+)" does not exist and cannot be added', text)
    if near:
        return f"no key '{near[2]}'; did you mean '{near[1]}'?"
    if unknown:
        return f"no key '{unknown[1]}': a config has the keys that default_config() gives it"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
