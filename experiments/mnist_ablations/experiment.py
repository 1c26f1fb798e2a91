"""Which parts of seed document 001's recipe matter: `mnist_15k` with each, without any, and beside other choices.

The document tells them as a story, one run each, judged on the test split. Here each variant has the same three seeds,
is selected on 5,000 validation images, and is compared with the whole recipe seed by seed; 10 epochs in place of 20.
"""

from configs import mnist_15k
from fer_jax.sweep import Experiment, Variant

PLAIN = {"model.batch_norm": False, "model.dropout": 0.0, "optim.schedule": "constant"}


def but(part):
    """The plain recipe with one part of the whole one."""
    return {key: value for key, value in PLAIN.items() if key != part}


def get_experiment():
    config = mnist_15k.get_config()
    config.protocol = "clean"
    config.epochs = 10
    return Experiment(
        base=config,
        variants=[
            Variant("plain", PLAIN),
            Variant("plain + BatchNorm", but("model.batch_norm")),
            Variant("plain + dropout", but("model.dropout")),
            Variant("plain + schedule", but("optim.schedule")),
            Variant("all"),
            Variant("all, dropout 0", {"model.dropout": 0.0}),
            Variant("all, dropout 0.2", {"model.dropout": 0.2}),
            Variant("all, no bias", {"model.use_bias": False}),
            Variant("all, constant rate", {"optim.schedule": "constant"}),
            Variant("all, batch 32", {"batch_size": 32}),
            Variant("all, batch 512", {"batch_size": 512}),
        ],
        seeds=3,
        baseline="all",
    )
