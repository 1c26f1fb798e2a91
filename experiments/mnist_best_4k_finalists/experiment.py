"""Do depth, rotation and separable convolutions pay for at most 4,000 parameters, when a run has twenty epochs?

A second stage after mnist_best_4k_tuning, for the reason that mnist_best_15k_finalists states: every trial has twenty
epochs on 55,000 images, as many as the final runs, and is judged on the 5,000 of the validation split; the least
validation loss is chosen. The test split is not read.
"""

from functools import partial

from experiments.mnist_best_4k_tuning.experiment import tuned
from experiments.mnist_best_15k_finalists.experiment import TURNED
from fer_jax import models
from fer_jax.build import default_config
from fer_jax.models.compact import CompactNet, Row
from fer_jax.sweep import Experiment, Variant

DEEP = tuple(
    Row(features, pool=pool)
    for features, pool in zip((4, 4, 4, 8, 8, 8, 8, 8, 8), (False, False, True) * 2 + (False,) * 3, strict=True)
)
"""Nine convolutions, 3,822 parameters."""
models.MODELS["deep_4k"] = partial(CompactNet, table=DEEP)
SEPARABLE = (
    Row(8),
    Row(12, separable=True),
    Row(12, pool=True, separable=True),
    Row(16, separable=True),
    Row(16, separable=True),
    Row(16, pool=True, separable=True),
    Row(20, separable=True),
    Row(20, separable=True),
    Row(20, separable=True),
)
"""A convolution and eight separable ones of two to three times as many channels, 3,986 parameters."""
models.MODELS["separable_4k"] = partial(CompactNet, table=SEPARABLE)


def get_experiment():
    base = tuned(default_config(model="five_4k", data_name="mnist"))
    base.epochs = 20
    base.batch_size = 32
    base.optim.learning_rate = 0.005
    deep, faster = {"model.name": "deep_4k"}, {"optim.learning_rate": 0.01}
    slight = {"augment.shift": 1 / 28, "augment.rotate": 7.0}
    return Experiment(
        base=base,
        variants=[
            Variant("five convolutions"),
            Variant("nine", deep),
            Variant("nine, rate 0.01", {**deep, **faster}),
            Variant("nine, rotate 10, scale 0.1", {**deep, **TURNED}),
            Variant("nine, shift 1, rotate 7", {**deep, **slight}),
            Variant("nine, no shift", {**deep, "augment.shift": 0.0}),
            Variant("separable, shift 1, rotate 7", {"model.name": "separable_4k", **slight}),
        ],
        seeds=1,
    )
