"""What every network is."""

import flax.linen as nn

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


DTYPES = ("bfloat16", "float16", "float32", "float64")
"""What a network can compute in."""
