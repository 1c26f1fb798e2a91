"""Saliency against finite differences, against its own sum, and against networks with other weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from fer_jax import inside, models
from fer_jax.data import digits

NAMES = ["mnist_15k", "mnist_best_1k", "fer2013_mini"]


def network(name, dtype="float32", seed=0):
    model = models.create(name=name, dtype=dtype)
    variables = model.init(jax.random.key(seed), jnp.zeros((1, *model.image_shape), jnp.uint8))
    # Statistics and scales as training leaves them, and not 0 and 1.
    rng = np.random.default_rng(seed)
    return model, jax.tree.map(lambda leaf: leaf + 0.1 * rng.random(leaf.shape).astype(leaf.dtype), dict(variables))


def pictures(model, count=3):
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (count, *model.image_shape), np.uint8), rng.integers(0, model.num_classes, count)


@pytest.mark.parametrize("name", NAMES)
def test_layers_are_found(name):
    model, variables = network(name)
    layers = inside.layers_of(model)
    assert inside.kernels(variables, layers.first).shape[2] in (1, 4)
    maps = inside.feature_maps(model, variables, pictures(model)[0][0], layers.last)
    assert maps.ndim == 3 and maps.shape[0] > 1


@pytest.mark.parametrize("name", ["mnist_15k", "fer2013_mini"])
def test_integrated_gradients_are_those_of_finite_differences(name):
    """In float64: the integral of each pixel's derivative along the way, the derivative taken from both sides."""
    with jax.enable_x64(True):
        model, variables = network(name, "float64")
        images, classes = pictures(model, 1)
        found = inside.integrated_gradients(model, variables, images.astype(np.float64), classes, 30.0, steps=4)
        logit = jax.jit(lambda at: model.clone(layout="NHWC").apply(variables, at)[0, classes[0]])
        for y, x in ((3, 4), (14, 13), (20, 9)):
            total = 0.0
            for step in range(4):
                at = 30.0 + (step + 0.5) / 4 * (images.astype(np.float64) - 30.0)
                high, low = at.copy(), at.copy()
                high[0, y, x, 0] += 1e-4
                low[0, y, x, 0] -= 1e-4
                total += float(logit(high) - logit(low)) / 2e-4
            expected = (images[0, y, x, 0] - 30.0) * total / 4
            np.testing.assert_allclose(found[0, y, x, 0], expected, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_integrated_gradients_add_up_to_the_difference_of_the_logits(name):
    model, variables = network(name)
    images, classes = pictures(model)
    found = inside.integrated_gradients(model, variables, images, classes, 0.0, steps=300)
    logits = np.asarray(model.apply(variables, np.concatenate([images, np.zeros_like(images)])))
    each = np.arange(len(images))
    expected = logits[each, classes] - logits[len(images) + each, classes]
    np.testing.assert_allclose(found.sum((1, 2, 3)), expected, rtol=0.03, atol=0.02 * np.abs(expected).max())


def test_grad_cam_is_that_of_finite_differences():
    with jax.enable_x64(True):
        model, variables = network("mnist_15k", "float64")
        images, classes = pictures(model, 1)
        layer = inside.layers_of(model).last
        maps = inside.feature_maps(model, variables, images[0], layer)
        own = model.clone(layout="NHWC")
        weights = np.zeros(maps.shape[-1])
        for channel in range(maps.shape[-1]):
            change = np.zeros((1, *maps.shape))
            change[..., channel] = 1e-5
            high, low = (
                inside._logits(own, variables, images, layer, sign * change)[0, classes[0]] for sign in (1, -1)
            )
            weights[channel] = float(high - low) / 2e-5 / maps[..., 0].size
        low = np.maximum((maps * weights).sum(-1), 0)
        expected = inside._spread(low, (28, 28), inside._row(model, layer).step)
        found = inside.grad_cam(model, variables, images, classes, layer).maps[0]
        np.testing.assert_allclose(found, expected / low.max(), atol=1e-5)


def test_saliency_depends_on_what_was_learnt():
    """The randomisation check of Adebayo et al. (2018): with other weights in the last layers the maps are others."""
    model = models.create(name="mnist_best_1k")
    images = digits.load().splits["test"].images[:20]
    classes = digits.load().splits["test"].labels[:20]
    _, variables = network("mnist_best_1k", seed=0)
    _, others = network("mnist_best_1k", seed=1)
    changed = {**variables, "params": {**variables["params"], "Dense_0": others["params"]["Dense_0"]}}
    layer = inside.layers_of(model).last
    # With signs, and where there is ink: the size of integrated gradients is that of the image, whatever was learnt.
    inked = images[..., 0] > 60
    for saliency in (
        lambda found: inside.grad_cam(model, found, images, classes, layer).maps,
        lambda found: inside.integrated_gradients(model, found, images, classes, steps=8)[..., 0],
    ):
        one, same, other = (saliency(found) for found in (variables, variables, changed))
        np.testing.assert_array_equal(one, same)
        pairs = [(a[where], b[where]) for a, b, where in zip(one, other, inked, strict=True)]
        ranks = [stats.spearmanr(a, b).statistic for a, b in pairs if np.ptp(a) and np.ptp(b)]
        assert len(ranks) > 5 and np.mean(ranks) < 0.7, ranks


def test_a_class_that_nothing_speaks_for_has_an_empty_map():
    model, variables = network("mnist_best_1k")
    images, classes = pictures(model)
    dense = {name: jnp.zeros_like(leaf) for name, leaf in variables["params"]["Dense_0"].items()}
    silent = {**variables, "params": {**variables["params"], "Dense_0": dense}}
    found = inside.grad_cam(model, silent, images, classes, inside.layers_of(model).last).maps
    assert (found == 0).all() and found.shape == (3, 28, 28)


@pytest.mark.parametrize("name", NAMES)
def test_the_square_is_what_the_strongest_place_is_computed_from(name):
    """The strongest place is asked for its pixels; the map is strongest over their middle."""
    model, variables = network(name)
    images, classes = pictures(model)
    layer = inside.layers_of(model).last
    cam = inside.grad_cam(model, variables, images, classes, layer)
    own, row = model.clone(layout="NHWC"), inside._row(model, layer)
    sides = np.array(inside.feature_maps(model, variables, images[0], layer).shape[:2])
    for (top, left, side), each in zip(cam.fields, cam.maps, strict=True):
        middle = np.array([top, left]) + side / 2
        y, x = np.rint((middle - (np.array(model.image_shape[:2]) - 1) / 2) / row.step + (sides - 1) / 2).astype(int)

        def place(at, y=y, x=x):
            return (inside._output_of(own, variables, at, layer)[:, y, x] ** 2).sum()

        seen = np.zeros(model.image_shape[:2], bool)
        for image in np.random.default_rng(2).integers(0, 256, (8, 1, *model.image_shape)).astype(np.float32):
            seen |= np.asarray(jax.grad(place)(jnp.asarray(image)))[0, ..., 0] != 0
        for axis, begin in ((1, top), (0, left)):
            pixels = np.flatnonzero(seen.any(axis=axis))
            assert pixels[0] >= begin - row.step / 2 - 0.5 and pixels[-1] <= begin + side + row.step / 2
            if begin > row.step and begin + side < seen.shape[0] - row.step:
                assert abs((pixels[0] + pixels[-1]) / 2 - (begin + side / 2)) <= row.step
        peak = each[tuple(np.clip(np.rint(middle).astype(int), 0, np.array(each.shape) - 1))]
        assert peak > 0.7 and each.max() <= 1 + 1e-6
