"""The order of examples: each once an epoch, places without one at the end of a row, a function of (key, epoch)."""

import functools

import jax
import numpy as np
import pytest

from fer_jax.data.pipeline import balanced_order, eval_order, steps_per_epoch, train_order

# examples, batch size, width, and the (steps, examples in the last step) that follow.
SIZES = [
    pytest.param(1, 1, 1, (1, 1), id="one example"),
    pytest.param(1, 8, 8, (1, 1), id="one example in a wide batch"),
    pytest.param(5, 8, 8, (1, 5), id="fewer examples than a batch"),
    pytest.param(8, 8, 8, (1, 8), id="exactly a batch"),
    pytest.param(9, 8, 8, (2, 1), id="one more than a batch"),
    pytest.param(24, 8, 8, (3, 8), id="whole batches"),
    pytest.param(30, 8, 8, (4, 6), id="a partial last batch"),
    pytest.param(30, 8, 9, (4, 6), id="a place that fills up the mesh"),
    pytest.param(24, 8, 12, (3, 8), id="whole batches on a wide mesh"),
    pytest.param(3, 1, 4, (3, 1), id="batches of one on a mesh of four"),
]


def ordered(key, epoch, *sizes):
    return np.asarray(train_order(key, epoch, *sizes))


@pytest.mark.parametrize(("examples", "batch_size", "width", "expected"), SIZES)
def test_an_epoch_visits_every_example_once(examples, batch_size, width, expected):
    steps, last = expected
    for epoch in (0, 1, 7):
        order = ordered(jax.random.key(3), epoch, examples, batch_size, width)
        assert order.dtype == np.int32
        assert order.shape == (steps, width)
        assert sorted(order[order < examples]) == list(range(examples))
        filled = [batch_size] * (steps - 1) + [last]
        for row, count in zip(order, filled, strict=True):
            assert (row[:count] < examples).all()
            assert (row[count:] == examples).all()


@pytest.mark.parametrize(
    ("examples", "batch_size", "steps"), [(60_000, 128, 469), (60_000, 64, 938), (55_000, 128, 430), (128, 128, 1)]
)
def test_the_last_partial_batch_is_a_step(examples, batch_size, steps):
    assert steps_per_epoch(examples, batch_size) == steps


def test_the_order_is_a_function_of_key_and_epoch_alone():
    order = ordered(jax.random.key(0), 4, 50, 8, 8)
    assert (ordered(jax.random.key(0), 4, 50, 8, 8) == order).all()
    jitted = jax.jit(train_order, static_argnums=(2, 3, 4))
    assert (np.asarray(jitted(jax.random.key(0), np.int32(4), 50, 8, 8)) == order).all()
    assert (ordered(jax.random.key(0), 5, 50, 8, 8) != order).any()
    assert (ordered(jax.random.key(1), 4, 50, 8, 8) != order).any()


def test_the_width_moves_no_example_to_another_batch():
    narrow = ordered(jax.random.key(0), 2, 50, 8, 8)
    wide = ordered(jax.random.key(0), 2, 50, 8, 12)
    assert (wide[:, :8] == narrow).all()


def test_the_order_is_shuffled():
    order = ordered(jax.random.key(0), 0, 1000, 1000, 1000)[0]
    in_place = (order == np.arange(1000)).sum()
    assert in_place < 10
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.15


LABELS = np.array([0] * 50 + [1] * 3 + [2] * 30 + [4] * 19, np.int32)
"""102 examples of four classes: 26, 26, 25 and 25 draws."""


def drawn(epoch, batch_size=16, width=16, key=0):
    ordered = jax.jit(functools.partial(balanced_order, labels=LABELS, batch_size=batch_size, width=width))
    order = np.asarray(ordered(jax.random.key(key), np.int32(epoch)))
    return order[order < len(LABELS)]


def test_balanced_sampling_draws_every_class_equally_often():
    for epoch in range(3):
        rows = drawn(epoch)
        assert len(rows) == len(LABELS)
        assert np.bincount(LABELS[rows]).tolist() == [26, 26, 25, 0, 25]


def test_balanced_sampling_takes_all_of_a_class_before_one_again():
    times = np.bincount(drawn(0), minlength=len(LABELS))
    assert set(times[LABELS == 0]) == {0, 1}
    assert sorted(times[LABELS == 1]) == [8, 9, 9]
    assert set(times[LABELS == 2]) == {0, 1}
    assert set(times[LABELS == 4]) == {1, 2}
    over_epochs = sum(np.bincount(drawn(epoch), minlength=len(LABELS)) for epoch in range(30))
    assert (over_epochs > 3).all()


def test_balanced_batches_are_shaped_as_others():
    order = np.asarray(balanced_order(jax.random.key(0), 0, LABELS, 16, 20))
    assert order.shape == (7, 20) and order.dtype == np.int32
    assert (order[:-1, :16] < 102).all() and (order[:, 16:] == 102).all()
    assert (order[-1] < 102).tolist() == [True] * 6 + [False] * 14


def test_balanced_sampling_is_shuffled_and_a_function_of_key_and_epoch():
    rows = drawn(3)
    assert (drawn(3) == rows).all() and (drawn(3, width=24) == rows).all()
    assert (drawn(4) != rows).any() and (drawn(3, key=1) != rows).any()
    # Classes are spread over the epoch: about a quarter of the first half each.
    assert np.bincount(LABELS[rows[:51]])[[0, 1, 2, 4]].min() >= 5


@pytest.mark.parametrize("width", [1, 7, 8])
@pytest.mark.parametrize("examples", [1, 7, 8, 9, 24])
def test_evaluation_visits_every_row_once_in_order(examples, width):
    order = eval_order(examples, width)
    assert order.dtype == np.int32
    assert order.shape == (-(-examples // width), width)
    assert order.ravel()[:examples].tolist() == list(range(examples))
    assert (order.ravel()[examples:] == examples).all()
