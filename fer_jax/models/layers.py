"""The layers that all networks are made of, with Keras's numbers (shapes are [batch, height, width, channels]).

Keras differs from Flax's own layers in BatchNorm's epsilon (1e-3), convolution padding (VALID), the kernel
initialiser (glorot_uniform) and the stride of a pooling (its window). Every layer is its own small Module, so
that `fer_jax.summary` can watch them run and print a row for each.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from fer_jax.models.lowering import convolution
from fer_jax.random_bits import positions, random_bits

Array = jax.Array

BATCH_NORM_MOMENTUM = 0.99
BATCH_NORM_EPSILON = 1e-3


def scale_pixels(images: Array, dtype: str) -> Array:
    """uint8 pixels [B, H, W, C] in 0..255 -> floats in 0..1: the one preprocessing, inside every model's graph."""
    return images.astype(dtype) / 255


def standardise(x: Array) -> Array:
    """Each image [B, H, W, C] less its mean, over its standard deviation (plus 0.03, for flat images)."""
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    deviation = x.std(axis=(1, 2, 3), keepdims=True)
    return (x - mean) / (deviation + 0.03)


class Conv(nn.Module):
    """A square 2-D convolution of stride 1; parameters `kernel` [k, k, in, out] and `bias` [out].

    Attributes:
      features: output channels.
      kernel_size: side of the kernel, in pixels.
      padding: 'VALID' (Keras's default) or 'SAME'.
      use_bias: add a bias (Keras's default).
      lowering: 'native' (XLA's convolution), 'matmul' (shifted slices, one matrix product) or 'auto' (what
        `lowering` chooses by shape and platform). Both give the same numbers to rounding.
      looped: whether it runs in a loop on the device, for 'auto'.
    """

    features: int
    kernel_size: int = 3
    padding: str = "VALID"
    use_bias: bool = True
    lowering: str = "auto"
    looped: bool = True

    @nn.compact
    def __call__(self, x: Array) -> Array:
        k = self.kernel_size
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), (k, k, x.shape[-1], self.features))
        lowering = convolution(x.shape[-1], self.features, self.looped) if self.lowering == "auto" else self.lowering
        x = _CONVOLUTIONS[lowering](x, kernel.astype(x.dtype), self.padding)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            x = x + bias.astype(x.dtype)[None, None, None]
        return x


def native_convolution(x: Array, kernel: Array, padding: str) -> Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def matmul_convolution(x: Array, kernel: Array, padding: str) -> Array:
    """The same convolution as one matrix product over the k*k shifted copies of `x`."""
    size, _, features_in, features = kernel.shape
    if padding == "SAME":
        before, after = (size - 1) // 2, size // 2
        x = jnp.pad(x, ((0, 0), (before, after), (before, after), (0, 0)))
    batch, height, width, _ = x.shape
    out_h, out_w = height - size + 1, width - size + 1
    if size == 1:
        return x @ kernel[0, 0]
    if out_h == out_w == 1:
        return (x.reshape(batch, -1) @ kernel.reshape(-1, features)).reshape(batch, 1, 1, features)
    shifts = [x[:, i : i + out_h, j : j + out_w] for i in range(size) for j in range(size)]
    return jnp.concatenate(shifts, axis=-1) @ kernel.reshape(size * size * features_in, features)


_CONVOLUTIONS = {"native": native_convolution, "matmul": matmul_convolution}


class BatchNorm(nn.Module):
    """Batch normalisation as Keras 3 does it: momentum 0.99, epsilon 1e-3, biased moving variance.

    Parameters `scale` and `bias` [C]; statistics `mean` and `var` [C]. In training the statistics are over the
    examples whose `mask` is true, so a padded batch gives what the partial batch alone would give.
    """

    @nn.compact
    def __call__(self, x: Array, mask: Array, train: bool) -> Array:
        features = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (features,))
        bias = self.param("bias", nn.initializers.zeros, (features,))
        moving_mean = self.variable("batch_stats", "mean", jnp.zeros, (features,))
        moving_var = self.variable("batch_stats", "var", jnp.ones, (features,))
        if train:
            # Sums per image first, then over the batch: the mask touches [B, C] values, not the whole tensor.
            pixels = x.reshape(x.shape[0], -1, features).astype(scale.dtype)
            weight = mask.astype(scale.dtype)
            count = weight.sum() * pixels.shape[1]
            mean = weight @ pixels.sum(axis=1) / count
            var = jnp.maximum(weight @ jnp.square(pixels).sum(axis=1) / count - jnp.square(mean), 0)
            if not self.is_initializing():
                moving_mean.value = _moved(moving_mean.value, mean)
                moving_var.value = _moved(moving_var.value, var)
        else:
            mean, var = moving_mean.value, moving_var.value
        multiplier = scale * lax.rsqrt(var + BATCH_NORM_EPSILON)
        offset = bias - mean * multiplier
        return x * multiplier.astype(x.dtype)[None, None, None] + offset.astype(x.dtype)[None, None, None]


def _moved(moving: Array, new: Array) -> Array:
    return BATCH_NORM_MOMENTUM * moving + (1 - BATCH_NORM_MOMENTUM) * new


class Dropout(nn.Module):
    """Sets values to zero with probability `rate` and scales the others by 1 / (1 - rate), in training only.

    The random bits are a hash of (key, position), computed where they are used: on a CPU this costs a tenth of what
    `jax.random.bernoulli` does, and the same positions drop on any number of devices.
    """

    rate: ArrayLike

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        if not train or (isinstance(self.rate, (int, float)) and self.rate == 0):
            return x
        bits = random_bits(self.make_rng("dropout"), positions(x.shape))
        # 24 bits, because a float32 holds them exactly: the rate is kept to 6e-8, traced or not.
        threshold = (jnp.float32(2**24) * jnp.asarray(self.rate, jnp.float32)).astype(jnp.uint32)
        keep = (bits >> 8) >= threshold
        return jnp.where(keep, x / (1 - jnp.asarray(self.rate, x.dtype)), jnp.zeros((), x.dtype))


class MaxPool(nn.Module):
    """2x2 maximum of stride 2.

    Written as a maximum of four slices because the gradient of `lax.reduce_window` is slow on a CPU. Among equals
    the first in row-major order gets the gradient, as in XLA's own.

    Attributes:
      padding: of an odd last row or column: 'VALID' drops it (Keras's default), 'SAME' takes its maximum alone.
    """

    padding: str = "VALID"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if self.padding == "SAME" and (x.shape[1] % 2 or x.shape[2] % 2):
            lowest = jnp.asarray(-jnp.inf, x.dtype)
            x = lax.pad(x, lowest, ((0, 0, 0), (0, x.shape[1] % 2, 0), (0, x.shape[2] % 2, 0), (0, 0, 0)))
        rows, columns = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
        corners = [x[:, i:rows:2, j:columns:2] for i in (0, 1) for j in (0, 1)]
        return _first_max(_first_max(corners[0], corners[1]), _first_max(corners[2], corners[3]))


def _first_max(a: Array, b: Array) -> Array:
    return jnp.where(a >= b, a, b)


class SpaceToDepth(nn.Module):
    """[B, H, W, C] -> [B, H / 2, W / 2, 4 C]: each 2x2 pixels become channels, row by row."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return jnp.concatenate([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=-1)


class Flatten(nn.Module):
    """[B, H, W, C] -> [B, H * W * C]."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return x.reshape(x.shape[0], -1)


class GlobalAveragePool(nn.Module):
    """[B, H, W, C] -> [B, C]: the mean over all pixels."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return x.mean(axis=(1, 2))


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
