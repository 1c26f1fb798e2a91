"""A residual network of our own for faces: at most 5,000,000 parameters and 500,000,000 multiply-adds an image."""

from dataclasses import dataclass
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from fer_jax.config import check_at_least, check_rate
from fer_jax.models.layers import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    DropPath,
    GlobalAveragePool,
    MaxPool,
    SqueezeExcite,
    scale_pixels,
    standardise,
)
from fer_jax.models.network import FaceNetwork


@dataclass(frozen=True)
class Stage:
    """Blocks at one size of the image, `multiple` times the network's channels wide; 2x2 pooling ends it if `pool`."""

    multiple: int
    blocks: int
    pool: bool = True


class Block(nn.Module):
    """relu(x + f(x)), with f two 3x3 convolutions with BatchNorm (He et al., 2016).

    Where f changes the number of channels, x goes through a 1x1 convolution with BatchNorm.

    Attributes:
      features: output channels.
      squeeze: what of its channels the gates of f see, as in `layers.SqueezeExcite`; 0 is no gate.
      drop_path: the rate at which training leaves f out, for an image (Huang et al., 2016).
      residual: False is f alone: a plain network.
    """

    features: int
    squeeze: int
    drop_path: float
    residual: bool
    layout: str

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, train: bool) -> jax.Array:
        layout = self.layout
        channels = x.shape[layout.index("C")]
        y = Conv(self.features, padding="SAME", use_bias=False, layout=layout)(x)
        y = nn.relu(BatchNorm(layout)(y, mask, train))
        y = Conv(self.features, padding="SAME", use_bias=False, layout=layout)(y)
        y = BatchNorm(layout)(y, mask, train)
        if self.squeeze:
            y = SqueezeExcite(self.squeeze, layout)(y)
        if not self.residual:
            return nn.relu(y)
        y = DropPath(self.drop_path, layout)(y, train)
        if channels != self.features:
            x = BatchNorm(layout)(Conv(self.features, 1, use_bias=False, layout=layout)(x), mask, train)
        return nn.relu(x + y)


class ResidualNet(FaceNetwork):
    """A convolution, stages of residual blocks, the mean over all pixels and one dense layer.

    Pooling to 24, 12 and 6 pixels a side is by maxima, as in the networks of the documents; `image_side` is a multiple
    of 8. Each image is standardised first, because photographs differ in light.

    Attributes:
      channels: of the first stage.
      dropout: the rate in front of the last layer, in [0, 1).
      drop_path: the rate of the last block's stochastic depth, in [0, 1); the first block's is 0, and those between
        rise evenly.
      squeeze: a gate sees one number for so many channels; 0 takes the gates out (an ablation).
      residual: False takes the skip connections out (an ablation).
    """

    # The comment behind a row is the side of the image in it, for images of 48 x 48.
    stages: ClassVar[tuple[Stage, ...]] = (
        Stage(1, 1),  # 48
        Stage(2, 2),  # 24
        Stage(4, 2),  # 12
        Stage(7, 2, pool=False),  # 6
    )

    channels: int = 44
    dropout: float = 0.3
    drop_path: float = 0.1
    squeeze: int = 8
    residual: bool = True

    def __post_init__(self) -> None:
        self._check_divides(8)
        check_at_least("config.model.channels", self.channels, 1)
        check_at_least("config.model.squeeze", self.squeeze, 0)
        check_rate("config.model.dropout", self.dropout)
        check_rate("config.model.drop_path", self.drop_path)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False, mask: jax.Array | None = None) -> jax.Array:
        mask = jnp.ones(images.shape[:1], bool) if mask is None else mask
        layout = self.layout_of(images)
        x = standardise(scale_pixels(images, self.dtype, layout), layout)
        x = Conv(self.channels, padding="SAME", use_bias=False, layout=layout)(x)
        x = nn.relu(BatchNorm(layout)(x, mask, train))
        last, place = sum(stage.blocks for stage in self.stages) - 1, 0
        for stage in self.stages:
            for _ in range(stage.blocks):
                rate = self.drop_path * (place / last)
                x = Block(stage.multiple * self.channels, self.squeeze, rate, self.residual, layout)(x, mask, train)
                place += 1
            if stage.pool:
                x = MaxPool(layout=layout)(x)
        x = GlobalAveragePool(layout)(x)
        x = Dropout(self.dropout)(x, train)
        return Dense(self.num_classes)(x)
