"""What each random change does to pixels and shares, and what it must not touch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax.data import augment
from fer_jax.errors import ConfigError
from fer_jax.sharding import make_mesh, replicated, sharded_columns

SIDE = 12
COUNT = 512


def noise(count=COUNT, shape=(SIDE, SIDE, 1)):
    return np.random.RandomState(0).randint(0, 256, (count, *shape)).astype(np.uint8)


def changed(images, seed=0, mask=None, **options):
    mask = np.ones(len(images), bool) if mask is None else mask
    function = augment.create(**options)
    assert function is not None
    found = jax.jit(function)(jax.random.key(seed), images, mask)
    assert found.images.dtype == np.uint8 and found.images.shape == images.shape
    return jax.tree.map(np.asarray, found)


def warped(images, *, mirrored=False, degrees=0.0, zoom=1.0, right=0.0, down=0.0):
    count = len(images)
    numbers = {"degrees": degrees, "zoom": zoom, "right": right, "down": down}
    arrays = {key: np.full(count, value, np.float32) for key, value in numbers.items()}
    return np.asarray(jax.jit(augment.warp)(images, mirrored=np.full(count, mirrored), **arrays))


def expected_warp(image, *, mirrored=False, degrees=0.0, zoom=1.0, right=0.0, down=0.0):
    """The same map of one image [H, W, C], pixel by pixel in float64, before rounding."""
    height, width, _ = image.shape
    turn, result = np.deg2rad(degrees), np.zeros(image.shape)
    for row, column in np.ndindex(height, width):
        # Right and up of the centre, moved back, turned back (clockwise), zoomed back, mirrored back.
        x, y = column - (width - 1) / 2 - right, (height - 1) / 2 - row + down
        x, y = (x * np.cos(turn) + y * np.sin(turn)) / zoom, (-x * np.sin(turn) + y * np.cos(turn)) / zoom
        x = np.clip((-x if mirrored else x) + (width - 1) / 2, 0, width - 1)
        y = np.clip((height - 1) / 2 - y, 0, height - 1)
        left, top = int(x), int(y)
        for at_x, share_x in ((left, 1 - x + left), (min(left + 1, width - 1), x - left)):
            for at_y, share_y in ((top, 1 - y + top), (min(top + 1, height - 1), y - top)):
                result[row, column] += share_x * share_y * image[at_y, at_x]
    return result


def test_with_nothing_on_there_is_nothing_to_do():
    assert augment.create() is None


@pytest.mark.parametrize(
    "how",
    [
        {"degrees": 20.0},
        {"zoom": 1.3},
        {"zoom": 0.8},
        {"right": 1.75},
        {"down": -2.5},
        {"mirrored": True, "degrees": -35.0, "zoom": 1.1, "right": 2.25, "down": -1.3},
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(12, 12, 1), (9, 14, 3)], ids=str)
def test_a_warp_is_the_affine_map_that_it_says(how, shape):
    images = noise(2, shape)
    found = warped(images, **how)
    for image, pixels in zip(images, found, strict=True):
        # Rounding to a whole level, and weights in steps of 1/256 on either axis.
        assert np.abs(pixels - expected_warp(image, **how)).max() < 0.5 + 255 / 256


def test_a_positive_angle_turns_against_the_clock():
    image = np.zeros((1, SIDE + 1, SIDE + 1, 1), np.uint8)
    image[0, SIDE // 2, SIDE] = 255  # at three o'clock
    assert np.argwhere(warped(image, degrees=90.0)[0])[:, :2].tolist() == [[0, SIDE // 2]]


def test_flips_and_whole_pixels_are_copies():
    images = noise(3)
    np.testing.assert_array_equal(warped(images, mirrored=True), images[:, :, ::-1])
    np.testing.assert_array_equal(warped(images, right=2.0, down=-3.0), moved(images, 2, -3))
    np.testing.assert_array_equal(warped(images), images)


def moved(images, right, down):
    """The images moved by whole pixels; what comes in repeats the edge."""
    side = images.shape[1]
    columns, rows = (np.clip(np.arange(side) - by, 0, side - 1) for by in (right, down))
    return images[:, rows][:, :, columns]


@pytest.mark.parametrize("probability", [0.25, 1.0])
def test_flip_mirrors_its_share_of_the_images_and_copies_the_rest(probability):
    images = noise()
    found = changed(images, flip=probability).images
    mirrored = (found == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((found == images).all(axis=(1, 2, 3)) ^ mirrored).all()
    # Four standard errors.
    assert abs(mirrored.mean() - probability) <= 4 * np.sqrt(probability * (1 - probability) / COUNT)


def test_crop_moves_by_whole_pixels_and_reaches_every_place():
    images = noise()
    found = changed(images, crop=1).images
    which = np.full(COUNT, -1)
    for number, (right, down) in enumerate((x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)):
        which[(found == moved(images, right, down)).all(axis=(1, 2, 3))] = number
    assert np.bincount(which, minlength=9).min() > COUNT / 9 / 2


def test_shift_moves_by_up_to_its_share_of_the_side():
    # A ramp shows by how much it was moved, away from the edges.
    ramp = np.broadcast_to(np.arange(20, dtype=np.uint8)[None, None, :, None] * 10, (COUNT, 20, 20, 1))
    found = changed(np.ascontiguousarray(ramp), shift=0.2).images
    by = 10 - found[:, 10, 10, 0] / 10
    assert -4.1 <= by.min() < -3.8 and 3.8 < by.max() <= 4.1
    assert abs(by.mean()) < 4 * 4 / np.sqrt(3 * COUNT)
    assert np.unique(by).size > 60


def test_rotation_and_zoom_stay_within_their_limits():
    """A bright dot on dark: where it goes tells the angle and the zoom."""
    image = np.zeros((COUNT, 41, 41, 1), np.uint8)
    image[:, 20, 30] = 255
    x, y = centre_of_mass(changed(image, rotate=30.0).images)
    angles = np.rad2deg(np.arctan2(20 - y, x - 20))
    np.testing.assert_allclose(np.hypot(x - 20, y - 20), 10, atol=0.2)
    assert -31 < angles.min() < -28 and 28 < angles.max() < 31
    x, y = centre_of_mass(changed(image, scale=0.5).images)
    zoom = (x - 20) / 10
    assert 0.6 < zoom.min() < 0.72 and 1.43 < zoom.max() < 1.52
    np.testing.assert_allclose(y, 20, atol=0.05)
    assert abs((zoom > 1).mean() - 0.5) < 4 * 0.5 / np.sqrt(COUNT)


def centre_of_mass(images):
    weight = images[..., 0] / images.sum(axis=(1, 2, 3))[:, None, None]
    side = np.arange(images.shape[1])
    return (weight * side[None, None, :]).sum(axis=(1, 2)), (weight * side[None, :, None]).sum(axis=(1, 2))


def test_brightness_adds_and_contrast_multiplies_about_the_mean():
    images = noise() // 4 + 96
    change = changed(images, brightness=0.2).images.astype(int) - images
    assert (change.min(axis=(1, 2, 3)) == change.max(axis=(1, 2, 3))).all()
    assert -51 <= change.min() < -48 and 48 < change.max() <= 51
    found = changed(images, contrast=0.5).images.astype(float)
    mean = images.mean(axis=(1, 2, 3))
    gain = found.std(axis=(1, 2, 3)) / images.std(axis=(1, 2, 3))
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), mean, atol=0.2)
    assert 0.49 < gain.min() < 0.52 and 1.48 < gain.max() < 1.51
    line = (images - mean[:, None, None, None]) * gain[:, None, None, None] + mean[:, None, None, None]
    np.testing.assert_allclose(found, line, atol=1.5)


def test_light_does_not_wrap_around():
    images = noise()
    found = changed(images, brightness=1.0, contrast=1.0).images
    brighter, darker = found.mean(axis=(1, 2, 3)) > 240, found.mean(axis=(1, 2, 3)) < 15
    assert brighter.any() and darker.any()
    assert (found[brighter][images[brighter] > 250] > 100).all()


def test_erasing_fills_one_rectangle_and_leaves_the_rest():
    images = np.zeros((COUNT, 30, 30, 1), np.uint8)
    found = changed(images, erase=0.5).images[..., 0]
    erased = found.any(axis=(1, 2))
    assert abs(erased.mean() - 0.5) < 4 * 0.5 / np.sqrt(COUNT)
    areas, aspects, tops = [], [], []
    for image in found[erased]:
        # One pixel in 256 of the noise is 0, so the rows and columns tell the rectangle.
        rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        inside = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (inside == 0).mean() < 0.2
        areas.append(height * width / 900)
        aspects.append(height / width)
        tops.append(rows[0])
    assert min(areas) < 0.05 and 0.28 < max(areas) < 0.36
    assert min(aspects) < 0.4 and max(aspects) > 2.5
    assert min(tops) == 0 and max(tops) > 20
    noise_inside = np.concatenate([image[image > 0] for image in found[erased]])
    assert abs(noise_inside.mean() - 128) < 1 and np.unique(noise_inside).size == 255


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 3.0])
def test_the_beta_draws_have_the_moments_of_the_distribution(alpha):
    one, other = np.random.RandomState(0).randint(0, 2**24, (2, 200_000)).astype(np.float32) / 2**24
    one[:2], other[:4] = 0, (0, 0.25, 0.5, 0.75)
    drawn = np.asarray(augment.symmetric_beta(one, other, alpha), np.float64)
    assert ((drawn >= 0) & (drawn <= 1)).all()
    variance = 1 / (4 * (2 * alpha + 1))
    fourth = 3 / (16 * (2 * alpha + 1) * (2 * alpha + 3))
    assert drawn.mean() == pytest.approx(0.5, abs=4 * np.sqrt(variance / 200_000))
    assert drawn.var() == pytest.approx(variance, rel=0.01)
    assert ((drawn - 0.5) ** 4).mean() == pytest.approx(fourth, rel=0.02)


def test_mixup_blends_with_the_partner_by_the_share_it_tells():
    images = noise()
    found = changed(images, mixup=0.4)
    assert found.weight.dtype == np.float32 and ((found.weight >= 0.5) & (found.weight <= 1)).all()
    assert found.weight.min() < 0.6
    assert sorted(found.partner) == list(range(COUNT)) and (found.partner != np.arange(COUNT)).all()
    weight = found.weight[:, None, None, None].astype(np.float64)
    blend = weight * images + (1 - weight) * images[found.partner]
    assert np.abs(found.images - blend).max() <= 0.5


def test_cutmix_shows_the_partner_in_a_box_of_the_share_it_tells():
    images = noise(COUNT, (24, 24, 1))
    found = changed(images, cutmix=1.0)
    others = images[found.partner]
    assert ((found.images == images) | (found.images == others)).all()
    assert found.weight.min() < 0.55 and found.weight.max() > 0.95
    for image, own, other, weight in zip(found.images, images, others, found.weight, strict=True):
        differs = (image != own)[..., 0]
        rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
        box = np.zeros((24, 24), bool)
        if rows.size:
            box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        assert (image[box] == other[box]).all()
        assert weight == pytest.approx(1 - box.mean(), abs=1e-6)


def test_with_mixup_and_cutmix_each_is_half_of_the_time():
    images = noise()
    found = changed(images, mixup=1.0, cutmix=1.0)
    a_copy = ((found.images == images) | (found.images == images[found.partner])).all(axis=(1, 2, 3))
    assert abs(a_copy.mean() - 0.5) < 4 * 0.5 / np.sqrt(COUNT) + 0.01


EVERYTHING = {
    **{"flip": 0.5, "shift": 0.1, "rotate": 20.0, "scale": 0.2, "crop": 2, "erase": 0.5},
    **{"brightness": 0.2, "contrast": 0.2, "mixup": 0.4, "cutmix": 1.0},
}


def test_what_lies_in_a_place_without_an_example_reaches_no_other():
    images, mask = noise(16), np.arange(16) < 11
    one = changed(images, mask=mask, **EVERYTHING)
    other = changed(np.where(mask[:, None, None, None], images, 255 - images), mask=mask, **EVERYTHING)
    assert set(one.partner[mask]) == set(range(11))
    for before, after in zip(one, other, strict=True):
        np.testing.assert_array_equal(before[mask], after[mask])


def test_padding_changes_no_example():
    images = noise(16)
    alone = changed(images[:11], **EVERYTHING)
    padded = changed(images, mask=np.arange(16) < 11, **EVERYTHING)
    for one, other in zip(alone, padded, strict=True):
        np.testing.assert_array_equal(one, other[:11])


def test_partners_skip_places_without_an_example_wherever_they_are():
    mask = np.array([False, True, True, False, False, True, False])
    partner = changed(noise(7), mask=mask, mixup=1.0).partner
    assert partner[mask].tolist() == [2, 5, 1]


def test_an_example_alone_is_its_own_partner():
    images = noise(3)
    found = changed(images, mask=np.array([False, True, False]), mixup=1.0)
    assert found.partner[1] == 1
    np.testing.assert_array_equal(found.images[1], images[1])


@pytest.mark.parametrize("devices", [2, 4])
def test_any_mesh_changes_a_batch_to_the_same_bits(devices):
    images, mask = noise(16), np.arange(16) < 13
    function = augment.create(**EVERYTHING)
    mesh = make_mesh(devices)

    def on_mesh(key, images, mask):
        place = sharded_columns(mesh)
        rows = jax.lax.with_sharding_constraint(jnp.arange(16)[None], place)[0]
        return function(key, images[rows], mask[rows])

    found = jax.jit(on_mesh, out_shardings=replicated(mesh))(jax.random.key(0), images, mask)
    for one, other in zip(changed(images, mask=mask, **EVERYTHING), found, strict=True):
        np.testing.assert_array_equal(one, np.asarray(other))


def test_examples_and_keys_draw_differently_and_the_same_key_the_same():
    images = np.repeat(noise(1), 64, axis=0)
    options = {"shift": 0.2, "rotate": 20.0}
    found = changed(images, **options).images
    assert len({image.tobytes() for image in found}) == 64
    assert (changed(images, **options).images == found).all()
    assert (changed(images, seed=1, **options).images != found).any(axis=(1, 2, 3)).all()


def test_one_thing_on_does_not_change_what_another_draws():
    images = noise()
    both = changed(images, flip=0.5, erase=0.5).images
    alone = changed(images, flip=0.5).images
    # Erasing changes some pixels only: all other pixels tell the same flips.
    assert ((both == alone).mean(axis=(1, 2, 3)) > 0.5).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip": 1.5}, r"config\.augment\.flip must be at most 1, not 1\.5"),
        ({"flip": -0.5}, r"config\.augment\.flip must be at least 0, not -0\.5"),
        ({"shift": 2.0}, r"config\.augment\.shift must be at most 1"),
        ({"rotate": 181.0}, r"config\.augment\.rotate must be at most 180"),
        ({"rotate": float("nan")}, r"config\.augment\.rotate must be at least 0, not nan"),
        ({"scale": 1.1}, r"config\.augment\.scale must be at most 1"),
        ({"crop": -1}, r"config\.augment\.crop must be at least 0"),
        ({"erase": 2.0}, r"config\.augment\.erase must be at most 1"),
        ({"brightness": -0.1}, r"config\.augment\.brightness must be at least 0"),
        ({"contrast": 1.5}, r"config\.augment\.contrast must be at most 1"),
        ({"mixup": -0.2}, r"config\.augment\.mixup must be at least 0"),
        ({"cutmix": float("inf")}, r"config\.augment\.cutmix must be at least 0, not inf"),
    ],
)
def test_a_number_out_of_range_is_refused_by_its_key(options, message):
    with pytest.raises(ConfigError, match=message):
        augment.create(**options)
