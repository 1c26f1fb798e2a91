"""Does `mnist_15k` under seed document 001's recipe train as the document's log says?

The document's own protocol: all 60,000 images are trained on and the test split is watched each epoch, so 'best' is the
best epoch on the test split.
"""

from configs import mnist_15k
from fer_jax.sweep import Experiment, Variant


def get_experiment():
    return Experiment(
        base=mnist_15k.get_config(),
        variants=[Variant("mnist_15k", stated={"last": 99.19, "best": 99.45})],
        seeds=3,
    )
