"""Small trained runs that predict, and the networks of them."""

import shutil
from functools import partial
from pathlib import Path

import pytest
from conftest import TINY_TABLE

from fer_jax import models, predict, provenance, train
from fer_jax.build import default_config
from fer_jax.models import mnist
from fer_jax.predict.predictor import Predictor

KNOWN = {**models.MODELS, "tiny": partial(mnist.MnistNet, table=TINY_TABLE)}


def train_runs(folder: Path) -> Path:
    """Trains runs of a few seconds into a folder, on digits, clean protocol: 'clean', and 'many' of two members.

    'stand_in' is the first with the record of a run of the seed protocol that could not have MNIST.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "MODELS", KNOWN)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for name, members in (("clean", 1), ("many", 2)):
            config = default_config(model="tiny", data_name="digits")
            config.protocol = "clean"
            config.num_seeds = members
            config.epochs = 3 if name == "clean" else 1
            config.batch_size = 16
            config.data.limit = 100 if name == "clean" else 20
            config.optim.learning_rate = 0.01
            train.train(config, workdir=str(folder / name))
    copy_run(folder / "clean", folder / "stand_in")
    config, record = (provenance.read_json(folder / "stand_in" / name) for name in ("config.json", "run.json"))
    provenance.write_json(folder / "stand_in" / "config.json", {**config, "protocol": "seed"})
    data = {**record["data"], "stand_in_for": "mnist"}
    provenance.write_json(folder / "stand_in" / "run.json", {**record, "stand_in": True, "data": data})
    return folder


def network_of(workdir: Path, **options) -> Predictor:
    """`predict.load` of such a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "MODELS", KNOWN)
        return predict.load(str(workdir), **options)


def copy_run(workdir: Path, target: Path) -> Path:
    """A copy of a run for a test to change, without its calibration."""
    return shutil.copytree(workdir, target, ignore=shutil.ignore_patterns("calibration.json", "tensorboard"))
