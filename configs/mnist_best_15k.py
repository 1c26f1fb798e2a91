"""14,638 parameters: five convolutions (16, 16, 24, 24, 14 channels) of our own for MNIST.

    python -m fer_jax.main --config=configs/mnist_best_15k.py

Trained on all 60,000 training images; no epoch is selected, and the test split is read once, for the last state. The
recipe had the least validation loss of twelve trials (experiments/mnist_best_15k_tuning): shifts of up to two pixels,
one cycle of Adam up to 0.01 in batches of 64.

Here: not measured yet.
"""

from fer_jax.build import default_config


def get_config():
    config = default_config(model="mnist_best_15k", data_name="mnist")
    config.epochs = 20
    config.batch_size = 64
    config.protocol = "full"
    config.max_params = 15_000
    config.data.fallback = "digits"
    config.augment.shift = 2 / 28
    config.optim.name = "adam"
    config.optim.learning_rate = 0.01
    config.optim.schedule = "one_cycle"
    return config
