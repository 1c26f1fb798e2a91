"""Several members as one network: the mean of their probabilities, in scores and in an exported graph."""

import json
from functools import partial

import jax
import numpy as np
import pytest
from commands import call_command
from scipy.special import softmax
from tiny_runs import train_tiny

from fer_jax import models
from fer_jax.evaluate import ensemble_logits
from fer_jax.export import __main__ as export_command
from fer_jax.export import formats
from fer_jax.models.ensemble import Ensemble, ensemble_variables
from fer_jax.open_run import open_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two seeds with two rates: its folder and its record."""
    folder = tmp_path_factory.mktemp("members") / "run"
    _, record = train_tiny(folder, epochs=3, num_seeds=2, vary={"model.dropout": (0.0, 0.3)})
    return folder, record


def test_the_mean_of_probabilities():
    each = np.random.default_rng(0).normal(size=(3, 5, 4)) * 3
    np.testing.assert_allclose(np.exp(ensemble_logits(each)), softmax(each, axis=-1).mean(0), rtol=1e-12)
    assert np.isfinite(ensemble_logits(each * 1000)).all()


@pytest.mark.usefixtures("tiny")
def test_the_scores_at_the_end_of_a_run(finished):
    """Each combination of values has its own, of its seeds' last and selected states."""
    folder, record = finished
    assert [entry["values"] for entry in record["ensembles"]] == [{"model.dropout": 0.0}, {"model.dropout": 0.3}]
    assert all(entry["seeds"] == [0, 1] for entry in record["ensembles"])
    for which in ("last", "best"):
        opened = open_run(str(folder), split="test", checkpoint=which)
        state = opened.restored.arrays["state"]
        images = opened.examples.images
        probabilities = softmax(np.asarray(opened.run.programs.predict(state, images), np.float64), axis=-1)
        for places, entry in zip(([0, 1], [2, 3]), record["ensembles"], strict=True):
            found = probabilities[places].mean(0)
            scores = entry[which]["test"]["plain"]["official"]
            assert scores["accuracy"] == (found.argmax(1) == opened.examples.labels).mean()
            loss = -np.log(found[np.arange(len(found)), opened.examples.labels]).mean()
            assert scores["loss"] == pytest.approx(loss, rel=1e-5)
    for over_seeds, entry in zip(record["over_seeds"], record["ensembles"], strict=True):
        of_last = entry["last"]["test"]["plain"]["official"]["accuracy"]
        assert over_seeds["ensemble"]["last"]["test_accuracy"] == of_last
        assert set(over_seeds["ensemble"]["best"]) == set(over_seeds["best"])


def test_a_network_of_networks(tiny):
    """Through the layout of training and that of exports: the mean of what each would answer."""
    network = models.create(name=tiny)
    images = np.random.RandomState(0).randint(0, 256, (9, 28, 28, 1)).astype(np.uint8)
    init, answer = jax.jit(network.init), jax.jit(network.apply)
    each = [init(jax.random.key(seed), images[:1]) for seed in range(3)]
    wanted = np.mean([softmax(np.asarray(answer(own, images), np.float64), axis=-1) for own in each], axis=0)
    for layout in ("NHWC", "HCWN"):
        as_one = Ensemble(network=network, members=3, layout=layout)
        found = jax.jit(as_one.apply)(ensemble_variables(each), images)
        np.testing.assert_allclose(np.exp(found), wanted, rtol=0, atol=1e-6)
    assert (as_one.image_shape, as_one.num_classes) == ((28, 28, 1), 10)


@pytest.mark.usefixtures("tiny")
def test_an_export_is_one_graph(finished, monkeypatch, capsys):
    folder, _ = finished
    call = partial(call_command, export_command, monkeypatch=monkeypatch, capsys=capsys)
    result = call(f"--workdir={folder}", "--format=stablehlo", "--ensemble", "--checkpoint=last")
    assert result.code == 0, result.err
    assert "4 members as one: each float file was run in a fresh process" in result.out
    found = formats.room("stablehlo").open_file(folder / "export" / "ensemble.stablehlo.zip")
    assert json.loads(found.metadata["checkpoint"])["ensemble_of"][3] == "seed 1, model.dropout = 0.3"
