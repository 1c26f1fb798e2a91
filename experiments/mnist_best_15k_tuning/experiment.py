"""Which recipe suits at most 15,000 parameters: twelve trials of 5 epochs on 55,000 training images.

Judged on the 5,000 images of the validation split; the test split is not read. One seed a trial, so a difference of two
trials is worth little below 0.2 points of accuracy: the loss, which is less coarse, is read beside it.

The network has five convolutions (16, 16, 24, 24, 14 channels); `mnist_best_15k` has nine since
mnist_best_15k_finalists.
"""

from functools import partial

from configs import mnist_15k
from fer_jax import models
from fer_jax.build import default_config
from fer_jax.models.compact import CompactNet, Row
from fer_jax.sweep import Experiment, Variant

FIVE = (Row(16), Row(16, pool=True), Row(24), Row(24, pool=True), Row(14))
"""14,638 parameters."""
models.MODELS["five_15k"] = partial(CompactNet, table=FIVE)

TRIALS = [
    Variant("base"),
    Variant("rate 0.005", {"optim.learning_rate": 0.005}),
    Variant("rate 0.02", {"optim.learning_rate": 0.02}),
    Variant("batch 64", {"batch_size": 64}),
    Variant("batch 64, rate 0.005", {"batch_size": 64, "optim.learning_rate": 0.005}),
    Variant("shift 1", {"augment.shift": 1 / 28}),
    Variant("rotate 10", {"augment.rotate": 10.0}),
    Variant("rotate 10, scale 0.1", {"augment.rotate": 10.0, "augment.scale": 0.1}),
    Variant("label smoothing 0.1", {"loss.label_smoothing": 0.1}),
]
"""What networks of every size are tried with."""


def tuned(config):
    """A config with the recipe that the trials start from."""
    config.protocol = "tune"
    config.epochs = 5
    config.batch_size = 128
    config.augment.shift = 2 / 28
    config.optim.name = "adam"
    config.optim.learning_rate = 0.01
    config.optim.schedule = "one_cycle"
    return config


def get_experiment():
    document = tuned(mnist_15k.get_config())
    document.model.dropout = 0.03
    return Experiment(
        base=tuned(default_config(model="five_15k", data_name="mnist")),
        variants=[
            *TRIALS,
            Variant("shift 3", {"augment.shift": 3 / 28}),
            Variant("dropout 0.03", {"model.dropout": 0.03}),
            Variant("network of document 001", config=document),
        ],
        seeds=1,
    )
