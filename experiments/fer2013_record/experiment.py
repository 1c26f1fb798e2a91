"""How accurate is one network of at most 5 million parameters on FER2013, trained from scratch on its training split?

Five seeds of `fer2013_best`; the epoch is selected on PublicTest, and PrivateTest is read for the selected and the
last state: all images, those without a twin in the training split, and by the majority of FER+'s votes; as they are,
mirrored and in ten crops. Trained with FER+'s votes as soft labels it has had other labels of the same images, which is
another question and its own row. This wants an accelerator.
"""

from configs import fer2013_best
from fer_jax.sweep import Experiment, Variant


def get_experiment():
    config = fer2013_best.get_config()
    config.data.fallback = ""
    return Experiment(
        base=config,
        variants=[Variant("fer2013_best"), Variant("FER+ votes as soft labels", {"loss.targets": "fer_plus"})],
        seeds=5,
    )
