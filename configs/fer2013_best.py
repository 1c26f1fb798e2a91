"""4,459,774 parameters (4,453,790 trainable), 0.48 G multiply-adds: a residual network for FER2013, for a GPU.

    python -m fer_jax.main --config=configs/fer2013_best.py

Trained from scratch on FER2013's own training split; the epoch is selected on PublicTest, and PrivateTest is read for
the selected and the last state only. No run of it has been made to its end: that takes an accelerator. What the recipe
rests on, and what is still to be run, is in experiments/fer2013_record.
"""

from fer_jax.build import default_config


def get_config():
    config = default_config(model="fer2013_best", data_name="fer2013")
    config.epochs = 150
    config.batch_size = 128
    config.protocol = "clean"
    config.max_params = 5_000_000
    config.ema_decay = 0.999
    config.tta = "ten_crop"
    config.data.fallback = "synthetic_faces"
    config.augment.flip = 0.5
    config.augment.shift = 0.08
    config.augment.rotate = 15.0
    config.augment.scale = 0.15
    config.augment.erase = 0.25
    config.augment.brightness = 0.1
    config.augment.contrast = 0.2
    config.augment.cutmix = 1.0
    config.loss.label_smoothing = 0.1
    config.optim.name = "adamw"
    config.optim.learning_rate = 0.002
    config.optim.weight_decay = 0.1
    config.optim.schedule = "cosine"
    config.optim.warmup_epochs = 7.5
    return config
