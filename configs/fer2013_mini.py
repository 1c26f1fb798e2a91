"""206,119 parameters (205,351 trainable): six convolutions of our own for FER2013, made for a CPU.

    python -m fer_jax.main --config=configs/fer2013_mini.py

Trained from scratch on FER2013's own training split with augmentation, label smoothing and a moving average; the epoch
is selected on PublicTest and PrivateTest is read once.

Here: not measured yet.
"""

from fer_jax.build import default_config


def get_config():
    config = default_config(model="fer2013_mini", data_name="fer2013")
    config.epochs = 30
    config.batch_size = 128
    config.protocol = "clean"
    config.max_params = 250_000
    config.ema_decay = 0.998
    config.tta = "ten_crop"
    config.data.fallback = "synthetic_faces"
    config.model.dropout = 0.2
    config.augment.flip = 0.5
    config.augment.shift = 0.06
    config.augment.rotate = 10.0
    config.augment.scale = 0.1
    config.loss.label_smoothing = 0.1
    config.optim.name = "adamw"
    config.optim.learning_rate = 0.004
    config.optim.weight_decay = 0.05
    config.optim.schedule = "cosine"
    config.optim.warmup_epochs = 4.5
    return config
