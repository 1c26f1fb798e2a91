"""Trains, evaluates or sums up an image classifier: flags, devices and dispatch on --mode; nothing else.

python -m fer_jax.main --config=configs/mnist_15k.py
python -m fer_jax.main --config=configs/mnist_15k.py --config.optim.learning_rate=0.01 --workdir=runs/fast
python -m fer_jax.main --mode=evaluate --workdir=runs/mnist_15k --split=test
python -m fer_jax.main --mode=summary --config=configs/mnist_15k.py
"""

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from fer_jax import flag_errors
from fer_jax.errors import ConfigError, UserError

# JAX and what stands on it are imported in the functions, so that a misspelt flag is told at once.

_CONFIG = config_flags.DEFINE_config_file("config", None, "The config file; --config.KEY=VALUE sets one of its keys.")
_WORKDIR = flags.DEFINE_string("workdir", "", "The run's folder; default: runs/<config name>[,key=value...].")
_MODE = flags.DEFINE_enum("mode", "train", ["train", "evaluate", "summary"], "What to do.")
_DATA_DIR = flags.DEFINE_string("data_dir", "", "The folder that holds a folder for each data set; looks nowhere else.")
_SPLIT = flags.DEFINE_string("split", "", "For --mode=evaluate: train, validation or test; default: the watched split.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", "last", "For --mode=evaluate: last, best or the number of a step.")
_PROFILE = flags.DEFINE_bool("profile", False, "Write a jax.profiler trace of one call to <workdir>/profile.")

_LONGEST_NAME = 200
"""Bytes in the name of a run's folder: file systems take 255, and a stand-in appends its own name."""


def run_name(config_file: str, overrides: dict[str, object]) -> str:
    """The name of a run: that of its config file, with ',key=value' for each override in the order of the keys.

    It names a folder, so '/' becomes '_', and a name that is too long is cut and ends with a digest of the whole.
    """
    words = [Path(config_file.partition(":")[0]).stem]
    words += [f"{key}={value}" for key, value in sorted(overrides.items())]
    name = ",".join(words).replace("/", "_")
    whole = os.fsencode(name)
    if len(whole) > _LONGEST_NAME:
        digest = hashlib.sha256(whole).hexdigest()[:8]
        name = f"{whole[: _LONGEST_NAME - 9].decode(errors='ignore')},{digest}"
    return name


def main(argv: Sequence[str]) -> int:
    """Does what the flags say, which have been parsed; returns the exit code."""
    del argv
    return _told({"train": _train, "evaluate": _evaluate, "summary": _summary}[_MODE.value])


def _train() -> None:
    from fer_jax import train

    _prepare_jax()
    train.train(
        _CONFIG.value, workdir=_WORKDIR.value, name=_run_name(), data_dir=_DATA_DIR.value, profile=_PROFILE.value
    )


def _evaluate() -> None:
    from fer_jax import evaluate_run

    _prepare_jax()
    evaluate_run.evaluate_run(
        _WORKDIR.value or f"runs/{_run_name()}",
        split=_SPLIT.value,
        checkpoint=_CHECKPOINT.value,
        data_dir=_DATA_DIR.value,
        config=_CONFIG.value,
    )


def _summary() -> None:
    from fer_jax import build, summary

    config = build.resolve(_CONFIG.value)
    _, described = build.build_model(config)
    print(summary.format_table(described))
    # After the table, which is what shows where the parameters are.
    summary.check_budget(described, build.build_options(config).max_params)


def _run_name() -> str:
    flag = flags.FLAGS["config"]
    return run_name(config_flags.get_config_filename(flag), config_flags.get_override_values(flag))


def _prepare_jax() -> None:
    """Compiled programs are kept in the user's cache, so that the second start of a network is quick."""
    import jax

    from fer_jax.data.download import cache_folder

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    try:
        jax.devices()
    except RuntimeError as error:
        raise ConfigError(f"JAX finds no device to compute on: {' '.join(str(error).split())}") from error


def _parse_flags(argv: list[str]) -> list[str]:
    """Parses all flags; what is wrong with one, or with the config file, is a sentence and exit code 2."""
    if {"--help", "-h", "-help", "--helpshort"} & set(argv):
        app.usage(shorthelp=True, writeto_stdout=True, exitcode=0)

    def parse() -> None:
        flags.FLAGS["config"].parser = flag_errors.ConfigFileParser(argv)
        flag_errors.parse(flags.FLAGS, argv)
        if _CONFIG.value is None and _MODE.value != "evaluate":
            raise ConfigError("--config=FILE is missing, for example --config=configs/mnist_15k.py")
        if _CONFIG.value is None and not _WORKDIR.value:
            raise ConfigError("--mode=evaluate needs --workdir=RUN, the folder of a trained run")

    code = _told(parse)
    if code:
        sys.exit(code)
    return argv[:1]


def _told(action: Callable[[], None]) -> int:
    """Runs a part of the command; what the user can mend is told in a sentence. Returns the exit code."""
    try:
        action()
    except UserError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing new was saved", 130)
    except OSError as error:
        # Files are written in many places; a full disk or a lost permission is never a fault of the program.
        return _fail(f"{error.filename or 'a file cannot be read or written'}: {error.strerror or error}", 1)
    return 0


def _fail(message: str, exit_code: int) -> int:
    print(f"fer_jax: {message}", file=sys.stderr, flush=True)
    return exit_code


def run() -> None:
    """Runs the command as a program."""
    # Orbax logs a traceback of what it raises as well; what a user must know is said in our own words.
    logging.set_verbosity(logging.FATAL)
    app.run(main, flags_parser=_parse_flags)


if __name__ == "__main__":
    run()
