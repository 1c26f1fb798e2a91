"""The comparison's network in Keras 3, on the backend that KERAS_BACKEND names: `fit` and `predict` on arrays.

Keras imports its backend, and with it this file does.
"""

import keras
import numpy as np
from keras import layers as kl

from job import ADAM_EPSILON, LEARNING_RATE, Job, cross_entropy
from programs import Losses


class Standardise(kl.Layer):
    """Each image less its mean, over its standard deviation plus 0.03."""

    def call(self, x):
        mean = keras.ops.mean(x, axis=(1, 2, 3), keepdims=True)
        deviation = keras.ops.std(x, axis=(1, 2, 3), keepdims=True)
        return (x - mean) / (deviation + 0.03)


class SpaceToDepth(kl.Layer):
    """2x2 pixels -> channels, row by row."""

    def call(self, x):
        return keras.ops.concatenate([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=-1)


class Keras:
    """See `programs`."""

    def __init__(self, job: Job, cores: int):
        if keras.backend.backend() == "torch":
            import torch

            torch.set_num_threads(cores)
            if torch.get_num_interop_threads() != 1:
                torch.set_num_interop_threads(1)
        keras.utils.set_random_seed(0)
        self._job = job
        self._model = network(job)
        self._model.set_weights(job.weights)
        self._model.compile(
            optimizer=keras.optimizers.Adam(LEARNING_RATE, epsilon=ADAM_EPSILON),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        self._images, self._labels = job.data

    def train(self, steps: int) -> None:
        batch = self._job.batch
        while steps:
            now = min(steps, len(self._labels) // batch)
            self._model.fit(self._images[: now * batch], self._labels[: now * batch], batch_size=batch, verbose=0)
            steps -= now

    def evaluate(self, batches: int) -> None:
        size = self._job.evaluation_batch
        while batches:
            now = min(batches, len(self._labels) // size)
            self._model.predict(self._images[: now * size], batch_size=size, verbose=0)
            batches -= now

    def predict(self, image: np.ndarray) -> np.ndarray:
        return np.asarray(self._model.predict_on_batch(image[None]))[0]

    def losses(self) -> Losses:
        images, labels = self._job.first_batch
        evaluation = cross_entropy(self._model.predict_on_batch(images), labels)
        found = []
        for _ in range(2):
            # The running mean over batches would be what is returned otherwise.
            self._model.reset_metrics()
            found.append(float(self._model.train_on_batch(images, labels, return_dict=True)["loss"]))
        return Losses(found[0], evaluation, found[1])


def network(job: Job) -> keras.Sequential:
    """The job's layers as Keras's own."""
    model = keras.Sequential([keras.Input(job.image_shape, dtype="uint8")])
    for layer in job.layers:
        match layer["kind"]:
            case "scale":
                model.add(kl.Rescaling(1 / 255))
            case "standardise":
                model.add(Standardise())
            case "space_to_depth":
                model.add(SpaceToDepth())
            case "conv":
                padding = "same" if layer["same"] else "valid"
                model.add(kl.Conv2D(layer["features"], layer["kernel"], padding=padding, use_bias=layer["bias"]))
            case "relu":
                model.add(kl.ReLU())
            case "norm":
                model.add(kl.BatchNormalization())
            case "dropout":
                model.add(kl.Dropout(layer["rate"]))
            case "pool":
                model.add(kl.MaxPooling2D())
            case "average":
                model.add(kl.GlobalAveragePooling2D())
            case "flatten":
                model.add(kl.Flatten())
            case "dense":
                model.add(kl.Dense(layer["features"]))
    return model
