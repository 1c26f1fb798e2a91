"""Does the sweep work: what is Dropout worth to a small network on scikit-learn's digits after a few epochs?

It says nothing about anything but the tools: 1,437 images, 20 epochs, under a minute on one core of a CPU.
"""

from configs import mnist_15k
from fer_jax.sweep import Experiment, Variant


def get_experiment():
    config = mnist_15k.get_config()
    config.data.name = "digits"
    config.data.fallback = ""
    config.data.limit = 256
    config.epochs = 4
    config.batch_size = 32
    config.optim.learning_rate = 0.01
    config.optim.schedule = "constant"
    return Experiment(
        base=config,
        variants=[Variant("dropout 0.1"), Variant("no dropout", {"model.dropout": 0.0})],
        seeds=3,
        baseline="dropout 0.1",
    )
