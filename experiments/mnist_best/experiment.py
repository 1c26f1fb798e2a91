"""How accurate are at most 15,000, 8,000, 4,000 and 1,000 parameters on MNIST after 20 epochs, without outside data?

Trained on all 60,000 images under recipes that were chosen on 55,000 and 5,000 (mnist_best_15k_finalists and
mnist_best_4k_finalists). The last state counts, and the test split is read for it once.
"""

from configs import mnist_best_1k, mnist_best_4k, mnist_best_8k, mnist_best_15k
from fer_jax.sweep import Experiment, Variant


def get_experiment():
    return Experiment(
        base=mnist_best_15k.get_config(),
        variants=[
            Variant("mnist_best_15k"),
            Variant("mnist_best_8k", config=mnist_best_8k.get_config()),
            Variant("mnist_best_4k", config=mnist_best_4k.get_config()),
            Variant("mnist_best_1k", config=mnist_best_1k.get_config()),
        ],
        seeds=5,
    )
