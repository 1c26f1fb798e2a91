"""The networks that are compared, layer by layer, in words that every framework understands.

They are written down here a second time, not read from fer_jax, so that the check of losses compares two readings.
"""

from typing import Any

Layer = dict[str, Any]
"""`kind`, and what that kind needs: see the functions below."""


def conv(features: int, kernel: int = 3, same: bool = False, bias: bool = True) -> Layer:
    """A square convolution of stride 1."""
    return {"kind": "conv", "features": features, "kernel": kernel, "same": same, "bias": bias}


def dropout(field: str = "dropout") -> Layer:
    """Dropout at the rate that the config holds in `field`; `with_rates` puts it in."""
    return {"kind": "dropout", "field": field}


def dense(features: int) -> Layer:
    """A matrix product and a bias."""
    return {"kind": "dense", "features": features}


RELU: Layer = {"kind": "relu"}
NORM: Layer = {"kind": "norm"}  # Batch normalisation with epsilon 0.001 and momentum 0.99 (what is kept of the old).
POOL: Layer = {"kind": "pool"}  # 2x2 maximum, stride 2; an odd last row or column is dropped.
FLATTEN: Layer = {"kind": "flatten"}
SCALE: Layer = {"kind": "scale"}  # uint8 pixels -> 0..1
STANDARDISE: Layer = {"kind": "standardise"}  # Each image less its mean, over its standard deviation plus 0.03.
SPACE_TO_DEPTH: Layer = {"kind": "space_to_depth"}  # 2x2 pixels of the one channel -> four channels, row by row.
AVERAGE: Layer = {"kind": "average"}  # The mean over all pixels.


def _unit(features: int) -> list[Layer]:
    return [conv(features), RELU, NORM, dropout()]


def _same(features: int, norm: bool = True) -> list[Layer]:
    return [conv(features, same=True), RELU, *([NORM] if norm else [])]


def _mini(features: int) -> list[Layer]:
    return [conv(features, same=True, bias=False), NORM, RELU]


NETWORKS: dict[str, list[Layer]] = {
    "mnist_15k": [
        *[SCALE, *_unit(12), *_unit(20), conv(10, kernel=1), RELU, POOL],
        *[*_unit(16), *_unit(16), *_unit(16), *_unit(16), conv(10, kernel=4), FLATTEN],
    ],
    "mnist_vanilla": [
        *[SCALE, conv(16), RELU, conv(32), RELU, conv(10, kernel=1), RELU, POOL],
        *[conv(16), RELU, conv(32), RELU, conv(32), RELU, conv(64), RELU, conv(10, kernel=4), FLATTEN],
    ],
    "fer2013_mini": [
        *[SCALE, STANDARDISE, SPACE_TO_DEPTH],
        *[*_mini(32), *_mini(32), POOL, *_mini(64), *_mini(64), POOL, *_mini(96), *_mini(96)],
        *[AVERAGE, dropout(), dense(7)],
    ],
    "fer2013_cnn": [
        *[SCALE, conv(64), RELU, *_same(64), POOL, dropout()],
        *[*_same(128), *_same(128), POOL, dropout(), *_same(256), *_same(256), POOL, dropout()],
        *[*_same(512), *_same(512), POOL, dropout(), FLATTEN],
        *[dense(512), RELU, dropout("dense_dropout"), dense(256), RELU, dropout("dense_dropout")],
        *[dense(128), RELU, dropout("last_dropout"), dense(7)],
    ],
    "fer2013_vgg": [
        *[SCALE, *_same(64), *_same(64), POOL, dropout(), *_same(128), *_same(128), POOL, dropout()],
        *[*_same(256), *_same(256), *_same(256), POOL, dropout()],
        *[*_same(512), *_same(512), *_same(512), POOL, dropout(), FLATTEN],
        *[dense(1024), RELU, dropout("dense_dropout"), dense(1024), RELU, dropout("dense_dropout"), dense(7)],
    ],
    "facial_expressions": [
        *[SCALE, conv(16), RELU, POOL, conv(32), RELU, POOL, conv(64), RELU, POOL, FLATTEN],
        *[dense(1024), RELU, dense(8)],
    ],
}


def with_rates(layers: list[Layer], rates: dict[str, float]) -> list[Layer]:
    """The layers with the rate of every Dropout, by the name of its field."""
    return [
        {"kind": "dropout", "rate": float(rates[layer["field"]])} if layer["kind"] == "dropout" else layer
        for layer in layers
    ]


def without_dropout(layers: list[Layer]) -> list[Layer]:
    """The layers for the check of losses, which no random number may enter."""
    return [layer for layer in layers if layer["kind"] != "dropout"]
