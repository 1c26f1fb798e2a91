"""Learning rates against those the documents print, and update rules against Keras's written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fer_jax import optim
from fer_jax.errors import ConfigError

# "LearningRateScheduler setting learning rate to ...": document 001, section 3, prints these twenty, and document 003
# the first eighteen.
PRINTED = [
    *(0.003, 0.0022744503, 0.0018315018, 0.0015329586, 0.0013181019, 0.0011560694, 0.0010295127, 0.0009279307),
    *(0.0008445946, 0.0007749935, 0.0007159905, 0.000665336, 0.0006213753, 0.0005828638, 0.0005488474, 0.0005185825),
    *(0.000491481, 0.0004670715, 0.0004449718, 0.000424869),
]
MNIST_STEPS = 469


def scheduled(epochs, steps_per_epoch=MNIST_STEPS, **keywords):
    return optim.create(
        **{"name": "sgd", "learning_rate": 0.003, "schedule": "inverse_time", "decay_rate": 0.319} | keywords,
        steps_per_epoch=steps_per_epoch,
        epochs=epochs,
    )


def applied_rates(optimizer, steps):
    """What each of the first `steps` updates takes off a parameter whose gradient is always 1."""
    parameter = jnp.zeros(())

    def body(state, _):
        update, state = optimizer.tx.update(jnp.ones(()), state, parameter)
        return state, -update

    _, rates = jax.lax.scan(body, optimizer.tx.init(parameter), length=steps)
    return np.asarray(rates)


def follow(tx, start, gradients):
    """The parameters after each of the updates of a chain."""
    params, state, path = jnp.asarray(start), tx.init(jnp.asarray(start)), []
    update = jax.jit(tx.update)
    for gradient in gradients:
        updates, state = update(jnp.asarray(gradient), state, params)
        params = optax.apply_updates(params, updates)
        path.append(np.asarray(params))
    return np.stack(path)


@pytest.mark.parametrize("epochs", [18, 20])
def test_the_schedule_has_every_rate_that_the_documents_print(epochs):
    rate = scheduled(epochs).learning_rate
    assert [rate(epoch * MNIST_STEPS) for epoch in range(epochs)] == PRINTED[:epochs]
    assert [rate(epoch * MNIST_STEPS + MNIST_STEPS - 1) for epoch in range(epochs)] == PRINTED[:epochs]


def test_the_rate_changes_with_the_first_step_of_an_epoch():
    rates = applied_rates(scheduled(20), 2 * MNIST_STEPS + 1)
    assert rates[0] == rates[MNIST_STEPS - 1] == np.float32(PRINTED[0])
    assert rates[MNIST_STEPS] == rates[2 * MNIST_STEPS - 1] == np.float32(PRINTED[1])
    assert rates[2 * MNIST_STEPS] == np.float32(PRINTED[2])


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_the_rate_applied_is_the_rate_told(name):
    optimizer = scheduled(4, steps_per_epoch=3, name=name)
    told = [optimizer.learning_rate(step) for step in range(12)]
    # A constant gradient of 1 gives Adam a direction of 1 as well, but for its epsilon and rounding.
    np.testing.assert_allclose(applied_rates(optimizer, 12), told, rtol=1e-7 if name == "sgd" else 1e-4)


def test_a_constant_schedule_is_constant():
    optimizer = optim.create(name="sgd", learning_rate=0.01, steps_per_epoch=3, epochs=4)
    assert {optimizer.learning_rate(step) for step in range(12)} == {0.01}
    assert set(applied_rates(optimizer, 12)) == {np.float32(0.01)}


def test_a_longer_run_does_not_change_the_rates_of_a_shorter():
    assert (applied_rates(scheduled(2, 3), 6) == applied_rates(scheduled(5, 3), 6)).all()


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("schedule", ["constant", "inverse_time"])
def test_sgd_follows_keras(momentum, schedule):
    """Keras: velocity = momentum * velocity - rate * gradient; parameter += velocity."""
    gradients = np.random.default_rng(0).normal(size=(10, 50))
    with jax.enable_x64(True):
        optimizer = scheduled(5, steps_per_epoch=2, momentum=momentum, schedule=schedule)
        path = follow(optimizer.tx, np.ones(50), gradients)
    params, velocity, expected = np.ones(50), np.zeros(50), []
    for step, gradient in enumerate(gradients):
        rate = PRINTED[step // 2] if schedule == "inverse_time" else 0.003
        velocity = momentum * velocity - rate * gradient
        params = params + velocity
        expected.append(params)
    np.testing.assert_allclose(path, np.stack(expected), rtol=0, atol=1e-14)


def test_nesterov_follows_keras():
    """Keras: parameter += momentum * velocity - rate * gradient, with the new velocity."""
    gradients = np.random.default_rng(0).normal(size=(10, 50))
    with jax.enable_x64(True):
        optimizer = scheduled(5, steps_per_epoch=2, momentum=0.9, nesterov=True, schedule="constant")
        path = follow(optimizer.tx, np.ones(50), gradients)
    params, velocity, expected = np.ones(50), np.zeros(50), []
    for gradient in gradients:
        velocity = 0.9 * velocity - 0.003 * gradient
        params = params + 0.9 * velocity - 0.003 * gradient
        expected.append(params)
    np.testing.assert_allclose(path, np.stack(expected), rtol=0, atol=1e-14)


LAYERS = {
    "Conv_0": {"kernel": np.array([2.0, -1.0]), "bias": np.array([3.0])},
    "BatchNorm_0": {"scale": np.array([1.5]), "bias": np.array([-2.0])},
}


def step_of(optimizer, gradient):
    """What one update adds to each parameter of LAYERS when all gradients are `gradient`."""
    gradients = jax.tree.map(lambda x: np.full_like(x, gradient), LAYERS)
    updates, _ = optimizer.tx.update(gradients, optimizer.tx.init(LAYERS), LAYERS)
    return jax.tree.map(np.asarray, updates)


def test_adamw_takes_a_share_off_kernels_whatever_their_gradient():
    with jax.enable_x64(True):
        keywords = {"learning_rate": 0.01, "steps_per_epoch": 1, "epochs": 1}
        decayed = step_of(optim.create(name="adamw", weight_decay=0.1, **keywords), 5.0)
        plain = step_of(optim.create(name="adam", **keywords), 5.0)
    kernel = LAYERS["Conv_0"]["kernel"]
    np.testing.assert_allclose(decayed["Conv_0"]["kernel"] - plain["Conv_0"]["kernel"], -0.01 * 0.1 * kernel, rtol=1e-9)
    for layer, name in (("Conv_0", "bias"), ("BatchNorm_0", "scale"), ("BatchNorm_0", "bias")):
        np.testing.assert_array_equal(decayed[layer][name], plain[layer][name])


def test_weight_decay_of_sgd_is_part_of_the_gradient_of_kernels():
    gradients = np.random.default_rng(0).normal(size=(10, 2))
    with jax.enable_x64(True):
        optimizer = scheduled(10, steps_per_epoch=1, momentum=0.5, weight_decay=0.1, schedule="constant")
        params = {"Dense_0": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}}
        state = optimizer.tx.init(params)
        for gradient in gradients:
            both = {"Dense_0": {"kernel": jnp.asarray(gradient), "bias": jnp.asarray(gradient)}}
            updates, state = optimizer.tx.update(both, state, params)
            params = optax.apply_updates(params, updates)
    for name, decay in (("kernel", 0.1), ("bias", 0.0)):
        value, velocity = np.ones(2), np.zeros(2)
        for gradient in gradients:
            velocity = 0.5 * velocity - 0.003 * (gradient + decay * value)
            value = value + velocity
        np.testing.assert_allclose(params["Dense_0"][name], value, rtol=0, atol=1e-14)


def test_gradients_are_clipped_by_their_norm_over_all_parameters():
    with jax.enable_x64(True):
        keywords = {"steps_per_epoch": 1, "learning_rate": 1.0, "schedule": "constant"}
        # Five gradients of 2 have a norm of sqrt(20).
        clipped = step_of(scheduled(1, clip_norm=1.0, **keywords), 2.0)
        whole = step_of(scheduled(1, clip_norm=5.0, **keywords), 2.0)
    np.testing.assert_allclose(np.concatenate(jax.tree.leaves(clipped)), -2 / np.sqrt(20), rtol=1e-12)
    np.testing.assert_array_equal(np.concatenate(jax.tree.leaves(whole)), -2)


def test_plateau_applies_the_rate_that_its_state_counts():
    optimizer = optim.create(name="sgd", learning_rate=0.1, schedule="plateau", factor=0.5, steps_per_epoch=3, epochs=4)
    state = optimizer.tx.init(jnp.zeros(()))
    for reductions in range(5):
        state = optim.with_reductions(state, reductions)
        update, _ = optimizer.tx.update(jnp.ones(()), state)
        told = optimizer.learning_rate(7, reductions)
        assert told == 0.1 * 0.5**reductions
        assert np.asarray(-update) == np.float32(told)


def keras_adam(start, gradients, rate, b1=0.9, b2=0.999, epsilon=1e-7):
    params, m, v, path = start, np.zeros_like(start), np.zeros_like(start), []
    for step, gradient in enumerate(gradients, start=1):
        alpha = rate * np.sqrt(1 - b2**step) / (1 - b1**step)
        m = m + (gradient - m) * (1 - b1)
        v = v + (np.square(gradient) - v) * (1 - b2)
        params = params - m * alpha / (np.sqrt(v) + epsilon)
        path.append(params)
    return np.stack(path)


def test_adam_follows_keras_and_not_optax():
    rng = np.random.default_rng(0)
    # From 1 down to 1e-9, because epsilon shows only where gradients are small.
    gradients = rng.normal(size=(20, 200)) * np.logspace(0, -9, 200)
    start = rng.normal(size=200)
    with jax.enable_x64(True):
        optimizer = optim.create(name="adam", learning_rate=0.003, steps_per_epoch=100, epochs=1)
        ours = follow(optimizer.tx, start, gradients)
        others = follow(optax.adam(0.003, eps=1e-7), start, gradients)
    expected = keras_adam(start, gradients, 0.003)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)
    assert np.abs(others - expected).max() > 1e-3


def test_adam_does_not_move_what_has_no_gradient():
    optimizer = optim.create(name="adam", learning_rate=0.003, steps_per_epoch=1, epochs=1)
    assert (follow(optimizer.tx, np.ones(3, np.float32), np.zeros((3, 3), np.float32)) == 1).all()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"learning_rate": -0.1}, r"config\.optim\.learning_rate must be above 0, not -0\.1"),
        ({"learning_rate": 0.0}, r"config\.optim\.learning_rate must be above 0, not 0\.0"),
        ({"learning_rate": float("nan")}, r"config\.optim\.learning_rate must be above 0, not nan"),
        ({"learning_rate": float("inf")}, r"config\.optim\.learning_rate must be above 0, not inf"),
        ({"decay_rate": -1.0}, r"config\.optim\.decay_rate must be at least 0, not -1\.0"),
        ({"name": "adams"}, r"config\.optim\.name: no such choice as 'adams'; did you mean 'adam'\?"),
        ({"schedule": "inverse"}, r"config\.optim\.schedule: .*'inverse'; did you mean 'inverse_time'\?"),
        (
            {"schedule": "xyz"},
            r"config\.optim\.schedule: .*'xyz'; known: constant, cosine, inverse_time, one_cycle, plateau",
        ),
        ({"momentum": -0.5}, r"config\.optim\.momentum must be at least 0 and below 1, not -0\.5"),
        ({"momentum": 1.5}, r"config\.optim\.momentum must be at least 0 and below 1, not 1\.5"),
        ({"nesterov": True}, r"config\.optim\.nesterov = True needs .* a config\.optim\.momentum"),
        ({"nesterov": True, "momentum": 0.9, "name": "adam"}, r"config\.optim\.nesterov = True needs .*'sgd'"),
        ({"weight_decay": -0.1}, r"config\.optim\.weight_decay must be at least 0, not -0\.1"),
        ({"weight_decay": 0.1, "name": "adam"}, r"config\.optim\.weight_decay is of .*: set .* = 'adamw'"),
        ({"clip_norm": -1.0}, r"config\.optim\.clip_norm must be at least 0, not -1\.0"),
        ({"schedule": "cosine", "warmup_epochs": 1.0}, r"config\.optim\.warmup_epochs must be less than .* = 1"),
        ({"warmup_epochs": -1.0}, r"config\.optim\.warmup_epochs must be at least 0, not -1\.0"),
        ({"final_rate": 1.5}, r"config\.optim\.final_rate must be at most 1, not 1\.5"),
        ({"final_rate": -0.5}, r"config\.optim\.final_rate must be at least 0, not -0\.5"),
        ({"factor": 0.0}, r"config\.optim\.factor must be above 0, not 0\.0"),
        ({"factor": 1.0}, r"config\.optim\.factor must be at least 0 and below 1, not 1\.0"),
        ({"patience": 0}, r"config\.optim\.patience must be at least 1, not 0"),
    ],
)
def test_an_optimiser_that_cannot_be_is_refused_by_its_key(keywords, message):
    with pytest.raises(ConfigError, match=message):
        scheduled(1, **keywords)
