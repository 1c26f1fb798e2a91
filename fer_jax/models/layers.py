"""The layers that all networks are made of, with Keras's numbers.

Shapes are [batch, height, width, channels] in words; where a layer has the field `layout`, its arrays lie in that order
(see `lowering`).

Keras differs from Flax's own layers in BatchNorm's epsilon (1e-3), convolution padding (VALID), the kernel
initialiser (glorot_uniform) and the stride of a pooling (its window). Every layer is its own small Module, so
that `fer_jax.summary` can watch them run and print a row for each.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from fer_jax.config import is_zero
from fer_jax.models.convolution import convolution, depthwise
from fer_jax.models.lowering import NHWC, axes, moved
from fer_jax.random_bits import positions, random_bits

Array = jax.Array

BATCH_NORM_MOMENTUM = 0.99
BATCH_NORM_EPSILON = 1e-3
STANDARDISED_FLOOR = 0.03
"""Added to the standard deviation of an image, of pixels in 0..1: flat images are left nearly flat."""


def scale_pixels(images: Array, dtype: str, layout: str = NHWC) -> Array:
    """uint8 pixels [B, H, W, C] in 0..255 -> floats in 0..1: the one preprocessing, inside every model's graph."""
    return moved(images, NHWC, layout).astype(dtype) / 255


def standardise(x: Array, layout: str = NHWC) -> Array:
    """Each image less its mean, over its standard deviation (plus a little, for flat images)."""
    pixels = axes(layout, "HWC")
    mean = x.mean(axis=pixels, keepdims=True)
    deviation = x.std(axis=pixels, keepdims=True)
    return (x - mean) / (deviation + STANDARDISED_FLOOR)


def _channelwise(values: Array, layout: str) -> Array:
    """A value for each channel [C], of the rank of an activation."""
    return values.reshape([-1 if name == "C" else 1 for name in layout])


def _imagewise(values: Array, layout: str) -> Array:
    """Values of each image, [B, 1] or [B, C], of the rank of an activation."""
    values = values if layout.index("N") < layout.index("C") else values.T
    return jnp.expand_dims(values, axes(layout, "HW"))


def _part(x: Array, layout: str, **ranges: slice) -> Array:
    """The part of an activation in the given ranges of its axes: `H` and `W`."""
    return x[tuple(ranges.get(name, slice(None)) for name in layout)]


class Conv(nn.Module):
    """A square 2-D convolution of stride 1; parameters `kernel` [k, k, in, out] and `bias` [out].

    Attributes:
      features: output channels.
      kernel_size: side of the kernel, in pixels.
      padding: 'VALID' (Keras's default) or 'SAME'.
      use_bias: add a bias (Keras's default).
    """

    features: int
    kernel_size: int = 3
    padding: str = "VALID"
    use_bias: bool = True
    layout: str = NHWC

    @nn.compact
    def __call__(self, x: Array) -> Array:
        k, channels = self.kernel_size, x.shape[self.layout.index("C")]
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), (k, k, channels, self.features))
        x = convolution(x, kernel.astype(x.dtype), self.padding, self.layout)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            x = x + _channelwise(bias.astype(x.dtype), self.layout)
        return x


class DepthwiseConv(nn.Module):
    """A square convolution of each channel by itself: stride 1, padding 'SAME', no bias; parameter `kernel` [k, k, C].

    Attributes:
      kernel_size: side of the kernel, in pixels.
    """

    kernel_size: int = 3
    layout: str = NHWC

    @nn.compact
    def __call__(self, x: Array) -> Array:
        k, channels = self.kernel_size, x.shape[self.layout.index("C")]
        # k * k numbers come together in each output.
        initializer = nn.initializers.variance_scaling(
            1.0, "fan_in", "uniform", in_axis=(0, 1), out_axis=(), batch_axis=(2,)
        )
        return depthwise(x, self.param("kernel", initializer, (k, k, channels)).astype(x.dtype), self.layout)


class BatchNorm(nn.Module):
    """Batch normalisation as Keras 3 does it: momentum 0.99, epsilon 1e-3, biased moving variance.

    Parameters `scale` and `bias` [C]; statistics `mean` and `var` [C]. In training the statistics are over the
    examples whose `mask` [B] is true, so a padded batch gives what the partial batch alone would give.
    """

    layout: str = NHWC

    @nn.compact
    def __call__(self, x: Array, mask: Array, train: bool) -> Array:
        features = x.shape[self.layout.index("C")]
        scale = self.param("scale", nn.initializers.ones, (features,))
        bias = self.param("bias", nn.initializers.zeros, (features,))
        moving_mean = self.variable("batch_stats", "mean", jnp.zeros, (features,))
        moving_var = self.variable("batch_stats", "var", jnp.ones, (features,))
        if train:
            # Sums per image first, then over the batch: the mask touches [B, C] values, not the whole tensor.
            pixels, (row, column) = x.astype(scale.dtype), axes(self.layout, "HW")
            weight = mask.astype(scale.dtype)
            count = weight.sum() * (x.shape[row] * x.shape[column])
            mean = self._over_batch(pixels.sum((row, column)), weight) / count
            var = self._over_batch(jnp.square(pixels).sum((row, column)), weight) / count - jnp.square(mean)
            var = jnp.maximum(var, 0)
            if not self.is_initializing():
                moving_mean.value = _moved(moving_mean.value, mean)
                moving_var.value = _moved(moving_var.value, var)
        else:
            mean, var = moving_mean.value, moving_var.value
        multiplier = scale * lax.rsqrt(var + BATCH_NORM_EPSILON)
        offset = bias - mean * multiplier
        return x * _channelwise(multiplier.astype(x.dtype), self.layout) + _channelwise(
            offset.astype(x.dtype), self.layout
        )

    def _over_batch(self, sums: Array, weight: Array) -> Array:
        """Sums of each image and channel -> those of each channel [C]."""
        return weight @ sums if self.layout.index("N") < self.layout.index("C") else sums @ weight


def _moved(moving: Array, new: Array) -> Array:
    return BATCH_NORM_MOMENTUM * moving + (1 - BATCH_NORM_MOMENTUM) * new


class Dropout(nn.Module):
    """Sets values to zero with probability `rate` and scales the others by 1 / (1 - rate), in training only.

    The random bits are a hash of (key, position), computed where they are used: on a CPU this costs a tenth of what
    `jax.random.bernoulli` does, and the same positions drop on any number of devices.
    """

    rate: ArrayLike
    layout: str = NHWC

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        if not train or is_zero(self.rate):
            return x
        # The same values drop in any layout; an [B, C] array has only one.
        order = axes(self.layout, NHWC) if x.ndim == 4 else (0, 1)
        bits = random_bits(self.make_rng("dropout"), positions(x.shape, order))
        # 24 bits, because a float32 holds them exactly: the rate is kept to 6e-8, traced or not.
        threshold = (jnp.float32(2**24) * jnp.asarray(self.rate, jnp.float32)).astype(jnp.uint32)
        keep = (bits >> 8) >= threshold
        return jnp.where(keep, x / (1 - jnp.asarray(self.rate, x.dtype)), jnp.zeros((), x.dtype))


class DropPath(nn.Module):
    """Sets all values of an image to zero with probability `rate` and scales the others', in training only.

    In front of a skip connection this is stochastic depth (Huang et al., 2016).
    """

    rate: ArrayLike
    layout: str = NHWC

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        if not train or is_zero(self.rate):
            return x
        kept = Dropout(self.rate)(jnp.ones((x.shape[self.layout.index("N")], 1), x.dtype), train)
        return x * _imagewise(kept, self.layout)


class SqueezeExcite(nn.Module):
    """Multiplies each channel of an image by a gate in (0, 1) that the means of all of them decide (Hu et al., 2018).

    Attributes:
      reduction: the hidden layer has a unit for so many channels, at least one.
    """

    reduction: int = 8
    layout: str = NHWC

    @nn.compact
    def __call__(self, x: Array) -> Array:
        channels = x.shape[self.layout.index("C")]
        hidden = nn.relu(Dense(max(1, channels // self.reduction))(GlobalAveragePool(self.layout)(x)))
        return x * _imagewise(nn.sigmoid(Dense(channels)(hidden)), self.layout)


class MaxPool(nn.Module):
    """2x2 maximum of stride 2.

    Written as a maximum of four slices because `lax.reduce_window` is slow on a CPU, its gradient above all. Among
    equals the first in row-major order gets the gradient, as in XLA's own.

    Attributes:
      padding: of an odd last row or column: 'VALID' drops it (Keras's default), 'SAME' takes its maximum alone.
    """

    padding: str = "VALID"
    layout: str = NHWC

    @nn.compact
    def __call__(self, x: Array) -> Array:
        height, width = (x.shape[axis] for axis in axes(self.layout, "HW"))
        if self.padding == "SAME" and (height % 2 or width % 2):
            after = {"H": height % 2, "W": width % 2}
            x = lax.pad(x, jnp.asarray(-jnp.inf, x.dtype), [(0, after.get(name, 0), 0) for name in self.layout])
        rows, columns = (x.shape[axis] // 2 * 2 for axis in axes(self.layout, "HW"))
        return _max_of_blocks(_part(x, self.layout, H=slice(rows), W=slice(columns)), self.layout)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_of_blocks(x: Array, layout: str) -> Array:
    """The maxima of the 2x2 blocks of activations with even sides."""
    return _max_and_corner(x, layout)[0]


def _max_and_corner(x: Array, layout: str) -> tuple[Array, Array]:
    """The maxima, and where in its block each was: the number of its corner in row-major order, uint8."""
    a, b, c, d = (_part(x, layout, H=slice(i, None, 2), W=slice(j, None, 2)) for i in (0, 1) for j in (0, 1))
    left_above, left_below = a >= b, c >= d
    above, below = jnp.where(left_above, a, b), jnp.where(left_below, c, d)
    upper = above >= below
    first, second, third, fourth = (jnp.uint8(corner) for corner in range(4))
    corner = jnp.where(upper, jnp.where(left_above, first, second), jnp.where(left_below, third, fourth))
    return jnp.where(upper, above, below), corner


def _max_gradient(layout: str, corner: Array, dy: Array) -> tuple[Array]:
    """Each number to its corner of a block of zeros, in one pass: adding up the gradients of four slices is slow."""
    height, width = axes(layout, "HW")
    in_block = (height + 1, width + 2)
    corner, dy_of_block = (jnp.expand_dims(value, in_block) for value in (corner, dy))
    shape = [2 if axis in in_block else 1 for axis in range(dy_of_block.ndim)]
    row, column = (lax.broadcasted_iota(jnp.uint8, shape, axis) for axis in in_block)
    sides = [2 * size if axis in (height, width) else size for axis, size in enumerate(dy.shape)]
    return (jnp.where(corner == 2 * row + column, dy_of_block, 0).reshape(sides),)


_max_of_blocks.defvjp(_max_and_corner, _max_gradient)


class SpaceToDepth(nn.Module):
    """[B, H, W, C] -> [B, H / 2, W / 2, 4 C]: each 2x2 pixels become channels, row by row."""

    layout: str = NHWC

    @nn.compact
    def __call__(self, x: Array) -> Array:
        corners = [_part(x, self.layout, H=slice(i, None, 2), W=slice(j, None, 2)) for i in (0, 1) for j in (0, 1)]
        return jnp.concatenate(corners, axis=self.layout.index("C"))


class Flatten(nn.Module):
    """[B, H, W, C] -> [B, H * W * C], whatever the layout."""

    layout: str = NHWC

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = moved(x, self.layout, NHWC)
        return x.reshape(x.shape[0], -1)


class GlobalAveragePool(nn.Module):
    """[B, H, W, C] -> [B, C], whatever the layout: the mean over all pixels."""

    layout: str = NHWC

    @nn.compact
    def __call__(self, x: Array) -> Array:
        means = x.mean(axis=axes(self.layout, "HW"))
        return means if self.layout.index("N") < self.layout.index("C") else means.T


class Dense(nn.Module):
    """A matrix product over the last axis; parameters `kernel` [in, out] and `bias` [out].

    Attributes:
      features: outputs.
    """

    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x = x @ kernel.astype(x.dtype)
        return x + bias.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
