"""Evaluation against plain NumPy on the logits: every example counts once, on any mesh."""

import functools

import jax
import numpy as np
import pytest

from fer_jax import models, optim
from fer_jax.data.dataset import Split
from fer_jax.data.subsets import Subset
from fer_jax.data.views import copies
from fer_jax.evaluate import (
    BATCH_SIZE,
    Scores,
    evaluate,
    full_scores_of_each,
    in_short,
    on_device,
    prepare,
    split_logits,
)
from fer_jax.members import make_members
from fer_jax.programs import make_programs
from fer_jax.sharding import make_mesh, replicated
from fer_jax.steps import TrainState

IMAGE = (28, 28, 1)
SIZES = (1, 127, 128, 129, 1003)


@functools.cache
def programs_and_state(name, devices):
    """The small network on a mesh, in a state in which every weight and statistic is drawn."""
    model, tx, mesh = models.create(name=name), optim.create(steps_per_epoch=1, epochs=1).tx, make_mesh(devices)
    programs = make_programs(model, tx, mesh, image_shape=IMAGE, examples=8, batch_size=8)
    shapes, rng = jax.eval_shape(programs.init, np.int32(0)), np.random.RandomState(0)
    params = jax.tree.map(lambda x: rng.normal(0, 0.2, x.shape).astype(np.float32), shapes.params)
    stats = jax.tree.map(lambda x: rng.uniform(0.5, 1.5, x.shape).astype(np.float32), shapes.batch_stats)
    state = TrainState(np.int32(0), params, stats, tx.init(params), jax.random.key(0))
    return programs, jax.device_put(state, replicated(mesh))


@functools.cache
def images():
    return np.random.RandomState(1).randint(0, 256, (max(SIZES), *IMAGE)).astype(np.uint8)


@functools.cache
def logits(name):
    """In float64, from the program that predicts on one device."""
    programs, state = programs_and_state(name, 1)
    return np.asarray(programs.predict(state, images()), np.float64)


def labelled(name):
    """The images with labels of which the network gets about half."""
    rng = np.random.RandomState(2)
    guess = logits(name).argmax(axis=1)
    labels = np.where(rng.uniform(size=len(guess)) < 0.5, guess, rng.randint(0, 10, len(guess)))
    return Split(images(), labels.astype(np.int32))


def expected(logits, labels):
    """Mean cross-entropy and the number of hits."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    return losses.mean(), (logits.argmax(axis=1) == labels).sum()


@pytest.mark.parametrize(
    ("devices", "size"),
    [*((1, size) for size in SIZES), *((devices, size) for devices in (3, 4) for size in (1, 1003))],
)
def test_every_example_counts_once(tiny, devices, size):
    programs, state = programs_and_state(tiny, devices)
    split = labelled(tiny)[:size]
    scores = evaluate(programs, state, prepare(split, make_mesh(devices)))
    loss, hits = expected(logits(tiny)[:size], split.labels)
    assert scores.accuracy == hits / size
    assert scores.loss == pytest.approx(loss, rel=1e-5)


def test_the_scores_tell_the_network_from_chance(tiny):
    split = labelled(tiny)
    loss, hits = expected(logits(tiny), split.labels)
    assert 0.4 < hits / len(split) < 0.7
    assert len(set(logits(tiny).argmax(axis=1))) > 1
    assert loss > 0.1


@pytest.mark.parametrize("offset", [0, 1, 16])
def test_all_devices_of_a_cpu_read_one_copy_of_the_images(offset):
    room = np.random.RandomState(3).randint(0, 256, 8 * 28 * 28 + 128).astype(np.uint8)
    begin = -room.ctypes.data % 64 + offset
    own = room[begin : begin + 8 * 28 * 28].reshape(8, *IMAGE)
    placed = on_device(Split(own, np.zeros(8, np.int32)), make_mesh(4)).images
    places = {shard.data.unsafe_buffer_pointer() for shard in placed.addressable_shards}
    assert len(placed.addressable_shards) == 4 and len(places) == 1
    assert (places == {own.ctypes.data}) == (offset == 0)
    np.testing.assert_array_equal(placed, own)


def test_every_device_has_its_part_of_a_batch(tiny):
    for devices, width in ((1, BATCH_SIZE), (3, BATCH_SIZE + 1), (4, BATCH_SIZE)):
        prepared = prepare(labelled(tiny)[:300], make_mesh(devices))
        assert prepared.order.shape == (3, width)
        assert {shard.data.shape for shard in prepared.order.addressable_shards} == {(3, width // devices)}
        assert {shard.data.shape for shard in prepared.examples.images.addressable_shards} == {(300, *IMAGE)}


def test_prediction_gives_the_same_logits_on_any_mesh(tiny):
    for devices in (3, 4):
        programs, state = programs_and_state(tiny, devices)
        found = np.asarray(programs.predict(state, images()[:50]))
        np.testing.assert_allclose(found, logits(tiny)[:50], rtol=0, atol=1e-5)


def test_an_order_that_forgets_or_repeats_an_example_is_a_fault(tiny):
    programs, state = programs_and_state(tiny, 1)
    prepared = prepare(labelled(tiny)[:129], make_mesh(1))
    with pytest.raises(AssertionError, match="counted 128 of 129 examples"):
        evaluate(programs, state, prepared._replace(order=prepared.order[:1]))
    with pytest.raises(AssertionError, match="counted 256 of 129 examples"):
        evaluate(programs, state, prepared._replace(order=prepared.order[np.array([0, 0])]))
    # As many as there are, and not the same.
    twice = np.asarray(prepared.order).copy()
    twice[0, 0] = 128
    with pytest.raises(AssertionError, match="counted 129 of 129 examples, 128 different ones"):
        evaluate(programs, state, prepared._replace(order=twice))


@pytest.mark.parametrize("devices", [1, 3, 4])
def test_every_example_has_its_logits_once_in_its_place(tiny, devices):
    programs, state = programs_and_state(tiny, devices)
    found = split_logits(programs, state, prepare(labelled(tiny)[:257], make_mesh(devices)))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, logits(tiny)[:257], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("view", "devices"), [("flip", 1), ("flip", 4), ("ten_crop", 1), ("ten_crop", 3)])
def test_a_view_gives_the_mean_of_the_probabilities_of_its_copies(tiny, view, devices):
    programs, state = programs_and_state(tiny, devices)
    split = labelled(tiny)[:41]
    found = np.exp(split_logits(programs, state, prepare(split, make_mesh(devices)), view))
    alone, alone_state = programs_and_state(tiny, 1)
    shown = [np.exp(np.asarray(alone.predict(alone_state, copy), np.float64)) for copy in copies(split.images, view)]
    probabilities = [one / one.sum(axis=1, keepdims=True) for one in shown]
    assert len(probabilities) == {"flip": 2, "ten_crop": 10}[view]
    np.testing.assert_allclose(found, np.mean(probabilities, axis=0), rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=0, atol=1e-5)
    assert np.abs(found - probabilities[0]).max() > 0.01


def test_subsets_are_scored_under_their_own_labels(tiny):
    programs, state = programs_and_state(tiny, 4)
    split = labelled(tiny)[:300]
    mask, others = np.arange(300) % 3 == 0, (split.labels + 1) % 10
    whole = Subset(np.ones(300, bool), split.labels)
    prepared = prepare(
        split,
        make_mesh(4),
        {"official": whole, "twin_free": Subset(mask, split.labels), "fer_plus": Subset(mask, others)},
    )
    scores = evaluate(programs, state, prepared)
    predicted = logits(tiny)[:300].argmax(axis=1)
    assert scores.accuracy == (predicted == split.labels).mean()
    assert scores.subsets == {
        "twin_free": (predicted == split.labels)[mask].mean(),
        "fer_plus": (predicted == others)[mask].mean(),
    }
    ((view, (found,)),) = full_scores_of_each(
        make_members(0, 1, {}), programs, state, prepared, tuple("0123456789"), ("plain",)
    )
    assert view == "plain"
    assert in_short(found) == scores == Scores(*scores)
    assert [one["examples"] for one in found.values()] == [300, 100, 100]
