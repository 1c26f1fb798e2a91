"""The frames of a video or a camera, through OpenCV."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fer_jax.errors import DataError, warn
from fer_jax.predict.opencv import opencv

_PURPOSE = "reading a video or a camera"


class Frame(NamedTuple):
    """One frame.

    Attributes:
      pixels: uint8 [H, W, 3], RGB.
      place: 'frame', counted from 0, and 'seconds' from the start.
    """

    pixels: np.ndarray
    place: dict[str, Any]


def check_opencv() -> None:
    """Raises UserError if OpenCV is not installed."""
    opencv(_PURPOSE)


def every(frames: Iterator[Frame], step: int) -> Iterator[Frame]:
    """Each `step`-th frame, the first one included."""
    return itertools.islice(frames, 0, None, step)


def open_video(path: Path, name: str = "") -> Iterator[Frame]:
    """The frames of a video; one that breaks off is told of when it does.

    Args:
      path: its file.
      name: what errors call it; the empty string for its path.

    Raises:
      DataError: it cannot be read, or holds no frame.
    """
    cv2 = opencv(_PURPOSE)
    name = name or str(path)
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise DataError(f"{name} is empty: get it again, or remove it")
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from error
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise DataError(f"{name} cannot be read as a video: it is damaged, or of a kind that OpenCV does not know")
        expected = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        rate = capture.get(cv2.CAP_PROP_FPS)
        count = 0
        for count, pixels in enumerate(_read(cv2, capture), 1):
            yield Frame(pixels, {"frame": count - 1, "seconds": round((count - 1) / rate, 3) if rate > 0 else None})
        if not count:
            raise DataError(f"{name} holds no frame that can be read: it is damaged or truncated")
        # What a file says of its length is an estimate.
        if count < 0.9 * expected - 1:
            warn(f"{name} breaks off after {count:,} of about {expected:,} frames")
    finally:
        capture.release()


def open_camera(index: int) -> Iterator[Frame]:
    """The frames of a camera, until the caller stops.

    Raises:
      DataError: there is no such camera, or it gives no picture.
    """
    cv2 = opencv(_PURPOSE)
    capture = cv2.VideoCapture(index)
    first = next(_read(cv2, capture), None) if capture.isOpened() else None
    if first is None:
        capture.release()
        raise DataError(f"--camera={index}: there is no such camera, or it is in use (they are counted from 0)")
    return _of_camera(cv2, capture, first)


def _of_camera(cv2: Any, capture: Any, first: np.ndarray) -> Iterator[Frame]:
    start = time.monotonic()
    try:
        for number, pixels in enumerate(itertools.chain([first], _read(cv2, capture))):
            yield Frame(pixels, {"frame": number, "seconds": round(time.monotonic() - start, 3)})
    finally:
        capture.release()


def _read(cv2: Any, capture: Any) -> Iterator[np.ndarray]:
    """Frames uint8 [H, W, 3], RGB, up to the first that cannot be read."""
    while True:
        there, pixels = capture.read()
        if not there:
            return
        yield cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
