"""Every seed network against Keras 3 itself, in float64 and with weights in which no leaf is trivial.

Ours is what trains: `steps.train_step` with the chain of `optim.create`. Keras's is its own layers, losses, optimisers
and training step. Differences are the largest of a leaf; a gradient's is relative to the leaf.
"""

import contextlib
import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from keras_networks import NETWORKS, SGD, build, keras

from fer_jax import models, optim, steps
from fer_jax.config import defaults
from fer_jax.models.keras_weights import from_keras, to_keras

pytestmark = pytest.mark.filterwarnings("default")  # Keras's own code warns.

STEPS = 5
LARGE = {"fer2013_vgg", "fer2013_cnn"}
FACES = {*LARGE, "facial_expressions"}
SCHEDULED = {"mnist_15k", "mnist_nobias"}
STEPS_PER_EPOCH = 2


class Results(NamedTuple):
    """What one side computes; a dict has the names of the leaves in Keras, in the order of its get_weights()."""

    logits: np.ndarray
    training_logits: np.ndarray
    loss: float
    gradients: dict[str, np.ndarray]
    statistics: dict[str, np.ndarray]
    weights: list[dict[str, np.ndarray]]


@contextlib.contextmanager
def quick_compilation():
    """Compiling is nearly all of the time here, and XLA's optimisations are nearly all of that."""
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", False)


@contextlib.contextmanager
def float64():
    """Computes in float64 inside, in Keras and in JAX, and proves that Keras's BatchNorm does."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.enable_x64(True))
        for setting, old in ((keras.config.set_floatx, "float32"), (keras.config.set_dtype_policy, "float32")):
            setting("float64")
            stack.callback(setting, old)
        # On JAX, Keras takes every float64 result type down to float32: this table says so.
        table = pytest.MonkeyPatch()
        stack.callback(table.undo)
        table.setitem(keras.src.backend.common.dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
        x = np.random.default_rng(0).normal(size=(64, 3))
        exact = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3)
        assert np.abs(keras.layers.BatchNormalization()(x, training=True) - exact).max() < 1e-14
        yield


def places(name):
    """Images in a batch."""
    return 3 if name in LARGE else 8


@functools.cache
def batches(name, count=None):
    """`STEPS` batches: noise, half of the images with the wide black border of a digit's."""
    rng, model, size = np.random.default_rng(1), models.create(name=name), (STEPS, places(name))
    images = rng.integers(0, 256, size=(*size, *model.image_shape), dtype=np.uint8)
    inner = np.zeros(model.image_shape, np.uint8)
    inner[8:-8, 8:-8] = 1
    images[:, ::2] *= inner
    labels = rng.integers(0, model.num_classes, size=size).astype(np.int32)
    return images[:, :count], labels[:, :count]


def learning_rates(name):
    if name in SGD:
        return [0.01] * STEPS
    if name in FACES:
        # A million weights that all move by 0.001 take the loss past 16, where Keras clips it (at 1e-7) and we do not.
        return [1e-5] * STEPS
    if name in SCHEDULED:
        return [round(0.003 * 1 / (1 + 0.319 * (step // STEPS_PER_EPOCH)), 10) for step in range(STEPS)]
    return [0.003] * STEPS


def in_keras(name, count=None) -> tuple[Results, dict[str, np.ndarray]]:
    """Keras's results on batches of `count` images, and the weights it began with."""
    model = build(name)
    start = model.get_weights()
    assert all(weight.dtype == "float64" for weight in model.weights)
    images, labels = batches(name, count)
    x = pixels_in = keras.Input(images.shape[2:])
    for layer in model.layers:
        logits, x = x, layer(x)
    both = keras.Model(pixels_in, [logits, x])
    pixels, targets = images.astype(np.float64) / 255, np.eye(logits.shape[-1])[labels]

    def loss_of(trainable, fixed):
        (logits, probabilities), moved = both.stateless_call(trainable, fixed, pixels[0], training=True)
        (inference_logits, _), _ = both.stateless_call(trainable, fixed, pixels[0], training=False)
        loss = keras.losses.CategoricalCrossentropy()(targets[0], probabilities)
        return loss, (inference_logits, logits, moved)

    values = [
        [variable.value for variable in part] for part in (both.trainable_variables, both.non_trainable_variables)
    ]
    (loss, (logits, training_logits, moved)), gradients = jax.jit(jax.value_and_grad(loss_of, has_aux=True))(*values)

    optimizer = keras.optimizers.SGD(0.01) if name in SGD else keras.optimizers.Adam()
    model.compile(loss="categorical_crossentropy", optimizer=optimizer)
    weights = []
    for x, y, rate in zip(pixels, targets, learning_rates(name), strict=True):
        model.optimizer.learning_rate = rate
        assert model.train_on_batch(x, y) < 15
        weights.append(named(model.weights, model.get_weights()))
    results = Results(
        np.asarray(logits),
        np.asarray(training_logits),
        float(loss),
        named(both.trainable_variables, gradients),
        named(both.non_trainable_variables, moved),
        weights,
    )
    return results, named(model.weights, start)


def named(variables, values):
    names = ["/".join(variable.path.split("/")[-2:]) for variable in variables]
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


class Program(NamedTuple):
    """Our network, our chain after `seen_gradients`, and what they compute, jitted."""

    model: nn.Module
    tx: optax.GradientTransformation
    forward: Callable
    step: Callable


@functools.cache
def program(name, dtype) -> Program:
    rates = [field for field in defaults(models.MODELS[name]) if field.endswith("dropout")]
    model = models.create(name=name, **dict.fromkeys(rates, 0.0), dtype=dtype)
    config = {"name": "sgd" if name in SGD else "adam", "learning_rate": learning_rates(name)[0]}
    if name in SCHEDULED:
        config |= {"schedule": "inverse_time", "decay_rate": 0.319}
    chain = optim.create(**config, steps_per_epoch=STEPS_PER_EPOCH, epochs=STEPS).tx
    tx = optax.chain(seen_gradients(), chain)

    def forward(state, images, mask):
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        training_logits, moved = model.apply(variables, images, train=True, mask=mask, mutable=["batch_stats"])
        return steps.predict(state, images, model=model), training_logits, moved.get("batch_stats", {})

    def step(state, images, labels, mask):
        state, metrics = steps.train_step(state, images, labels, mask, model=model, tx=tx)
        return state, metrics.loss.compute()

    return Program(
        model,
        tx,
        jax.jit(forward),
        jax.jit(lambda state, x, y, mask: (forward(state, x, mask), step(state, x, y, mask))),
    )


def beginning(name, dtype, start) -> steps.TrainState:
    """Our state at step 0 with the weights `start` of Keras."""
    model, tx, *_ = program(name, dtype)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *model.image_shape), jnp.uint8))
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), shapes)
    variables = from_keras(model, shapes, list(start.values()))
    return steps.TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=jax.jit(tx.init)(variables["params"]),
        rng=jax.random.key(0),
    )


def in_fer_jax(name, start, count=None) -> Results:
    """Our results in float64, with `count` images in a batch and noise in the other, masked places."""
    model, _, _, step = program(name, "float64")
    state = beginning(name, "float64", start)

    def as_keras(params, stats):
        return dict(zip(start, to_keras(model, {"params": params, "batch_stats": stats}), strict=True))

    count = count or places(name)
    mask = np.arange(places(name)) < count
    first, weights = None, []
    for images, labels in zip(*batches(name), strict=True):
        (logits, training_logits, _), (state, loss) = step(state, images, labels, mask)
        weights.append(as_keras(state.params, state.batch_stats))
        if first is None:
            leaves = as_keras(state.opt_state[0], state.batch_stats)
            moving = {leaf: value for leaf, value in leaves.items() if "moving" in leaf}
            gradients = {leaf: value for leaf, value in leaves.items() if "moving" not in leaf}
            first = np.asarray(logits)[:count], np.asarray(training_logits)[:count], float(loss), gradients, moving
    assert all(value.dtype == np.float64 for value in weights[-1].values())
    return Results(*first, weights)


def in_float32(name, start) -> Results:
    """Our results in float32, where gradients are not compared: one flipped ReLU costs 1e-2."""
    model, _, forward, _ = program(name, "float32")
    state = beginning(name, "float32", start)
    images, labels = batches(name)
    logits, training_logits, moved = forward(state, images[0], np.ones(places(name), bool))
    assert training_logits.dtype == np.float32
    leaves = dict(zip(start, to_keras(model, {"params": state.params, "batch_stats": moved}), strict=True))
    return Results(
        np.asarray(logits),
        np.asarray(training_logits),
        float(optax.softmax_cross_entropy_with_integer_labels(training_logits, labels[0]).mean()),
        {},
        {leaf: value for leaf, value in leaves.items() if "moving" in leaf},
        [],
    )


def seen_gradients() -> optax.GradientTransformation:
    """Keeps what the training step hands to the optimiser, and passes it on."""
    return optax.GradientTransformation(init=lambda params: params, update=lambda grads, *_: (grads, grads))


@pytest.fixture(scope="module", params=NETWORKS)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def results(name) -> tuple[Results, Results, Results]:
    """Of one network: ours in float64, Keras's in float64, ours in float32."""
    with quick_compilation():
        with float64():
            with jax.numpy_rank_promotion("allow"):  # Keras's Dense adds a vector to a matrix.
                theirs, start = in_keras(name)
            ours = in_fer_jax(name, start)
        return ours, theirs, in_float32(name, start)


def check(found, expected, tolerance, relative=False):
    """Every leaf of `found` is near the one of that name in `expected`; both have the same leaves.

    `relative` is to the leaf, or to a thousandth of the largest leaf: the offset of a BatchNorm has no effect where the
    next one takes it out again (the last but one of mnist_nobias), and its gradient is then rounding and nothing else.
    """
    assert list(found) == list(expected)
    floor = max((np.abs(value).max() for value in expected.values()), default=0) / 1000
    for leaf, value in expected.items():
        assert value.shape == found[leaf].shape, leaf
        scale = max(np.abs(value).max(), floor) if relative else 1.0
        difference = np.abs(found[leaf].astype(np.float64) - value).max()
        assert difference <= tolerance * scale, f"{leaf}: {difference}, of {scale}"


def test_inference_logits(results):
    ours, theirs, ours_32 = results
    check({"logits": ours.logits}, {"logits": theirs.logits}, 1e-12)
    # That is for logits of order one; those of fer2013_vgg reach 7.
    check({"logits": ours_32.logits}, {"logits": theirs.logits}, 5e-6 * max(1, np.abs(theirs.logits).max()))


def test_training_logits(name, results):
    ours, theirs, ours_32 = results
    check({"logits": ours.training_logits}, {"logits": theirs.training_logits}, 1e-11)
    check({"logits": ours_32.training_logits}, {"logits": theirs.training_logits}, 3e-4 if name in LARGE else 5e-5)


def test_loss(name, results):
    ours, theirs, ours_32 = results
    assert abs(ours.loss - theirs.loss) <= 1e-12
    assert abs(ours_32.loss - theirs.loss) <= (1e-5 if name in LARGE else 5e-6)


def test_moving_statistics(results):
    ours, theirs, ours_32 = results
    check(ours.statistics, theirs.statistics, 1e-12)
    check(ours_32.statistics, theirs.statistics, 1e-6)


def test_gradients(results):
    ours, theirs, _ = results
    assert all(np.abs(gradient).max() > 0 for gradient in theirs.gradients.values())
    check(ours.gradients, theirs.gradients, 1e-10, relative=True)


def test_weights_after_each_of_five_steps(name, results):
    ours, theirs, _ = results
    for ours_then, theirs_then in zip(ours.weights, theirs.weights, strict=True):
        check(ours_then, theirs_then, 1e-12 if name in FACES else 1e-10)


def test_a_masked_batch_is_the_partial_batch_of_keras():
    with quick_compilation(), float64():
        theirs, start = in_keras("mnist_nobias", count=5)
        ours = in_fer_jax("mnist_nobias", start, count=5)
    check({"logits": ours.training_logits}, {"logits": theirs.training_logits}, 1e-11)
    assert abs(ours.loss - theirs.loss) <= 1e-12
    check(ours.statistics, theirs.statistics, 1e-12)
    check(ours.gradients, theirs.gradients, 1e-10, relative=True)
    for ours_then, theirs_then in zip(ours.weights, theirs.weights, strict=True):
        check(ours_then, theirs_then, 1e-10)


def test_float64_does_not_leak_out():
    with float64():
        pass
    assert not jax.config.jax_enable_x64
    assert keras.config.floatx() == keras.config.dtype_policy().name == "float32"
    assert keras.backend.result_type("float64", "float32") == "float32"
