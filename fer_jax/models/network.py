"""What every network is."""

import flax.linen as nn

from fer_jax.config import check_at_least, check_choice
from fer_jax.models.lowering import loops_on_device


class Network(nn.Module):
    """uint8 images [B, *image_shape] -> logits [B, num_classes]: `__call__(images, *, train=False, mask=None)`.

    A network states the first three below, as constants, fields or properties.
    """

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        raise NotImplementedError

    @property
    def num_classes(self) -> int:
        """Of the labels."""
        raise NotImplementedError

    @property
    def channels(self) -> tuple[int, ...]:
        """In front of the first convolution and behind each one."""
        raise NotImplementedError

    @property
    def looped(self) -> bool:
        """Whether training steps run in a loop on the device; see `lowering`."""
        return loops_on_device(self.channels)


class FaceNetwork(Network):
    """uint8 images [B, image_side, image_side, 1] of faces -> logits [B, num_classes].

    Attributes:
      num_classes: outputs, an expression each.
      image_side: of the images, in pixels.
      dtype: what is computed in; parameters stay as they are.
    """

    num_classes: int = 7
    image_side: int = 48
    dtype: str = "float32"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.image_side, self.image_side, 1

    def __post_init__(self) -> None:
        check_at_least("config.model.num_classes", self.num_classes, 2)
        check_choice("config.model.dtype", self.dtype, DTYPES)
        super().__post_init__()


DTYPES = ("bfloat16", "float16", "float32", "float64")
"""What a network can compute in."""
