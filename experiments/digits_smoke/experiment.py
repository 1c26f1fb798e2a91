"""Do the tools for experiments work: which of two learning rates suits a small network on scikit-learn's digits?

It says nothing about anything but the tools: 512 images, 8 epochs, under a minute on one core of a CPU.
"""

from configs import mnist_10k
from fer_jax.sweep import Experiment, Variant


def get_experiment():
    config = mnist_10k.get_config()
    config.protocol = "clean"
    config.data.name = "digits"
    config.data.fallback = ""
    config.data.limit = 512
    config.epochs = 8
    config.batch_size = 32
    config.optim.name = "adam"
    config.optim.learning_rate = 0.003
    return Experiment(
        base=config,
        variants=[Variant("rate 0.003"), Variant("rate 0.001", {"optim.learning_rate": 0.001})],
        seeds=3,
        baseline="rate 0.003",
    )
