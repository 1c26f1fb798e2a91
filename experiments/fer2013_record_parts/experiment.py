"""Which parts of a recipe does FER2013 want: eight of them, each taken out of the network for the record or put in.

In miniature, for a CPU: `fer2013_best` with 8 channels in place of 44 (149,818 parameters), the first third of the
training split (9,570 images), 10 epochs, 3 seeds, judged on PublicTest; PrivateTest is not read. So short a run on so
few images favours what learns fast: what holds for 150 epochs on all images is for a longer run to say.
"""

from configs import fer2013_best
from fer_jax.sweep import Experiment, Variant


def get_experiment():
    config = fer2013_best.get_config()
    config.protocol = "tune"
    config.epochs = 10
    config.data.limit = 9_570
    config.data.fallback = ""
    config.model.channels = 8
    config.model.drop_path = 0.0
    config.ema_decay = 0.99
    config.augment.cutmix = 0.0
    config.optim.learning_rate = 0.004
    config.optim.warmup_epochs = 1.0
    sgd = {
        "optim.name": "sgd",
        "optim.learning_rate": 0.1,
        "optim.momentum": 0.9,
        "optim.nesterov": True,
        "optim.weight_decay": 5e-4,
    }
    return Experiment(
        base=config,
        variants=[
            Variant("base"),
            Variant("no gates", {"model.squeeze": 0}),
            Variant("no skip connections", {"model.residual": False}),
            Variant("no label smoothing", {"loss.label_smoothing": 0.0}),
            Variant("no erasing", {"augment.erase": 0.0}),
            Variant("no rotation and scale", {"augment.rotate": 0.0, "augment.scale": 0.0}),
            Variant("no moving average", {"ema_decay": 0.0}),
            Variant("CutMix", {"augment.cutmix": 1.0}),
            Variant("SGD, Nesterov", sgd),
        ],
        seeds=3,
    )
