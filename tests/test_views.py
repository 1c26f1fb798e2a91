"""Test-time augmentation, pinned on pixels."""

import jax
import numpy as np
import pytest

from fer_jax.data.views import copies, views_up_to

RAMP = (np.arange(20)[:, None] * 10 + np.arange(20)).astype(np.uint8).reshape(1, 20, 20, 1)
"""Pixel (row, column) is 10 row + column."""


def shown(images, view):
    return np.asarray(jax.jit(copies, static_argnums=1)(images, view))


def noise(shape):
    return np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)


def test_plain_is_the_image():
    assert (shown(RAMP, "plain") == RAMP[None]).all()


def test_flip_is_the_image_and_its_mirror_image():
    images = noise((3, 5, 4, 2))
    found = shown(images, "flip")
    assert found.dtype == np.uint8 and found.shape == (2, 3, 5, 4, 2)
    assert (found[0] == images).all()
    assert (found[1] == images[:, :, ::-1]).all()


def test_ten_crop_is_corners_and_centre_and_their_mirror_images():
    found = shown(RAMP, "ten_crop")
    assert found.dtype == np.uint8 and found.shape == (10, 1, 20, 20, 1)
    assert (found[5:] == found[:5, :, :, ::-1]).all()
    # The outermost pixels of a crop of 18 keep their values: they are what shows where the crop lay.
    corners = found[:5, 0, [0, 0, -1, -1], [0, -1, 0, -1], 0].tolist()
    origins = [0, 2, 20, 22, 11]
    assert corners == [[origin, origin + 17, origin + 170, origin + 187] for origin in origins]


def test_an_enlarged_crop_is_linear_between_the_centres_of_pixels():
    row = shown(RAMP, "ten_crop")[0, 0, 0, :, 0]
    places = np.clip((np.arange(20) + 0.5) * 0.9 - 0.5, 0, 17)
    np.testing.assert_allclose(row, places, atol=0.5)
    assert (np.diff(row.astype(int)) >= 0).all()


@pytest.mark.parametrize("shape", [(2, 48, 48, 1), (2, 28, 28, 1), (1, 30, 20, 3)])
def test_enlarging_is_as_in_jax_to_the_nearest_whole_number(shape):
    images = noise(shape)
    height, width = (round(0.9 * side) for side in shape[1:3])
    corner = images[:, :height, :width].astype(np.float32)
    expected = np.asarray(jax.image.resize(corner, shape, "linear", antialias=False))
    found = shown(images, "ten_crop")[0].astype(np.float32)
    assert np.abs(found - expected).max() <= 0.5 + 1e-3
    assert np.abs(found - images).max() > 50


def test_a_uniform_image_stays_as_it_is():
    for value in (0, 7, 255):
        assert (shown(np.full((1, 48, 48, 1), value, np.uint8), "ten_crop") == value).all()


def test_the_smallest_image_has_ten_crops():
    assert (shown(np.full((1, 1, 1, 1), 9, np.uint8), "ten_crop") == 9).all()


def test_the_views_up_to_the_richest():
    assert views_up_to("") == ("plain",)
    assert views_up_to("flip") == ("plain", "flip")
    assert views_up_to("ten_crop") == ("plain", "flip", "ten_crop")
