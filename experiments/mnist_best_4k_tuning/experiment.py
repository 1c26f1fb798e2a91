"""Which recipe suits at most 4,000 parameters: twelve trials of 5 epochs on 55,000 training images.

Judged on the 5,000 images of the validation split; the test split is not read. One seed a trial, so a difference of two
trials is worth little below 0.2 points of accuracy: the loss, which is less coarse, is read beside it.

The network has five convolutions (6, 8, 10, 12, 12 channels); `mnist_best_4k` has separable ones since
mnist_best_4k_finalists.
"""

from functools import partial

from experiments.mnist_best_15k_tuning.experiment import TRIALS, tuned
from fer_jax import models
from fer_jax.build import default_config
from fer_jax.models.compact import CompactNet, Row
from fer_jax.sweep import Experiment, Variant

FIVE = (Row(6), Row(8, pool=True), Row(10), Row(12, pool=True), Row(12))
"""3,904 parameters."""
models.MODELS["five_4k"] = partial(CompactNet, table=FIVE)


def get_experiment():
    return Experiment(
        base=tuned(default_config(model="five_4k", data_name="mnist")),
        variants=[
            *TRIALS,
            Variant("batch 32, rate 0.005", {"batch_size": 32, "optim.learning_rate": 0.005}),
            Variant("no shift", {"augment.shift": 0.0}),
            Variant("rate 0.03", {"optim.learning_rate": 0.03}),
        ],
        seeds=1,
    )
