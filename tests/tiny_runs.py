"""Runs of a small network on digits, for fixtures that many tests share, and changes to what they leave."""

import json
from functools import partial

import pytest
from conftest import TINY_TABLE

from fer_jax import models, train
from fer_jax.build import default_config
from fer_jax.checkpoint import record_digest
from fer_jax.models import mnist


def train_tiny(folder, **changes):
    """Trains under the clean protocol in batches of 16; `vary` and other keys of the top level are in `changes`.

    Returns:
      The config, and what stands in run.json at the end.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.MODELS, "tiny", partial(mnist.MnistNet, table=TINY_TABLE))
        config = default_config(model="tiny", data_name="digits")
        config.batch_size, config.data.limit, config.protocol, config.optim.learning_rate = 16, 100, "clean", 0.01
        for key, value in changes.items():
            config[key] = value
        return config, train.train(config, workdir=str(folder))


def change_record(workdir, step, change):
    """Changes the record inside a checkpoint, as if what `change` makes of it had been saved."""
    path = workdir / "checkpoints" / str(step) / "record" / "metadata"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps({**record, "record_sha256": record_digest(record)}))
