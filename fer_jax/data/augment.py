"""Random changes to a batch of training images, on the device: uint8 in, uint8 out.

Whatever is on happens in this order: flip, shift, rotation, zoom and crop as one affine resampling; brightness and
contrast; erasing; mixing with a partner (mixup, CutMix). All arithmetic on pixels is on integers, so that a batch gives
the same bits on any mesh, and what was moved by whole pixels is a copy.

What an example draws is a hash of the step's key and of its place in the batch. A place without an example changes no
other, and no label is seen here: what mixing does to labels is told, for the loss to apply.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fer_jax.config import check_at_least, check_at_most
from fer_jax.random_bits import positions, random_bits

Array = jax.Array

ERASED_AREA = (0.02, 1 / 3)
ERASED_ASPECT = (0.3, 3.3)
"""Random erasing (Zhong et al., 2017): share of the image, and height over width, in torchvision's ranges."""

# What an example draws, by number: to turn one thing on leaves what another draws alone.
_DRAWS = 32
(_FLIP, _SHIFT_X, _SHIFT_Y, _ANGLE, _ZOOM, _CROP_X, _CROP_Y, _BRIGHTNESS, _CONTRAST) = range(9)
(_ERASE, _AREA, _ASPECT, _TOP, _LEFT, _KIND, _SHARE, _DIRECTION, _BOX_TOP, _BOX_LEFT) = range(9, 19)


class Augmented(NamedTuple):
    """A changed batch.

    Attributes:
      images: uint8 [B, H, W, C].
      partner: int32 [B], the place of the example that is mixed into this one; None where nothing is mixed.
      weight: float32 [B], the share of the example's own label, at least 0.5; the rest is the partner's. None where
        nothing is mixed.
    """

    images: Array
    partner: Array | None
    weight: Array | None


Augment = Callable[[Array, Array, Array], Augmented]
"""(key, images uint8 [B, H, W, C], mask bool [B]) -> Augmented; partners have a true mask."""


def create(
    *,
    flip: float = 0.0,
    shift: float = 0.0,
    rotate: float = 0.0,
    scale: float = 0.0,
    crop: int = 0,
    erase: float = 0.0,
    brightness: float = 0.0,
    contrast: float = 0.0,
    mixup: float = 0.0,
    cutmix: float = 0.0,
) -> Augment | None:
    """The function that changes a batch; None if nothing is on.

    What comes into the image from outside repeats its edge.

    Args:
      flip: probability of mirroring left and right.
      shift: moves by up to this share of the side, either way and along each axis, by fractions of a pixel too.
      rotate: turns about the centre by up to so many degrees, either way.
      scale: zooms about the centre by a factor between 1 / (1 + scale) and 1 + scale, as often in as out.
      crop: moves by up to so many whole pixels, either way and along each axis: a random crop of the padded image.
      erase: probability of filling a rectangle (2 % to 33 % of the image, height over width 0.3 to 3.3) with noise.
      brightness: adds up to this share of white, either way.
      contrast: multiplies the difference to the image's mean by 1 - contrast to 1 + contrast.
      mixup: alpha of the Beta(alpha, alpha) that the share of a partner's image is drawn from (Zhang et al., 2018); the
        larger part is always the example's own.
      cutmix: alpha of the Beta that the area of a box is drawn from, which shows a partner's image (Yun et al., 2019);
        the box is at most half of the image, to rounding, and wholly inside. With both on, each is half of the time.

    Raises:
      ConfigError: a number out of range.
    """
    for key, value, most in (
        *(("flip", flip, 1), ("shift", shift, 1), ("rotate", rotate, 180), ("scale", scale, 1), ("crop", crop, 1024)),
        *(("erase", erase, 1), ("brightness", brightness, 1), ("contrast", contrast, 1)),
        *(("mixup", mixup, 1000), ("cutmix", cutmix, 1000)),
    ):
        check_at_least(f"config.augment.{key}", value, 0)
        check_at_most(f"config.augment.{key}", value, most)

    def augment(key: Array, images: Array, mask: Array) -> Augmented:
        height, width = images.shape[1:3]
        uniform = _uniform(key, images.shape[0])

        def either_way(draw: int) -> Array:
            return 2 * uniform[:, draw] - 1

        if flip or shift or rotate or scale or crop:
            whole_x, whole_y = (jnp.floor(uniform[:, draw] * (2 * crop + 1)) - crop for draw in (_CROP_X, _CROP_Y))
            images = warp(
                images,
                mirrored=uniform[:, _FLIP] < flip,
                degrees=rotate * either_way(_ANGLE),
                zoom=(1 + scale) ** either_way(_ZOOM),
                right=shift * width * either_way(_SHIFT_X) + whole_x,
                down=shift * height * either_way(_SHIFT_Y) + whole_y,
            )
        if brightness or contrast:
            images = relight(images, brightness * either_way(_BRIGHTNESS), 1 + contrast * either_way(_CONTRAST))
        if erase:
            box = _erased_box(uniform, height, width) & (uniform[:, _ERASE] < erase)[:, None, None, None]
            # Counted down from the top: the examples' own draws are counted up.
            noise = random_bits(key, ~positions(images.shape))
            images = jnp.where(box, (noise >> 24).astype(jnp.uint8), images)
        if not (mixup or cutmix):
            return Augmented(images, None, None)
        partner = _next_example(mask)
        use_mixup = uniform[:, _KIND] < (0.5 if mixup and cutmix else float(mixup > 0))
        alpha = jnp.where(use_mixup, mixup or 1.0, cutmix or 1.0)
        share = symmetric_beta(uniform[:, _SHARE], uniform[:, _DIRECTION], alpha)
        # Who is whose partner is chance, so this leaves the pairs as they would be, and says whose label leads.
        share = jnp.minimum(share, 1 - share)
        return _mixed(images, partner, share, use_mixup, uniform)

    is_on = any((flip, shift, rotate, scale, crop, erase, brightness, contrast, mixup, cutmix))
    return augment if is_on else None


def _uniform(key: Array, count: int) -> Array:
    """What each of `count` examples draws, by draw: float32 [count, _DRAWS] in [0, 1), multiples of 2^-24."""
    bits = random_bits(key, positions((count, _DRAWS)))
    return (bits >> 8).astype(jnp.float32) * jnp.float32(2**-24)


def warp(images: Array, *, mirrored: Array, degrees: Array, zoom: Array, right: Array, down: Array) -> Array:
    """One affine map, resampled bilinearly: mirrored, then turned and zoomed about the centre, then moved.

    On one core an image of 48x48 takes 8 us this way, 150 us in two passes of products with shifted copies, and 500 us
    in two passes with dense matrices.

    Args:
      images: uint8 [B, H, W, C].
      mirrored: bool [B], left and right.
      degrees: float32 [B], counter-clockwise as seen on a screen.
      zoom: float32 [B], above 1 enlarges.
      right: float32 [B], in pixels; and
      down: float32 [B].
    """
    height, width = images.shape[1:3]
    angle = degrees * jnp.float32(jnp.pi / 180)
    cosine, sine = jnp.cos(angle) / zoom, jnp.sin(angle) / zoom
    moved_x, moved_y = cosine * right - sine * down, sine * right + cosine * down
    sign = jnp.where(mirrored, -1, 1)
    # In units of 2^-16 pixels, all whole numbers that a float32 holds exactly: no mesh rounds them otherwise. Twice
    # the distance to the centre, because that of an even side lies between two pixels.
    across, along = (jnp.rint(part * 2**15) for part in (cosine, sine))
    to_x = jnp.stack([across, -along, -jnp.rint(moved_x * 2**16)], axis=1) * sign[:, None]
    to_y = jnp.stack([along, across, -jnp.rint(moved_y * 2**16)], axis=1)
    rows, columns = np.indices((height, width)).reshape(2, -1) * 2 - np.array([[height - 1], [width - 1]])
    grid = np.stack([columns, rows, np.ones_like(rows)]).astype(np.float32)
    # A matrix product also keeps XLA from working out the cosine again for each pixel, which took 700 us an image.
    x, y = (jnp.matmul(to, grid, precision=lax.Precision.HIGHEST) for to in (to_x, to_y))
    return _bilinear(images, x + (width - 1) * 2**15, y + (height - 1) * 2**15)


def _bilinear(images: Array, x: Array, y: Array) -> Array:
    """The images at the points (x, y), float32 [B, H * W] in units of 2^-16 pixels; outside, the edge."""
    batch, height, width, channels = images.shape
    x, y = (
        jnp.clip(jnp.rint(point * 2**-8).astype(jnp.int32), 0, (side - 1) << 8)[:, None]
        for point, side in ((x, width), (y, height))
    )
    corner = np.arange(4)[None, :, None]
    at_right, at_bottom = corner % 2, corner // 2
    # Beyond the last pixel the weight is 0.
    column = jnp.minimum((x >> 8) + at_right, width - 1)
    row = jnp.minimum((y >> 8) + at_bottom, height - 1)
    to_right, to_bottom = x & 255, y & 255
    weight = jnp.where(at_right, to_right, 256 - to_right) * jnp.where(at_bottom, to_bottom, 256 - to_bottom)
    places = (row * width + column).reshape(batch, -1, 1)
    corners = jnp.take_along_axis(
        images.reshape(batch, height * width, channels), places, axis=1, mode="promise_in_bounds"
    ).reshape(batch, 4, height * width, channels)
    # A sum over an axis, because XLA works that out once: a written-out one it repeats, gathers and all, for each use.
    found = ((corners.astype(jnp.int32) * weight[..., None]).sum(axis=1) + (1 << 15)) >> 16
    return found.astype(jnp.uint8).reshape(images.shape)


def _fixed(values: Array, bits: int) -> Array:
    """[B] -> int32 [B, 1, 1, 1], in units of 2^-bits."""
    return jnp.rint(values * 2**bits).astype(jnp.int32)[:, None, None, None]


def relight(images: Array, offset: Array, gain: Array) -> Array:
    """(pixel - mean) * gain + mean + 255 * offset, rounded and clipped to 0..255; the mean is the image's own.

    Args:
      images: uint8 [B, H, W, C].
      offset: float32 [B]; and
      gain: float32 [B].
    """
    batch, *shape = images.shape
    pixels = images.astype(jnp.int32)
    mean = pixels.reshape(batch, -1).sum(axis=1).astype(jnp.float32) / math.prod(shape)
    factor = _fixed(gain, 16)
    added = _fixed((1 - gain) * mean + 255 * offset, 16)
    return jnp.clip((pixels * factor + added + (1 << 15)) >> 16, 0, 255).astype(jnp.uint8)


def _box(top: Array, left: Array, box_height: Array, box_width: Array, height: int, width: int) -> Array:
    """Whether a pixel lies in the box of its image: bool [B, H, W, 1]; the box is int32 [B] each."""
    rows = jnp.arange(height)[None, :] - top[:, None]
    columns = jnp.arange(width)[None, :] - left[:, None]
    in_rows = (rows >= 0) & (rows < box_height[:, None])
    in_columns = (columns >= 0) & (columns < box_width[:, None])
    return in_rows[:, :, None, None] & in_columns[:, None, :, None]


def _side(length: Array, most: int) -> Array:
    """A box's side in whole pixels, from 1 to `most`."""
    return jnp.clip(jnp.rint(length), 1, most).astype(jnp.int32)


def _start(uniform: Array, side: Array, most: int) -> Array:
    """Where a side of a box starts, such that it ends inside `most`."""
    return jnp.floor(uniform * (most + 1 - side)).astype(jnp.int32)


def _erased_box(uniform: Array, height: int, width: int) -> Array:
    """The pixels of an image that erasing would take: bool [B, H, W, 1]."""
    least, most = ERASED_AREA
    area = (least + (most - least) * uniform[:, _AREA]) * height * width
    low, high = (math.log(aspect) for aspect in ERASED_ASPECT)
    aspect = jnp.exp(low + (high - low) * uniform[:, _ASPECT])
    box_height, box_width = _side(jnp.sqrt(area * aspect), height), _side(jnp.sqrt(area / aspect), width)
    top, left = _start(uniform[:, _TOP], box_height, height), _start(uniform[:, _LEFT], box_width, width)
    return _box(top, left, box_height, box_width, height, width)


def symmetric_beta(one: Array, other: Array, alpha: Array | float) -> Array:
    """A draw of Beta(alpha, alpha) from two uniform draws in [0, 1), exact for every alpha above 0.

    Half of 1 + t / sqrt(2 alpha + t^2) for a t of Student with 2 alpha degrees of freedom, which is drawn by Bailey's
    polar method (Mathematics of Computation 62, 1994).
    """
    power = one ** (1 / alpha)
    direction = jnp.cos(2 * jnp.pi * other)
    # The least number keeps 0 / 0 out; rounding would go 1e-7 too far.
    cosine = direction * lax.rsqrt(power / (1 - power) + jnp.square(direction) + jnp.float32(1e-30))
    return (1 + jnp.clip(cosine, -1, 1)) / 2


def _next_example(mask: Array) -> Array:
    """The place of the next example after each place, the first after the last: int32 [B], masks true."""
    count = len(mask)
    here_or_later = lax.cummin(jnp.where(mask, jnp.arange(count), count), reverse=True)
    later = jnp.append(here_or_later[1:], count)
    return jnp.where(later == count, here_or_later[0], later).astype(jnp.int32)


def _mixed(images: Array, partner: Array, share: Array, use_mixup: Array, uniform: Array) -> Augmented:
    """The images with `share` [B] of their partners', blended or in a box; the shares told are exact."""
    height, width = images.shape[1:3]
    part = jnp.where(use_mixup, jnp.rint(share * 256), 0).astype(jnp.int32)
    side = jnp.sqrt(share)
    box_height, box_width = (jnp.rint(side * most).astype(jnp.int32) for most in (height, width))
    box_height = jnp.where(use_mixup, 0, box_height)
    top, left = _start(uniform[:, _BOX_TOP], box_height, height), _start(uniform[:, _BOX_LEFT], box_width, width)
    box = _box(top, left, box_height, box_width, height, width)
    others = images[partner]
    weight = jnp.where(box, 256, part[:, None, None, None])
    mixed = (images.astype(jnp.int32) * (256 - weight) + others.astype(jnp.int32) * weight + 128) >> 8
    shown = jnp.where(use_mixup, part / 256, box_height * box_width / (height * width))
    return Augmented(mixed.astype(jnp.uint8), partner, (1 - shown).astype(jnp.float32))
