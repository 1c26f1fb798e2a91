"""The three networks for faces of the seed documents 000, 002 and 004, each as the table it has there.

A row is one convolution or one dense layer and what follows it; the last dense layer, an output for each class, is in
no table. `fer_jax.summary` prints a table back with shapes and counts.
"""

from dataclasses import dataclass
from itertools import count
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from fer_jax.config import check_rate
from fer_jax.errors import ConfigError
from fer_jax.models.layers import BatchNorm, Conv, Dense, Dropout, Flatten, MaxPool, scale_pixels
from fer_jax.models.network import FaceNetwork


@dataclass(frozen=True)
class Row:
    """3x3 convolution of stride 1 and ReLU, then BatchNorm, 2x2 pooling and Dropout where the row has them.

    `pool` is the padding of the pooling, `drop` the field that holds the rate; '' is none.
    """

    features: int
    padding: str = "SAME"
    norm: bool = False
    pool: str = ""
    drop: str = ""


@dataclass(frozen=True)
class Hidden:
    """Dense layer and ReLU, then Dropout; `drop` as in `Row`."""

    units: int
    drop: str = ""


class FaceNet(FaceNetwork):
    """The rows and the dense layers of a table; `image_side` decides the size of the first dense layer."""

    rows: ClassVar[tuple[Row, ...]]
    hidden: ClassVar[tuple[Hidden, ...]]

    @property
    def batch_norm(self) -> bool:
        """Whether BatchNorm stands where the table has it."""
        return True

    def __post_init__(self) -> None:
        self._check_side()
        for field in {row.drop for row in self.rows} | {layer.drop for layer in self.hidden}:
            if field:
                check_rate(f"config.model.{field}", getattr(self, field))
        super().__post_init__()

    def _check_side(self) -> None:
        if _side_left(self.rows, self.image_side) < 1:
            least = next(side for side in count(1) if _side_left(self.rows, side) >= 1)
            raise ConfigError(
                f"config.model.image_side = {self.image_side} is too small: the convolutions and poolings leave "
                f"nothing of the image; take {least} or more"
            )

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False, mask: jax.Array | None = None) -> jax.Array:
        mask = jnp.ones(images.shape[:1], bool) if mask is None else mask
        layout = self.layout_of(images)
        x = scale_pixels(images, self.dtype, layout)
        for row in self.rows:
            x = nn.relu(Conv(row.features, padding=row.padding, layout=layout)(x))
            if row.norm and self.batch_norm:
                x = BatchNorm(layout)(x, mask, train)
            if row.pool:
                x = MaxPool(row.pool, layout)(x)
            if row.drop:
                x = Dropout(getattr(self, row.drop), layout)(x, train)
        x = Flatten(layout)(x)
        for layer in self.hidden:
            x = nn.relu(Dense(layer.units)(x))
            if layer.drop:
                x = Dropout(getattr(self, layer.drop))(x, train)
        return Dense(self.num_classes)(x)


def _side_left(rows: tuple[Row, ...], side: int) -> int:
    """The side of the image behind the rows; 0 or less where a layer would have nothing left."""
    for row in rows:
        side -= 2 if row.padding == "VALID" else 0
        if row.pool:
            side = side // 2 if row.pool == "VALID" else (side + 1) // 2
    return side


# The comment behind a row is the side of the image after its convolution, for images of 48 x 48.
class Fer2013Vgg(FaceNet):
    """Document 000.

    Attributes:
      dropout: the rate after each of the four poolings, in [0, 1).
      dense_dropout: the rate after each of the two hidden dense layers.
      batch_norm: False takes every BatchNorm out (an ablation).
    """

    rows = (
        Row(64, norm=True),  # 48
        Row(64, norm=True, pool="SAME", drop="dropout"),  # 48
        Row(128, norm=True),  # 24
        Row(128, norm=True, pool="SAME", drop="dropout"),  # 24
        Row(256, norm=True),  # 12
        Row(256, norm=True),  # 12
        Row(256, norm=True, pool="SAME", drop="dropout"),  # 12
        Row(512, norm=True),  # 6
        Row(512, norm=True),  # 6
        Row(512, norm=True, pool="SAME", drop="dropout"),  # 6
    )
    hidden = (
        Hidden(1024, drop="dense_dropout"),
        Hidden(1024, drop="dense_dropout"),
    )

    dropout: float = 0.4
    dense_dropout: float = 0.5
    batch_norm: bool = True


class Fer2013Cnn(FaceNet):
    """Document 002; the rates of Dropout are not in its table.

    Attributes:
      dropout: the rate after each of the four poolings, in [0, 1).
      dense_dropout: the rate after the hidden dense layers of 512 and 256.
      last_dropout: the rate after that of 128, in front of the logits.
      batch_norm: False takes every BatchNorm out (an ablation).
    """

    rows = (
        Row(64, padding="VALID"),  # 46
        Row(64, norm=True, pool="VALID", drop="dropout"),  # 46
        Row(128, norm=True),  # 23
        Row(128, norm=True, pool="VALID", drop="dropout"),  # 23
        Row(256, norm=True),  # 11
        Row(256, norm=True, pool="VALID", drop="dropout"),  # 11
        Row(512, norm=True),  # 5
        Row(512, norm=True, pool="VALID", drop="dropout"),  # 5
    )
    hidden = (
        Hidden(512, drop="dense_dropout"),
        Hidden(256, drop="dense_dropout"),
        Hidden(128, drop="last_dropout"),
    )

    dropout: float = 0.5
    dense_dropout: float = 0.4
    last_dropout: float = 0.5
    batch_norm: bool = True


class FacialExpressions(FaceNet):
    """Document 004, which has neither BatchNorm nor Dropout.

    Attributes:
      num_classes: eight, neutral and contempt beside the six basic emotions.
    """

    rows = (
        Row(16, padding="VALID", pool="VALID"),  # 46
        Row(32, padding="VALID", pool="VALID"),  # 21
        Row(64, padding="VALID", pool="VALID"),  # 8
    )
    hidden = (Hidden(1024),)

    num_classes: int = 8
