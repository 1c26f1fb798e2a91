"""The residual network for faces: its blocks, gates and stochastic depth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import models
from fer_jax.errors import ConfigError
from fer_jax.models.layers import DropPath, SqueezeExcite
from fer_jax.models.lowering import HCWN, NHWC, moved
from fer_jax.models.residual import Block
from fer_jax.summary import describe


def drop_path(rate, x, layout=NHWC):
    return DropPath(rate, layout).apply({}, x, True, rngs={"dropout": jax.random.key(0)})


@pytest.mark.parametrize("layout", [NHWC, HCWN])
def test_stochastic_depth_leaves_out_whole_images_at_its_rate(layout):
    x = moved(jnp.ones((4000, 2, 3, 5)), NHWC, layout)
    found = np.asarray(moved(drop_path(0.2, x, layout), layout, NHWC)).reshape(4000, -1)
    assert (found == found[:, :1]).all()
    assert set(np.unique(found)) == {0.0, np.float32(1.25)}
    assert abs((found[:, 0] == 0).mean() - 0.2) < 0.02


def test_stochastic_depth_does_nothing_at_inference_and_at_rate_zero():
    x = jnp.ones((3, 2, 2, 1))
    assert (drop_path(0.0, x) == x).all()
    assert (DropPath(0.5).apply({}, x, False) == x).all()


@pytest.mark.parametrize("layout", [NHWC, HCWN])
def test_a_gate_is_a_sigmoid_of_two_dense_layers_on_the_means(layout):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 4, 5, 6)).astype(np.float32)
    gate = SqueezeExcite(3, layout)
    variables = gate.init(jax.random.key(0), moved(jnp.asarray(x), NHWC, layout))
    variables = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), variables)
    first, second = (variables["params"][f"Dense_{place}"] for place in (0, 1))
    assert first["kernel"].shape == (6, 2)
    hidden = np.maximum(x.mean((1, 2)) @ first["kernel"] + first["bias"], 0)
    wanted = x / (1 + np.exp(-(hidden @ second["kernel"] + second["bias"])))[:, None, None]
    found = moved(gate.apply(variables, moved(jnp.asarray(x), NHWC, layout)), layout, NHWC)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_a_block_whose_branch_is_nothing_is_its_input():
    """And without its skip connection it is nothing."""
    x, mask = jnp.abs(jax.random.normal(jax.random.key(1), (2, 8, 8, 4))), jnp.ones(2, bool)
    block = Block(4, squeeze=2, drop_path=0.0, residual=True, layout=NHWC)
    variables = block.init(jax.random.key(0), x, mask, False)
    variables["params"]["BatchNorm_1"]["scale"] *= 0
    assert (block.apply(variables, x, mask, False) == x).all()
    assert (block.clone(residual=False).apply(variables, x, mask, False) == 0).all()


def test_ablations_keep_the_depth_and_lose_what_they_name():
    whole, plain, ungated = (
        describe(models.create(name="fer2013_best", **fields), (48, 48, 1))
        for fields in ({}, {"residual": False}, {"squeeze": 0})
    )
    assert whole.total <= 5_000_000 and whole.multiply_adds <= 500_000_000

    def count(summary, kind):
        return sum(row.kind == kind for row in summary.rows)

    # Three blocks change the number of channels.
    assert count(whole, "Conv") - count(plain, "Conv") == 3
    assert count(whole, "Dense") == 15 and count(ungated, "Dense") == 1
    assert count(plain, "DropPath") == 0 and count(whole, "DropPath") == 7


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"channels": 0}, "config.model.channels"),
        ({"squeeze": -1}, "config.model.squeeze"),
        ({"drop_path": 1.0}, "config.model.drop_path"),
        ({"image_side": 20}, "multiple of 8, not 20"),
    ],
)
def test_what_the_network_cannot_be(fields, message):
    with pytest.raises(ConfigError, match=message):
        models.create(name="fer2013_best", **fields)
