"""Which recipe suits at most 4,000 parameters: twelve trials of 5 epochs on 55,000 training images.

Judged on the 5,000 images of the validation split; the test split is not read. One seed a trial, so a difference of two
trials is worth little below 0.2 points of accuracy: the loss, which is less coarse, is read beside it.
"""

from configs import mnist_best_4k
from experiments.mnist_best_15k_tuning.experiment import TRIALS, tuned
from fer_jax.sweep import Experiment, Variant


def get_experiment():
    return Experiment(
        base=tuned(mnist_best_4k.get_config()),
        variants=[
            *TRIALS,
            Variant("batch 32, rate 0.005", {"batch_size": 32, "optim.learning_rate": 0.005}),
            Variant("no shift", {"augment.shift": 0.0}),
            Variant("rate 0.03", {"optim.learning_rate": 0.03}),
        ],
        seeds=1,
    )
