"""The only way from a picture, of any size and kind, to the uint8 input of a network."""

import contextlib
import functools
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fer_jax.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""The endings by which a data set's pictures are known, in lower case."""
ALL_SUFFIXES = (
    *SUFFIXES,
    *(".jfif", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".j2k"),
)
"""Those of every format that is read."""

# Pillow knows more, some of which run other programs (EPS starts Ghostscript).
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")

Source = str | Path | bytes | Image.Image | np.ndarray
"""A picture: a file, the bytes of one, what Pillow has opened, or its pixels, uint8 [H, W] or [H, W, 1 or 3]."""

_SMALLEST_SIDE = 8
# A few bytes may promise pixels that fill the memory; a photograph has up to 20 a byte.
_MANY_PIXELS, _PIXELS_A_BYTE = 2**24, 200
_SIXTEEN_BITS = 65535


def fit_image(source: Source, image_shape: tuple[int, int, int], name: str = "") -> np.ndarray:
    """Fits a picture to a network: turned upright, gray or RGB, cut to the middle, scaled.

    It is turned as its EXIF says; what is transparent shows white behind it; 16-bit samples are scaled to 8 bits;
    colour becomes gray by ITU-R 601 luma, gray becomes three equal channels; the largest middle part with the network's
    aspect is scaled with Lanczos. A picture that has the size and the channels already keeps its bytes. Of several
    frames the first is used.

    Args:
      source: the picture.
      image_shape: (height, width, channels), with 1 or 3 channels.
      name: what errors call the picture; '' for its path.

    Returns:
      uint8 [H, W, C].

    Raises:
      DataError: naming the picture, if it is none, is damaged, has more pixels than Pillow takes to be harmless (some
        89 million) or than its bytes can hold, or fewer than 8 pixels on a side (fewer than the network's, for smaller
        networks): nothing can be seen in it, and scaled up it would be answered like any other.
    """
    height, width, channels = image_shape
    mode = {1: "L", 3: "RGB"}[channels]
    with _opened(source, name, min(_SMALLEST_SIDE, height, width)) as (image, name):
        plain = _plain(image, name)
        plain = plain if plain.mode == mode else plain.convert(mode)
        return np.asarray(_fitted(plain, width, height), np.uint8).reshape(image_shape)


def read_picture(source: Source, name: str = "") -> np.ndarray:
    """A whole picture, as `fit_image` would turn and colour it: what is to be fitted can be cut out of it.

    Args:
      source: the picture.
      name: what errors call it; '' for its path.

    Returns:
      uint8 [H, W, 1] of a gray picture, [H, W, 3] of one in colour.

    Raises:
      DataError: as `fit_image`, for a network of 8 pixels or more on a side.
    """
    with _opened(source, name, _SMALLEST_SIDE) as (image, name):
        pixels = np.asarray(_plain(image, name), np.uint8)
        return pixels[..., None] if pixels.ndim == 2 else pixels


def fit_part(gray: np.ndarray, height: int, width: int) -> np.ndarray:
    """A part of a gray picture, uint8 [H, W], fitted as by `fit_image`, however small it is: uint8 [height, width]."""
    return np.asarray(_fitted(Image.fromarray(gray), width, height))


def _fitted(image: Image.Image, width: int, height: int) -> Image.Image:
    """The middle of a picture that has the shape asked for, scaled, as `ImageOps.fit` does it.

    Along its rows first: Pillow 13 chooses the order by its own lights, and the roundings between are others.
    """
    wide, wanted = image.width / image.height, width / height
    inner_width = wanted * image.height if wide > wanted else image.width
    inner_height = image.width / wanted if wide < wanted else image.height
    left, top = (image.width - inner_width) * 0.5, (image.height - inner_height) * 0.5
    rows = image.resize((width, image.height), Image.Resampling.LANCZOS, (left, 0, left + inner_width, image.height))
    return rows.resize((width, height), Image.Resampling.LANCZOS, (0, top, width, top + inner_height))


@contextlib.contextmanager
def _opened(source: Source, name: str, smallest: int) -> Iterator[tuple[Image.Image, str]]:
    """The picture, of which only the header has been read, and its name; what goes wrong with it is told."""
    if not name:
        name = str(source) if isinstance(source, str | Path) else getattr(source, "filename", "") or "the picture"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of harmless faults, such as an EXIF entry that cannot be read.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with _image(source, name) as image:
                if min(image.size) < smallest:
                    raise DataError(
                        f"{name} is {image.width}x{image.height} pixels: a picture needs {smallest} on each side"
                    )
                yield image, name
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise DataError(
                f"{name} has more pixels than the {Image.MAX_IMAGE_PIXELS} that are read: scale it down first"
            ) from error
        except UnidentifiedImageError as error:
            raise DataError(f"{name} is not a picture ({', '.join(_formats())}): get it again, or remove it") from error
        except DataError:
            raise
        except Exception as error:  # Pillow's decoders raise OSError, ValueError, SyntaxError, struct.error, ...
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(
                f"{name} cannot be decoded ({reason}), so it is damaged, truncated or of a rare kind: get it again, or "
                "remove it"
            ) from error


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of the formats that this Pillow was built with."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _image(source: Source, name: str) -> contextlib.AbstractContextManager[Image.Image]:
    if isinstance(source, np.ndarray):
        gray = source.ndim == 3 and source.shape[-1] == 1
        return contextlib.nullcontext(Image.fromarray(source[..., 0] if gray else source))
    if isinstance(source, Image.Image):
        return contextlib.nullcontext(source)  # The caller opened it and is to close it.
    if not isinstance(source, bytes):
        try:
            source = Path(os.path.expanduser(source)).read_bytes()
        except (OSError, ValueError) as error:
            raise DataError(f"{name} cannot be read: {getattr(error, 'strerror', error)}") from error
    if not source:
        raise DataError(f"{name} is empty: get it again, or remove it")
    image = Image.open(io.BytesIO(source), formats=_formats())
    if image.width * image.height > max(_MANY_PIXELS, _PIXELS_A_BYTE * len(source)):
        image.close()
        raise DataError(
            f"{name} promises {image.width}x{image.height} pixels in {len(source):,} bytes: scale it down first"
        )
    return image


@contextlib.contextmanager
def _quiet_libtiff(image: Image.Image) -> Iterator[None]:
    """Keeps off stderr what libtiff writes there of damage, past Python; Pillow's own error tells of it too."""
    if image.format != "TIFF":
        yield
        return
    try:
        kept = os.dup(2)
    except OSError:  # There is no stderr.
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _upright(image: Image.Image) -> Image.Image:
    with _quiet_libtiff(image):
        image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF that cannot be read says nothing: viewers show such a picture as it is stored.
        return image


def _plain(image: Image.Image, name: str) -> Image.Image:
    """The picture upright, in 'L' where it is gray, or else in 'RGB'."""
    sixteen_bits = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    image = _upright(image)
    if sixteen_bits:
        values = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((values * 255 + _SIXTEEN_BITS // 2) // _SIXTEEN_BITS).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise DataError(f"{name} has 32-bit samples, whose white is not known: save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.mode == "1":
        return image.convert("L")
    # Pillow turns some modes into RGB only, and palettes into gray less exactly.
    return image if image.mode in ("L", "RGB") else image.convert("RGB")
