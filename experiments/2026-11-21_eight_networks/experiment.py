"""Does every network of the seed documents train on real MNIST under its own config? Two epochs each.

`mnist_15k` has a folder of its own.
"""

from configs import mnist_10k, mnist_11k, mnist_13k, mnist_16k, mnist_20k, mnist_nobias, mnist_vanilla
from fer_jax.sweep import Experiment, Variant


def get_experiment():
    base = mnist_vanilla.get_config()
    base.epochs = 2
    others = (mnist_10k, mnist_11k, mnist_13k, mnist_16k, mnist_20k, mnist_nobias)
    configs = [module.get_config() for module in others]
    return Experiment(
        base=base,
        variants=[
            Variant("mnist_vanilla"),
            *(Variant(config.model.name, {"epochs": 2}, config=config) for config in configs),
        ],
        seeds=1,
    )
