"""Do large networks over-train on MNIST and small ones not, as seed document 001 says, and what holds it back?

It saw little difference in accuracy between networks above and below 20,000 parameters, and the larger ones over-train.
All have Adam at a constant 0.003 here but 'mnist_15k, all', so that what goes wrong has time to. The curves of the loss
in training and validation tell. Ten epochs, as in mnist_ablations, whose cells the two variants of 'mnist_15k' are.
"""

from configs import mnist_15k
from experiments.mnist_ablations.experiment import PLAIN
from fer_jax.sweep import Experiment, Variant


def get_experiment():
    config = mnist_15k.get_config()
    config.protocol = "clean"
    config.epochs = 10
    return Experiment(
        base=config,
        variants=[
            Variant("mnist_vanilla, plain", {"model.name": "mnist_vanilla", "max_params": 0, **PLAIN}),
            Variant("mnist_15k, plain", PLAIN),
            Variant("mnist_15k, all"),
        ],
        seeds=3,
        baseline="mnist_15k, all",
    )
