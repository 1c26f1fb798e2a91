"""Making of a picture of one digit what MNIST's pictures are: white on black, 20 pixels high or wide, centred by mass.

MNIST's makers scaled each digit to fit a box of 20x20 pixels, keeping its aspect, and put its centre of mass into the
middle of 28x28 (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits").
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from fer_jax.data.fit_image import fit_image, fit_part

SIDE, BOX = 28, 20
_LEAST_CONTRAST = 32
"""Gray levels between the darkest and the brightest pixel below which a picture counts as blank."""
_LONGEST_SIDE = 1024
"""Pixels; a larger picture is framed from a smaller copy."""
_SPECK = 0.05
"""A spot with less than this share of the largest stroke's pixels is dirt."""


class Digit(NamedTuple):
    """A digit as the network takes it.

    Attributes:
      image: uint8 [28, 28, 1].
      inverted: whether it was dark on light.
      centred: whether it was cut out, scaled and centred.
    """

    image: np.ndarray
    inverted: bool
    centred: bool


def frame_digit(picture: np.ndarray, centre: bool = True) -> Digit | None:
    """Frames a picture of one digit, dark on light or light on dark, as MNIST does.

    What is the ground is told by the rim of the picture. A picture of 28x28 is taken to be framed: it is inverted if it
    is dark on light, and its bytes are kept otherwise.

    Args:
      picture: uint8 [H, W, 1 or 3], of any size.
      centre: False scales the whole picture in place of cutting out the digit.

    Returns:
      None of a picture without ink.
    """
    scale = min(1.0, _LONGEST_SIDE / max(picture.shape[:2]))
    height, width = (max(1, round(scale * length)) for length in picture.shape[:2])
    gray = fit_image(picture, (height, width, 1))[..., 0]
    if int(gray.max()) - int(gray.min()) < _LEAST_CONTRAST:
        return None
    inverted = bool(np.median(_rim(gray)) > otsu(gray))
    light = 255 - gray if inverted else gray
    if (height, width) == (SIDE, SIDE) or not centre:
        return Digit(fit_image(light[..., None], (SIDE, SIDE, 1)), inverted, False)
    return Digit(_centred(light), inverted, True)


def _rim(gray: np.ndarray) -> np.ndarray:
    """The outermost pixels, a twentieth of the shorter side wide."""
    width = max(1, min(gray.shape) // 20)
    inner = np.zeros(gray.shape, bool)
    inner[width:-width, width:-width] = True
    return gray[~inner]


def otsu(gray: np.ndarray) -> int:
    """The gray level, from 0 to 254, up to which a pixel is dark: it parts the two classes best.

    N. Otsu 1979, "A threshold selection method from gray-level histograms": the largest variance between the classes.
    """
    counts = np.bincount(gray.ravel(), minlength=256).astype(float)
    below, total = counts.cumsum(), counts.sum()
    mass = (counts * np.arange(256)).cumsum()
    above = total - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mass[-1] * below - total * mass) ** 2 / (below * above)
    # Levels that part the pixels alike are as good: the middle one keeps away from both classes.
    best = np.flatnonzero(np.nan_to_num(between, nan=-1.0) >= np.nanmax(between) * (1 - 1e-12))
    return int(best[len(best) // 2])


def _centred(light: np.ndarray) -> np.ndarray:
    """A light digit on dark ground [H, W] -> uint8 [28, 28, 1], framed."""
    level = otsu(light)
    ground, ink = np.median(light[light <= level]), np.median(light[light > level])
    strokes = _without_specks(light > (ground + ink) / 2)
    rows, columns = (np.flatnonzero(strokes.any(axis=axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    light, strokes = light[box], strokes[box]
    height, width = strokes.shape
    scale = BOX / max(height, width)
    # Paper is never quite even: beyond a pixel of the result around the strokes it counts as black.
    near = ndimage.distance_transform_edt(~strokes) <= max(1, 1 / scale)
    stretched = np.where(near, np.clip((light - ground) / (ink - ground), 0, 1), 0)
    cut = np.rint(255 * stretched).astype(np.uint8)
    small = fit_part(cut, max(1, round(height * scale)), max(1, round(width * scale)))
    result = np.zeros((SIDE, SIDE, 1), np.uint8)
    # In MNIST's own files the centre of mass is pixel (14, 14), counted from 0, half a pixel below the true middle.
    top, left = (
        int(np.clip(round(SIDE / 2 - place), 0, SIDE - size))
        for place, size in zip(ndimage.center_of_mass(small), small.shape, strict=True)
    )
    result[top : top + small.shape[0], left : left + small.shape[1], 0] = small
    return result


def _without_specks(strokes: np.ndarray) -> np.ndarray:
    """bool [H, W] without its small spots."""
    labels, _ = ndimage.label(strokes, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= _SPECK * sizes.max())[labels] & strokes
