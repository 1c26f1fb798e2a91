"""What a recipe adds to a step: changed images, mixed labels, other objectives, a moving average. All of it off is
held by the golden losses in test_steps.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import losses, models, optim
from fer_jax.data import augment
from fer_jax.data.dataset import Split
from fer_jax.evaluate import evaluate, on_device, prepare
from fer_jax.metrics import Progress, example_count, means
from fer_jax.programs import make_programs
from fer_jax.sharding import make_mesh
from fer_jax.steps import AveragedState, Recipe, evaluation_variables, train_step

IMAGE = (28, 28, 1)
EXAMPLES, BATCH, STEPS = 37, 16, 3
SPLIT = Split(
    np.random.RandomState(0).randint(0, 256, (EXAMPLES, *IMAGE)).astype(np.uint8),
    (np.arange(EXAMPLES) % 10).astype(np.int32),
)
EVERYTHING = {
    **{"flip": 0.5, "shift": 0.1, "rotate": 20.0, "scale": 0.2, "crop": 2, "erase": 0.5},
    **{"brightness": 0.2, "contrast": 0.2, "mixup": 0.4, "cutmix": 1.0},
}


@pytest.fixture(autouse=True)
def quick_compilation():
    """As in test_steps."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@functools.cache
def tx():
    return optim.create(name="sgd", learning_rate=0.05, momentum=0.9, steps_per_epoch=STEPS, epochs=9).tx


def objective(**options):
    return losses.create(**options, class_counts=[4] * 7 + [3] * 3, class_names=[str(digit) for digit in range(10)])


def programs_of(model, recipe, devices=1, **options):
    return make_programs(
        model,
        tx(),
        make_mesh(devices),
        image_shape=IMAGE,
        examples=EXAMPLES,
        batch_size=BATCH,
        recipe=recipe,
        **options,
    )


def as_float64(tree):
    return jax.tree.map(lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def follow(model, recipe, devices, epochs=3, shares=None, **options):
    """The mean loss of each epoch and the state at the end, in float64 where that is in force."""
    programs = programs_of(model, recipe, devices, **options)
    examples = on_device(SPLIT, make_mesh(devices), shares)
    state, path = programs.init(np.int32(0)), []
    if jax.config.jax_enable_x64:
        state = as_float64(state)
    for epoch in range(epochs):
        order = programs.order(state, np.int32(epoch))
        nothing = as_float64(Progress.empty()) if jax.config.jax_enable_x64 else Progress.empty()
        state, progress = programs.train(state, nothing, examples, order, np.int32(STEPS))
        assert example_count(progress.metrics) == EXAMPLES
        path.append(means(progress.metrics)[0])
    return np.asarray(path), state


def assert_close(one, other, tolerance):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=tolerance), one, other
    )


def variables(state):
    return {"params": state.params, "ema": getattr(state, "ema", None), "batch_stats": state.batch_stats}


def test_four_devices_train_the_same_network_with_everything_on(tiny):
    recipe = Recipe(augment.create(**EVERYTHING), objective(label_smoothing=0.1, class_weights="balanced"), 0.9)
    with jax.enable_x64(True):
        model = models.create(name=tiny, dtype="float64")
        path, state = follow(model, recipe, 1)
        other_path, other_state = follow(model, recipe, 4)
        np.testing.assert_allclose(other_path, path, rtol=0, atol=1e-9)
        assert_close(variables(other_state), variables(state), 1e-9)
        # And it is another run than one with nothing on.
        assert abs(follow(model, Recipe(), 1)[0] - path).max() > 1e-3


@functools.cache
def stepper(model, recipe):
    return jax.jit(functools.partial(train_step, model=model, tx=tx(), recipe=recipe))


@pytest.fixture
def one_step(tiny):
    """Takes a step of the small network, without dropout, from its initial state or a changed one."""
    model = models.create(name=tiny, dropout=0.0)

    def step(recipe, images=SPLIT.images[:9], labels=SPLIT.labels[:9], mask=None, shares=None, **changes):
        state = programs_of(model, recipe).init(np.int32(0)).replace(**changes)
        mask = np.ones(len(labels), bool) if mask is None else mask
        return stepper(model, recipe)(state, images, labels, mask, shares)

    return step


def assert_same_params(one, other):
    jax.tree.map(np.testing.assert_array_equal, one[0].params, other[0].params)


def differ(one, other):
    return any((np.asarray(a) != np.asarray(b)).any() for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True))


def test_what_lies_in_a_place_without_an_example_changes_no_bit(one_step):
    recipe = Recipe(augment.create(**EVERYTHING), objective(label_smoothing=0.1))
    mask = np.arange(9) < 5
    images, labels = SPLIT.images[:9].copy(), SPLIT.labels[:9].copy()
    one = one_step(recipe, images, labels, mask)
    images[5:], labels[5:] = 255, 9 - labels[5:]
    assert_same_params(one_step(recipe, images, labels, mask), one)


def test_augmentation_differs_from_step_to_step_and_seed_to_seed(one_step):
    recipe = Recipe(augment.create(shift=0.2))

    def loss(seed, step):
        _, metrics = one_step(recipe, step=jnp.int32(step), rng=jax.random.key(seed))
        return means(metrics)[0]

    assert len({loss(seed, step) for seed in range(3) for step in range(3)}) == 9
    assert loss(1, 2) == loss(1, 2)


def test_flipping_all_images_is_training_on_flipped_images(one_step):
    flipped = one_step(Recipe(), images=SPLIT.images[:9, :, ::-1])
    assert_same_params(one_step(Recipe(augment.create(flip=1.0))), flipped)


def test_mixing_teaches_both_labels_and_no_third(one_step):
    """With the images all alike only the labels can tell, and a step is linear in the shares of the labels."""
    images, labels = np.repeat(SPLIT.images[:1], 6, axis=0), np.arange(6, dtype=np.int32)
    recipe = Recipe(augment.create(mixup=1.0))
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 3), 0)
    changed = recipe.augment(key, jnp.asarray(images), jnp.ones(6, bool))
    shares = np.zeros((6, 10), np.float32)
    for place in range(6):
        shares[place, labels[place]] += changed.weight[place]
        shares[place, labels[changed.partner[place]]] += 1 - changed.weight[place]
    mixed, taught = one_step(recipe, images, labels), one_step(Recipe(), images, labels, shares=shares)
    assert_close(mixed[0].params, taught[0].params, 1e-6)
    assert differ(mixed[0].params, one_step(Recipe(), images, labels)[0].params)


def test_shares_are_taught_and_the_labels_reported(one_step):
    labels = SPLIT.labels[:9]
    shares = np.eye(10, dtype=np.float32)[(labels + 1) % 10]
    found = one_step(Recipe(), shares=shares)
    other_labels = one_step(Recipe(), labels=(labels + 1) % 10)
    assert_close(found[0].params, other_labels[0].params, 1e-6)
    assert means(found[1]) == means(one_step(Recipe())[1]) != means(other_labels[1])


def test_shares_travel_with_their_rows(tiny):
    model = models.create(name=tiny, dropout=0.0)
    shares = np.eye(10, dtype=np.float32)[SPLIT.labels]
    path, _ = follow(model, Recipe(), 4)
    np.testing.assert_allclose(follow(model, Recipe(), 4, shares=shares)[0], path, atol=1e-5)
    wrong = np.roll(shares, 1, axis=0)
    assert abs(follow(model, Recipe(), 4, shares=wrong)[0] - path).max() > 1e-2


@pytest.mark.parametrize(
    "options", [{"label_smoothing": 0.5}, {"class_weights": "balanced"}, {"logit_adjustment": 2.0}], ids=str
)
def test_the_loss_told_is_plain_cross_entropy_whatever_is_lowered(one_step, options):
    found, plain = one_step(Recipe(objective=objective(**options))), one_step(Recipe())
    assert means(found[1]) == means(plain[1])
    assert differ(found[0].params, plain[0].params)


def test_the_average_is_that_of_all_steps(one_step):
    state = one_step(Recipe(ema_decay=0.5))[0]
    assert isinstance(state, AveragedState)
    old = jax.tree.map(lambda x: np.full(x.shape, 2.0, np.float32), state.ema)
    for step in (0, 3, 1000):
        after = one_step(Recipe(ema_decay=0.5), step=jnp.int32(step), ema=old)[0]
        decay = min(0.5, (2 + step) / (11 + step))
        new = {"params": after.params, "batch_stats": after.batch_stats}
        expected = jax.tree.map(lambda value, decay=decay: decay * 2 + (1 - decay) * np.asarray(value, np.float64), new)
        assert_close(after.ema, expected, 1e-6)
    # The step itself is the same as without.
    assert_same_params((state, None), one_step(Recipe()))


def test_a_state_is_evaluated_by_its_average(tiny):
    model = models.create(name=tiny)
    recipe = Recipe(ema_decay=0.9)
    programs = programs_of(model, recipe, 4)
    _, state = follow(model, recipe, 4)
    assert evaluation_variables(state) is state.ema
    assert differ(state.ema["batch_stats"], state.batch_stats)
    plain = programs_of(model, Recipe(), 4)
    average = plain.init(np.int32(0)).replace(**state.ema)
    split = prepare(SPLIT, make_mesh(4))
    assert evaluate(programs, state, split) == evaluate(plain, average, split)
    logits = np.asarray(programs.predict(state, SPLIT.images))
    np.testing.assert_array_equal(logits, np.asarray(plain.predict(average, SPLIT.images)))
    trained = average.replace(params=state.params, batch_stats=state.batch_stats)
    assert differ(logits, plain.predict(trained, SPLIT.images))


def test_without_a_decay_the_state_holds_nothing_more(tiny):
    state = programs_of(models.create(name=tiny), Recipe()).init(np.int32(0))
    assert set(vars(state)) == {"step", "params", "batch_stats", "opt_state", "rng"}


def test_an_epoch_can_draw_classes_equally_often(tiny):
    labels = np.repeat(np.arange(3), [30, 5, 2]).astype(np.int32)
    programs = programs_of(models.create(name=tiny), Recipe(), 4, balanced_labels=labels)
    orders = [np.asarray(programs.order(programs.init(np.int32(0)), np.int32(epoch))) for epoch in range(2)]
    for order in orders:
        assert order.shape == (STEPS, BATCH)
        assert np.bincount(labels[order[order < EXAMPLES]]).tolist() == [13, 12, 12]
    assert (orders[0] != orders[1]).any()
