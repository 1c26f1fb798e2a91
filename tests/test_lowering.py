"""The two layouts compute the same: every layer, every network, forward and backward, and a run of steps."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_steps import STEPS, adam, assert_close, compilation, follow, no_progress, noise, set_up, start

from fer_jax import models
from fer_jax.errors import ConfigError
from fer_jax.models import convolution, lowering
from fer_jax.models.convolution import by_rows, native
from fer_jax.models.layers import (
    BatchNorm,
    Conv,
    DepthwiseConv,
    Dropout,
    DropPath,
    Flatten,
    GlobalAveragePool,
    MaxPool,
    SpaceToDepth,
    SqueezeExcite,
    scale_pixels,
    standardise,
)
from fer_jax.models.lowering import FEW, HCWN, NHWC, choose_layout, moved
from fer_jax.models.residual import Block
from fer_jax.pacing import Pace


def test_the_layout_is_chosen_by_platform_and_batch(monkeypatch):
    assert [choose_layout("auto", batch) for batch in (1, FEW - 1, FEW, 512)] == [NHWC, NHWC, HCWN, HCWN]
    assert [choose_layout(layout, batch) for layout in (NHWC, HCWN) for batch in (1, 512)] == [NHWC] * 2 + [HCWN] * 2
    for platform in ("gpu", "tpu"):
        monkeypatch.setattr(jax, "default_backend", lambda platform=platform: platform)
        assert choose_layout("auto", 512) == NHWC
        assert choose_layout(HCWN, 512) == HCWN


@pytest.mark.parametrize("name", ["mnist_15k", "fer2013_vgg", "fer2013_mini"])
def test_an_unknown_layout_is_refused(name):
    with pytest.raises(ConfigError, match="config.model.layout: .*NCHW"):
        models.create(name=name, layout="NCHW")


def test_axes_keep_their_names():
    x = jnp.zeros((2, 3, 4, 5))
    assert moved(x, NHWC, HCWN).shape == (3, 5, 4, 2)
    assert moved(moved(x, NHWC, HCWN), HCWN, NHWC).shape == x.shape
    assert lowering.axes(HCWN, "NHWC") == (3, 0, 2, 1)


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 6])  # 6 is the image's own height: one row comes out.
@pytest.mark.parametrize("width", [6, 7, 8, 9])
@pytest.mark.parametrize("features", [5, 32])
def test_both_convolutions_are_one(kernel_size, padding, width, features):
    """Odd and even numbers of columns, and a single one, with the gradients by the image and by the kernel."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 6, width, 3))
    kernel = rng.normal(size=(kernel_size, kernel_size, 3, features))

    def outputs(convolution):
        out, vjp = jax.vjp(convolution, x, kernel)
        return out, *vjp(jnp.cos(jnp.arange(out.size).reshape(out.shape)).astype(out.dtype))

    with jax.enable_x64(True):
        one = outputs(lambda x, kernel: native(x, kernel, padding))
        other = outputs(lambda x, kernel: moved(by_rows(moved(x, NHWC, HCWN), kernel, padding), HCWN, NHWC))
    sides = (6, width) if padding == "SAME" else (7 - kernel_size, width + 1 - kernel_size)
    assert one[0].shape == (4, *sides, features)
    for a, b in zip(one, other, strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13 * np.abs(a).max(), strict=True)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="it is the lowering of a CPU")
@pytest.mark.parametrize("features", [8, 32])
def test_what_is_behind_a_convolution_is_differentiated_once(features):
    """And not in each of the sums that are made of the derivative, which made a step half as fast."""

    def loss(x, kernel, weight):
        return (jax.nn.relu(by_rows(x, kernel, "SAME")) * weight).sum()

    x, kernel, weight = jnp.ones((12, 8, 12, 16)), jnp.ones((3, 3, 8, features)), jnp.ones((12, features, 12, 16))
    compiled = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(x, kernel, weight).compile().as_text()
    # Of the ReLU: where its input is above 0.
    assert len(re.findall(r"pred\[\S+ compare\(.*direction=GT", compiled)) == 1


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("bfloat16", 2e-2), ("float16", 2e-3)])
def test_both_convolutions_round_alike(dtype, tolerance):
    """Against float64, relative to the largest value: one must not lose digits that the other keeps."""
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(16, 12, 12, 32)), rng.normal(size=(3, 3, 32, 32)) / 17

    def outputs(convolution, dtype):
        out, vjp = jax.vjp(lambda x, kernel: convolution(x, kernel, "SAME"), x.astype(dtype), kernel.astype(dtype))
        return [np.asarray(a, np.float64) for a in (out, *vjp(jnp.cos(out)))]

    def rows(x, kernel, padding):
        return moved(by_rows(moved(x, NHWC, HCWN), kernel, padding), HCWN, NHWC)

    with jax.enable_x64(True):
        exact = outputs(native, np.float64)
        for convolution in (native, rows):
            for found, wanted in zip(outputs(convolution, jnp.dtype(dtype)), exact, strict=True):
                assert np.abs(found - wanted).max() < tolerance * np.abs(wanted).max()


def _answer(x, kernel, padding):
    """What nothing is differentiated for, which takes another scheme where rows are long."""
    return moved(by_rows(moved(x, NHWC, HCWN), kernel, padding), HCWN, NHWC)


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize("columns", [1, 2, 11, 12, 13, 14, 15, 28])
@pytest.mark.parametrize("size", [1, 3])
def test_an_answer_is_that_of_both_convolutions(columns, padding, size):
    rng = np.random.default_rng(0)
    width = columns + (size - 1) * (padding == "VALID")
    x, kernel = rng.normal(size=(4, 6, width, 8)), rng.normal(size=(size, size, 8, 5))
    with jax.enable_x64(True):
        one, other = native(x, kernel, padding), _answer(x, kernel, padding)
        assert other.dtype == np.float64 and one.shape[2] == columns
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-13 * np.abs(one).max(), strict=True)
        narrow = np.asarray(_answer(x.astype(np.float32), kernel.astype(np.float32), padding), np.float64)
        assert np.abs(narrow - one).max() < 4e-6 * np.abs(one).max()


def test_what_is_trained_is_0_over_a_blank_patch_beside_ink():
    """Rounding in its place would give half of the patch a gradient through a ReLU."""
    x = np.random.default_rng(0).random((2, 12, 24, 8)).astype(np.float32)
    x[:, :, 12:] = 0
    kernel = np.random.default_rng(1).normal(size=(3, 3, 8, 8)).astype(np.float32)
    out, _ = jax.vjp(lambda x: _answer(x, kernel, "SAME"), x)
    assert not np.asarray(out)[:, :, 13:].any() and np.asarray(out)[:, :, :12].all()


LAYERS = {
    "conv": lambda layout: Conv(5, layout=layout),
    "conv same": lambda layout: Conv(5, 2, padding="SAME", use_bias=False, layout=layout),
    "depthwise": lambda layout: DepthwiseConv(layout=layout),
    "depthwise of an even side": lambda layout: DepthwiseConv(4, layout),
    "batch norm": BatchNorm,
    "dropout": lambda layout: Dropout(0.3, layout),
    "drop path": lambda layout: DropPath(0.5, layout),
    "squeeze and excite": lambda layout: SqueezeExcite(2, layout),
    "block": lambda layout: Block(6, squeeze=2, drop_path=0.5, residual=True, layout=layout),
    "max pool": lambda layout: MaxPool(layout=layout),
    "max pool same": lambda layout: MaxPool("SAME", layout),
    "space to depth": SpaceToDepth,
    "flatten": Flatten,
    "average": GlobalAveragePool,
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("shape", [(3, 6, 8, 4), (3, 7, 5, 4)])
def test_a_layer_is_one_function_in_both_layouts(name, shape):
    if name == "space to depth" and shape[1] % 2:
        pytest.skip("takes even sides only")
    rng = np.random.default_rng(0)
    mask = np.array([True, False, True])

    def outputs(layout):
        layer = LAYERS[name](layout)
        # Few values, so that a maximum has equals.
        x = moved(jnp.asarray(rng.integers(-2, 3, shape) * 0.5), NHWC, layout)
        words = {"batch norm": (mask, True), "block": (mask, True), "dropout": (True,), "drop path": (True,)}.get(
            name, ()
        )
        keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}

        def apply(variables, x):
            out, moving = layer.apply(variables, x, *words, rngs=keys, mutable=["batch_stats"])
            return (moved(out, layout, NHWC) if out.ndim == 4 else out), moving

        @jax.jit
        def all_of(x):
            out, vjp, moving = jax.vjp(apply, layer.init(keys, x, *words), x, has_aux=True)
            of_variables, of_x = vjp(jnp.cos(jnp.arange(out.size, dtype=out.dtype)).reshape(out.shape))
            return out, moving, of_variables, moved(of_x, layout, NHWC)

        return all_of(x)

    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        one = outputs(NHWC)
        rng = np.random.default_rng(0)
        other = outputs(HCWN)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12, strict=True), one, other)


def test_pixels_are_prepared_alike():
    images = noise(5).images
    for prepare in (
        scale_pixels,
        lambda images, dtype, layout: standardise(scale_pixels(images, dtype, layout), layout),
    ):
        one, other = (prepare(images, "float32", layout) for layout in (NHWC, HCWN))
        np.testing.assert_allclose(one, moved(other, HCWN, NHWC), rtol=0, atol=1e-5)


# One with everything that MNIST's have, one with every layer of the faces', and our own.
@pytest.mark.parametrize("name", ["mnist_nobias", "fer2013_mini", "mnist_best_1k"])
def test_a_network_is_one_function_in_both_layouts(name):
    """In float64: the logits in training, with dropout, and the gradients of all parameters."""
    rng = np.random.default_rng(0)
    plain = models.create(name=name, dtype="float64", layout=NHWC)
    images = rng.integers(0, 256, (4, *plain.image_shape)).astype(np.uint8)
    mask = np.array([True, True, False, True])
    weights = rng.normal(size=(4, plain.num_classes))

    def outputs(model):
        def loss(params):
            out, moving = model.apply(
                {"params": params, "batch_stats": variables.get("batch_stats", {})},
                images,
                train=True,
                mask=mask,
                rngs={"dropout": jax.random.key(1)},
                mutable=["batch_stats"],
            )
            return jnp.where(mask[:, None], weights * out, 0).sum(), (out, moving)

        return jax.jit(jax.grad(loss, has_aux=True))(variables["params"])

    with jax.enable_x64(True):
        variables = jax.tree.map(lambda x: x.astype(np.float64), jax.jit(plain.init)(jax.random.key(0), images))
        one, other = outputs(plain), outputs(plain.clone(layout=HCWN))
    scale = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(one))
    assert scale > 0.1
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * scale, strict=True), one, other)


def test_training_is_the_same_in_float64(tiny):
    """On four devices, with a batch that does not divide among them."""
    with jax.enable_x64(True), compilation(quick=True):
        runs = [
            follow(set_up(models.create(name=tiny, dtype="float64", layout=layout), adam(), 4), 50)
            for layout in (NHWC, HCWN)
        ]
    (losses, state), (other_losses, other_state) = runs
    np.testing.assert_allclose(losses, other_losses, rtol=0, atol=1e-9)
    assert_close(state, other_state, 1e-9)


@pytest.mark.parametrize("many", [0, 1000])
def test_devices_send_each_other_sums_and_no_images(tiny, many, monkeypatch):
    """Their steps would take half as long again."""
    monkeypatch.setattr(convolution, "_MANY", many)
    with compilation(quick=True):
        setup = set_up(models.create(name=tiny, layout=HCWN), adam(), 2)
        state = start(setup)
        order = setup.programs.order(state, np.int32(0))
        lowered = setup.programs.train.lower(state, no_progress(setup), setup.examples, order, np.int32(1))
        text = lowered.compile().as_text()
    assert " all-reduce(" in text
    assert not re.findall(r" (?:all-gather|all-to-all|collective-permute)(?:-start)?\(", text)


def test_the_first_losses_are_the_same_in_float32(tiny):
    one, other = (
        follow(set_up(models.create(name=tiny, layout=layout), adam(), 1), STEPS)[0] for layout in (NHWC, HCWN)
    )
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_the_first_call_on_a_cpu_is_one_step():
    assert Pace(0, 100).steps == 1
    assert Pace(5, 100).steps == 5
