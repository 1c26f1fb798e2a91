"""What is `fer2013_mini` worth on PrivateTest, selected on PublicTest?"""

from configs import fer2013_mini
from fer_jax.sweep import Experiment, Variant


def get_experiment():
    return Experiment(base=fer2013_mini.get_config(), variants=[Variant("fer2013_mini")], seeds=3)
