"""The layer table against the documents' own tables, and its costs and receptive fields against other ways to count."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import models
from fer_jax.errors import ConfigError
from fer_jax.models.layers import Conv, Dense, Flatten, GlobalAveragePool, MaxPool
from fer_jax.summary import Summary, check_budget, describe, format_table

MNIST = (28, 28, 1)

# Document 001, section 3: each layer, its output without the batch, and its parameters.
MNIST_15K = [
    ("Conv", (26, 26, 12), 120),
    ("BatchNorm", (26, 26, 12), 48),
    ("Dropout", (26, 26, 12), 0),
    ("Conv", (24, 24, 20), 2180),
    ("BatchNorm", (24, 24, 20), 80),
    ("Dropout", (24, 24, 20), 0),
    ("Conv", (24, 24, 10), 210),
    ("MaxPool", (12, 12, 10), 0),
    ("Conv", (10, 10, 16), 1456),
    ("BatchNorm", (10, 10, 16), 64),
    ("Dropout", (10, 10, 16), 0),
    ("Conv", (8, 8, 16), 2320),
    ("BatchNorm", (8, 8, 16), 64),
    ("Dropout", (8, 8, 16), 0),
    ("Conv", (6, 6, 16), 2320),
    ("BatchNorm", (6, 6, 16), 64),
    ("Dropout", (6, 6, 16), 0),
    ("Conv", (4, 4, 16), 2320),
    ("BatchNorm", (4, 4, 16), 64),
    ("Dropout", (4, 4, 16), 0),
    ("Conv", (1, 1, 10), 2570),
    ("Flatten", (10,), 0),
]

# Document 003.
MNIST_NOBIAS = [
    ("Conv", (26, 26, 32), 288),
    ("BatchNorm", (26, 26, 32), 128),
    ("Dropout", (26, 26, 32), 0),
    ("Conv", (26, 26, 10), 320),
    ("Conv", (24, 24, 32), 2880),
    ("BatchNorm", (24, 24, 32), 128),
    ("Dropout", (24, 24, 32), 0),
    ("Conv", (24, 24, 10), 320),
    ("MaxPool", (12, 12, 10), 0),
    ("Conv", (10, 10, 16), 1440),
    ("BatchNorm", (10, 10, 16), 64),
    ("Dropout", (10, 10, 16), 0),
    ("Conv", (10, 10, 10), 160),
    ("Conv", (8, 8, 16), 1440),
    ("BatchNorm", (8, 8, 16), 64),
    ("Dropout", (8, 8, 16), 0),
    ("Conv", (6, 6, 16), 2304),
    ("BatchNorm", (6, 6, 16), 64),
    ("Dropout", (6, 6, 16), 0),
    ("Conv", (4, 4, 16), 2304),
    ("BatchNorm", (4, 4, 16), 64),
    ("Dropout", (4, 4, 16), 0),
    ("Conv", (1, 1, 10), 2560),
    ("BatchNorm", (1, 1, 10), 40),
    ("Flatten", (10,), 0),
]

# Document 002.
FER2013_CNN = [
    ("Conv", (46, 46, 64), 640),
    ("Conv", (46, 46, 64), 36928),
    ("BatchNorm", (46, 46, 64), 256),
    ("MaxPool", (23, 23, 64), 0),
    ("Dropout", (23, 23, 64), 0),
    ("Conv", (23, 23, 128), 73856),
    ("BatchNorm", (23, 23, 128), 512),
    ("Conv", (23, 23, 128), 147584),
    ("BatchNorm", (23, 23, 128), 512),
    ("MaxPool", (11, 11, 128), 0),
    ("Dropout", (11, 11, 128), 0),
    ("Conv", (11, 11, 256), 295168),
    ("BatchNorm", (11, 11, 256), 1024),
    ("Conv", (11, 11, 256), 590080),
    ("BatchNorm", (11, 11, 256), 1024),
    ("MaxPool", (5, 5, 256), 0),
    ("Dropout", (5, 5, 256), 0),
    ("Conv", (5, 5, 512), 1180160),
    ("BatchNorm", (5, 5, 512), 2048),
    ("Conv", (5, 5, 512), 2359808),
    ("BatchNorm", (5, 5, 512), 2048),
    ("MaxPool", (2, 2, 512), 0),
    ("Dropout", (2, 2, 512), 0),
    ("Flatten", (2048,), 0),
    ("Dense", (512,), 1049088),
    ("Dropout", (512,), 0),
    ("Dense", (256,), 131328),
    ("Dropout", (256,), 0),
    ("Dense", (128,), 32896),
    ("Dropout", (128,), 0),
    ("Dense", (7,), 903),
]

# Total, trainable, non-trainable, as the documents print them (mnist_vanilla, fer2013_vgg: counted from their code;
# facial_expressions: from its words).
COUNTS = {
    "mnist_vanilla": (49220, 49220, 0),
    "mnist_10k": (10524, 10524, 0),
    "mnist_15k": (13880, 13688, 192),
    "mnist_20k": (20010, 19742, 268),
    "mnist_13k": (12664, 12436, 228),
    "mnist_16k": (15958, 15650, 308),
    "mnist_11k": (10844, 10684, 160),
    "mnist_nobias": (14568, 14292, 276),
    "fer2013_vgg": (13421255, 13415879, 5376),
    "fer2013_cnn": (5905863, 5902151, 3712),
    "facial_expressions": (1081096, 1081096, 0),
}


class Swish(nn.Module):
    """A kind of layer that the summary has no rule for."""

    @nn.compact
    def __call__(self, x):
        return nn.swish(x.astype("float32"))


class Scaled(nn.Module):
    """A value of its own beside those of its one convolution, which it calls twice."""

    @nn.compact
    def __call__(self, x):
        conv = Conv(1)
        return conv(conv(x)) * self.param("scale", nn.initializers.ones, (1, 1, 1, 1))


def network(name: str) -> nn.Module:
    return models.create(name=name)


def describe_it(name: str) -> Summary:
    model = network(name)
    return describe(model, model.image_shape)


TABLES = [("mnist_15k", MNIST_15K), ("mnist_nobias", MNIST_NOBIAS), ("fer2013_cnn", FER2013_CNN)]


@pytest.mark.parametrize(("name", "table"), TABLES)
def test_rows_are_the_documents(name, table):
    rows = describe_it(name).rows
    assert [(row.kind, row.output_shape, row.params) for row in rows] == [
        (kind, (None, *shape), params) for kind, shape, params in table
    ]


def test_layers_of_a_kind_are_named_in_network_order():
    rows = describe(network("mnist_nobias"), MNIST).rows
    assert [row.name for row in rows if row.kind == "Conv"] == [f"Conv_{i}" for i in range(10)]


@pytest.mark.parametrize("name", COUNTS)
def test_totals(name):
    summary = describe_it(name)
    assert (summary.total, summary.trainable, summary.non_trainable) == COUNTS[name]
    assert sum(row.params for row in summary.rows) == summary.total
    assert summary.rows[-1].receptive_field == network(name).image_shape[0]


def test_multiply_adds_of_mnist_15k_by_hand():
    summary = describe(network("mnist_15k"), MNIST)
    convolutions = [
        26 * 26 * 9 * 1 * 12,
        24 * 24 * 9 * 12 * 20,
        24 * 24 * 1 * 20 * 10,
        10 * 10 * 9 * 10 * 16,
        8 * 8 * 9 * 16 * 16,
        6 * 6 * 9 * 16 * 16,
        4 * 4 * 9 * 16 * 16,
        1 * 1 * 16 * 16 * 10,
    ]
    assert [row.multiply_adds for row in summary.rows if row.kind == "Conv"] == convolutions
    assert sum(convolutions) == 1_846_192
    # BatchNorm: 26*26*12 + 24*24*20 + (100 + 64 + 36 + 16) * 16 values.
    assert summary.multiply_adds == 1_846_192 + 8_112 + 11_520 + 3_456
    assert summary.weight_bytes == 55_520


def test_multiply_adds_are_what_the_compiler_counts():
    """XLA counts two operations for each product that is summed, and one for each bias."""
    model = nn.Sequential([Conv(5, 3), Conv(4, 2, use_bias=False)])
    images = jnp.ones((1, 9, 9, 2))
    variables = model.init(jax.random.key(0), images)
    flops = jax.jit(model.apply).lower(variables, images).cost_analysis()["flops"]
    assert flops == 2 * describe(model, (9, 9, 2)).multiply_adds + 7 * 7 * 5


STACKS = {
    "plain": [Conv(1, 3), Conv(1, 1), Conv(1, 4)],
    "pooled": [Conv(1, 3), MaxPool(), Conv(1, 3), MaxPool(), Conv(1, 2)],
    "same": [Conv(1, 3, padding="SAME"), MaxPool(), Conv(1, 5, padding="SAME"), MaxPool()],
    "pooled first": [MaxPool(), MaxPool(), Conv(1, 2), Conv(1, 3)],
}


@pytest.mark.parametrize("layers", STACKS.values(), ids=STACKS.keys())
def test_receptive_field_is_the_pixels_that_reach_an_output(layers):
    """With every weight 1, an image of one lit pixel lights exactly the outputs that depend on that pixel."""
    side = 31
    model = nn.Sequential(layers)
    images = jnp.eye(side * side).reshape(side * side, side, side, 1)
    variables = jax.tree.map(jnp.ones_like, model.init(jax.random.key(0), images[:1]))
    variables["params"] = {
        name: {key: jnp.zeros_like(value) if key == "bias" else value for key, value in arrays.items()}
        for name, arrays in variables["params"].items()
    }
    outputs = np.asarray(model.apply(variables, images))
    middle = outputs.shape[1] // 2
    lit = outputs[:, middle, middle, 0].reshape(side, side) > 0
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    field = describe(model, (side, side, 1)).rows[-1].receptive_field
    assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == field
    assert lit.sum() == field**2


def test_receptive_field_of_same_padding_may_exceed_the_image():
    rows = describe(nn.Sequential([Conv(1, 5, padding="SAME"), Conv(1, 5, padding="SAME")]), (6, 6, 1)).rows
    assert [row.receptive_field for row in rows] == [5, 9]


def test_dense_sees_the_whole_image():
    model = nn.Sequential([Conv(3), Flatten(), Dense(7), Dense(2)])
    rows = describe(model, (12, 10, 1)).rows
    assert [row.receptive_field for row in rows] == [3, 3, 12, 12]
    assert [row.multiply_adds for row in rows[2:]] == [10 * 8 * 3 * 7, 7 * 2]
    assert [row.params for row in rows[2:]] == [10 * 8 * 3 * 7 + 7, 7 * 2 + 2]


def test_a_global_average_sees_the_whole_image_and_multiplies_nothing():
    rows = describe(nn.Sequential([Conv(3), GlobalAveragePool(), Dense(2)]), (12, 10, 1)).rows
    assert [row.receptive_field for row in rows] == [3, 12, 12]
    assert [row.multiply_adds for row in rows] == [10 * 8 * 9 * 3, 0, 3 * 2]
    assert rows[1].output_shape == (None, 3)


def test_a_dense_layer_on_pixels_is_a_convolution_of_one_pixel():
    rows = describe(nn.Sequential([Conv(3), Dense(7)]), (12, 10, 1)).rows
    assert [row.receptive_field for row in rows] == [3, 3]
    assert rows[1].multiply_adds == 10 * 8 * 3 * 7


def test_an_unknown_layer_is_a_question_mark():
    summary = describe(nn.Sequential([Conv(1), Swish(), Conv(1)]), (9, 9, 1))
    assert [row.receptive_field for row in summary.rows] == [3, None, None]
    assert [row.multiply_adds for row in summary.rows] == [441, None, 225]
    assert summary.multiply_adds is None
    assert "Multiply-adds: ?" in format_table(summary)
    assert summary.total == 20


def test_arrays_outside_layers_and_shared_layers_are_counted_once():
    summary = describe(nn.Sequential([Scaled()]), (9, 9, 1))
    assert [(row.name, row.params) for row in summary.rows] == [
        ("layers_0/Conv_0", 10),
        ("layers_0/Conv_0", 0),
        ("layers_0", 1),
    ]
    assert summary.total == 11
    assert [row.multiply_adds for row in summary.rows[:2]] == [441, 225]


def test_a_single_layer_is_a_network():
    (row,) = describe(Conv(2), (5, 5, 3)).rows
    assert (row.name, row.kind, row.params) == ("Conv", "Conv", 56)


def test_table():
    summary = describe(network("mnist_15k"), MNIST)
    lines = format_table(summary).splitlines()
    assert lines[0].split("  ")[0] == "Layer (type)"
    assert lines[0].endswith("Params  Mult-adds  Receptive field")
    assert lines[5].split() == "Conv_1 (Conv) (None, 24, 24, 20) 2,180 1,244,160 5".split()
    assert lines[-5:] == [
        "Total params: 13,880",
        "Trainable params: 13,688",
        "Non-trainable params: 192",
        "Multiply-adds: 1,869,280",
        "Weights as float32: 55,520 bytes",
    ]
    assert len({len(line) for line in lines[:-5]}) == 1
    assert len(lines) == 1 + 1 + len(summary.rows) + 1 + 5
    assert len(lines[0]) <= 80


def test_budget():
    summary = describe(network("mnist_15k"), MNIST)
    for fits in (0, 13_880, 20_000):
        check_budget(summary, fits)
    for network_or_total in (summary, 13_880):
        with pytest.raises(ConfigError) as error:
            check_budget(network_or_total, 10_000)
        assert str(error.value) == (
            "the network has 13,880 parameters, more than config.max_params = 10,000; "
            "make it smaller, or raise the budget (0 for none)"
        )
    with pytest.raises(ConfigError, match=r"config\.max_params must be at least 0, not -1"):
        check_budget(summary, -1)


@pytest.mark.parametrize("shape", [(28, 28), (0, 28, 1), (28, 28, 1, 1), ()])
def test_a_shape_that_is_none(shape):
    with pytest.raises(ConfigError, match="positive height, width and number of channels"):
        describe(network("mnist_15k"), shape)


def test_an_image_that_is_too_small():
    with pytest.raises(ConfigError, match=r"an image of shape \(20, 20, 1\) is too small: Conv_6 has nothing left"):
        describe(network("mnist_15k"), (20, 20, 1))
