"""The copies of an image that test-time augmentation looks at: pixels in, pixels out, the same on every machine."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

COPIES = {"plain": 1, "flip": 2, "ten_crop": 10}
"""How many copies of an image each view shows, from the poorest to the richest."""
VIEWS = tuple(COPIES)
"""Each is a score of its own, never mixed with another."""
CROP = 0.9
"""Side of a crop of 'ten_crop', as a share of the image's."""


def views_up_to(richest: str) -> tuple[str, ...]:
    """The views from 'plain' up to `richest`; '' is 'plain' alone."""
    return VIEWS[: VIEWS.index(richest or "plain") + 1]


def copies(images: jax.Array, view: str) -> jax.Array:
    """All that a view shows of each image: uint8 [copies, B, H, W, C]; see `one_copy`."""
    return jnp.stack([one_copy(images, view, index) for index in range(COPIES[view])])


def one_copy(images: jax.Array, view: str, index: jax.Array | int) -> jax.Array:
    """One of the copies that a view shows of each image.

    Args:
      images: uint8 [B, H, W, C].
      view: 'plain' is the image; 'flip' the image and its mirror image; 'ten_crop' the four corners and the centre, of
        0.9 of the height and width and scaled back to them, and then their mirror images.
      index: of the copy, from 0; int32 [] where it is traced.

    Returns:
      uint8 [B, H, W, C].
    """
    if view == "plain":
        return images
    originals = COPIES[view] // 2
    shown = _crop(images, index % originals) if view == "ten_crop" else images
    return jnp.where(index >= originals, shown[:, :, ::-1], shown)


def _crop(images: jax.Array, index: jax.Array | int) -> jax.Array:
    """The corners (upper left, upper right, lower left, lower right) and the centre, scaled to the image's size."""
    batch, height, width, channels = images.shape
    crop_height, crop_width = round(CROP * height), round(CROP * width)
    bottom, right = height - crop_height, width - crop_width
    top = jnp.array([0, 0, bottom, bottom, bottom // 2])[index]
    left = jnp.array([0, right, 0, right, right // 2])[index]
    crop = lax.dynamic_slice(images, (0, top, left, 0), (batch, crop_height, crop_width, channels))
    return _resized(crop, (height, width))


def _resized(images: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Enlarges to `shape` (height, width), linear between pixel centres; exact, because it counts in whole numbers."""
    found, unit = images.astype(jnp.int32), 1
    for axis, size in enumerate(shape, start=1):
        before, after, weight = _places(found.shape[axis], size)
        weight = weight.reshape([-1 if other == axis else 1 for other in range(4)])
        first, second = (jnp.take(found, rows, axis=axis) for rows in (before, after))
        found, unit = first * (2 * size - weight) + second * weight, unit * 2 * size
    return ((found + unit // 2) // unit).astype(jnp.uint8)


def _places(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two neighbours of each new pixel among the old ones, and the weight of the second in parts of 2 * new."""
    # Pixel i is centred at ((2 i + 1) old - new) / (2 new) of the old grid; past its ends the outermost pixel repeats.
    place = np.clip((2 * np.arange(new) + 1) * old - new, 0, 2 * new * (old - 1))
    before = place // (2 * new)
    return before, np.minimum(before + 1, old - 1), (place % (2 * new)).astype(np.int32)
