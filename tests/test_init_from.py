"""A run begins with what another run or Keras has learnt, and only the last layer may be another."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import keras_networks
import numpy as np
import pytest

from fer_jax import models, releases, train
from fer_jax.build import build, default_config, resolve
from fer_jax.errors import ConfigError, UserError
from fer_jax.init_from import beginning, learnt_leaves
from fer_jax.models.mnist import MnistNet, logits
from fer_jax.open_trained import open_trained
from fer_jax.release import release
from fer_jax.steps import AveragedState, evaluation_variables

pytestmark = pytest.mark.filterwarnings("default")  # Keras's own code warns.


def same(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.fixture
def trained(tiny_config, tmp_path):
    train.train(tiny_config, workdir=str(tmp_path / "first"))
    return str(tmp_path / "first")


@pytest.mark.parametrize("changes", [{}, {"ema_decay": 0.9}, {"num_seeds": 3}])
def test_a_run_begins_with_the_best_state_of_another(tiny_config, trained, changes):
    expected = evaluation_variables(open_trained(trained).state)
    tiny_config.init_from, tiny_config.seed = trained, 7
    tiny_config.update(changes)
    run = build(resolve(tiny_config))
    arrays, told = beginning(run)
    state = arrays["state"]
    assert isinstance(state, AveragedState) == ("ema_decay" in changes)
    for own in run.members.unpack_tree(state):
        same({"params": own.params, "batch_stats": own.batch_stats}, dict(expected))
        same(evaluation_variables(own), dict(expected))
    assert told["source"] == trained and told["begun_anew"] == []
    if changes.get("num_seeds"):
        same(run.members.unpack_tree(arrays["best"])[2].params, expected["params"])


def test_it_trains_goes_on_without_the_source_and_says_where_it_began(tiny_config, trained, tmp_path, capsys):
    tiny_config.init_from, tiny_config.ema_decay = trained, 0.5
    tiny_config.epochs = 1
    capsys.readouterr()
    record = train.train(tiny_config, workdir=str(tmp_path / "second"))
    assert f"Beginning with what {trained} has learnt." in capsys.readouterr().out
    assert record["init_from"]["source"] == trained and len(record["init_from"]["sha256"]) == 64
    first = json.loads((tmp_path / "first" / "metrics.jsonl").read_text().splitlines()[0])
    second = json.loads((tmp_path / "second" / "metrics.jsonl").read_text())
    assert second["train_loss"] < 0.7 * first["train_loss"]
    (tmp_path / "first").rename(tmp_path / "moved")
    tiny_config.epochs = 2
    again = train.train(tiny_config, workdir=str(tmp_path / "second"))
    assert again["epoch"] == 2 and again["init_from"] == record["init_from"]


def test_what_has_been_trained_on_the_images_that_select_is_refused(tiny_config, trained, tmp_path):
    tiny_config.init_from, tiny_config.protocol = trained, "clean"
    known = beginning(build(resolve(tiny_config))).told["trained_on"]
    assert (known["name"], known["protocol"], known["limit"], known["before"]) == ("digits", "seed", 100, None)
    file = tmp_path / "first" / "config.json"
    config = json.loads(file.read_text())
    # As if it had been trained on all images.
    file.write_text(json.dumps({**config, "data": {**config["data"], "limit": 0}}))
    sentence = (
        r"was trained on all of this run's 100 validation images \(protocol 'seed'\), which could then select nothing: "
        r"begin with a run of protocol 'clean' or 'tune', or take config.protocol = 'full'"
    )
    with pytest.raises(ConfigError, match=sentence):
        beginning(build(resolve(tiny_config)))
    for protocol in ("seed", "full"):
        tiny_config.protocol = protocol
        assert "warning" not in beginning(build(resolve(tiny_config))).told


def test_what_may_have_seen_them_is_warned_of_and_recorded(tiny_config, trained, tmp_path, capsys):
    file = tmp_path / "first" / "run.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps({**record, "data": {**record["data"], "fingerprint": "0" * 64}}))
    tiny_config.init_from, tiny_config.protocol, tiny_config.epochs = trained, "clean", 1
    capsys.readouterr()
    record = train.train(tiny_config, workdir=str(tmp_path / "second"))
    assert "may have seen the images that select" in record["init_from"]["warning"]
    assert record["init_from"]["warning"] in capsys.readouterr().err
    assert record["init_from"]["warning"] in (tmp_path / "second" / "model_card.md").read_text()


def test_a_release_is_meant_by_its_name_and_a_folder_of_that_name_by_its_path(
    tiny_config, trained, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(releases, "FOLDER", tmp_path / "released")
    release(trained, "known", checkpoint="last")
    tiny_config.seed, tiny_config.epochs = 5, 1
    train.train(tiny_config, workdir="known")
    for source, expected in (("known", open_trained(trained, checkpoint="last")), ("./known", open_trained("known"))):
        tiny_config.init_from = source
        arrays, told = beginning(build(resolve(tiny_config)))
        same(arrays["state"].params, expected.state.params)
        assert told["source"] == source


def face_net(classes):
    return models.create(name="fer2013_mini", num_classes=classes)


def variables_of(model, seed=0):
    return dict(model.init(jax.random.key(seed), jnp.zeros((1, *model.image_shape), jnp.uint8)))


def test_with_other_classes_the_last_layer_begins_anew():
    own, found = variables_of(face_net(7)), variables_of(face_net(8), seed=1)
    learnt, anew = learnt_leaves(face_net(7), own, found, "x")
    assert anew == ["Dense_0"] and ("params", "Dense_0", "kernel") not in learnt
    np.testing.assert_array_equal(learnt["params", "Conv_0", "kernel"], found["params"]["Conv_0"]["kernel"])
    assert ("batch_stats", "BatchNorm_0", "mean") in learnt


@pytest.mark.parametrize(
    ("name", "head"),
    [("mnist_15k", ["Conv_7"]), ("mnist_nobias", ["BatchNorm_6", "Conv_9"]), ("mnist_best_1k", ["Dense_0"])],
)
def test_a_network_for_digits_goes_on_to_other_classes(name, head):
    ours, theirs = models.create(name=name, num_classes=3), models.create(name=name)
    own, found = variables_of(ours), variables_of(theirs, seed=1)
    learnt, anew = learnt_leaves(ours, own, found, "x")
    assert anew == head
    assert {layer for _, layer, _ in learnt} == {*own["params"], *own.get("batch_stats", {})} - set(head)


def test_another_network_is_refused_by_its_layer(tiny, monkeypatch):
    model = models.create(name="mnist_15k")
    own = variables_of(model)
    with pytest.raises(ConfigError, match="is another network: they differ in the layer "):
        learnt_leaves(model, own, variables_of(models.create(name="tiny")), "x")
    other = jax.tree.map(np.asarray, own)
    other["params"]["Conv_1"]["kernel"] = np.zeros((3, 3, 12, 21))
    with pytest.raises(ConfigError, match=r"its Conv_1/kernel has shape \(3, 3, 12, 21\), and this one's"):
        learnt_leaves(model, own, other, "x")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("nowhere", "is neither the folder of a run nor a network that comes with fer_jax .* nor a file of Keras"),
        ("nowhere.keras", "there is no such file"),
        (".", "config.init_from = '.': "),
    ],
)
def test_a_source_that_is_none_is_told(tiny_config, tmp_path, monkeypatch, source, sentence):
    monkeypatch.chdir(tmp_path)
    tiny_config.init_from = source
    with pytest.raises(ConfigError, match=sentence):
        train.train(tiny_config, workdir=str(tmp_path / "run"))
    assert not list((tmp_path / "run").glob("checkpoints/[0-9]*"))


def test_weights_of_keras(tmp_path):
    keras_model = keras_networks.mnist_10k(0.0)
    keras_model.save(tmp_path / "model.keras")
    config = default_config(model="mnist_10k", data_name="digits")
    config.init_from = str(tmp_path / "model.keras")
    run = build(resolve(config))
    arrays, told = beginning(run)
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1), np.uint8)
    logits = np.asarray(run.programs.predict(arrays["state"], images))
    expected = np.log(np.asarray(keras_model(images.astype(np.float32) / 255)))
    np.testing.assert_allclose(jax.nn.log_softmax(logits), expected, atol=1e-4)
    assert told["begun_anew"] == []


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_weights_of_keras_for_other_classes(tmp_path, suffix):
    from keras import Input, Sequential, layers

    whole = keras_networks.mnist_10k(0.0)
    three = Sequential([Input((28, 28, 1)), *whole.layers[:-3], layers.Conv2D(3, 4), layers.Flatten()])
    path = tmp_path / f"three{suffix}"
    three.save(path) if suffix == ".keras" else three.save_weights(path)
    config = default_config(model="mnist_10k", data_name="digits")
    config.init_from = str(path)
    arrays, told = beginning(build(resolve(config)))
    assert told["begun_anew"] == ["Conv_7"]
    kernel = np.asarray(arrays["state"].params["Conv_0"]["kernel"])
    np.testing.assert_array_equal(kernel, whole.layers[0].get_weights()[0])


class OfTen(MnistNet):
    """A network that has always ten classes."""

    def __post_init__(self):
        if self.num_classes != 10:
            raise TypeError("ten")
        super().__post_init__()


def test_keras_with_other_classes_or_another_head_than_a_network_has(tmp_path, monkeypatch):
    from keras import Input, Sequential, layers

    def begin(name):
        config = default_config(model=name, data_name="digits")
        config.init_from = str(tmp_path / "three.keras")
        beginning(build(resolve(config)))

    Sequential([Input((28, 28, 1)), layers.Flatten(), layers.Dense(3)]).save(tmp_path / "three.keras")
    with pytest.raises(ConfigError, match="holds no such layer as this network's last"):
        begin("mnist_10k")
    monkeypatch.setitem(models.MODELS, "of_ten", partial(OfTen, table=(logits(28),)))
    Sequential([Input((28, 28, 1)), layers.Conv2D(3, 28), layers.Flatten()]).save(tmp_path / "three.keras")
    with pytest.raises(UserError, match="has 3 classes, and this network always 10"):
        begin("of_ten")
