"""The eight MNIST networks of the seed documents 001 and 003, each as the table it has there.

A row is one convolution and what follows it; `fer_jax.summary` prints the table back with shapes and counts.
"""

from dataclasses import dataclass
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from fer_jax.config import check_at_least, check_choice, check_rate, is_zero
from fer_jax.models.layers import BatchNorm, Conv, Dropout, Flatten, MaxPool, scale_pixels
from fer_jax.models.lowering import check_layout
from fer_jax.models.network import DTYPES, Network


@dataclass(frozen=True)
class Row:
    """Convolution (valid, stride 1), then ReLU, BatchNorm, Dropout and 2x2 pooling where the row has them.

    `features` None is a channel for each class.
    """

    features: int | None
    kernel: int = 3
    relu: bool = True
    norm: bool = False
    drop: bool = False
    pool: bool = False


def block(features: int, kernel: int = 3, pool: bool = False) -> Row:
    """The documents' repeated unit: convolution, ReLU, BatchNorm, Dropout."""
    return Row(features, kernel, norm=True, drop=True, pool=pool)


def logits(kernel: int, norm: bool = False) -> Row:
    """The last convolution: as large as the image left over, a channel for each class, no ReLU."""
    return Row(None, kernel, relu=False, norm=norm)


# The comment behind a row is the side of the image after its convolution.
TABLES: dict[str, tuple[Row, ...]] = {
    # Document 001, section 1, as its code says (the table pasted under it is section 2's).
    "mnist_vanilla": (
        Row(16),  # 26
        Row(32),  # 24
        Row(10, kernel=1, pool=True),  # 24
        Row(16),  # 10
        Row(32),  # 8
        Row(32),  # 6
        Row(64),  # 4
        logits(kernel=4),
    ),
    # Document 001, section 2.
    "mnist_10k": (
        Row(8),  # 26
        Row(16),  # 24
        Row(10, kernel=1, pool=True),  # 24
        Row(8),  # 10
        Row(16),  # 8
        Row(16),  # 6
        Row(16),  # 4
        logits(kernel=4),
    ),
    # Document 001, section 3.
    "mnist_15k": (
        block(12),  # 26
        block(20),  # 24
        Row(10, kernel=1, pool=True),  # 24
        block(16),  # 10
        block(16),  # 8
        block(16),  # 6
        block(16),  # 4
        logits(kernel=4),
    ),
    # Document 001, other architecture 1.
    "mnist_20k": (
        block(8),  # 26
        block(16),  # 24
        block(32),  # 22
        Row(10, kernel=1, pool=True),  # 22
        block(16),  # 9
        block(32),  # 7
        block(10, kernel=1),  # 7
        block(20),  # 5
        logits(kernel=5),
    ),
    # Document 001, other architecture 2.
    "mnist_13k": (
        block(10),  # 26
        block(16),  # 24
        Row(10, kernel=1),  # 24
        block(20, pool=True),  # 22
        block(10),  # 9
        block(16),  # 7
        block(10, kernel=1),  # 7
        block(16),  # 5
        block(16),  # 3
        logits(kernel=3),
    ),
    # Document 001, other architecture 3.
    "mnist_16k": (
        block(64),  # 26
        Row(10, kernel=1),  # 26
        block(16),  # 24
        block(16, pool=True),  # 22
        block(16),  # 9
        block(16),  # 7
        block(10, kernel=1),  # 7
        block(16),  # 5
        logits(kernel=5),
    ),
    # Document 001, other architecture 4.
    "mnist_11k": (
        block(8),  # 26
        block(16),  # 24
        Row(10, kernel=1, pool=True),  # 24
        block(8),  # 10
        block(16),  # 8
        block(16),  # 6
        block(16),  # 4
        logits(kernel=4),
    ),
    # Document 003.
    "mnist_nobias": (
        block(32),  # 26
        Row(10, kernel=1),  # 26
        block(32),  # 24
        Row(10, kernel=1, pool=True),  # 24
        block(16),  # 10
        Row(10, kernel=1),  # 10
        block(16),  # 8
        block(16),  # 6
        block(16),  # 4
        logits(kernel=4, norm=True),
    ),
}


class MnistNet(Network):
    """uint8 images [B, 28, 28, 1] -> logits [B, num_classes].

    Attributes:
      table: the rows, top to bottom.
      num_classes: outputs, a digit each unless the data are others; only the last convolution depends on it.
      dropout: the rate of every Dropout, in [0, 1).
      last_dropout: the rate of a Dropout behind the last convolution, where the documents have none (an ablation:
        document 003 says that leaving it out helps).
      batch_norm: False takes every BatchNorm out (an ablation).
      use_bias: whether convolutions have a bias.
      dtype: what is computed in; parameters stay as they are.
      layout: how activations lie in memory: 'auto' is what is fastest on the platform, 'NHWC' or 'HCWN' a check of it
        (see `lowering`). It changes no number but by rounding.
    """

    image_shape: ClassVar[tuple[int, int, int]] = (28, 28, 1)

    table: tuple[Row, ...]
    num_classes: int = 10
    dropout: float = 0.1
    last_dropout: float = 0.0
    batch_norm: bool = True
    use_bias: bool = True
    dtype: str = "float32"
    layout: str = "auto"

    def __post_init__(self) -> None:
        check_at_least("config.model.num_classes", self.num_classes, 2)
        check_rate("config.model.dropout", self.dropout)
        check_rate("config.model.last_dropout", self.last_dropout)
        check_choice("config.model.dtype", self.dtype, DTYPES)
        check_layout(self.layout)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False, mask: jax.Array | None = None) -> jax.Array:
        mask = jnp.ones(images.shape[:1], bool) if mask is None else mask
        layout = self.layout_of(images)
        x = scale_pixels(images, self.dtype, layout)
        for row in self.table:
            x = Conv(row.features or self.num_classes, row.kernel, use_bias=self.use_bias, layout=layout)(x)
            if row.relu:
                x = nn.relu(x)
            if row.norm and self.batch_norm:
                x = BatchNorm(layout)(x, mask, train)
            if row.drop:
                x = Dropout(self.dropout, layout)(x, train)
            if row.pool:
                x = MaxPool(layout=layout)(x)
        if not is_zero(self.last_dropout):
            x = Dropout(self.last_dropout, layout)(x, train)
        return Flatten(layout)(x)


class MnistNobias(MnistNet):
    """Document 003's defaults: no bias in any convolution, dropout 0.2."""

    dropout: float = 0.2
    use_bias: bool = False
