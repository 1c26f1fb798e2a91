"""Do depth, rotation and Dropout pay for at most 15,000 parameters, when a run has twenty epochs and not five?

A second stage after mnist_best_15k_tuning: its choice (five convolutions, batches of 64) ended at 99.50 and 99.37 on
the test split in the two runs of mnist_best that were made of it, behind an untuned try with the network of document
001 (99.58). Five epochs seem not to choose for twenty: they favour what learns fast over what over-trains little.
Here every trial has the twenty epochs of the final runs, on 55,000 images, judged on the 5,000 of the validation
split; the least validation loss is chosen. The test split is not read.
"""

from functools import partial

from configs import mnist_15k
from experiments.mnist_best_15k_tuning.experiment import tuned
from fer_jax import models
from fer_jax.build import default_config
from fer_jax.models.compact import CompactNet, Row
from fer_jax.sweep import Experiment, Variant

DEEP = tuple(
    Row(features, pool=pool)
    for features, pool in zip((8, 10, 12, 14, 16, 16, 16, 16, 14), (False, False, True) * 2 + (False,) * 3, strict=True)
)
"""Nine convolutions, 14,966 parameters; the eight of them that are narrower need fewer products than five wide ones."""
models.MODELS["deep_15k"] = partial(CompactNet, table=DEEP)

TURNED = {"augment.rotate": 10.0, "augment.scale": 0.1}


def finalist(config):
    config = tuned(config)
    config.epochs = 20
    config.batch_size = 64
    return config


def get_experiment():
    document = finalist(mnist_15k.get_config())
    document.model.dropout = 0.03
    turned = document.copy_and_resolve_references()
    turned.update_from_flattened_dict(TURNED)
    deep = {"model.name": "deep_15k"}
    return Experiment(
        base=finalist(default_config(model="five_15k", data_name="mnist")),
        variants=[
            Variant("five convolutions"),
            Variant("nine", deep),
            Variant("nine, rotate 10, scale 0.1", {**deep, **TURNED}),
            Variant("document 001", config=document),
            Variant("document 001, rotate 10, scale 0.1", config=turned),
            Variant("five, rotate 10, scale 0.1", TURNED),
            Variant("nine, rotate 10, scale 0.1, dropout 0.03", {**deep, **TURNED, "model.dropout": 0.03}),
        ],
        seeds=1,
    )
