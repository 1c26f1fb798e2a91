"""Trains, evaluates or sums up an image classifier: flags, devices and dispatch on --mode; nothing else.

python -m fer_jax.main --config=configs/mnist_15k.py
python -m fer_jax.main --config=configs/mnist_15k.py --config.optim.learning_rate=0.01 --workdir=runs/fast
python -m fer_jax.main --mode=evaluate --workdir=runs/mnist_15k --split=test
python -m fer_jax.main --mode=summary --config=configs/mnist_15k.py
python -m fer_jax.main --mode=diagnose --workdir=runs/fast    # what happened in the step that stopped it
"""

import hashlib
import os
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from fer_jax import command
from fer_jax.buckets import is_bucket
from fer_jax.errors import ConfigError

# JAX and what stands on it are imported in the functions, so that a misspelt flag is told at once.

FLAGS = flags.FlagValues()
_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The config file; --config.KEY=VALUE sets one of its keys.", flag_values=FLAGS
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    "",
    "The run's folder, or gs://BUCKET/FOLDER; default: runs/<config name>[,key=value...].",
    flag_values=FLAGS,
)
_MODE = flags.DEFINE_enum(
    "mode", "train", ["train", "evaluate", "summary", "diagnose"], "What to do.", flag_values=FLAGS
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "The folder that holds a folder for each data set; looks nowhere else.", flag_values=FLAGS
)
_SPLIT = flags.DEFINE_string(
    "split", "", "For --mode=evaluate: train, validation or test; default: the watched split.", flag_values=FLAGS
)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "last", "For --mode=evaluate: last, best or the number of a step.", flag_values=FLAGS
)
_TTA = flags.DEFINE_string(
    "tta", "", "For --mode=evaluate: flip or ten_crop as well; default: what config.tta says.", flag_values=FLAGS
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator",
    "",
    "For several processes: HOST:PORT of the first; default: what the cluster says.",
    flag_values=FLAGS,
)
_NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes",
    None,
    "How many there are; default: what the cluster says; 1: alone all the same.",
    flag_values=FLAGS,
)
_PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "Which this is, from 0; default: what the cluster says.", flag_values=FLAGS
)
_PROFILE = flags.DEFINE_bool(
    "profile", False, "Write a jax.profiler trace of one call to <workdir>/profile.", flag_values=FLAGS
)

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


def main() -> None:
    """Does what the flags say, which have been parsed.

    Raises:
      UserError: what the user can mend.
    """
    of_a_run = _MODE.value in ("evaluate", "diagnose")
    if _CONFIG.value is None and not of_a_run:
        raise ConfigError("--config=FILE is missing, for example --config=configs/mnist_15k.py")
    if _CONFIG.value is None and not _WORKDIR.value:
        raise ConfigError(f"--mode={_MODE.value} needs --workdir=RUN, the folder of a trained run")
    {"train": _train, "evaluate": _evaluate, "summary": _summary, "diagnose": _diagnose}[_MODE.value]()


def _prepare() -> None:
    command.prepare_jax(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)


def _train() -> None:
    from fer_jax import train

    if _PROFILE.value and is_bucket(_WORKDIR.value):
        raise ConfigError("--profile writes its trace on this machine: give it a --workdir that is no bucket")
    _prepare()
    train.train(
        _CONFIG.value, workdir=_WORKDIR.value, name=_run_name(), data_dir=_DATA_DIR.value, profile=_PROFILE.value
    )


def _evaluate() -> None:
    from fer_jax import evaluate_run

    _prepare()
    evaluate_run.evaluate_run(
        _WORKDIR.value or f"runs/{_run_name()}",
        split=_SPLIT.value,
        checkpoint=_CHECKPOINT.value,
        data_dir=_DATA_DIR.value,
        config=_CONFIG.value,
        tta=_TTA.value,
    )


def _diagnose() -> None:
    from fer_jax import diagnose

    _prepare()
    diagnose.diagnose(_WORKDIR.value or f"runs/{_run_name()}", data_dir=_DATA_DIR.value)


def _summary() -> None:
    from fer_jax import build, summary

    config = build.resolve(_CONFIG.value)
    _, described = build.build_model(config)
    print(summary.format_table(described))
    # After the table, which is what shows where the parameters are.
    summary.check_budget(described, build.build_options(config).max_params)


def _run_name() -> str:
    flag = FLAGS["config"]
    return run_name(config_flags.get_config_filename(flag), config_flags.get_override_values(flag))


if __name__ == "__main__":
    command.run(main, FLAGS)
