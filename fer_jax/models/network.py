"""What every network is."""

import flax.linen as nn
import jax

from fer_jax.config import check_at_least, check_choice
from fer_jax.errors import ConfigError
from fer_jax.models.lowering import check_layout, choose_layout


class Network(nn.Module):
    """uint8 images [B, *image_shape] -> logits [B, num_classes]: `__call__(images, *, train=False, mask=None)`.

    A network states what follows, as constants, fields or properties.
    """

    @property
    def layout(self) -> str:
        """'auto', or a layout that is used on any platform; see `lowering`."""
        raise NotImplementedError

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        raise NotImplementedError

    @property
    def num_classes(self) -> int:
        """Of the labels."""
        raise NotImplementedError

    def layout_of(self, images: jax.Array) -> str:
        """How the activations of a batch of images lie in memory: the network's field `layout`, or what fits."""
        return choose_layout(self.layout, images.shape[0])


class FaceNetwork(Network):
    """uint8 images [B, image_side, image_side, 1] of faces -> logits [B, num_classes].

    Attributes:
      num_classes: outputs, an expression each.
      image_side: of the images, in pixels.
      dtype: what is computed in; parameters stay as they are.
      layout: how activations lie in memory: 'auto' is what is fastest on the platform, 'NHWC' or 'HCWN' a check of it
        (see `lowering`). It changes no number but by rounding.
    """

    num_classes: int = 7
    image_side: int = 48
    dtype: str = "float32"
    layout: str = "auto"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.image_side, self.image_side, 1

    def __post_init__(self) -> None:
        check_at_least("config.model.num_classes", self.num_classes, 2)
        check_choice("config.model.dtype", self.dtype, DTYPES)
        check_layout(self.layout)
        super().__post_init__()

    def _check_divides(self, divisor: int) -> None:
        """Raises ConfigError unless the side of the images is a multiple of `divisor`."""
        if self.image_side < divisor or self.image_side % divisor:
            raise ConfigError(f"config.model.image_side must be a multiple of {divisor}, not {self.image_side}")


DTYPES = ("bfloat16", "float16", "float32", "float64")
"""What a network can compute in."""
