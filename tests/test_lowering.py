"""Which program computes a convolution, and that training in one call a step is the same training as in a loop."""

import contextlib

import jax
import numpy as np
import pytest
from test_steps import (
    ALL,
    EXAMPLES,
    STEPS,
    adam,
    assert_close,
    assert_same_bits,
    compilation,
    follow,
    host,
    noise,
    set_up,
)

from fer_jax import models
from fer_jax.evaluate import prepare, split_logits
from fer_jax.metrics import Progress, example_count
from fer_jax.models import lowering
from fer_jax.pacing import Pace
from fer_jax.sharding import make_mesh, replicated


def loops(name):
    return models.create(name=name).looped


@pytest.mark.parametrize("name", models.MODELS)
def test_only_wide_networks_leave_the_loop_and_only_on_a_cpu(name, monkeypatch):
    assert loops(name) == (name not in ("fer2013_vgg", "fer2013_cnn", "fer2013_mini"))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert loops(name)


def test_the_convolution_is_chosen_by_channels_and_platform(monkeypatch):
    wide, native = lowering.WIDE, lowering.NATIVE
    assert [lowering.loops_on_device((1, n, 1)) for n in (1, wide - 1, wide)] == [True, True, False]
    assert not lowering.loops_on_device((1, 2, wide // 2, 1))
    found = [lowering.convolution(1, n, looped=False) for n in (1, native - 1, native, 9 * native)]
    assert found == ["matmul"] * 2 + ["native"] * 2
    assert lowering.convolution(2, native // 2, looped=False) == "native"
    assert lowering.convolution(wide, wide, looped=True) == "matmul"
    for platform in ("gpu", "tpu"):
        monkeypatch.setattr(jax, "default_backend", lambda platform=platform: platform)
        assert lowering.convolution(1, 1, looped=True) == "native"


@pytest.fixture
def by_step(tiny, monkeypatch):
    """Makes programs of the small network as if it were wide: (devices, dtype) -> Setup."""

    def make(devices, dtype="float32"):
        monkeypatch.setattr(lowering, "WIDE", 1)
        monkeypatch.setattr(lowering, "NATIVE", 1)
        setup = set_up(models.create(name=tiny, dtype=dtype), adam(), devices)
        assert not setup.programs.looped
        return setup

    return make


@contextlib.contextmanager
def compiled_programs():
    """Collects the names of what is compiled inside."""
    found = []

    def listen(event, *_, **about):
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(about["fun_name"])

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_it_is_the_training_of_the_loop_in_float64(tiny, by_step):
    with jax.enable_x64(True), compilation(quick=True):
        looped = set_up(models.create(name=tiny, dtype="float64"), adam(), 4)
        assert looped.programs.looped
        losses, state = follow(looped, 2 * STEPS)
        other_losses, other_state = follow(by_step(4, "float64"), 2 * STEPS)
    np.testing.assert_allclose(losses, other_losses, rtol=0, atol=1e-12)
    assert_close(state, other_state, 1e-11)


def test_cuts_change_no_bit_and_a_call_without_a_step_compiles(by_step):
    """As `train` runs it: the first state from `init`, sums on the devices, orders from `order`, a call of no steps."""
    setup, nothing = by_step(4), jax.device_put(Progress.empty(), replicated(make_mesh(4)))
    programs, watched, runs = setup.programs, prepare(noise(), make_mesh(4)), []
    state = programs.init(np.int32(0))
    order = programs.order(state, np.int32(0))
    with compiled_programs() as compiled:
        state, progress = programs.train(state, nothing, setup.examples, order, np.int32(0))
        found = programs.logits(state, watched.examples, watched.order, np.int32(0), "plain")
    assert {"jit(train_one)", "jit(logits_of_copy)"} <= set(compiled)
    assert int(state.step) == example_count(progress.metrics) == 0
    assert np.isnan(found).all()
    for cuts in ((), (1,), (1, 2)):
        state, ends = programs.init(np.int32(0)), []
        with compiled_programs() as compiled:
            for epoch in range(2):
                order, progress = programs.order(state, np.int32(epoch)), nothing
                for stop in (*cuts, STEPS):
                    state, progress = programs.train(state, progress, setup.examples, order, np.int32(stop))
                assert example_count(progress.metrics) == EXAMPLES
                ends.append((host((state, progress)), split_logits(programs, state, watched)))
            assert int(state.step) == 2 * STEPS
        assert not {"jit(train_one)", "jit(logits_of_copy)"} & set(compiled)
        runs.append(ends)
    for cut in runs[1:]:
        assert_same_bits(cut, runs[0])


@pytest.mark.parametrize("view", ["plain", "flip"])
def test_logits_batch_by_batch_are_those_of_the_loop(tiny, by_step, view):
    looped = set_up(models.create(name=tiny), adam(), 1)
    state = looped.programs.init(np.int32(1))
    one, other = (
        split_logits(setup.programs, state, prepare(noise(300), make_mesh(1)), view) for setup in (looped, by_step(1))
    )
    assert one.shape == (300, 10)
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_the_state_is_used_up(by_step):
    setup = by_step(4)
    state = setup.programs.init(np.int32(0))
    order = setup.programs.order(state, np.int32(0))
    setup.programs.train(state, Progress.empty(), setup.examples, order, ALL)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves((state.params, state.batch_stats, state.opt_state)))


def test_the_first_call_of_a_wide_network_is_one_step():
    assert Pace(0, 100, looped=False).steps == 1
    assert Pace(0, 100, looped=True).steps == 8
    assert Pace(5, 100, looped=False).steps == 5
