"""Every config that is shipped: whole, as its seed document says, and able to train."""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import models, optim
from fer_jax.build import Options, build_model, default_config, resolve
from fer_jax.config import check_keywords, differences
from fer_jax.data.dataset import Split
from fer_jax.data.pipeline import eval_order
from fer_jax.errors import ConfigError
from fer_jax.evaluate import on_device
from fer_jax.metrics import Progress, example_count, means
from fer_jax.programs import make_programs
from fer_jax.python_file import call_function
from fer_jax.sharding import make_mesh, replicated
from fer_jax.steps import TrainState
from fer_jax.summary import check_budget

ROOT = Path(__file__).parent.parent
SECTIONS = ("data", "augment", "loss", "optim", "checkpoint")
FILES = sorted((ROOT / "configs").glob("*.py"))


class Seed(NamedTuple):
    """What the documents say of a network: parameters in all, trained and not, the recipe, and the limit it keeps."""

    counts: tuple[int, int, int]
    optimizer: str
    learning_rate: float
    batch_size: int
    max_params: int
    epochs: int = 20
    dropout: float = 0.1
    use_bias: bool = True
    schedule: str = "constant"
    decay_rate: float = 0.0
    protocol: str = "seed"
    data: tuple[str, str] = ("mnist", "digits")
    face_model: dict[str, float] | None = None
    select_by: str = "accuracy"

    def model(self) -> dict[str, float | bool]:
        """The fields of the network beside its name and float type."""
        if self.face_model is None:
            rates = {"dropout": self.dropout, "last_dropout": 0.0}
            return {"num_classes": 10, **rates, "use_bias": self.use_bias, "batch_norm": True}
        return {"image_side": 48, **self.face_model}


def face_seed(counts, learning_rate, epochs, data, select_by="accuracy", **model):
    """A recipe for faces: no document states a batch size, and the splits are the data set's own."""
    return Seed(
        *(counts, "adam", learning_rate, 128, counts[0]),
        **{"epochs": epochs, "protocol": "clean", "data": data, "face_model": model, "select_by": select_by},
    )


SEEDS = {
    # `mnist_vanilla` and `mnist_10k` have no Dropout, so that its rate says nothing.
    "mnist_vanilla": Seed((49_220, 49_220, 0), "sgd", 0.01, 64, 0),
    "mnist_10k": Seed((10_524, 10_524, 0), "sgd", 0.01, 64, 15_000),
    "mnist_15k": Seed((13_880, 13_688, 192), "adam", 0.003, 128, 15_000, schedule="inverse_time", decay_rate=0.319),
    "mnist_20k": Seed((20_010, 19_742, 268), "adam", 0.001, 128, 0),
    "mnist_13k": Seed((12_664, 12_436, 228), "adam", 0.001, 128, 15_000),
    "mnist_16k": Seed((15_958, 15_650, 308), "adam", 0.001, 128, 20_000),
    "mnist_11k": Seed((10_844, 10_684, 160), "sgd", 0.01, 64, 15_000),
    "mnist_nobias": Seed(
        *((14_568, 14_292, 276), "adam", 0.003, 128, 15_000),
        **{"epochs": 18, "dropout": 0.2, "use_bias": False, "schedule": "inverse_time", "decay_rate": 0.319},
    ),
    "fer2013_vgg": face_seed(
        *((13_421_255, 13_415_879, 5_376), 0.001, 100, ("fer2013", "synthetic_faces")),
        **{"num_classes": 7, "dropout": 0.4, "dense_dropout": 0.5, "batch_norm": True},
    ),
    "fer2013_cnn": face_seed(
        *((5_905_863, 5_902_151, 3_712), 0.001, 100, ("fer2013", "synthetic_faces")),
        **{"num_classes": 7, "dropout": 0.5, "dense_dropout": 0.4, "last_dropout": 0.5, "batch_norm": True},
    ),
    "facial_expressions": face_seed(
        *((1_081_096, 1_081_096, 0), 0.01, 30, ("facial_expressions", ""), "macro_f1"),
        **{"num_classes": 8},
    ),
}
COUNTS = {
    **{name: seed.counts for name, seed in SEEDS.items()},
    "fer2013_mini": (206_119, 205_351, 768),
    "fer2013_best": (4_459_774, 4_453_790, 5_984),
    "mnist_best_15k": (14_966, 14_722, 244),
    "mnist_best_8k": (7_880, 7_704, 176),
    "mnist_best_4k": (3_986, 3_706, 280),
    "mnist_best_1k": (998, 914, 84),
}
MNIST = ("mnist_15k", "mnist_nobias", "mnist_best_4k")
"""One of each kind: five steps of each of the others are compared with Keras's, or they are smaller or larger only."""


def load(path):
    """The module of a config file, read from its path as the command does."""
    return call_function("config", str(path), "get_config", kind="a config file", hint="")[0]


def config_of(name):
    return load(ROOT / "configs" / f"{name}.py").get_config()


# Before any test runs: experiments that one of them loads add networks of their own.
NETWORKS = sorted(models.MODELS)


def test_every_network_has_its_config():
    assert sorted(COUNTS) == sorted(path.stem for path in FILES)
    assert sorted(COUNTS) == NETWORKS


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_config_is_whole_and_locked(path):
    config = load(path).get_config()
    assert config.is_locked
    assert config.model.name == path.stem
    assert resolve(config).to_dict() == config.to_dict()
    assert json.loads(config.to_json_best_effort()) == json.loads(resolve(config).to_json())
    options = {key: value for key, value in config.to_dict().items() if not isinstance(value, dict)}
    check_keywords("", Options, options)
    assert {key for key, value in config.to_dict().items() if isinstance(value, dict)} == {"model", *SECTIONS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_misspelt_assignment_to_a_config_raises(path):
    config = load(path).get_config()
    with pytest.raises(AttributeError, match="epochs"):
        config.epcohs = 3
    with pytest.raises(AttributeError, match="learning_rate"):
        config.optim.learning_rat = 0.1
    with pytest.raises(AttributeError, match="dtype"):
        config.model.dtpye = "float32"
    with pytest.raises(TypeError):
        config.epochs = "three"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_config_says_its_command_and_its_size(path):
    text = load(path).__doc__
    assert f"\n    python -m fer_jax.main --config=configs/{path.name}\n" in text
    assert text.startswith(f"{COUNTS[path.stem][0]:,} parameters")
    assert ("seed document 00" in text) == (path.stem in SEEDS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_two_readings_of_a_config_share_nothing(path):
    module = load(path)
    before = module.get_config().optim.learning_rate
    module.get_config().optim.learning_rate = 0.5
    assert module.get_config().optim.learning_rate == before != 0.5


@pytest.mark.parametrize("name", SEEDS)
def test_a_config_has_the_recipe_of_its_document(name):
    config, seed = config_of(name), SEEDS[name]
    assert (config.epochs, config.batch_size, config.max_params) == (seed.epochs, seed.batch_size, seed.max_params)
    assert (config.seed, config.protocol, config.steps_per_call) == (0, seed.protocol, 0)
    assert config.model.to_dict() == {"name": name, "dtype": "float32", "layout": "auto", **seed.model()}
    recipe = {
        "optim": {
            **{"name": seed.optimizer, "learning_rate": seed.learning_rate},
            **{"schedule": seed.schedule, "decay_rate": seed.decay_rate},
        },
        "data": {"name": seed.data[0], "fallback": seed.data[1]},
    }
    # Whatever else there is stands at its default, which is off.
    default = default_config(name, seed.data[0])
    for section in SECTIONS:
        assert config[section].to_dict() == {**default[section].to_dict(), **recipe.get(section, {})}
    assert config.optim.momentum == config.data.limit == 0
    assert config.checkpoint.to_dict() == {"every_epochs": 1, "every_steps": 0, "keep": 2}
    assert (config.sampling, config.ema_decay, config.select_by) == ("shuffle", 0.0, seed.select_by)


@pytest.mark.parametrize("name", COUNTS)
def test_a_config_builds_the_network_that_was_counted(name):
    config = config_of(name)
    _, summary = build_model(config)
    assert (summary.total, summary.trainable, summary.non_trainable) == COUNTS[name]
    check_budget(summary, config.max_params)
    with pytest.raises(ConfigError, match="max_params"):
        check_budget(summary, summary.total - 1)


def some_state(tx, shapes):
    """A state like `programs.init`'s, drawn in NumPy: compiling that for every network would take a minute."""
    rng = np.random.RandomState(1)

    def draw(leaf):
        values = rng.normal(0, 0.1, leaf.shape).astype(np.float32)
        # Offsets that are negative might leave every ReLU of a narrow layer without a gradient.
        return abs(values) if values.ndim == 1 else values

    params = jax.tree.map(draw, shapes.params)
    stats = jax.tree.map(lambda x: np.ones(x.shape, np.float32), shapes.batch_stats)
    return TrainState(jnp.int32(0), params, stats, tx.init(params), jax.random.key(0))


@pytest.mark.parametrize("name", [name for name in COUNTS if not name.startswith("mnist_") or name in MNIST])
def test_a_config_takes_a_step(name):
    config, count = config_of(name), 3
    model, _ = build_model(config)
    rng = np.random.RandomState(0)
    images = rng.randint(0, 256, (count, *model.image_shape)).astype(np.uint8)
    split = Split(images, rng.randint(0, model.num_classes, count).astype(np.int32))
    mesh = make_mesh(1)
    tx = optim.create(**config.optim, steps_per_epoch=1, epochs=config.epochs).tx
    programs = make_programs(model, tx, mesh, image_shape=model.image_shape, examples=count, batch_size=count)
    state = some_state(tx, jax.eval_shape(programs.init, np.int32(config.seed)))
    before, order = jax.tree.map(np.array, state.params), eval_order(count, count)
    state = jax.device_put(state, replicated(mesh))
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        state, progress = programs.train(state, Progress.empty(), on_device(split, mesh), order, np.int32(1))
    finally:
        jax.config.update("jax_disable_most_optimizations", False)
    assert (int(state.step), int(progress.bad_step), example_count(progress.metrics)) == (1, -1, count)
    assert 0 < means(progress.metrics)[0] < 50
    moved = jax.tree.map(
        lambda old, new: np.isfinite(new).all() and (new != old).any(), before, jax.device_get(state.params)
    )
    assert all(jax.tree.leaves(moved)), moved


def test_a_fork_shows_only_its_difference(tmp_path, monkeypatch):
    fork = tmp_path / "more_dropout.py"
    fork.write_text(
        "from configs import mnist_15k\n\n\n"
        "def get_config():\n"
        "    config = mnist_15k.get_config()\n"
        "    config.model.dropout = 0.3\n"
        "    return config\n"
    )
    monkeypatch.syspath_prepend(ROOT)
    parent, child = config_of("mnist_15k"), load(fork).get_config()
    assert differences(parent.to_dict(), child.to_dict()) == ["model.dropout"]
    assert differences(resolve(parent).to_dict(), resolve(child).to_dict()) == ["model.dropout"]
    assert build_model(resolve(child))[0].dropout == 0.3


def test_a_fork_finds_its_parent_from_every_folder(tmp_path, monkeypatch):
    (tmp_path / "project" / "configs").mkdir(parents=True)
    (tmp_path / "project" / "configs" / "the_parent.py").write_text("def get_config():\n    return {'epochs': 3}\n")
    fork = tmp_path / "project" / "configs" / "the_fork.py"
    fork.write_text("from configs import the_parent\n\n\ndef get_config():\n    return the_parent.get_config()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for _ in range(2):
        found = call_function("config", str(fork), "get_config", kind="a config file", hint="")
        assert found[1] == {"epochs": 3}
    assert sys.path.count(str(tmp_path / "project")) == 1 and sys.path[-1] == str(tmp_path / "project")


def test_a_default_config_knows_every_network():
    for name in models.MODELS:
        assert resolve(default_config(name, "digits")).model.name == name
