"""OpenCV, which the extra `faces` installs: imported here alone, when it is needed."""

import functools
import os
from types import ModuleType

from fer_jax.errors import UserError


@functools.cache
def opencv(purpose: str) -> ModuleType:
    """The module cv2, which keeps what goes wrong in it to itself.

    Args:
      purpose: what needs it, for the message.

    Raises:
      UserError: it is not installed.
    """
    # FFmpeg inside it prints what it finds odd in a video; what a user must know is said in our own words.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    try:
        import cv2
    except ImportError as error:
        raise UserError(f"{purpose} needs OpenCV, which is not installed: pip install 'fer_jax[faces]'") from error
    return cv2
