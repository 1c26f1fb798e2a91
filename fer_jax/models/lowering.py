"""How a network becomes a program: the order in which activations lie in memory, decided here alone.

A layout names the axes of an activation from the slowest to the fastest: N image, H row, W column, C channel.

- 'NHWC' is computed with XLA's own convolution, which is right on a GPU and a TPU. On a CPU it is 6 to 70 times slower
  inside a loop on the device than outside (jax 0.10.2), and half as fast as a matrix product.
- 'HCWN' is computed with matrix products, a row of the image at a time (see `convolution`): what such a product reads
  stays in the cache, and with the images of the batch side by side every loop runs over many contiguous numbers.

Both give the same numbers to rounding. Training on one core, images per second, HCWN against the better of NHWC with
matrix products in a loop and NHWC with XLA's convolution in one call a step: `mnist_15k` 2,800 against 1,540,
`mnist_vanilla` 1,760 against 1,050, `facial_expressions` 1,720 against 1,100, `fer2013_mini` 650 against 530.
"""

import jax

from fer_jax.config import check_choice

NHWC, HCWN = "NHWC", "HCWN"
LAYOUTS = ("auto", NHWC, HCWN)
FEW = 8
"""Images in a batch below which a CPU has too few side by side."""


def check_layout(layout: str) -> None:
    """Raises ConfigError unless `config.model.layout` is one that there is."""
    check_choice("config.model.layout", layout, LAYOUTS)


def choose_layout(layout: str, batch: int) -> str:
    """The layout of a batch of so many images on the default backend: `layout`, or what fits it if that is 'auto'."""
    if layout != "auto":
        return layout
    return HCWN if jax.default_backend() == "cpu" and batch >= FEW else NHWC


def axes(layout: str, names: str) -> tuple[int, ...]:
    """Where the axes called `names` are: axes('HCWN', 'HW') is (0, 2)."""
    return tuple(layout.index(name) for name in names)


def moved(x: jax.Array, old: str, new: str) -> jax.Array:
    """`x` with its axes in another order."""
    return x if old == new else x.transpose(axes(old, new))
