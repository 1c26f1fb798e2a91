"""What is each ingredient of `fer2013_best` worth: the recipe without it, seed by seed.

Five seeds, selected on PublicTest, PrivateTest read for the selected and the last state. This wants an accelerator.
"""

from configs import fer2013_best
from fer_jax.sweep import Experiment, Variant


def get_experiment():
    config = fer2013_best.get_config()
    config.data.fallback = ""
    return Experiment(
        base=config,
        variants=[
            Variant("all"),
            Variant("no gates", {"model.squeeze": 0}),
            Variant("no skip connections", {"model.residual": False, "model.drop_path": 0.0}),
            Variant("no stochastic depth", {"model.drop_path": 0.0}),
            Variant("no Dropout", {"model.dropout": 0.0}),
            Variant("no CutMix", {"augment.cutmix": 0.0}),
            Variant("no erasing", {"augment.erase": 0.0}),
            Variant("no rotation and scale", {"augment.rotate": 0.0, "augment.scale": 0.0}),
            Variant("no brightness and contrast", {"augment.brightness": 0.0, "augment.contrast": 0.0}),
            Variant("no label smoothing", {"loss.label_smoothing": 0.0}),
            Variant("no weight decay", {"optim.weight_decay": 0.0}),
            Variant("no moving average", {"ema_decay": 0.0}),
        ],
        seeds=5,
    )
