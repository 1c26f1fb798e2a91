"""The networks of the seed documents by their counts, and the layers that they are made of."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from fer_jax import models
from fer_jax.errors import ConfigError
from fer_jax.models.layers import BatchNorm, Conv, Dense, Dropout, GlobalAveragePool, MaxPool

# Trainable and other values, as the documents' tables have them.
COUNTS = {
    "mnist_vanilla": (49_220, 0),
    "mnist_10k": (10_524, 0),
    "mnist_15k": (13_688, 192),
    "mnist_20k": (19_742, 268),
    "mnist_13k": (12_436, 228),
    "mnist_16k": (15_650, 308),
    "mnist_11k": (10_684, 160),
    "mnist_nobias": (14_292, 276),
    "mnist_best_15k": (14_722, 244),
    "mnist_best_8k": (7_704, 176),
    "mnist_best_4k": (3_706, 280),
    "mnist_best_1k": (914, 84),
    "fer2013_vgg": (13_415_879, 5_376),
    "fer2013_cnn": (5_902_151, 3_712),
    "facial_expressions": (1_081_096, 0),
    "fer2013_best": (4_453_790, 5_984),
}
CLASSES = {"fer2013_vgg": 7, "fer2013_cnn": 7, "facial_expressions": 8, "fer2013_best": 7}
"""Ten elsewhere."""


@functools.cache
def shapes(name, batch=1):
    """The variables of a network and its logits, as shapes."""
    model = models.create(name=name)
    images = jax.ShapeDtypeStruct((batch, *model.image_shape), jnp.uint8)
    logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
    return variables, logits


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name):
    variables, _ = shapes(name)
    found = count(variables["params"]), count(variables.get("batch_stats", {}))
    assert found == COUNTS[name]
    assert count(variables) == sum(COUNTS[name])


@pytest.mark.parametrize("name", COUNTS)
def test_float32_logits_of_every_class_an_image(name):
    _, logits = shapes(name, batch=3)
    assert (logits.shape, logits.dtype) == ((3, CLASSES.get(name, 10)), jnp.float32)
    model, side = models.create(name=name), 48 if name in CLASSES else 28
    assert (model.image_shape, model.num_classes) == ((side, side, 1), CLASSES.get(name, 10))


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_are_float32_whatever_is_computed_in(name):
    variables, _ = shapes(name)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    half = models.create(name=name, dtype="bfloat16")
    logits = jax.eval_shape(half.apply, variables, jax.ShapeDtypeStruct((2, *half.image_shape), jnp.uint8))
    assert logits.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    "name, side, flat", [("fer2013_vgg", 33, 9), ("fer2013_cnn", 34, 4), ("facial_expressions", 30, 4)]
)
def test_a_network_for_faces_takes_other_sides_and_classes(name, side, flat):
    """A 'SAME' pooling rounds up (33, 17, 9, 5, 3), a 'VALID' one down."""
    model = models.create(name=name, image_side=side, num_classes=5)
    assert (model.image_shape, model.num_classes) == ((side, side, 1), 5)
    images = jax.ShapeDtypeStruct((2, side, side, 1), jnp.uint8)
    logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
    assert logits.shape == (2, 5)
    channels = variables["params"][sorted(k for k in variables["params"] if k.startswith("Conv"))[-1]]["bias"].size
    assert variables["params"]["Dense_0"]["kernel"].shape[0] == flat * channels


@pytest.mark.parametrize("name", [name for name in COUNTS if name not in CLASSES])
def test_a_network_for_digits_takes_other_classes_and_only_its_head_changes(name):
    model = models.create(name=name, num_classes=3)
    images = jax.ShapeDtypeStruct((2, 28, 28, 1), jnp.uint8)
    logits, other = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
    assert (logits.shape, model.num_classes) == ((2, 3), 3)
    own, other = (dict(jax.tree.leaves_with_path(tree)) for tree in (shapes(name)[0], other))
    assert own.keys() == other.keys()
    changed = [path for path in own if own[path].shape != other[path].shape]
    assert changed and all((*own[path].shape[:-1], 3) == other[path].shape for path in changed)


@pytest.mark.parametrize("name, least", [("fer2013_vgg", 1), ("fer2013_cnn", 18), ("facial_expressions", 22)])
def test_an_image_that_a_network_for_faces_cannot_take(name, least):
    smallest = models.create(name=name, image_side=least)
    images = jax.ShapeDtypeStruct((2, *smallest.image_shape), jnp.uint8)
    shapes = jax.eval_shape(smallest.init, jax.random.key(0), images)
    assert min(shapes["params"]["Dense_0"]["kernel"].shape) > 0
    for side in (least - 1, 0, -48):
        with pytest.raises(
            ConfigError, match=rf"config.model.image_side = {side} is too small: .*; take {least} or more"
        ):
            models.create(name=name, image_side=side)


@pytest.mark.parametrize("name", COUNTS)
def test_a_network_has_two_classes_or_more(name):
    with pytest.raises(ConfigError, match=r"config.model.num_classes must be at least 2, not 1"):
        models.create(name=name, num_classes=1)


@pytest.mark.parametrize("field", ["dropout", "dense_dropout", "last_dropout"])
def test_the_rates_of_a_network_for_faces_are_below_one(field):
    with pytest.raises(ConfigError, match=rf"config.model.{field} must be at least 0 and below 1, not 1.0"):
        models.create(name="fer2013_cnn", **{field: 1.0})


@pytest.mark.parametrize(
    "name, rates", [("fer2013_vgg", [0.4] * 4 + [0.5] * 2), ("fer2013_cnn", [0.5] * 4 + [0.4, 0.4, 0.5])]
)
def test_dropout_rates_of_the_large_networks_in_order(name, rates, monkeypatch):
    seen = []
    monkeypatch.setattr(Dropout, "__call__", lambda self, x, train: (seen.append(self.rate), x)[1])
    model = models.create(name=name)
    jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 48, 48, 1), jnp.uint8))
    assert seen == rates


def test_the_last_convolution_has_dropout_on_demand():
    images = np.random.default_rng(0).integers(0, 256, (64, 28, 28, 1), np.uint8)
    key = jax.random.key(1)
    create = functools.partial(models.create, name="mnist_nobias", dropout=0.0, layout="NHWC")
    plain = create()
    variables = jax.jit(plain.init)(key, images)

    def logits(model):
        apply = jax.jit(functools.partial(model.apply, train=True, rngs={"dropout": key}, mutable=["batch_stats"]))
        return apply(variables, images)[0]

    dropped = np.asarray(logits(create(last_dropout=0.5)))
    kept = dropped != 0
    assert 0.4 < kept.mean() < 0.6
    np.testing.assert_allclose(dropped[kept], 2 * np.asarray(logits(plain))[kept], rtol=1e-5)
    with pytest.raises(ConfigError, match=r"config.model.last_dropout must be at least 0 and below 1, not 1"):
        models.create(name="mnist_nobias", last_dropout=1)


@pytest.mark.parametrize("name", ["fer2013_vgg", "fer2013_cnn"])
def test_batch_norm_can_be_taken_out(name):
    model = models.create(name=name, batch_norm=False)
    variables = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 48, 48, 1), jnp.uint8))
    assert "batch_stats" not in variables
    # Two of the four values a channel are trained.
    assert count(variables) == sum(COUNTS[name]) - 2 * COUNTS[name][1]


def test_a_convolution_is_a_sum_of_products():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 5, 3)), jnp.float32)
    variables = Conv(4).init(jax.random.key(0), x)
    variables["params"]["bias"] = jnp.arange(4.0)
    out = Conv(4).apply(variables, x)
    kernel = variables["params"]["kernel"]
    np.testing.assert_allclose(out[0, 0, 0, 3] - 3, (x[0, :3, :3, :, None] * kernel)[..., 3].sum(), atol=1e-6)


def test_a_masked_batch_norm_is_that_of_the_partial_batch():
    rng = np.random.default_rng(0)
    x = rng.normal(2, 3, size=(8, 5, 5, 4)).astype(np.float32)
    mask = np.array([True, False, True, True, False, True, True, False])
    template = jax.eval_shape(lambda: BatchNorm().init(jax.random.key(0), x, mask, False))
    variables = jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(0.5, 2, leaf.shape), jnp.float32), template)

    def outputs(x, mask, weight):
        def loss(params, x):
            everything = {"params": params, "batch_stats": variables["batch_stats"]}
            out, moved = BatchNorm().apply(everything, x, mask, True, mutable=["batch_stats"])
            return jnp.where(mask[:, None, None, None], weight * out, 0).sum(), (out, moved["batch_stats"])

        return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(variables["params"], x)

    weight = rng.normal(size=x.shape).astype(np.float32)
    (loss, (out, moved)), (of_params, of_x) = outputs(x, mask, weight)
    (loss_alone, (out_alone, moved_alone)), (of_params_alone, of_x_alone) = outputs(
        x[mask], np.ones(mask.sum(), bool), weight[mask]
    )
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=2e-5)
    close(loss, loss_alone)
    close(out[mask], out_alone)
    close(of_x[mask], of_x_alone)
    assert (of_x[~mask] == 0).all()
    jax.tree.map(close, moved, moved_alone)
    jax.tree.map(close, of_params, of_params_alone)
    x64, stats = x[mask].astype(np.float64), variables["batch_stats"]
    close(moved["mean"], 0.99 * stats["mean"] + 0.01 * x64.mean((0, 1, 2)))
    close(moved["var"], 0.99 * stats["var"] + 0.01 * x64.var((0, 1, 2)))  # Biased: divided by n, not n - 1.


def dropped(rate, key, shape=(64, 26, 26, 12), value=1.0):
    return np.asarray(Dropout(rate).apply({}, jnp.full(shape, value), True, rngs={"dropout": jax.random.key(key)}))


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.9])
def test_dropout_drops_at_its_rate_and_scales_the_rest(rate):
    out = dropped(rate, 0, value=3.0)
    spread = np.sqrt(rate * (1 - rate) / out.size)
    assert abs((out == 0).mean() - rate) < 4 * spread
    np.testing.assert_allclose(out[out != 0], 3 / (1 - rate), rtol=1e-6)
    # No image, pixel or channel is dropped more than another.
    for axes in ((1, 2, 3), (0, 3), (0, 1, 2)):
        rates = (out == 0).mean(axes)
        assert np.abs(rates - rate).max() < 5 * spread * np.sqrt(rates.size)


def test_dropout_is_a_function_of_its_key():
    mask = dropped(0.3, 7) == 0
    assert (mask == (dropped(0.3, 7) == 0)).all()
    assert (mask != (dropped(0.3, 8) == 0)).any()


def test_dropout_masks_are_independent():
    """Of consecutive keys and steps, of the next place, row and image, and of two layers of a network."""
    keys = [jax.random.fold_in(jax.random.key(0), step) for step in range(6)]
    shape = (32, 26, 26, 12)
    masks = [np.asarray(Dropout(0.5).apply({}, jnp.ones(shape), True, rngs={"dropout": key}) == 0) for key in keys]
    masks += [dropped(0.5, key, shape) == 0 for key in range(6)]
    signs = [mask * 2.0 - 1 for mask in masks]
    bound = 5 / np.sqrt(signs[0].size)
    for i, a in enumerate(signs):
        for b in signs[:i]:
            assert abs((a * b).mean()) < bound
        for axis in range(4):
            assert abs((a * np.roll(a, 1, axis)).mean()) < bound


def test_dropout_of_rate_zero_and_at_inference_does_nothing():
    x = jnp.arange(6.0).reshape(2, 3)
    assert Dropout(0.0).apply({}, x, True) is x
    assert Dropout(0.5).apply({}, x, False) is x


def test_a_traced_dropout_rate_gives_the_same_mask():
    def run(rate):
        return Dropout(rate).apply({}, jnp.ones((8, 50)), True, rngs={"dropout": jax.random.key(3)})

    for rate in (0.0, 0.3):
        fixed = run(rate)
        traced = jax.jit(run)(rate)
        np.testing.assert_array_equal(fixed == 0, traced == 0)
        np.testing.assert_allclose(fixed, traced, rtol=1e-6)


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize("height, width", [(4, 4), (5, 4), (4, 7), (9, 9), (2, 3)])
def test_max_pool_is_that_of_reduce_window(height, width, padding):
    def reduce_window(x):
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), padding)

    rng = np.random.default_rng(0)
    # Small whole numbers: most windows have equals, of which only one may get the gradient.
    x = jnp.asarray(rng.integers(-3, 0, size=(16, height, width, 3)), jnp.float32)
    expected, expected_vjp = jax.vjp(reduce_window, x)
    found, vjp = jax.vjp(lambda x: MaxPool(padding).apply({}, x), x)
    np.testing.assert_array_equal(found, expected, strict=True)
    cotangent = jnp.asarray(rng.normal(size=found.shape), jnp.float32)
    np.testing.assert_array_equal(vjp(cotangent)[0], expected_vjp(cotangent)[0], strict=True)


def test_dense_is_a_matrix_product_and_a_bias():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(3, 5)), jnp.float32)
    variables = Dense(4).init(jax.random.key(0), x)
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
    # glorot_uniform: evenly within the root of 6 / (inputs + outputs).
    wide = Dense(300).init(jax.random.key(1), jnp.ones((1, 200)))["params"]["kernel"]
    assert 0.99 < np.abs(wide).max() / np.sqrt(6 / 500) <= 1
    assert abs(np.asarray(wide).std() / np.sqrt(2 / 500) - 1) < 0.01
    assert kernel.shape == (5, 4) and (bias == 0).all() and bias.shape == (4,)
    variables["params"]["bias"] = bias = jnp.arange(4.0)
    expected = np.asarray(x, np.float64) @ np.asarray(kernel, np.float64) + np.arange(4)
    np.testing.assert_allclose(Dense(4).apply(variables, x), expected, rtol=1e-5, atol=1e-6)
    pixels = Dense(4).apply(variables, x.reshape(1, 3, 1, 5))
    np.testing.assert_allclose(pixels.reshape(3, 4), expected, rtol=1e-5, atol=1e-6)


def test_global_average_pool_is_the_mean_over_pixels():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 5, 4)), jnp.float32)
    found = GlobalAveragePool().apply({}, x)
    np.testing.assert_allclose(found, np.asarray(x, np.float64).mean((1, 2)), atol=1e-6)
    # One image's value does not depend on another's, so that a masked place changes nothing.
    np.testing.assert_array_equal(GlobalAveragePool().apply({}, x.at[1].set(jnp.nan))[0], found[0])


@pytest.mark.parametrize("layer", [Dense(4), GlobalAveragePool(), MaxPool("SAME")])
def test_layers_compute_in_the_type_they_are_given(layer):
    x = jnp.ones((2, 3, 3, 4), jnp.bfloat16)
    out, variables = layer.init_with_output(jax.random.key(0), x)
    assert out.dtype == jnp.bfloat16
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))
    # 65,536 ones: a sum in bfloat16 would stop at 256.
    assert float(GlobalAveragePool().apply({}, jnp.ones((1, 256, 256, 1), jnp.bfloat16))[0, 0]) == 1
