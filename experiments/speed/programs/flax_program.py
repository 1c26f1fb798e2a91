"""The comparison's network in plain Flax Linen, as the Flax examples have it: one jitted step a batch, optax.adam."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.training import train_state

from job import FIRST_STEP_EPSILON, LEARNING_RATE, Job, cross_entropy
from programs import Losses


class Network(nn.Module):
    """uint8 images [B, H, W, C] -> logits [B, classes]."""

    layers: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        for layer in self.layers:
            match layer["kind"]:
                case "scale":
                    x = x.astype(jnp.float32) / 255
                case "standardise":
                    mean = x.mean(axis=(1, 2, 3), keepdims=True)
                    x = (x - mean) / (x.std(axis=(1, 2, 3), keepdims=True) + 0.03)
                case "space_to_depth":
                    x = jnp.concatenate([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=-1)
                case "conv":
                    padding = "SAME" if layer["same"] else "VALID"
                    kernel = (layer["kernel"], layer["kernel"])
                    x = nn.Conv(layer["features"], kernel, padding=padding, use_bias=layer["bias"])(x)
                case "relu":
                    x = nn.relu(x)
                case "norm":
                    x = nn.BatchNorm(use_running_average=not train, momentum=0.99, epsilon=1e-3)(x)
                case "dropout":
                    x = nn.Dropout(layer["rate"], deterministic=not train)(x)
                case "pool":
                    x = nn.max_pool(x, (2, 2), strides=(2, 2))
                case "average":
                    x = x.mean(axis=(1, 2))
                case "flatten":
                    x = x.reshape((x.shape[0], -1))
                case "dense":
                    x = nn.Dense(layer["features"])(x)
        return x


class TrainState(train_state.TrainState):
    """As in the Flax examples, with the moving statistics."""

    batch_stats: Any


@jax.jit
def train_step(state: TrainState, images: jax.Array, labels: jax.Array, key: jax.Array):
    """One step of Adam: the new state, the loss and the accuracy."""

    def loss_of(params):
        logits, updates = state.apply_fn(
            {"params": params, "batch_stats": state.batch_stats},
            images,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.fold_in(key, state.step)},
        )
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        return loss, (logits, updates)

    (loss, (logits, updates)), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    state = state.apply_gradients(grads=gradients, batch_stats=updates.get("batch_stats", {}))
    return state, loss, jnp.mean(jnp.argmax(logits, -1) == labels)


@jax.jit
def eval_step(state: TrainState, images: jax.Array) -> jax.Array:
    """Logits, with the moving statistics."""
    return state.apply_fn({"params": state.params, "batch_stats": state.batch_stats}, images, train=False)


class Flax:
    """See `programs`."""

    def __init__(self, job: Job, cores: int):
        del cores  # XLA takes those that the process may use.
        self._job = job
        model = Network(job.layers)
        variables = with_weights(job)
        self._state = TrainState.create(
            apply_fn=model.apply,
            params=variables["params"],
            tx=optax.adam(LEARNING_RATE, eps=FIRST_STEP_EPSILON),
            batch_stats=variables["batch_stats"],
        )
        self._images, self._labels = job.data
        self._key = jax.random.key(0)
        self._order = np.empty(0, np.int64)
        self._rng = np.random.default_rng(0)

    def train(self, steps: int) -> None:
        losses, accuracies = [], []
        for _ in range(steps):
            if not len(self._order):
                self._order = self._rng.permutation(len(self._labels))
            rows, self._order = self._order[: self._job.batch], self._order[self._job.batch :]
            self._state, loss, accuracy = train_step(self._state, self._images[rows], self._labels[rows], self._key)
            losses.append(loss)
            accuracies.append(accuracy)
        np.mean(jax.device_get(losses)), np.mean(jax.device_get(accuracies))
        jax.block_until_ready(self._state)

    def evaluate(self, batches: int) -> None:
        size = self._job.evaluation_batch
        starts = [place % (len(self._labels) // size) * size for place in range(batches)]
        np.concatenate(jax.device_get([eval_step(self._state, self._images[start : start + size]) for start in starts]))

    def predict(self, image: np.ndarray) -> np.ndarray:
        return np.asarray(eval_step(self._state, image[None]))[0]

    def losses(self) -> Losses:
        images, labels = self._job.first_batch
        evaluation = cross_entropy(np.asarray(eval_step(self._state, images)), labels)
        found = []
        for _ in range(2):
            self._state, loss, _ = train_step(self._state, images, labels, self._key)
            found.append(float(loss))
        return Losses(found[0], evaluation, found[1])


def with_weights(job: Job) -> dict[str, Any]:
    """The variables of `Network` with the job's weights, which come in the order of its layers."""
    weights = iter(jnp.asarray(weight) for weight in job.weights)
    params: dict[str, dict[str, jax.Array]] = {}
    statistics: dict[str, dict[str, jax.Array]] = {}
    counts = {"conv": 0, "norm": 0, "dense": 0}
    names = {"conv": "Conv", "norm": "BatchNorm", "dense": "Dense"}
    for layer in job.layers:
        kind = layer["kind"]
        if kind not in counts:
            continue
        name = f"{names[kind]}_{counts[kind]}"
        counts[kind] += 1
        if kind == "norm":
            params[name] = {"scale": next(weights), "bias": next(weights)}
            statistics[name] = {"mean": next(weights), "var": next(weights)}
        else:
            params[name] = {"kernel": next(weights)}
            if layer.get("bias", True):
                params[name]["bias"] = next(weights)
    assert next(weights, None) is None, "weights are left over"
    return {"params": params, "batch_stats": statistics}
