"""Pictures of every kind become the network's bytes, or one sentence that names them."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fer_jax.data.fit_image import fit_image
from fer_jax.errors import DataError

GRAY, COLOUR = (48, 48, 1), (48, 48, 3)
# Luma by ITU-R 601 of the colour below: 0.299 * 200 + 0.587 * 100 + 0.114 * 50.
TONE, LUMA = (200, 100, 50), 124


def noise(*shape: int) -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)


def content(image: Image.Image, kind: str = "png", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int) -> bytes:
    """The beginning of a PNG that promises a size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100)))


@pytest.mark.parametrize("shape", [GRAY, COLOUR, (28, 28, 1), (40, 56, 3), (4, 4, 1)])
@pytest.mark.parametrize("given", ["path", "text", "bytes", "picture"])
def test_size_and_channels_that_fit_keep_their_bytes(tmp_path, shape, given):
    pixels = noise(*shape)
    image = Image.fromarray(pixels[..., 0] if shape[2] == 1 else pixels)
    path = tmp_path / "a.png"
    image.save(path)
    source = {"path": path, "text": str(path), "bytes": path.read_bytes(), "picture": image}[given]
    got = fit_image(source, shape)
    assert got.dtype == np.uint8 and got.flags.c_contiguous
    np.testing.assert_array_equal(got, pixels)


def test_a_picture_that_was_opened_stays_open_and_as_it_was():
    image = Image.fromarray(noise(60, 80, 3))
    before = image.tobytes()
    fit_image(image, GRAY)
    assert image.tobytes() == before and image.size == (80, 60)


def test_gray_becomes_three_equal_channels():
    pixels = noise(48, 48)
    np.testing.assert_array_equal(fit_image(content(Image.fromarray(pixels)), COLOUR), pixels[..., None].repeat(3, 2))


def as_mode(mode: str) -> Image.Image:
    """A picture of one colour, stored in another way."""
    colour = Image.new("RGB", (60, 60), TONE)
    if mode == "palette":
        return colour.quantize(4)
    if mode == "opaque":
        return colour.convert("RGBA")
    return colour.convert(mode)


@pytest.mark.parametrize(
    ("mode", "kind", "within"),
    [
        *[("RGB", "png", 0), ("palette", "png", 0), ("palette", "gif", 0), ("opaque", "png", 0), ("opaque", "webp", 3)],
        *[("RGB", "jpeg", 2), ("L", "jpeg", 1), ("CMYK", "jpeg", 4), ("CMYK", "tiff", 1), ("YCbCr", "tiff", 2)],
        *[("RGB", "bmp", 0), ("RGB", "webp", 3), ("RGB", "ppm", 0), ("LA", "png", 0)],
    ],
)
def test_colour_modes(mode, kind, within):
    picture = content(as_mode(mode), kind)
    assert np.abs(fit_image(picture, GRAY).astype(int) - LUMA).max() <= within
    if mode not in ("L", "LA"):
        assert np.abs(fit_image(picture, COLOUR).astype(int) - TONE).max() <= 2 * within + 1


def test_one_bit_is_black_and_white():
    pixels = noise(48, 48) > 127
    np.testing.assert_array_equal(fit_image(content(Image.fromarray(pixels)), GRAY)[..., 0], pixels * 255)


@pytest.mark.parametrize("kind", ["png", "tiff", "ppm"])
def test_sixteen_bits_are_scaled_to_eight(kind):
    pixels = noise(48, 48).astype(np.uint16)
    got = fit_image(content(Image.fromarray(pixels * 257), kind), GRAY)
    np.testing.assert_array_equal(got[..., 0], pixels)
    limits = np.repeat(np.array([[128, 129, 65534, 65535]], np.uint16), 4, 0)
    assert fit_image(content(Image.fromarray(limits), kind), (4, 4, 1))[0, :, 0].tolist() == [0, 1, 255, 255]


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "RGB"])
def test_what_is_transparent_shows_white_behind_it(mode):
    alpha = np.zeros((48, 48), np.uint8)
    alpha[:24], alpha[24:36] = 255, 51
    if mode in ("LA", "RGBA"):
        picture = content(Image.fromarray(np.dstack([np.zeros((48, 48, len(mode) - 1), np.uint8), alpha])))
        want = np.select([alpha == 255, alpha == 51], [0, 204], 255)
    else:
        image = Image.fromarray(alpha).point(lambda value: value // 200 * 9).convert(mode)
        picture = content(image, transparency=0 if mode == "P" else (0, 0, 0))
        want = np.where(alpha == 255, 9, 255)
    np.testing.assert_array_equal(fit_image(picture, GRAY)[..., 0], want)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_a_picture_upright(orientation):
    upright = noise(48, 48)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = content(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(fit_image(picture, GRAY)[..., 0], upright)
    np.testing.assert_array_equal(fit_image(Image.open(io.BytesIO(picture)), GRAY)[..., 0], upright)


def test_exif_that_cannot_be_read_says_nothing():
    pixels = noise(48, 48)
    picture = content(Image.fromarray(pixels), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(fit_image(picture, GRAY)[..., 0], pixels)


@pytest.mark.parametrize("tall", [False, True])
@pytest.mark.parametrize(("length", "margin"), [(144, 48), (50, 1), (4800, 2376)])
def test_middle_is_cut_out(tall, length, margin):
    pixels = np.zeros((48, length), np.uint8)
    pixels[:, margin : margin + 48] = noise(48, 48)
    want = pixels[:, margin : margin + 48]
    got = fit_image(Image.fromarray(np.ascontiguousarray(pixels.T) if tall else pixels), GRAY)[..., 0]
    np.testing.assert_array_equal(got.T if tall else got, want)


def test_middle_has_the_aspect_of_the_network():
    pixels = np.zeros((90, 90), np.uint8)
    pixels[30:60] = 255
    assert fit_image(Image.fromarray(pixels), (10, 30, 1)).min() > 200


def test_scaling_is_antialiased_and_keeps_the_mean():
    fine = np.indices((480, 480)).sum(0) % 2 * 255
    got = fit_image(Image.fromarray(fine.astype(np.uint8)), GRAY)
    assert 126 <= got.min() and got.max() <= 129
    ramp = np.tile(np.linspace(0, 255, 200).astype(np.uint8), (200, 1))
    assert abs(fit_image(Image.fromarray(ramp), GRAY).mean() - ramp.mean()) < 0.5


def test_of_several_frames_the_first_is_used():
    frames = [Image.new("L", (48, 48), tone) for tone in (30, 200)]
    assert (fit_image(content(frames[0], "gif", save_all=True, append_images=frames[1:]), GRAY) == 30).all()


def test_the_smallest_picture_there_may_be():
    assert fit_image(Image.new("L", (8, 9), 7), GRAY).shape == GRAY
    assert fit_image(Image.new("L", (5, 5), 7), (5, 5, 1)).shape == (5, 5, 1)


JPEG = content(Image.fromarray(noise(90, 90, 3)), "jpeg")
PNG = content(Image.fromarray(noise(90, 90)))
DEEP = Image.fromarray(noise(50, 50).astype(np.float32))


@pytest.mark.parametrize(
    ("name", "bytes_", "message"),
    [
        ("text.jpg", b"this is no picture\n" * 20, "is not a picture (JPEG, PNG,"),
        ("page.png", b"<!DOCTYPE html><html>404</html>", "is not a picture"),
        ("drawing.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "is not a picture"),
        ("drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg' width='90' height='90'/>", "is not a picture"),
        ("empty.jpg", b"", "is empty"),
        ("short.jpg", JPEG[: len(JPEG) // 2], "cannot be decoded"),
        ("header.jpg", JPEG[:200], "cannot be decoded"),
        ("short.png", PNG[: len(PNG) // 2], "cannot be decoded"),
        ("flipped.png", PNG[:2000] + bytes(200) + PNG[2200:], "cannot be decoded"),
        ("pixel.png", content(Image.new("L", (1, 1))), "is 1x1 pixels: a picture needs 8 on each side"),
        ("line.png", content(Image.new("RGB", (300, 1))), "is 300x1 pixels: a picture needs 8 on each side"),
        ("bomb.png", png(60_000, 60_000), "has more pixels than the 89478485 that are read"),
        ("large.png", png(10_000, 9_000), "has more pixels than the 89478485 that are read"),
        ("float.tiff", content(DEEP, "tiff"), "has 32-bit samples, whose white is not known"),
        ("int.tiff", content(DEEP.convert("I"), "tiff"), "has 32-bit samples, whose white is not known"),
    ],
)
def test_what_cannot_be_used(tmp_path, name, bytes_, message):
    path = tmp_path / name
    path.write_bytes(bytes_)
    for source in (path, bytes_):
        with pytest.raises(DataError) as caught:
            fit_image(source, GRAY, name="" if source is path else str(path))
        assert str(caught.value).startswith(f"{path} {message}") and "\n" not in str(caught.value)


def test_many_pixels_in_few_bytes_are_not_unpacked():
    buffer = io.BytesIO()
    Image.new("RGB", (8000, 8000)).save(buffer, "WEBP", lossless=True)
    with pytest.raises(DataError, match=r"the picture promises 8000x8000 pixels in [0-9,]+ bytes: scale it down first"):
        fit_image(buffer.getvalue(), (8, 8, 1))


def test_of_a_damaged_tiff_nothing_else_is_said(capfd):
    buffer = io.BytesIO()
    noise = np.random.RandomState(0).randint(0, 256, (12, 12)).astype(np.uint8)
    Image.fromarray(noise).save(buffer, "TIFF", compression="tiff_deflate")
    content = bytearray(buffer.getvalue())
    content[8:12] = b"\xff" * 4
    with pytest.raises(DataError, match="cannot be decoded"):
        fit_image(bytes(content), (8, 8, 1))
    assert capfd.readouterr().err == ""


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.png cannot be read: No such file"):
        fit_image(tmp_path / "nowhere.png", GRAY)
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        fit_image(tmp_path, GRAY)
    with pytest.raises(DataError, match="cannot be read: embedded null"):
        fit_image("a\0b.png", GRAY)


def test_a_damaged_picture_that_was_opened(tmp_path):
    with pytest.raises(DataError, match="^the picture cannot be decoded"):
        fit_image(Image.open(io.BytesIO(PNG[: len(PNG) // 2])), GRAY)
    with pytest.raises(DataError, match="^frame 7 is 3x3 pixels"):
        fit_image(Image.new("L", (3, 3)), GRAY, name="frame 7")
