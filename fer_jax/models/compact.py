"""Networks of our own for MNIST that make much of few parameters.

A row is one convolution and what follows it; `fer_jax.summary` prints the table back with shapes and counts.
"""

from dataclasses import dataclass
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from fer_jax.config import check_at_least, check_choice, check_rate
from fer_jax.models.layers import (
    BatchNorm,
    Conv,
    Dense,
    DepthwiseConv,
    Dropout,
    GlobalAveragePool,
    MaxPool,
    scale_pixels,
)
from fer_jax.models.lowering import check_layout
from fer_jax.models.network import DTYPES, Network


@dataclass(frozen=True)
class Row:
    """3x3 convolution (same, stride 1, no bias), BatchNorm, ReLU, Dropout, and 2x2 pooling where the row has it.

    A separable one is a 3x3 convolution of each channel by itself and a 1x1 convolution across them.
    """

    features: int
    pool: bool = False
    separable: bool = False


# The comment behind a row is the side of the image after its convolution.
TABLES: dict[str, tuple[Row, ...]] = {
    "mnist_best_15k": (
        Row(8),  # 28
        Row(10),  # 28
        Row(12, pool=True),  # 28
        Row(14),  # 14
        Row(16),  # 14
        Row(16, pool=True),  # 14
        Row(16),  # 7
        Row(16),  # 7
        Row(14),  # 7
    ),
    "mnist_best_8k": (
        Row(6),  # 28
        Row(6),  # 28
        Row(8, pool=True),  # 28
        Row(10),  # 14
        Row(10),  # 14
        Row(12, pool=True),  # 14
        Row(12),  # 7
        Row(12),  # 7
        Row(12),  # 7
    ),
    "mnist_best_4k": (
        Row(8),  # 28
        Row(12, separable=True),  # 28
        Row(12, pool=True, separable=True),  # 28
        Row(16, separable=True),  # 14
        Row(16, separable=True),  # 14
        Row(16, pool=True, separable=True),  # 14
        Row(20, separable=True),  # 7
        Row(20, separable=True),  # 7
        Row(20, separable=True),  # 7
    ),
    "mnist_best_1k": (
        Row(8, pool=True),  # 28
        Row(12, pool=True, separable=True),  # 14
        Row(12, separable=True),  # 7
        Row(10, separable=True),  # 7
    ),
}


class CompactNet(Network):
    """uint8 images [B, 28, 28, 1] -> logits [B, num_classes]: the rows, the mean over all pixels and one dense layer.

    Attributes:
      table: the rows, top to bottom.
      num_classes: outputs, a digit each unless the data are others.
      dropout: the rate of every Dropout, in [0, 1).
      dtype: what is computed in; parameters stay as they are.
      layout: how activations lie in memory: 'auto' is what is fastest on the platform, 'NHWC' or 'HCWN' a check of it
        (see `lowering`). It changes no number but by rounding.
    """

    image_shape: ClassVar[tuple[int, int, int]] = (28, 28, 1)

    table: tuple[Row, ...]
    num_classes: int = 10
    dropout: float = 0.0
    dtype: str = "float32"
    layout: str = "auto"

    def __post_init__(self) -> None:
        check_at_least("config.model.num_classes", self.num_classes, 2)
        check_rate("config.model.dropout", self.dropout)
        check_choice("config.model.dtype", self.dtype, DTYPES)
        check_layout(self.layout)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False, mask: jax.Array | None = None) -> jax.Array:
        mask = jnp.ones(images.shape[:1], bool) if mask is None else mask
        layout = self.layout_of(images)
        x = scale_pixels(images, self.dtype, layout)
        for row in self.table:
            if row.separable:
                x = DepthwiseConv(layout=layout)(x)
            x = Conv(row.features, 1 if row.separable else 3, padding="SAME", use_bias=False, layout=layout)(x)
            x = nn.relu(BatchNorm(layout)(x, mask, train))
            x = Dropout(self.dropout, layout)(x, train)
            if row.pool:
                x = MaxPool(layout=layout)(x)
        return Dense(self.num_classes)(GlobalAveragePool(layout)(x))
