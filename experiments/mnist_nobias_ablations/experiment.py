"""What of seed document 003's network matters: no Dropout at the last layer, no bias, Dropout at 0.2.

The document says that Dropout everywhere but at the last layer made it more accurate. Three seeds, 10 epochs, selected
on 5,000 validation images.
"""

from configs import mnist_nobias
from fer_jax.sweep import Experiment, Variant


def get_experiment():
    config = mnist_nobias.get_config()
    config.protocol = "clean"
    config.epochs = 10
    return Experiment(
        base=config,
        variants=[
            Variant("document 003"),
            Variant("dropout at the last layer too", {"model.last_dropout": 0.2}),
            Variant("with bias", {"model.use_bias": True}),
        ],
        seeds=3,
    )
