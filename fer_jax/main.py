"""The command: flags, devices, dispatch on --mode; nothing else.

python -m fer_jax.main --config=configs/mnist_15k.py
python -m fer_jax.main --config=configs/mnist_15k.py --config.optim.learning_rate=0.01 --workdir=runs/fast
python -m fer_jax.main --mode=evaluate --workdir=runs/mnist_15k --split=test
python -m fer_jax.main --mode=summary --config=configs/mnist_15k.py
"""

import os
import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

_CONFIG = config_flags.DEFINE_config_file("config", None, "The config file; --config.KEY=VALUE sets one of its keys.")
_WORKDIR = flags.DEFINE_string("workdir", "", "The run's folder; default: runs/<config name>[,key=value...].")
_MODE = flags.DEFINE_string("mode", "train", "train, evaluate or summary.")
_DATA_DIR = flags.DEFINE_string("data_dir", "", "The folder that holds a folder for each data set; looks nowhere else.")
_SPLIT = flags.DEFINE_string("split", "", "For --mode=evaluate: train, validation or test; default: the watched split.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", "last", "For --mode=evaluate: last, best or the number of a step.")
_PROFILE = flags.DEFINE_bool("profile", False, "Write a jax.profiler trace of one call to <workdir>/profile.")


def run_name(config_file: str, overrides: dict[str, object]) -> str:
    """The name of a run: that of its config file, with ',key=value' for each override in the order of the keys."""
    words = [Path(config_file.partition(":")[0]).stem]
    words += [f"{key}={value}" for key, value in sorted(overrides.items())]
    return ",".join(words).replace("/", "_")


def main(argv: list[str]) -> int:
    """Does what --mode says; returns the exit code."""
    # JAX and what stands on it are imported after the flags are read, so that a misspelt flag is told at once.
    from fer_jax.errors import ConfigError, UserError, did_you_mean

    try:
        if len(argv) > 1:
            raise ConfigError(f"'{argv[1]}' is no flag: flags are written --name=value")
        modes = {"train": _train, "evaluate": _evaluate, "summary": _summary}
        if _MODE.value not in modes:
            raise ConfigError(f"--mode={_MODE.value}: no such mode; {did_you_mean(_MODE.value, modes)}")
        modes[_MODE.value]()
    except UserError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing new was saved", 130)
    except OSError as error:
        # Files are written in many places; a full disk or a lost permission is never a fault of the program.
        return _fail(f"{error.filename or 'a file'}: {error.strerror or error}", 1)
    return 0


def _train() -> None:
    from fer_jax import train

    _prepare_jax()
    flag = flags.FLAGS["config"]
    train.train(
        _config(),
        workdir=_WORKDIR.value,
        name=run_name(config_flags.get_config_filename(flag), config_flags.get_override_values(flag)),
        data_dir=_DATA_DIR.value,
        profile=_PROFILE.value,
    )


def _evaluate() -> None:
    from fer_jax import evaluate_run
    from fer_jax.errors import ConfigError

    _prepare_jax()
    workdir = _WORKDIR.value
    if not workdir and _CONFIG.value is None:
        raise ConfigError("--mode=evaluate needs --workdir=RUN, the folder of a trained run")
    if not workdir:
        flag = flags.FLAGS["config"]
        workdir = "runs/" + run_name(config_flags.get_config_filename(flag), config_flags.get_override_values(flag))
    evaluate_run.evaluate_run(workdir, split=_SPLIT.value, checkpoint=_CHECKPOINT.value, data_dir=_DATA_DIR.value)


def _summary() -> None:
    from fer_jax import build, summary

    config = build.resolve(_config())
    _, described = build.build_model(config)
    print(summary.format_table(described))
    # After the table, which is what shows where the parameters are.
    summary.check_budget(described, build.build_options(config).max_params)


def _config():
    from fer_jax.errors import ConfigError

    if _CONFIG.value is None:
        raise ConfigError("--config=FILE is missing, for example --config=configs/mnist_15k.py")
    return _CONFIG.value


def _prepare_jax() -> None:
    """Compiled programs are kept in the user's cache, so that the second start of a network is quick."""
    import jax

    from fer_jax.data.download import cache_folder

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _fail(message: str, exit_code: int) -> int:
    print(f"fer_jax: {message}", file=sys.stderr, flush=True)
    return exit_code


def _parse_flags(argv: list[str]) -> list[str]:
    """Parses all flags; whatever is wrong with one, or with the config file, is a sentence and exit code 2."""
    try:
        return flags.FLAGS(argv)
    except Exception as error:
        sys.exit(_fail(_flag_error(error), 2))


def _flag_error(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, FileNotFoundError):
        return f"--config: there is no such file as {error.filename or text}"
    return text


def run() -> None:
    """Runs the command as a program."""
    logging.set_verbosity(logging.ERROR)
    app.run(main, flags_parser=_parse_flags)


if __name__ == "__main__":
    run()
