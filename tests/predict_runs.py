"""Small trained runs that predict, and the networks of them."""

import shutil
from functools import partial
from pathlib import Path

import pytest
from conftest import TINY_TABLE

from fer_jax import models, predict, train
from fer_jax.build import default_config
from fer_jax.models import mnist
from fer_jax.predict.predictor import Predictor

KNOWN = {**models.MODELS, "tiny": partial(mnist.MnistNet, table=TINY_TABLE)}


def train_runs(folder: Path, *names: str) -> Path:
    """Trains runs of a few seconds into a folder.

    Args:
      folder: gets a folder for each.
      names: 'clean' on digits; 'many' with two members; 'stand_in' of the seed protocol, on digits in place of MNIST.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "MODELS", KNOWN)
        patch.delenv("FER_JAX_DATA", raising=False)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("FER_JAX_OFFLINE", "1")
        for name in names:
            config = default_config(model="tiny", data_name="mnist" if name == "stand_in" else "digits")
            config.data.fallback = "digits"
            config.protocol = "seed" if name == "stand_in" else "clean"
            config.num_seeds = 2 if name == "many" else 1
            config.epochs = 3
            config.batch_size = 16
            config.data.limit = 100
            config.optim.learning_rate = 0.01
            train.train(config, workdir=str(folder / name))
    return folder


def network_of(workdir: Path, **options) -> Predictor:
    """`predict.load` of such a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "MODELS", KNOWN)
        return predict.load(str(workdir), **options)


def copy_run(workdir: Path, target: Path) -> Path:
    """A copy of a run for a test to change, without its calibration."""
    return shutil.copytree(workdir, target, ignore=shutil.ignore_patterns("calibration.json", "tensorboard"))
