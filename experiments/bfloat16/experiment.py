"""Does computing in bfloat16 cost accuracy, with parameters, statistics and the optimiser in float32?

Five epochs of `mnist_15k`; the last state on the validation and the test split.
"""

from configs import mnist_15k
from fer_jax.sweep import Experiment, Variant


def get_experiment():
    config = mnist_15k.get_config()
    config.protocol = "clean"
    config.epochs = 5
    return Experiment(
        base=config,
        variants=[Variant("float32"), Variant("bfloat16", {"model.dtype": "bfloat16"})],
        seeds=3,
    )
