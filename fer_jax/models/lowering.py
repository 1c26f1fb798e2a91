"""How a convolution becomes a program, and whether training steps can run in a loop on the device: decided here alone.

A GPU and a TPU run XLA's own convolution, in a loop or not. On a CPU that convolution is 6 to 70 times slower inside a
loop than outside (jax 0.10.2), so there are two ways:
- narrow networks compute convolutions as matrix products, which have no such cliff, and run many steps in one call;
- wide networks, where the k*k shifted copies cost more than they save, use XLA's own in one call a step.

Training on one core, images per second, loop against one call a step: `mnist_vanilla` (channels up to 32 x 64) 1,050
against 700, `facial_expressions` (32 x 64) 860 against 620, `fer2013_mini` (96 x 96) 310 against 440.
"""

from collections.abc import Sequence
from itertools import pairwise

import jax

WIDE = 4096
"""Input times output channels of a convolution from which its network is wide."""
NATIVE = 1024
"""Input times output channels from which a wide network leaves a convolution to XLA."""


def loops_on_device(channels: Sequence[int]) -> bool:
    """Whether the steps of a network can run in a loop on the default backend without loss.

    Args:
      channels: in front of the first convolution and behind each one.
    """
    widest = max(before * after for before, after in pairwise(channels))
    return jax.default_backend() != "cpu" or widest < WIDE


def convolution(features_in: int, features: int, looped: bool) -> str:
    """The lowering of a convolution on the default backend: 'native' or 'matmul' (see `layers.Conv`)."""
    if jax.default_backend() == "cpu" and (looped or features_in * features < NATIVE):
        return "matmul"
    return "native"
