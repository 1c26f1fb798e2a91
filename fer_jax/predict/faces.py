"""Finding faces in a picture with OpenCV, and cutting them out as the network's training pictures were.

Two detectors: the Haar cascade that comes with OpenCV, for faces seen from the front, and YuNet, a small network whose
file the user brings (github.com/opencv/opencv_zoo), for turned and partly hidden ones too.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fer_jax.data.fit_image import fit_image
from fer_jax.errors import ConfigError, UserError
from fer_jax.predict.opencv import opencv

_PURPOSE = "looking for faces"
_WITHOUT = "; without it, --detect=none takes each picture as one face"
_CASCADE = "haarcascade_frontalface_alt2.xml"
_NEIGHBOURS = 3
"""How many overlapping finds make a face: 5 misses a quarter of FER2013 faces pasted into a plain ground, 3 a fifth."""
_YUNET_SCORE = 0.6
_LONGEST_SIDE = 1024
"""Pixels; a larger picture is searched in a smaller copy, whose smallest face is then some 2 % of it."""
_SMALLEST = 24
"""Pixels on the side of the smallest face that is looked for, in the copy that is searched."""


class Box(NamedTuple):
    """A part of a picture, in its pixels as it stands upright: whole numbers, `left` and `top` from 0."""

    left: int
    top: int
    width: int
    height: int


Detector = Callable[[np.ndarray], list[Box]]
"""A picture uint8 [H, W, 1 or 3 (RGB)] -> where its faces are, the largest first."""


def make_detector(file: str = "") -> Detector:
    """A detector of faces: YuNet with the model in `file`, or '' for the Haar cascade.

    Raises:
      ConfigError: there is no such file.
      UserError: OpenCV is not installed, or cannot read the file.
    """
    if not file:
        return _haar()
    if not Path(file).is_file():
        raise ConfigError(f"--detector={file}: there is no such file; it names a YuNet model (.onnx)")
    return _yunet(file)


def _haar() -> Detector:
    cv2 = _opencv()
    cascade = cv2.CascadeClassifier(f"{cv2.data.haarcascades}{_CASCADE}")

    def detect(picture: np.ndarray) -> list[Box]:
        small, scale = _searched(picture)
        gray = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        found = cascade.detectMultiScale(gray, 1.1, _NEIGHBOURS, minSize=(_SMALLEST, _SMALLEST))
        return _boxes(found, scale, picture)

    return detect


def _yunet(file: str) -> Detector:
    cv2 = _opencv()
    try:
        network = cv2.FaceDetectorYN.create(file, "", (320, 320), _YUNET_SCORE)
        # What is no model of faces shows only when it is used.
        network.detect(np.zeros((320, 320, 3), np.uint8))
    except cv2.error as error:
        raise UserError(f"--detector={file} cannot be used by OpenCV's FaceDetectorYN: name a YuNet model") from error

    def detect(picture: np.ndarray) -> list[Box]:
        small, scale = _searched(picture)
        colour = cv2.cvtColor(small, cv2.COLOR_GRAY2BGR if small.ndim == 2 else cv2.COLOR_RGB2BGR)
        network.setInputSize((colour.shape[1], colour.shape[0]))
        _, found = network.detect(colour)
        return _boxes([] if found is None else found[:, :4], scale, picture)

    return detect


def _opencv() -> Any:
    try:
        return opencv(_PURPOSE)
    except UserError as error:
        raise UserError(f"{error}{_WITHOUT}") from error


def _searched(picture: np.ndarray) -> tuple[np.ndarray, float]:
    """The copy that is searched, [H, W] or [H, W, 3], and how many pixels of the picture one of it stands for."""
    cv2 = _opencv()
    plain = picture[..., 0] if picture.shape[-1] == 1 else picture
    scale = max(picture.shape[:2]) / _LONGEST_SIDE
    if scale <= 1:
        return np.ascontiguousarray(plain), 1.0
    size = (max(1, round(picture.shape[1] / scale)), max(1, round(picture.shape[0] / scale)))
    return cv2.resize(plain, size, interpolation=cv2.INTER_AREA), scale


def _boxes(found: Any, scale: float, picture: np.ndarray) -> list[Box]:
    """Boxes in pixels of the picture, those inside it, the largest first."""
    height, width = picture.shape[:2]
    boxes = []
    for left, top, across, down in np.asarray(found, float).reshape(-1, 4) * scale:
        left, right = np.clip([left, left + across], 0, width)
        top, bottom = np.clip([top, top + down], 0, height)
        box = Box(round(left), round(top), round(right - left), round(bottom - top))
        if min(box.width, box.height) >= 1:
            boxes.append(box)
    return sorted(boxes, key=lambda box: (-box.width * box.height, box))


def cut_out(picture: np.ndarray, box: Box, scale: float, image_shape: tuple[int, int, int]) -> np.ndarray:
    """A face as the network takes it: the square about its box, `scale` times as wide, as far as the picture goes.

    Args:
      picture: uint8 [H, W, 1 or 3].
      box: of the face.
      scale: what a training picture shows, as a multiple of the box.
      image_shape: of the network.

    Returns:
      uint8 [*image_shape].
    """
    height, width = picture.shape[:2]
    side = min(max(round(scale * max(box.width, box.height)), 8), height, width)
    left = min(max(round(box.left + (box.width - side) / 2), 0), width - side)
    top = min(max(round(box.top + (box.height - side) / 2), 0), height - side)
    return fit_image(picture[top : top + side, left : left + side], image_shape, "a face")
