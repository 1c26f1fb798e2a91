"""Weights to and from Keras: lists, the files that Keras 3 writes, Keras 2's layout, and what is wrong with a file."""

import json
import sys
import zipfile

import flax.linen as nn
import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from keras_networks import NETWORKS, build, keras

from fer_jax import models
from fer_jax.errors import CheckpointError, UserError
from fer_jax.models.keras_weights import from_keras, load, read, to_keras
from fer_jax.models.layers import BatchNorm, Conv, Dense, Flatten
from fer_jax.models.network import Network

pytestmark = pytest.mark.filterwarnings("default")  # Keras's own code warns, most of all when it saves.


def ours(name):
    """Our network, and the shapes of its variables."""
    model = models.create(name=name)
    return model, shapes_of(model)


def shapes_of(model):
    return jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *model.image_shape), jnp.uint8))


def assert_same(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


class Small(Network):
    image_shape = (2, 2, 1)
    num_classes = 4


class Deep(Small):
    """Twelve of each kind, so that names by alphabet (10 before 2) are not names by number; dense layers at the end."""

    @nn.compact
    def __call__(self, images, *, train=False, mask=None):
        x = images / 255
        for _ in range(12):
            x = Conv(3, 1)(x)
            x = BatchNorm()(x, jnp.ones(len(x), bool), train)
        x = Flatten()(x)
        for _ in range(12):
            x = Dense(4)(x)
        return x


def deep_keras():
    keras.utils.clear_session()
    model = keras.Sequential([keras.Input((2, 2, 1))])
    for _ in range(12):
        model.add(keras.layers.Conv2D(3, 1))
        model.add(keras.layers.BatchNormalization())
    model.add(keras.layers.Flatten())
    for _ in range(12):
        model.add(keras.layers.Dense(4))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_a_list_goes_both_ways(name):
    theirs = build(name)
    model, shapes = ours(name)
    variables = from_keras(model, shapes, theirs.get_weights())
    assert jax.tree.structure(variables) == jax.tree.structure(shapes)
    assert_same(to_keras(model, variables), theirs.get_weights())
    assert len(jax.tree.leaves(variables)) == len(theirs.get_weights())


def test_to_keras_gives_what_set_weights_takes():
    """Each value is looked up by its name on both sides, so that two mistakes that undo each other are seen."""
    model, shapes = ours("mnist_nobias")
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: rng.uniform(1, 2, leaf.shape).astype(np.float32), shapes)
    theirs = build("mnist_nobias")
    theirs.set_weights(to_keras(model, variables))
    for k in range(10):
        kernel = theirs.get_layer(f"conv2d_{k}" if k else "conv2d").kernel
        np.testing.assert_array_equal(kernel, variables["params"][f"Conv_{k}"]["kernel"])
    for k in range(7):
        norm = theirs.get_layer(f"batch_normalization_{k}" if k else "batch_normalization")
        for collection, leaf, value in (
            ("params", "scale", norm.gamma),
            ("params", "bias", norm.beta),
            ("batch_stats", "mean", norm.moving_mean),
            ("batch_stats", "var", norm.moving_variance),
        ):
            np.testing.assert_array_equal(value, variables[collection][f"BatchNorm_{k}"][leaf])


def test_an_empty_collection_and_the_dtypes_stay():
    model, shapes = ours("mnist_10k")
    template = {"params": jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.bfloat16), shapes["params"])}
    template["batch_stats"] = {}
    variables = from_keras(model, template, build("mnist_10k").get_weights())
    assert variables["batch_stats"] == {}
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
@pytest.mark.parametrize("name", ["mnist_15k", "mnist_nobias", "mnist_10k", "facial_expressions"])
def test_files_that_keras_writes(tmp_path, name, suffix):
    theirs, path = build(name, rate=0.1), tmp_path / f"model{suffix}"
    if name == "mnist_15k":  # A trained model's file holds the optimiser too.
        theirs.compile("adam", "categorical_crossentropy")
        theirs.optimizer.build(theirs.trainable_variables)
    save(theirs, path)
    model, shapes = ours(name)
    assert_same(to_keras(model, load(path, model, shapes)), theirs.get_weights())


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_more_than_ten_layers_of_a_kind(tmp_path, suffix):
    theirs, path, model = deep_keras(), tmp_path / f"model{suffix}", Deep()
    save(theirs, path)
    variables = load(path, model, shapes_of(model))
    assert_same(to_keras(model, variables), theirs.get_weights())
    assert read(path).in_order == (suffix != ".weights.h5")


def save(model, path):
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)


def write_keras_2(group, model, chunks=1):
    """What Keras 2.2 wrote: layers by name, weights as <layer>/<layer>/<weight>:0, long attributes in parts."""
    layers = [f"layer_{100 - i}" for i in range(len(model.layers))]  # Neither by alphabet nor by number.
    names = [name.encode() for name in layers]
    for i, part in enumerate(np.array_split(names, chunks)):
        group.attrs["layer_names" if chunks == 1 else f"layer_names{i}"] = part
    for name, layer in zip(layers, model.layers, strict=True):
        own = group.create_group(name)
        weights = [f"{name}/{weight.path.rsplit('/', 1)[-1]}:0" for weight in layer.weights]
        own.attrs["weight_names"] = [weight.encode() for weight in weights]
        for weight, value in zip(weights, layer.get_weights(), strict=True):
            own[weight] = value


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("root", ["model_weights", "/"])
def test_keras_2_layout(tmp_path, root, chunks):
    theirs, path = build("mnist_nobias"), tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        write_keras_2(file.require_group(root), theirs, chunks)
    model, shapes = ours("mnist_nobias")
    assert_same(to_keras(model, load(path, model, shapes)), theirs.get_weights())


def test_a_list_of_the_wrong_length():
    model, shapes = ours("mnist_15k")
    weights = build("mnist_15k").get_weights()
    with pytest.raises(CheckpointError, match=r"has 39 weights, but this network has 40"):
        from_keras(model, shapes, weights[:-1])


def test_a_list_with_a_wrong_shape():
    model, shapes = ours("mnist_15k")
    weights = build("mnist_15k").get_weights()
    weights[6] = weights[6][:2]
    with pytest.raises(CheckpointError, match=r"layer Conv_1: kernel has shape \(2, 3, 12, 20\), .* \(3, 3, 12, 20\)"):
        from_keras(model, shapes, weights)


def test_variables_of_another_network():
    model, _ = ours("mnist_15k")
    _, shapes = ours("mnist_nobias")
    with pytest.raises(UserError, match=r"not those of this network; .*params/Conv_0/bias"):
        from_keras(model, shapes, [])


def test_a_layer_that_keras_does_not_have():
    class Odd(Small):
        @nn.compact
        def __call__(self, images, *, train=False, mask=None):
            return nn.LayerNorm()(nn.Embed(3, 2)(images[..., 0]))

    with pytest.raises(UserError, match="layer Embed_0 is of a kind that has no place among Keras's weights"):
        to_keras(Odd(), shapes_of(Odd()))


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_a_file_of_another_network(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    save(build("mnist_11k"), path)
    model, shapes = ours("mnist_10k")
    with pytest.raises(CheckpointError, match=r"model.* has 8 convolution, 6 batch normalisation, 0 dense layers, but"):
        load(path, model, shapes)
    model, shapes = ours("mnist_15k")
    with pytest.raises(
        CheckpointError, match=r"'conv2d', for Conv_0: kernel has shape \(3, 3, 1, 8\), .*\(3, 3, 1, 12\)"
    ):
        load(path, model, shapes)


def test_a_file_without_biases(tmp_path):
    path = tmp_path / "model.weights.h5"
    save(build("mnist_nobias"), path)
    model = models.create(name="mnist_nobias", use_bias=True)
    with pytest.raises(CheckpointError, match=r"'conv2d': holds 1 weights, but Conv_0 has 2 \(kernel, bias\)"):
        load(path, model, shapes_of(model))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file_with_the_layers_in_another_order(tmp_path, suffix):
    class Ours(Small):
        @nn.compact
        def __call__(self, images, *, train=False, mask=None):
            return BatchNorm()(Conv(1, 1)(images / 255), jnp.ones(1, bool), train)

    path = tmp_path / f"model{suffix}"
    save(keras.Sequential([keras.Input((2, 2, 1)), keras.layers.BatchNormalization(), keras.layers.Conv2D(1, 1)]), path)
    with pytest.raises(CheckpointError, match=r"another order than this network: 'batch_normalization.*Conv_0"):
        load(path, Ours(), shapes_of(Ours()))


def test_a_file_with_a_layer_of_another_kind(tmp_path):
    path = tmp_path / "model.weights.h5"
    save(keras.Sequential([keras.Input((2, 2, 1)), keras.layers.DepthwiseConv2D(1)]), path)
    with pytest.raises(CheckpointError, match="'depthwise_conv2d' is of a kind that our networks do not have"):
        read(path)


@pytest.fixture(scope="module")
def keras_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras")
    for suffix in (".weights.h5", ".keras", ".h5"):
        save(build("mnist_10k"), folder / f"model{suffix}")
    return folder


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
@pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.99])
def test_a_truncated_file(keras_files, tmp_path, suffix, part):
    whole = (keras_files / f"model{suffix}").read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(CheckpointError, match=f"'{path}' is damaged, or is no Keras weights file"):
        read(path)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_no_damage_gives_anything_but_our_error(keras_files, tmp_path, suffix):
    whole = (keras_files / f"model{suffix}").read_bytes()
    rng, path, refused = np.random.default_rng(0), tmp_path / f"damaged{suffix}", 0
    for _ in range(60):
        damaged = bytearray(whole)
        at = int(rng.integers(0, min(len(whole), 8192) - 64))
        damaged[at : at + 64] = rng.bytes(64)
        path.write_bytes(damaged)
        try:
            read(path)
        except CheckpointError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 0


def test_files_that_are_none_of_keras(tmp_path):
    text = tmp_path / "model.h5"
    text.write_text("not a model\n" * 100)
    with pytest.raises(CheckpointError, match=r"model\.h5' is damaged, or is no Keras weights file"):
        read(text)
    with pytest.raises(CheckpointError, match=r"missing\.h5': no such file"):
        read(tmp_path / "missing.h5")
    with pytest.raises(CheckpointError, match="no such file"):
        read(tmp_path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(3)
    with pytest.raises(CheckpointError, match="neither the layout of a Keras 3 nor of a Keras 2"):
        read(tmp_path / "other.h5")


def test_archives_that_are_none_of_keras(keras_files, tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match=r"without model\.weights\.h5"):
        read(path)
    for name in ("../model.weights.h5", "/etc/model.weights.h5", "..\\x", "C:\\x"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(keras_files / "model.weights.h5", "model.weights.h5")
            archive.writestr(zipfile.ZipInfo(name), "x")
        with pytest.raises(CheckpointError, match="points out of the archive"):
            read(path)


def test_an_archive_without_an_order_is_read_by_kind(keras_files, tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(keras_files / "model.weights.h5", "model.weights.h5")
        archive.writestr("config.json", json.dumps({"config": {"name": "a class of someone's own"}}))
    assert not read(path).in_order
    model, shapes = ours("mnist_10k")
    assert_same(to_keras(model, load(path, model, shapes)), build("mnist_10k").get_weights())


def test_links_out_of_the_file_are_not_followed(tmp_path):
    path, secret = tmp_path / "model.weights.h5", tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.zeros((1, 1, 1, 1), np.float32)
    for link in (h5py.ExternalLink("secret.h5", "/x"), h5py.SoftLink("/layers")):
        with h5py.File(path, "w") as file:
            file.create_group("layers/conv2d/vars")["0"] = link
        with pytest.raises(CheckpointError, match="link, which is not followed"):
            read(path)
    raw = tmp_path / "raw"
    raw.write_bytes(bytes(16))
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/conv2d/vars/0", (1, 1, 2, 2), "f4", external=[(raw, 0, 16)])
    with pytest.raises(CheckpointError, match="values in another file"):
        read(path)


def test_values_that_are_no_floats_or_too_many(tmp_path):
    path = tmp_path / "model.weights.h5"
    for shape, dtype in (((1, 1, 1, 1), "i4"), ((2**20, 2**20), "f4")):
        with h5py.File(path, "w") as file:  # A large array of which nothing is written takes no room.
            file.create_dataset("layers/conv2d/vars/0", shape, dtype, chunks=True)
        with pytest.raises(CheckpointError, match="no array of floats that fits"):
            read(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(tmp_path, value):
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers/conv2d/vars/0"] = np.full((1, 1, 1, 1), value, np.float32)
    with pytest.raises(CheckpointError, match="'0' holds values that are not finite"):
        read(path)


def test_an_archive_that_unpacks_to_too_much(keras_files, tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(keras_files / "model.weights.h5", "model.weights.h5")
        archive.writestr("config.json", b" " * (17 << 20))
    with pytest.raises(CheckpointError, match="its members unpack to more than 16,777,216 bytes"):
        read(path)


def test_without_h5py(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match="pip install h5py"):
        read(tmp_path / "x.h5")
