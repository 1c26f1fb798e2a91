"""5,905,863 parameters (5,902,151 trainable): eight convolutions and four dense layers, from seed document 002.

    python -m fer_jax.main --config=configs/fer2013_cnn.py

The document states every shape in a table, and its results as a picture of a confusion matrix only. Not in the table:
ReLU inside the layers, in front of BatchNorm; dropout 0.5 after each pooling, then 0.4, 0.4 and 0.5; Adam at a constant
0.001, batch 128, 100 epochs and no augmentation. These are taken, with FER2013's own splits and the epoch selected on
validation.

Here: one epoch, a quarter of an hour on one core of an x86-64 machine (AVX-512), which ends at 24.9 on PublicTest; see
experiments/2026-11-21_large_networks. Not trained to its end yet.
"""

from fer_jax.build import default_config


def get_config():
    config = default_config(model="fer2013_cnn", data_name="fer2013")
    config.epochs = 100
    config.batch_size = 128
    config.protocol = "clean"
    config.max_params = 5_905_863
    config.data.fallback = "synthetic_faces"
    config.model.dropout = 0.5
    config.model.dense_dropout = 0.4
    config.model.last_dropout = 0.5
    config.optim.name = "adam"
    config.optim.learning_rate = 0.001
    return config
