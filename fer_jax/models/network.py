"""What every network is."""

from typing import ClassVar

import flax.linen as nn


class Network(nn.Module):
    """uint8 images [B, *image_shape] -> logits [B, num_classes]: `__call__(images, *, train=False, mask=None)`.

    Attributes:
      image_shape: (height, width, channels) of the images.
      num_classes: of the labels.
    """

    image_shape: ClassVar[tuple[int, int, int]]
    num_classes: ClassVar[int]
