"""What of a picture the network is shown: its faces, its digit framed as MNIST's, or the whole of it."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from fer_jax.data.dataset import DataSet
from fer_jax.data.fit_image import fit_image
from fer_jax.errors import ConfigError
from fer_jax.predict.digits import LEAST_CONTRAST, SIDE, frame_digit
from fer_jax.predict.faces import Box, Detector, cut_out, make_detector

DETECT = ("auto", "faces", "digits", "none")

FACE_SCALES = {"fer2013": 1.04, "facial_expressions": 1.2}
"""How much wider the training pictures are than the boxes that the Haar cascade finds in them (medians)."""
_YUNET_SCALE = 0.95
"""How much higher a box of the Haar cascade is than YuNet's of the same face (median over FER2013 faces)."""
_DIGITS = ("mnist", "digits")
_NO_DIGIT = (
    f"no digit found: the picture is blank, or ink and ground are less than {LEAST_CONTRAST} of 255 gray levels apart: "
    "raise its contrast"
)


class Crop(NamedTuple):
    """What the network is shown.

    Attributes:
      image: uint8 [H, W, C].
      box: of the face in the picture; None where none was looked for.
      inverted: whether a digit was dark on light; None where none was looked for.
      centred: whether a digit was cut out, scaled and centred; None as well.
      doubt: why it may not be what was looked for; '' where nothing tells against it.
    """

    image: np.ndarray
    box: Box | None = None
    inverted: bool | None = None
    centred: bool | None = None
    doubt: str = ""


class Framer(NamedTuple):
    """How pictures are framed.

    Attributes:
      crops: a picture uint8 [H, W, 1 or 3] -> what of it the network is shown.
      nothing: what is said of a picture of which it is shown nothing.
      about: the way in words, for a person.
    """

    crops: Callable[[np.ndarray], list[Crop]]
    nothing: str
    about: str


def make_framer(dataset: DataSet, image_shape: tuple[int, int, int], detect: str, detector: str = "") -> Framer:
    """The framer for a network.

    Args:
      dataset: what it was trained on; read for its name only.
      image_shape: of its input.
      detect: one of `DETECT`; 'auto' is 'faces' for FER2013 and facial_expressions, 'digits' for MNIST, or else
        'none'.
      detector: the file of a YuNet model, or '' for the Haar cascade.

    Raises:
      ConfigError: an option that does not go with the network or the other option.
      UserError: OpenCV is needed and not installed, or cannot read the model.
    """
    name = dataset.stand_in_for or dataset.name
    if detect == "auto":
        detect = "faces" if name in FACE_SCALES else "digits" if dataset.name in _DIGITS else "none"
    if detector and detect != "faces":
        raise ConfigError(f"--detector={detector} looks for faces, and --detect is '{detect}' here: leave one out")
    if detect == "faces":
        find = make_detector(detector)
        scale = FACE_SCALES.get(name, 1.0) * (_YUNET_SCALE if detector else 1)
        crops = partial(_faces, find=find, scale=scale, image_shape=image_shape)
        return Framer(crops, "no face found", f"faces found by {'YuNet' if detector else 'the Haar cascade'}")
    if detect == "digits":
        if image_shape != (SIDE, SIDE, 1):
            raise ConfigError("--detect=digits frames digits for networks of 28x28 gray pixels, and this is none")
        # The stand-in's digits fill their pictures and were never centred.
        centre = dataset.name != "digits"
        about = "digits framed as MNIST's" if centre else "digits made white on black"
        return Framer(partial(_digit, centre=centre), _NO_DIGIT, about)
    return Framer(lambda picture: [Crop(fit_image(picture, image_shape))], "", "whole pictures")


def _faces(picture: np.ndarray, find: Detector, scale: float, image_shape: tuple[int, int, int]) -> list[Crop]:
    # A picture no more than twice the size of the network's is a face cut out before, as in the data sets themselves.
    if min(picture.shape[:2]) <= 2 * min(image_shape[:2]):
        return [Crop(fit_image(picture, image_shape))]
    return [Crop(cut_out(picture, box, scale, image_shape), box) for box in find(picture)]


def _digit(picture: np.ndarray, centre: bool) -> list[Crop]:
    digit = frame_digit(picture, centre)
    return [Crop(digit.image, None, digit.inverted, digit.centred, digit.doubt)] if digit else []
