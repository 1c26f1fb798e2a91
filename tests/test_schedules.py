"""Schedules, value by value; that training applies what they tell is in test_optim."""

import math

import pytest

from fer_jax.schedules import make_schedule

PER_EPOCH, EPOCHS = 5, 8
STEPS = PER_EPOCH * EPOCHS


def made(name, **keywords):
    defaults = {
        **{"learning_rate": 0.1, "decay_rate": 0.0, "warmup_epochs": 0.0, "final_rate": 0.0},
        **{"factor": 0.5, "patience": 2, "steps_per_epoch": PER_EPOCH, "epochs": EPOCHS},
    }
    return make_schedule(name, **{**defaults, **keywords})


def rates(schedule):
    return [schedule.at(step) for step in range(STEPS)]


def test_cosine_falls_along_half_a_cosine():
    found = rates(made("cosine"))
    assert found[0] == 0.1 and found[STEPS // 2] == pytest.approx(0.05, rel=1e-12)
    assert found == pytest.approx([0.05 * (1 + math.cos(math.pi * step / STEPS)) for step in range(STEPS)], rel=1e-12)
    assert 0 < found[-1] < 0.001
    assert sorted(found, reverse=True) == found


def test_cosine_ends_at_its_final_rate():
    found = rates(made("cosine", final_rate=0.2))
    assert found[0] == 0.1 and found[STEPS // 2] == pytest.approx(0.06)
    assert 0.02 < found[-1] < 0.0202


def test_cosine_warms_up_in_equal_steps():
    found = rates(made("cosine", warmup_epochs=1.2))
    assert found[:7] == pytest.approx([0.1 / 6, 0.2 / 6, 0.3 / 6, 0.4 / 6, 0.5 / 6, 0.1, 0.1])
    assert found[7] < 0.1
    rest = STEPS - 6
    assert found[6:] == pytest.approx([0.05 * (1 + math.cos(math.pi * step / rest)) for step in range(rest)])


def test_one_cycle_rises_for_three_tenths_of_the_run_and_falls():
    found = rates(made("one_cycle", final_rate=0.01))
    assert found[0] == pytest.approx(0.004)
    assert max(found) == found[12] == 0.1
    assert found[6] == pytest.approx((0.004 + 0.1) / 2)
    assert found[26] == pytest.approx((0.1 + 0.001) / 2)
    assert 0.001 < found[-1] < 0.0015
    assert sorted(found[:13]) == found[:13] and sorted(found[12:], reverse=True) == found[12:]


def test_one_cycle_of_a_run_of_one_step_is_at_the_top():
    assert made("one_cycle", epochs=1, steps_per_epoch=1).at(0) == 0.1


def test_plateau_multiplies_by_its_factor():
    schedule = made("plateau", factor=0.1)
    assert [schedule.at(17, reductions) for reductions in range(4)] == [0.1 * 0.1**n for n in range(4)]


@pytest.mark.parametrize(
    ("epoch", "best_epoch", "reduced", "now"),
    [
        (1, 1, [], False),
        (2, 1, [], False),
        (3, 1, [], True),
        (3, 2, [], False),
        (4, 1, [3], False),
        (5, 1, [3], True),
        (6, 5, [3], False),
        (9, 1, [3, 8], False),
    ],
)
def test_plateau_waits_for_its_patience_after_a_best_or_a_reduction(epoch, best_epoch, reduced, now):
    assert made("plateau").reduces_now(epoch, best_epoch, reduced) is now


@pytest.mark.parametrize("name", ["constant", "inverse_time", "cosine", "one_cycle"])
def test_no_other_schedule_looks_at_the_accuracy(name):
    assert not made(name).reduces_now(100, 1, [])
