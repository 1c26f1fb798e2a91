"""13,421,255 parameters (13,415,879 trainable): ten convolutions and three dense layers, from seed document 000.

    python -m fer_jax.main --config=configs/fer2013_vgg.py

The document states "Best Accuracy: 0.6689" and neither the training nor the images it was measured on: Adam at a
constant 0.001, batch 128, 100 epochs and no augmentation are taken, with FER2013's own splits and the epoch selected on
validation.

Here: not measured yet.
"""

from fer_jax.build import default_config


def get_config():
    config = default_config(model="fer2013_vgg", data_name="fer2013")
    config.epochs = 100
    config.batch_size = 128
    config.protocol = "clean"
    config.max_params = 13_421_255
    config.data.fallback = "synthetic_faces"
    config.model.dropout = 0.4
    config.model.dense_dropout = 0.5
    config.optim.name = "adam"
    config.optim.learning_rate = 0.001
    return config
