"""A network of our own for faces, at most 250,000 parameters, made to be trained on two CPU cores within an hour."""

from dataclasses import dataclass
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from fer_jax.config import check_rate
from fer_jax.models.layers import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    GlobalAveragePool,
    MaxPool,
    SpaceToDepth,
    scale_pixels,
    standardise,
)
from fer_jax.models.network import FaceNetwork


@dataclass(frozen=True)
class Row:
    """3x3 convolution (same, stride 1, no bias), BatchNorm, ReLU, and 2x2 pooling where the row has it."""

    features: int
    pool: bool = False


class Fer2013Mini(FaceNetwork):
    """Convolutions behind a space-to-depth step, and one dense layer; `image_side` is a multiple of 8.

    The first layer moves each 2x2 pixels into four channels: nothing is lost, and no convolution runs at full size,
    where a CPU would spend most of its time. Each image is standardised first, because photographs differ in light.

    Attributes:
      dropout: the rate in front of the last layer, in [0, 1).
    """

    # The comment behind a row is the side of the image after its convolution, for images of 48 x 48.
    rows: ClassVar[tuple[Row, ...]] = (
        Row(32),  # 24
        Row(32, pool=True),  # 24
        Row(64),  # 12
        Row(64, pool=True),  # 12
        Row(96),  # 6
        Row(96),  # 6
    )

    dropout: float = 0.2

    def __post_init__(self) -> None:
        self._check_divides(8)
        check_rate("config.model.dropout", self.dropout)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False, mask: jax.Array | None = None) -> jax.Array:
        mask = jnp.ones(images.shape[:1], bool) if mask is None else mask
        layout = self.layout_of(images)
        x = standardise(scale_pixels(images, self.dtype, layout), layout)
        x = SpaceToDepth(layout)(x)
        for row in self.rows:
            x = Conv(row.features, padding="SAME", use_bias=False, layout=layout)(x)
            x = nn.relu(BatchNorm(layout)(x, mask, train))
            if row.pool:
                x = MaxPool(layout=layout)(x)
        x = GlobalAveragePool(layout)(x)
        x = Dropout(self.dropout)(x, train)
        return Dense(self.num_classes)(x)
