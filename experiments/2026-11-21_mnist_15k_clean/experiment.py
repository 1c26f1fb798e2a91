"""What is `mnist_15k` worth when the test split chooses nothing?"""

from configs import mnist_15k
from fer_jax.sweep import Experiment, Variant


def get_experiment():
    config = mnist_15k.get_config()
    config.protocol = "clean"
    return Experiment(base=config, variants=[Variant("mnist_15k")], seeds=3)
