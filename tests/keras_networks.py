"""The seed documents' networks in Keras 3: the code of 000 and 001 line by line, the tables and words of 002 to 004.

They share nothing with our tables, so that a slip there is seen. Four things differ from the documents' lines: their
dropout rate is an argument, `Convolution2D(12, 3, 3)` of Keras 1 reads `Convolution2D(12, (3, 3))`, the last softmax is
a layer of its own, and the input is uint8, scaled outside. Documents 002 and 003 have no code, only the table; the
comments are the rows' parameter counts. Document 004 lists its layers in words.
"""

import atexit
import os
import shutil
import tempfile

# Keras reads its backend and float type from the user's home at its import, and writes them there.
os.environ["KERAS_BACKEND"] = "jax"
os.environ["KERAS_HOME"] = tempfile.mkdtemp(prefix="keras-home-")

import keras as keras
import numpy as np
import pytest
from keras import Input, Sequential
from keras.layers import Activation, BatchNormalization, Convolution2D, Dense, Dropout, Flatten, MaxPooling2D

atexit.register(shutil.rmtree, os.environ["KERAS_HOME"], ignore_errors=True)


def mnist_vanilla(rate):
    model = Sequential([Input((28, 28, 1))])
    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 26
    model.add(Convolution2D(32, (3, 3), activation="relu"))  # 24
    model.add(Convolution2D(10, (1, 1), activation="relu"))  # 24
    model.add(MaxPooling2D(pool_size=(2, 2)))  # 12

    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 10
    model.add(Convolution2D(32, (3, 3), activation="relu"))  # 8
    model.add(Convolution2D(32, (3, 3), activation="relu"))  # 6
    model.add(Convolution2D(64, (3, 3), activation="relu"))  # 4
    model.add(Convolution2D(10, 4))

    model.add(Flatten())
    model.add(Activation("softmax"))
    return model


def mnist_10k(rate):
    model = Sequential([Input((28, 28, 1))])
    model.add(Convolution2D(8, (3, 3), activation="relu"))  # 26
    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 24
    model.add(Convolution2D(10, (1, 1), activation="relu"))  # 24

    model.add(MaxPooling2D(pool_size=(2, 2)))  # 12

    model.add(Convolution2D(8, (3, 3), activation="relu"))  # 10
    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 8
    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 6
    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 4
    model.add(Convolution2D(10, 4))
    model.add(Flatten())
    model.add(Activation("softmax"))
    return model


def mnist_15k(rate):
    model = Sequential([Input((28, 28, 1))])

    model.add(Convolution2D(12, (3, 3), activation="relu"))  # 26
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(20, (3, 3), activation="relu"))  # 24
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(10, (1, 1), activation="relu"))  # 24
    model.add(MaxPooling2D(pool_size=(2, 2)))  # 12

    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 10
    model.add(BatchNormalization())
    model.add(Dropout(rate))
    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 8
    model.add(BatchNormalization())
    model.add(Dropout(rate))
    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 6
    model.add(BatchNormalization())
    model.add(Dropout(rate))
    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 4
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(10, 4))

    model.add(Flatten())
    model.add(Activation("softmax"))
    return model


def mnist_20k(rate):
    model = Sequential([Input((28, 28, 1))])

    model.add(Convolution2D(8, (3, 3), activation="relu"))  # 26
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 24
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(32, (3, 3), activation="relu"))  # 22
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(10, 1, activation="relu"))
    model.add(MaxPooling2D(pool_size=(2, 2)))  # 11

    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 9
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(32, (3, 3), activation="relu"))  # 7
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(10, 1, activation="relu"))
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(20, (3, 3), activation="relu"))  # 5
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(10, 5))
    model.add(Flatten())
    model.add(Activation("softmax"))
    return model


def mnist_13k(rate):
    model = Sequential([Input((28, 28, 1))])

    model.add(Convolution2D(10, (3, 3), activation="relu"))  # 26
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 24
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(10, 1, activation="relu"))

    model.add(Convolution2D(20, (3, 3), activation="relu"))  # 22
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(MaxPooling2D(pool_size=(2, 2)))  # 11

    model.add(Convolution2D(10, (3, 3), activation="relu"))  # 9
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 7
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(10, 1, activation="relu"))
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 5
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 3
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(10, 3))
    model.add(Flatten())
    model.add(Activation("softmax"))
    return model


def mnist_16k(rate):
    model = Sequential([Input((28, 28, 1))])

    model.add(Convolution2D(64, (3, 3), activation="relu"))  # 26
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(10, 1, activation="relu"))  # 26

    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 24
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 22
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(MaxPooling2D(pool_size=(2, 2)))  # 11

    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 9
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 7
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(10, 1, activation="relu"))
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 5
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(10, 5))
    model.add(Flatten())
    model.add(Activation("softmax"))
    return model


def mnist_11k(rate):
    model = Sequential([Input((28, 28, 1))])

    model.add(Convolution2D(8, (3, 3), activation="relu"))  # 26
    model.add(BatchNormalization())
    model.add(Dropout(rate))
    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 24
    model.add(BatchNormalization())
    model.add(Dropout(rate))
    model.add(Convolution2D(10, (1, 1), activation="relu"))  # 24

    model.add(MaxPooling2D(pool_size=(2, 2)))  # 12

    model.add(Convolution2D(8, (3, 3), activation="relu"))  # 10
    model.add(BatchNormalization())
    model.add(Dropout(rate))
    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 8
    model.add(BatchNormalization())
    model.add(Dropout(rate))
    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 6
    model.add(BatchNormalization())
    model.add(Dropout(rate))
    model.add(Convolution2D(16, (3, 3), activation="relu"))  # 4
    model.add(BatchNormalization())
    model.add(Dropout(rate))

    model.add(Convolution2D(10, 4))
    model.add(Flatten())
    model.add(Activation("softmax"))
    return model


def mnist_nobias(rate):
    model = Sequential([Input((28, 28, 1))])
    model.add(Convolution2D(32, (3, 3), activation="relu", use_bias=False))  # 288
    model.add(BatchNormalization())  # 128
    model.add(Dropout(rate))
    model.add(Convolution2D(10, (1, 1), activation="relu", use_bias=False))  # 320
    model.add(Convolution2D(32, (3, 3), activation="relu", use_bias=False))  # 2880
    model.add(BatchNormalization())  # 128
    model.add(Dropout(rate))
    model.add(Convolution2D(10, (1, 1), activation="relu", use_bias=False))  # 320
    model.add(MaxPooling2D(pool_size=(2, 2)))
    model.add(Convolution2D(16, (3, 3), activation="relu", use_bias=False))  # 1440
    model.add(BatchNormalization())  # 64
    model.add(Dropout(rate))
    model.add(Convolution2D(10, (1, 1), activation="relu", use_bias=False))  # 160
    model.add(Convolution2D(16, (3, 3), activation="relu", use_bias=False))  # 1440
    model.add(BatchNormalization())  # 64
    model.add(Dropout(rate))
    model.add(Convolution2D(16, (3, 3), activation="relu", use_bias=False))  # 2304
    model.add(BatchNormalization())  # 64
    model.add(Dropout(rate))
    model.add(Convolution2D(16, (3, 3), activation="relu", use_bias=False))  # 2304
    model.add(BatchNormalization())  # 64
    model.add(Dropout(rate))
    model.add(Convolution2D(10, (4, 4), use_bias=False))  # 2560
    model.add(BatchNormalization())  # 40
    model.add(Flatten())
    model.add(Activation("softmax"))
    return model


def fer2013_vgg(rate):
    model = Sequential([Input((48, 48, 1))])

    model.add(Convolution2D(filters=64, kernel_size=(3, 3), padding="same", activation="relu"))
    model.add(BatchNormalization())
    model.add(Convolution2D(filters=64, kernel_size=(3, 3), padding="same", activation="relu"))
    model.add(BatchNormalization())
    model.add(MaxPooling2D(pool_size=(2, 2), strides=(2, 2), padding="same"))
    model.add(Dropout(rate))

    model.add(Convolution2D(filters=128, kernel_size=(3, 3), padding="same", activation="relu"))
    model.add(BatchNormalization())
    model.add(Convolution2D(filters=128, kernel_size=(3, 3), padding="same", activation="relu"))
    model.add(BatchNormalization())
    model.add(MaxPooling2D(pool_size=(2, 2), strides=(2, 2), padding="same"))
    model.add(Dropout(rate))

    model.add(Convolution2D(filters=256, kernel_size=(3, 3), padding="same", activation="relu"))
    model.add(BatchNormalization())
    model.add(Convolution2D(filters=256, kernel_size=(3, 3), padding="same", activation="relu"))
    model.add(BatchNormalization())
    model.add(Convolution2D(filters=256, kernel_size=(3, 3), padding="same", activation="relu"))
    model.add(BatchNormalization())
    model.add(MaxPooling2D(pool_size=(2, 2), strides=(2, 2), padding="same"))
    model.add(Dropout(rate))

    model.add(Convolution2D(filters=512, kernel_size=(3, 3), padding="same", activation="relu"))
    model.add(BatchNormalization())
    model.add(Convolution2D(filters=512, kernel_size=(3, 3), padding="same", activation="relu"))
    model.add(BatchNormalization())
    model.add(Convolution2D(filters=512, kernel_size=(3, 3), padding="same", activation="relu"))
    model.add(BatchNormalization())
    model.add(MaxPooling2D(pool_size=(2, 2), strides=(2, 2), padding="same"))
    model.add(Dropout(rate))

    model.add(Flatten())
    model.add(Dense(units=1024, activation="relu"))
    model.add(Dropout(rate))
    model.add(Dense(units=1024, activation="relu"))
    model.add(Dropout(rate))

    model.add(Dense(units=7))
    model.add(Activation("softmax"))
    return model


def fer2013_cnn(rate):
    model = Sequential([Input((48, 48, 1))])
    model.add(Convolution2D(64, (3, 3), activation="relu"))  # 640
    model.add(Convolution2D(64, (3, 3), activation="relu", padding="same"))  # 36928
    model.add(BatchNormalization())  # 256
    model.add(MaxPooling2D(pool_size=(2, 2)))  # 23
    model.add(Dropout(rate))

    model.add(Convolution2D(128, (3, 3), activation="relu", padding="same"))  # 73856
    model.add(BatchNormalization())  # 512
    model.add(Convolution2D(128, (3, 3), activation="relu", padding="same"))  # 147584
    model.add(BatchNormalization())  # 512
    model.add(MaxPooling2D(pool_size=(2, 2)))  # 11
    model.add(Dropout(rate))

    model.add(Convolution2D(256, (3, 3), activation="relu", padding="same"))  # 295168
    model.add(BatchNormalization())  # 1024
    model.add(Convolution2D(256, (3, 3), activation="relu", padding="same"))  # 590080
    model.add(BatchNormalization())  # 1024
    model.add(MaxPooling2D(pool_size=(2, 2)))  # 5
    model.add(Dropout(rate))

    model.add(Convolution2D(512, (3, 3), activation="relu", padding="same"))  # 1180160
    model.add(BatchNormalization())  # 2048
    model.add(Convolution2D(512, (3, 3), activation="relu", padding="same"))  # 2359808
    model.add(BatchNormalization())  # 2048
    model.add(MaxPooling2D(pool_size=(2, 2)))  # 2
    model.add(Dropout(rate))

    model.add(Flatten())  # 2048
    model.add(Dense(512, activation="relu"))  # 1049088
    model.add(Dropout(rate))
    model.add(Dense(256, activation="relu"))  # 131328
    model.add(Dropout(rate))
    model.add(Dense(128, activation="relu"))  # 32896
    model.add(Dropout(rate))
    model.add(Dense(7))  # 903
    model.add(Activation("softmax"))
    return model


def facial_expressions(rate):
    model = Sequential([Input((48, 48, 1))])
    model.add(Convolution2D(16, (3, 3), activation="relu"))
    model.add(MaxPooling2D(pool_size=(2, 2)))
    model.add(Convolution2D(32, (3, 3), activation="relu"))
    model.add(MaxPooling2D(pool_size=(2, 2)))
    model.add(Convolution2D(64, (3, 3), activation="relu"))
    model.add(MaxPooling2D(pool_size=(2, 2)))
    model.add(Flatten())
    model.add(Dense(1024, activation="relu"))
    model.add(Dense(8))
    model.add(Activation("softmax"))
    return model


NETWORKS = {
    network.__name__: network
    for network in (
        mnist_vanilla,
        mnist_10k,
        mnist_15k,
        mnist_20k,
        mnist_13k,
        mnist_16k,
        mnist_11k,
        mnist_nobias,
        fer2013_vgg,
        fer2013_cnn,
        facial_expressions,
    )
}

# Compiled with 'sgd' in the documents; the others with Adam, or with nothing said.
SGD = {"mnist_vanilla", "mnist_10k", "mnist_11k"}


def build(name, rate=0.0):
    """The network with values in which no leaf is trivial and activations stay of order one.

    Every other bias of the first layer is 0, as it is when a training begins: where the image is black its ReLU then
    stands at exactly 0, and the gradient there counts.

    They are float32 numbers even in a float64 network, so that both precisions start from the same point. Keras's own
    initial values are replaced by zeros, because their random numbers take long to compile.
    """
    keras.utils.clear_session()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.initializers.GlorotUniform, "__call__", lambda self, shape, dtype: np.zeros(shape, dtype))
        model = NETWORKS[name](rate)
    rng = np.random.default_rng(2)
    weights = []
    for weight in model.weights:
        noise = rng.normal(size=weight.shape)
        kind = weight.path.rsplit("/", 1)[-1]
        if kind == "kernel":
            value = noise * np.sqrt(2 / np.prod(weight.shape[:-1]))
        elif kind == "moving_variance":
            value = rng.uniform(0.5, 1.5, size=weight.shape)
        else:
            value = 0.2 * noise + (kind == "gamma")
        if kind == "bias" and len(weights) == 1:
            value[::2] = 0
        weights.append(value.astype(np.float32))
    model.set_weights(weights)
    return model
