"""Making of a picture of one digit what MNIST's pictures are: white on black, 20 pixels high or wide, centred by mass.

MNIST's makers scaled each digit to fit a box of 20x20 pixels, keeping its aspect, and put its centre of mass into the
middle of 28x28 (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits").
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from fer_jax.data.fit_image import fit_image, fit_part

SIDE, BOX = 28, 20
LEAST_CONTRAST = 32
"""Gray levels between the darkest and the brightest pixel below which a picture counts as blank."""
_OFF_CENTRE = 0.75
"""Pixels; in each of MNIST's 70,000 images the centre of mass is within 0.52 of its place, along either axis."""
_LEAST_LIGHT = 64
"""Of 255: where less falls on the paper, what is on it is not made brighter any more."""
_LONGEST_SIDE = 1024
"""Pixels; a larger picture is framed from a smaller copy."""
_COVERED, _CROSSED = 0.8, 3
"""The share of a side that a frame covers at least, and how often the lines of a grid cross it."""
_TALL = 0.5
"""A part of this share of the whole's height that stands beside another is a digit of its own."""
_FRAME = "ink is all round what was found, as of a frame, a dark rim or ruled paper: cut the digit out of it"
_SEVERAL = "several parts stand side by side, and it is answered as one digit: cut out one digit a picture"
_OF_THE_RIM = 0.8
"""The least share of the rim that is ground where light is taken to fall off."""
_SPECK = 0.05
"""A spot with less than this share of the largest stroke's pixels is dirt."""


class Digit(NamedTuple):
    """A digit as the network takes it.

    Attributes:
      image: uint8 [28, 28, 1].
      inverted: whether it was dark on light.
      centred: whether it was cut out, scaled and centred.
      doubt: why it may not be one digit on plain ground; '' where nothing tells against it.
    """

    image: np.ndarray
    inverted: bool
    centred: bool
    doubt: str = ""


def frame_digit(picture: np.ndarray, centre: bool = True) -> Digit | None:
    """Frames a picture of one digit, dark on light or light on dark, as MNIST does.

    What is the ground is told by the rim of the picture; where light falls off smoothly across it, that is undone. A
    picture of 28x28 whose centre of mass is where MNIST's are is framed already: it is inverted if it is dark on light,
    and its bytes are kept otherwise.

    Args:
      picture: uint8 [H, W, 1 or 3], of any size.
      centre: False scales the whole picture in place of cutting out the digit.

    Returns:
      None of a picture without ink.
    """
    scale = min(1.0, _LONGEST_SIDE / max(picture.shape[:2]))
    height, width = (max(1, round(scale * length)) for length in picture.shape[:2])
    gray = fit_image(picture, (height, width, 1))[..., 0]
    if _contrast(gray) < LEAST_CONTRAST:
        return None
    light, inverted = _light_on_dark(gray)
    if not centre or ((height, width) == (SIDE, SIDE) and _is_framed(light)):
        return Digit(fit_image(light[..., None], (SIDE, SIDE, 1)), inverted, False)
    best = _parted(gray)
    for ground in _grounds(gray):
        even, turned = _evened(gray, ground)
        if _contrast(even) < LEAST_CONTRAST:
            return None
        if _parted(even) > best:
            light, inverted, best = even, turned, _parted(even)
    image, doubt = _centred(light)
    return Digit(image, inverted, True, doubt)


def _contrast(gray: np.ndarray) -> int:
    return int(gray.max()) - int(gray.min())


def _light_on_dark(gray: np.ndarray) -> tuple[np.ndarray, bool]:
    """A picture, inverted if its ground is light, and whether it was."""
    inverted = bool(np.median(_rim(gray)) > otsu(gray))
    return 255 - gray if inverted else gray, inverted


def _edge(gray: np.ndarray) -> int:
    """How wide the rim of a picture is: a twentieth of the shorter side."""
    return max(1, min(gray.shape) // 20)


def _rim(gray: np.ndarray) -> np.ndarray:
    """The outermost pixels."""
    width = _edge(gray)
    inner = np.zeros(gray.shape, bool)
    inner[width:-width, width:-width] = True
    return gray[~inner]


def _is_framed(light: np.ndarray) -> bool:
    """Whether the centre of mass of a light digit on dark ground [28, 28] is where MNIST's are."""
    level = otsu(light)
    mass = np.maximum(light - np.median(light[light <= level]), 0)
    grid = np.arange(SIDE)
    places = ((mass.sum(axis=axis) * grid).sum() / mass.sum() for axis in (0, 1))
    return all(abs(place - SIDE / 2) <= _OFF_CENTRE for place in places)


def _grounds(gray: np.ndarray) -> Iterator[np.ndarray]:
    """What the ground may be where light falls off across a picture, float [H, W]; nothing where it is level.

    What was fitted to strokes that reach the rim is far from much of it, and is no ground.
    """
    for ground in _fitted_grounds(gray):
        if (np.abs(_rim(gray) - _rim(ground)) < LEAST_CONTRAST).mean() >= _OF_THE_RIM:
            yield ground


def _fitted_grounds(gray: np.ndarray) -> Iterator[np.ndarray]:
    """A plane by the medians of the sides, and what is curved to second order by those of their middles and corners.

    Each only if its medians are far enough apart to matter.
    """
    (height, width), edge = gray.shape, _edge(gray)
    # From -1 to 1 between the middles of the rim.
    y, x = ((np.arange(length) - (length - 1) / 2) / ((length - edge) / 2) for length in (height, width))
    y = y[:, None]
    top, bottom, left, right = _medians(gray[:edge], gray[-edge:], gray[:, :edge], gray[:, -edge:])
    if max(abs(bottom - top), abs(right - left)) >= LEAST_CONTRAST:
        plane = (top + bottom + left + right) / 4 + ((right - left) / 2 * x + (bottom - top) / 2 * y)
        yield np.clip(plane, 0, 255)
    rows, columns = (slice(length // 3, length - length // 3) for length in (height, width))
    middles = _medians(gray[:edge, columns], gray[-edge:, columns], gray[rows, :edge], gray[rows, -edge:])
    first, last = slice(2 * edge), slice(-2 * edge, None)
    corners = _medians(gray[first, first], gray[first, last], gray[last, first], gray[last, last])
    if max(middles + corners) - min(middles + corners) >= LEAST_CONTRAST:
        (top, bottom, left, right), corner = middles, sum(corners) / 4
        upright, level = (top + bottom) / 2, (left + right) / 2
        twist = (corners[0] - corners[1] - corners[2] + corners[3]) / 4
        straight = (right - left) / 2 * x + (bottom - top) / 2 * y
        bent = (corner - upright) * (x * x) + (corner - level) * (y * y) + twist * (x * y)
        yield np.clip(upright + level - corner + straight + bent, 0, 255)


def _medians(*parts: np.ndarray) -> list[float]:
    return [float(np.median(part)) for part in parts]


def _evened(gray: np.ndarray, ground: np.ndarray) -> tuple[np.ndarray, bool]:
    """A picture as on level ground, light on dark, and whether it was inverted; its ground is black.

    Light multiplies what is on paper: a stroke keeps its share of what falls on it.
    """
    apart = np.rint(np.clip(128 + (gray - ground) / 2, 0, 255)).astype(np.uint8)
    if 2 * _contrast(apart) < LEAST_CONTRAST:
        return np.zeros_like(gray), False
    _, inverted = _light_on_dark(apart)
    light, dark = (255 - gray, 255 - ground) if inverted else (gray, ground)
    even = (light - dark) * 255 / np.maximum(255 - dark, _LEAST_LIGHT)
    return np.rint(np.clip(even, 0, 255)).astype(np.uint8), inverted


def otsu(gray: np.ndarray) -> int:
    """The gray level, from 0 to 254, up to which a pixel is dark: it parts the two classes best.

    N. Otsu 1979, "A threshold selection method from gray-level histograms": the largest variance between the classes.
    """
    between, _ = _variances(gray)
    # Levels that part the pixels alike are as good: the middle one keeps away from both classes.
    best = np.flatnonzero(np.nan_to_num(between, nan=-1.0) >= np.nanmax(between) * (1 - 1e-12))
    return int(best[len(best) // 2])


def _parted(gray: np.ndarray) -> float:
    """How much of the variance is between the two classes of `otsu`, from 0 to 1."""
    between, whole = _variances(gray)
    return float(np.nanmax(between) / whole)


def _variances(gray: np.ndarray) -> tuple[np.ndarray, float]:
    """The variance between the classes for each level, [256], nan where one is empty, and the whole; both times n^2."""
    counts, levels = np.bincount(gray.ravel(), minlength=256).astype(float), np.arange(256)
    below, total = counts.cumsum(), counts.sum()
    mass = (counts * levels).cumsum()
    above = total - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mass[-1] * below - total * mass) ** 2 / (below * above)
    return between, float(total * (counts * levels * levels).sum() - mass[-1] * mass[-1])


def _centred(light: np.ndarray) -> tuple[np.ndarray, str]:
    """A light digit on dark ground [H, W] -> uint8 [28, 28, 1], framed, and why it may be none."""
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
    return result, _doubt(strokes)


def _doubt(strokes: np.ndarray) -> str:
    """Why what fills a box, bool [H, W], may not be one digit; '' where nothing tells against it.

    Of MNIST's 10,000 test digits 5 are doubted: they are in two parts.
    """
    edge = _edge(strokes)
    ends = ((strokes[:edge], 0), (strokes[-edge:], 0), (strokes[:, :edge], 1), (strokes[:, -edge:], 1))
    sides = [np.any(end, axis=axis) for end, axis in ends]
    if all(side.mean() >= _COVERED or len(_runs(side)) >= _CROSSED for side in sides):
        return _FRAME
    parts = (np.flatnonzero(strokes[:, part].any(1)) for part in _runs(np.any(strokes, axis=0)))
    tall = [rows for rows in parts if rows[-1] - rows[0] + 1 >= _TALL * len(strokes)]
    return _SEVERAL if len(tall) > 1 else ""


def _runs(line: np.ndarray) -> list[slice]:
    """Where the stretches of True lie in bool [N]."""
    ends = np.flatnonzero(np.diff(np.pad(line.astype(int), 1)))
    return [slice(start, end) for start, end in zip(ends[::2], ends[1::2], strict=True)]


def _without_specks(strokes: np.ndarray) -> np.ndarray:
    """bool [H, W] without its small spots."""
    labels, _ = ndimage.label(strokes, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= _SPECK * sizes.max())[labels] & strokes
