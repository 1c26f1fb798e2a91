"""The comparison's network in fer_jax: a config, built by `fer_jax.build`, and the programs that `main` runs."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

import profiles
from fer_jax import build, command, data, evaluate, resume
from fer_jax.data.dataset import DataSet, Split
from fer_jax.metrics import means
from fer_jax.models.keras_weights import from_keras, to_keras
from job import LEARNING_RATE, Job, cross_entropy
from programs import Losses

ROOT = Path(__file__).resolve().parents[3]
TEST_BATCHES = 39
"""Batches in a call of evaluation: about what MNIST's test split has."""


def config_of(network: str) -> Any:
    """The network and batch size of its own config; plain Adam and cross-entropy, and nothing that changes images."""
    path = ROOT / "configs" / f"{network}.py"
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))  # A config may import its parent as `configs.<name>`.
    spec = importlib.util.spec_from_file_location(f"speed_config_{network}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stated = module.get_config()
    optim = {"name": "adam", "learning_rate": LEARNING_RATE}
    return build.resolve(
        {"batch_size": stated.batch_size, "model": stated.model.to_dict(), "data": {"name": "digits"}, "optim": optim}
    )


def reference_weights(network: str) -> list[np.ndarray]:
    """Weights in which no leaf is trivial, so that one in a wrong place is noticed; as `Job.weights`."""
    model, _ = build.build_model(config_of(network))
    pattern = jax.eval_shape(
        model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *model.image_shape), np.dtype("uint8"))
    )
    # `to_keras` reads values, so shapes are turned into numbered arrays: what it returns is then the order of leaves.
    leaves, tree = jax.tree.flatten_with_path(pattern)
    numbered = jax.tree.unflatten(
        tree, [np.full(leaf.shape, place, np.int32) for place, (_, leaf) in enumerate(leaves)]
    )
    rng = np.random.default_rng(0)
    weights = []
    for array in to_keras(model, numbered):
        kind = leaves[int(array.ravel()[0])][0][-1].key
        noise = rng.normal(size=array.shape)
        if kind == "kernel":
            value = noise * np.sqrt(2 / np.prod(array.shape[:-1]))
        elif kind == "var":
            value = rng.uniform(0.5, 1.5, size=array.shape)
        else:
            value = 0.1 * noise + (kind == "scale")
        weights.append(value.astype(np.float32))
    return weights


class FerJax:
    """See `programs`."""

    def __init__(self, job: Job, cores: int):
        del cores  # XLA takes those that the process may use.
        command.prepare_jax()
        self._job = job
        config = config_of(job.network).unlock()
        rates = [layer["rate"] for layer in job.layers if layer["kind"] == "dropout"]
        if not rates:
            for field in config.model:
                if field.endswith("dropout"):
                    config.model[field] = 0.0
        config.data.name = "speed_noise"
        data.LOADERS["speed_noise"] = lambda: _noise(job)
        self._run = build.build(build.resolve(config))
        run = self._run
        self._state, self._progress = (resume.template(run)[part] for part in ("state", "progress"))
        self._put_weights()
        self._examples = evaluate.on_device(run.splits.train, run.mesh, run.shares)
        self._order = None
        self._at = self._epoch = 0
        self._test: evaluate.EvalSplit | None = None

    def _put_weights(self) -> None:
        state = self._state
        # Values, because `template` may hand out arrays that a donated state shares.
        old = {"params": state.params, "batch_stats": state.batch_stats}
        pattern = {name: tree for name, tree in old.items() if tree}
        new = from_keras(self._run.model, pattern, self._job.weights)
        self._state = state.replace(
            params=jax.device_put(new["params"], jax.tree.map(lambda leaf: leaf.sharding, state.params)),
            batch_stats=jax.device_put(
                new.get("batch_stats", {}), jax.tree.map(lambda leaf: leaf.sharding, state.batch_stats)
            ),
        )

    def train(self, steps: int) -> None:
        programs, per_epoch = self._run.programs, self._run.steps_per_epoch
        while steps:
            if self._order is None or self._at == per_epoch:
                self._epoch += self._order is not None
                self._order, self._at = programs.order(self._state, np.int32(self._epoch)), 0
            now = min(steps, per_epoch - self._at)
            self._at += now
            steps -= now
            self._state, self._progress = programs.train(
                self._state, self._progress, self._examples, self._order, np.int32(self._at)
            )
        jax.block_until_ready((self._state, self._progress))

    def evaluate(self, batches: int) -> None:
        # As `fer_jax.evaluate.split_logits`, which always goes through a whole split.
        if self._test is None:
            self._test = evaluate.prepare(self._run.splits.test, self._run.mesh)
        while batches:
            now = min(batches, len(self._test.order))
            np.asarray(
                self._run.programs.logits(self._state, self._test.examples, self._test.order, np.int32(now), "plain")
            )
            batches -= now

    def predict(self, image: np.ndarray) -> np.ndarray:
        return np.asarray(self._run.programs.predict(self._state, image[None]))[0]

    def profile(self, kind: str, batches: int) -> dict[str, float]:
        getattr(self, kind)(1)  # What the arguments below stand for is in memory then.
        programs, stop = self._run.programs, np.int32(1)
        if kind == "train":
            lowered = programs.train.lower(self._state, self._progress, self._examples, self._order, stop)
        else:
            assert self._test is not None
            lowered = programs.logits.lower(self._state, self._test.examples, self._test.order, stop, "plain")
        return profiles.of_jax(lambda: getattr(self, kind)(batches), lowered.compile().as_text())

    def losses(self) -> Losses:
        images, labels = self._job.first_batch
        run = self._run
        logits = evaluate.split_logits(run.programs, self._state, evaluate.prepare(Split(images, labels), run.mesh))
        order = np.array(run.programs.order(self._state, np.int32(0)))
        order[:2, : len(labels)] = np.arange(len(labels))
        found = []
        for stop in (1, 2):
            self._state, progress = run.programs.train(
                self._state, resume.empty_progress(run), self._examples, order, np.int32(stop)
            )
            found.append(means(progress.metrics)[0])
        return Losses(found[0], cross_entropy(logits, labels), found[1])


def _noise(job: Job) -> DataSet:
    split = Split(*job.data)
    names = tuple(str(label) for label in range(job.classes))
    return DataSet(
        "speed_noise", {"train": split, "test": split[: TEST_BATCHES * job.evaluation_batch]}, names, "noise"
    )
