"""7,880 parameters: nine convolutions (6, 6, 8, 10, 10, 12, 12, 12, 12 channels) of our own for MNIST.

    python -m fer_jax.main --config=configs/mnist_best_8k.py

Trained on all 60,000 training images; no epoch is selected, and the test split is read once, for the last state. The
network is that of mnist_best_15k, but narrower, and the recipe the one that was chosen there; it had no trials of its
own.

Here: not measured yet.
"""

from fer_jax.build import default_config


def get_config():
    config = default_config(model="mnist_best_8k", data_name="mnist")
    config.epochs = 20
    config.batch_size = 64
    config.protocol = "full"
    config.max_params = 8_000
    config.data.fallback = "digits"
    config.model.dropout = 0.03
    config.augment.shift = 2 / 28
    config.augment.rotate = 10.0
    config.augment.scale = 0.1
    config.optim.name = "adam"
    config.optim.learning_rate = 0.01
    config.optim.schedule = "one_cycle"
    return config
