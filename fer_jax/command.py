"""What every command does around its own work: flags, one-sentence errors with exit codes, quiet logging, JAX's cache.

A command is a module with `FLAGS`, its own `FlagValues`, so that several commands can be imported in one process, and
`main()`, which does what the flags say.
"""

import contextlib
import functools
import inspect
import os
import sys
from collections.abc import Callable

from absl import app, flags, logging

from fer_jax import flag_errors, processes
from fer_jax.buckets import is_bucket
from fer_jax.compiled import mend_kept_programs
from fer_jax.errors import ConfigError, LostProcessError, UserError, note
from fer_jax.machine import available_cores

# JAX is imported in the function, so that a misspelt flag is told at once.

_IN_BUCKETS = ("workdir", "data_dir", flag_errors.CONFIG)
"""The flags that may name something in a bucket; of a config some keys may."""

_HELP = {"--help", "-h", "-help", "--helpshort"}
_HELPFULL = {"--helpfull"}
_SIGNALS = 128
"""Exit codes from here on are of processes that a signal has ended, together."""


def run(main: Callable[..., None], values: flags.FlagValues) -> None:
    """Runs a command as a program, and ends the process with its exit code.

    Args:
      main: does what the flags say, which have been parsed. It raises UserError for what the user can mend. If it has
        an argument, that is a list of the words that are no flags; otherwise there may be none.
      values: the command's flags.
    """
    # Orbax logs a traceback of what it raises as well; what a user must know is said in our own words.
    logging.set_verbosity(logging.FATAL)
    parser = functools.partial(parse, values, takes_words=takes_words(main))
    app.run(lambda argv: _end(told(lambda: call(main, argv[1:]))), flags_parser=parser)


def _end(code: int) -> int:
    """The exit code. One process of several that has failed ends at once: the others would wait for it."""
    if code and code < _SIGNALS and processes.count() > 1:
        sys.stdout.flush()
        os._exit(code)
    return code


def takes_words(main: Callable[..., None]) -> bool:
    """Whether the `main` of a command takes the words that are no flags."""
    return bool(inspect.signature(main).parameters)


def call(main: Callable[..., None], words: list[str]) -> None:
    """Calls the `main` of a command, with the words that are no flags if it takes them."""
    main(*[words] * takes_words(main))


def parse(values: flags.FlagValues, argv: list[str], takes_words: bool = False) -> list[str]:
    """Parses the flags of a command and those of absl.

    Args:
      values: the command's flags; the flag of a config file, if there is one, is called `flag_errors.CONFIG`.
      argv: the command and its words.
      takes_words: whether there may be words that are no flags.

    Returns:
      The words that are no flags: the command, and those that it takes.

    Raises:
      SystemExit: with 0 after help; with 2 after the sentence that says what is wrong with a flag or the config file.
    """
    if (_HELP | _HELPFULL) & set(argv):
        print(_help(values, full=bool(_HELPFULL & set(argv))))
        sys.exit(0)
    values.append_flag_values(flags.FLAGS)
    words: list[str] = []

    def parse_all() -> None:
        if flag_errors.CONFIG in values:
            values[flag_errors.CONFIG].parser = flag_errors.ConfigFileParser(argv)
        words.extend(flag_errors.parse(values, argv, takes_words))
        _check_buckets(values)

    code = told(parse_all)
    if code:
        sys.exit(code)
    flags.FLAGS.mark_as_parsed()
    return [*argv[:1], *words]


def _check_buckets(values: flags.FlagValues) -> None:
    for name in values:
        value = values[name].value
        if name.partition(".")[0] not in _IN_BUCKETS and isinstance(value, str) and is_bucket(value):
            raise ConfigError(f"--{name}={value} must be on this machine: only --workdir and --data_dir name buckets")


def _help(values: flags.FlagValues, full: bool) -> str:
    """The docstring of the command, its flags, and with `full` those of absl too."""
    texts = [values.get_help(), flags.FLAGS.get_help()] if full else [values.main_module_help()]
    return "\n".join([sys.modules["__main__"].__doc__ or "", "flags:", *texts])


def told(action: Callable[[], None]) -> int:
    """Runs a part of a command; what the user can mend is told in a sentence on stderr. Returns the exit code."""
    try:
        action()
    except LostProcessError as error:
        return _lost(error)
    except UserError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing new was saved", 130)
    except OSError as error:
        # Files are written in many places; a full disk or a lost permission is never a fault of the program.
        return _fail(f"{error.filename or 'a file cannot be read or written'}: {error.strerror or error}", 1)
    except Exception as error:
        # A sum over processes fails in whatever asks for it first.
        if not processes.tells_of_another(error):
            raise
        return _lost(error)
    return 0


def _lost(error: Exception) -> int:
    reason = str(error).strip().splitlines()[0]
    note(f"another process of this run has ended or cannot be reached ({reason}): JAX will say which task it was")
    processes.wait_for_abort()
    return 1


def _fail(message: str, exit_code: int) -> int:
    note(message)
    return exit_code


_CPU_DEVICES = "--xla_force_host_platform_device_count"
"""What in XLA_FLAGS chooses the number of CPU devices, as JAX_NUM_CPU_DEVICES does."""


def prepare_jax(coordinator: str = "", num_processes: int | None = None, process_id: int | None = None) -> None:
    """Sets what must be set before the first use of JAX, joins the run's other processes, and checks for a device.

    Compiled programs are kept in the user's cache, so that the second start is quick; each CPU core is a device of its
    own, because XLA makes little of two cores in one small program; a GPU's memory is taken as it is needed. What the
    user's environment says about any of these holds.

    Args:
      coordinator: as in `processes.join`,
      num_processes: and so is this,
      process_id: and this.

    Raises:
      ConfigError: JAX finds no device, or the processes are not what the arguments or the environment say.
      UserError: the other processes do not come.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    from fer_jax.data.download import cache_folder

    mend_kept_programs()
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    chosen = getattr(jax.config, "jax_num_cpu_devices", -1) >= 0 or _CPU_DEVICES in os.environ.get("XLA_FLAGS", "")
    if not chosen:
        # Refused where JAX is in use already: then its devices are there.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", available_cores())
    processes.join(coordinator, num_processes, process_id)
    try:
        jax.devices()
    except RuntimeError as error:
        raise ConfigError(f"JAX finds no device to compute on: {' '.join(str(error).split())}") from error
