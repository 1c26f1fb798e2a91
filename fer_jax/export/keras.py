"""A .keras file of Keras 3 layers, which every backend of Keras loads without an object of ours."""

import importlib.metadata
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from fer_jax.errors import UserError
from fer_jax.export.content import INPUT, OUTPUT, Content, Loaded
from fer_jax.export.quiet import quiet
from fer_jax.files import check_zip
from fer_jax.models.chain import PIXELS, RELU, STANDARDISED, Link, chain
from fer_jax.models.keras_files import NAMES
from fer_jax.models.layers import BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM, STANDARDISED_FLOOR

METADATA = "metadata.json"
"""Keras's own member of the archive: ours stands in it under the key `KEY`."""
KEY = "fer_jax"
MEMBERS = {METADATA, "config.json", "model.weights.h5"}
"""What Keras writes into its archive."""


def write(path: Path, content: Content) -> None:
    """Writes the network as a functional model; layers that only training has (Dropout) are not in it.

    Raises:
      UserError: the network has a layer, or something between two layers, for which no Keras layer is known here.
    """
    keras = _keras()
    # Any pictures will do, to see what each layer does with them.
    noise = np.random.RandomState(0).randint(0, 256, (4, *content.model.image_shape)).astype(np.uint8)
    links, last = chain(content.model, content.variables, noise)
    images = keras.Input(content.model.image_shape, dtype="uint8", name=INPUT)
    x = images
    for link in links:
        x = _layer(keras, link, _between(keras, link.before, x))
    x = keras.layers.Softmax(name=OUTPUT)(_between(keras, last, x))
    model = keras.Model(images, x, name=json.loads(content.metadata["config"])["model"]["name"])
    plain = path.with_name(f"plain-{path.name}")
    with quiet():
        model.save(plain)
    with zipfile.ZipFile(plain) as found, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in found.namelist():
            member = found.read(name)
            if name == METADATA:
                member = json.dumps(json.loads(member) | {KEY: content.metadata}, indent=2).encode()
            archive.writestr(name, member)
    plain.unlink()


def _keras() -> Any:
    """Keras on JAX, whatever backend the user's settings name: it may not be installed."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    return keras


def _between(keras: Any, what: str, x: Any) -> Any:
    """What `chain` found in front of a layer."""
    if what in (PIXELS, STANDARDISED):
        x = keras.layers.Rescaling(1 / 255)(x)
    if what == STANDARDISED:
        pixels = {"axis": (1, 2, 3), "keepdims": True}
        x = (x - keras.ops.mean(x, **pixels)) / (keras.ops.std(x, **pixels) + STANDARDISED_FLOOR)
    return keras.layers.ReLU()(x) if what == RELU else x


def _layer(keras: Any, link: Link, x: Any) -> Any:
    """The layer applied to x, its weights set."""
    layers, fields, arrays = keras.layers, link.fields, link.arrays
    name = link.name.replace("/", "_").lower()
    # Random numbers that are overwritten at once would take longer than all the rest; the file names the initialiser
    # that the network is trained from.
    zeros = {"kernel_initializer": "zeros"}
    if link.kind == "SpaceToDepth":
        # In layers of every version of Keras: Reshape, Permute, Reshape.
        _, height, width, channels = x.shape
        x = layers.Reshape((height // 2, 2, width // 2, 2, channels))(x)
        return layers.Reshape((height // 2, width // 2, 4 * channels), name=name)(layers.Permute((1, 3, 2, 4, 5))(x))
    if link.kind == "Conv":
        layer = layers.Conv2D(
            fields["features"],
            fields["kernel_size"],
            padding=fields["padding"].lower(),
            use_bias="bias" in arrays,
            **zeros,
            name=name,
        )
        weights = [arrays[own] for own in NAMES["conv"] if own in arrays]
    elif link.kind == "DepthwiseConv":
        layer = layers.DepthwiseConv2D(
            fields["kernel_size"], padding="same", use_bias=False, depthwise_initializer="zeros", name=name
        )
        weights = [arrays["kernel"][..., None]]
    elif link.kind == "Dense":
        layer, weights = layers.Dense(fields["features"], **zeros, name=name), [arrays["kernel"], arrays["bias"]]
    elif link.kind == "BatchNorm":
        layer = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, name=name)
        weights = [arrays[own] for own in ("scale", "bias", "mean", "var")]
    elif link.kind == "MaxPool":
        layer, weights = layers.MaxPooling2D(padding=fields["padding"].lower(), name=name), []
    elif link.kind in ("Flatten", "GlobalAveragePool"):
        of_kind = {"Flatten": layers.Flatten, "GlobalAveragePool": layers.GlobalAveragePooling2D}
        layer, weights = of_kind[link.kind](name=name), []
    else:
        raise UserError(
            f"layer {link.name} is a {link.kind}, for which no Keras layer is known: choose another --format"
        )
    x = layer(x)
    layer.set_weights(weights)
    for name in zeros:
        if hasattr(layer, name):
            setattr(layer, name, keras.initializers.GlorotUniform())
    return x


def open_file(path: Path) -> Loaded:
    """The file, by nothing but Keras, on JAX."""
    keras = _keras()
    with zipfile.ZipFile(path) as archive:
        check_zip(archive, path.stat().st_size)
        # Keras unpacks to a folder what it finds.
        if strange := sorted(set(archive.namelist()) - MEMBERS):
            raise UserError(f"{path} is no Keras model: it holds '{strange[0]}'")
        metadata = json.loads(archive.read(METADATA))[KEY]
    with quiet():
        model = keras.saving.load_model(path)
    runtime = f"keras {keras.__version__} on jax {importlib.metadata.version('jax')}"
    return Loaded(lambda images: np.asarray(model.predict_on_batch(images)), metadata, runtime)
