"""The weights that a run begins with: drawn from its seed, or what a run, a release or Keras has learnt."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from fer_jax import releases
from fer_jax.buckets import local, named
from fer_jax.build import Run, resolve
from fer_jax.checkpoint import digest
from fer_jax.errors import ConfigError, UserError, warn
from fer_jax.models import keras_weights
from fer_jax.models.network import Network
from fer_jax.models.trace import LayerCall, trace
from fer_jax.open_released import open_released
from fer_jax.open_trained import Trained, open_trained
from fer_jax.resume import template
from fer_jax.seen import in_words, seen_images, trained_on
from fer_jax.sharding import by_member, place
from fer_jax.steps import AveragedState, TrainState, evaluation_variables

KERAS = (".keras", ".h5", ".hdf5")
Variables = Mapping[str, Any]


class Beginning(NamedTuple):
    """How a run begins.

    Attributes:
      arrays: those of a checkpoint at step 0, as `resume.template` has them.
      told: of `config.init_from`, for run.json: where the weights are from, their SHA-256, which layers begin anew, and
        of a network of ours what it was `trained_on`, as `seen.trained_on` has it, with a `warning` where it may have
        seen what judges this run; None where there is none.
    """

    arrays: dict[str, Any]
    told: dict[str, Any] | None


def beginning(run: Run) -> Beginning:
    """The arrays that training begins with.

    Raises:
      ConfigError: what `config.init_from` names is not there, is no such network, or has been trained on the images
        that are to select or to test this run's.
      CheckpointError: it is damaged.
    """
    arrays, source = template(run), run.options.init_from
    if not source:
        return Beginning(arrays, None)
    state: TrainState = arrays["state"]
    own = run.members.unpack_tree({"params": state.params, "batch_stats": state.batch_stats})[0]
    told: dict[str, Any] = {}
    if source.endswith(KERAS):
        found = _of_keras(local(source), run.model)
    else:
        network = _open(source)
        found = evaluation_variables(network.state)
        told["trained_on"] = trained_on(resolve(network.config), network.record)
        told |= _check_unseen(run, source, told["trained_on"])
    # The head of another number of classes begins as each member's seed has it, so only what is learnt is laid over it.
    learnt, anew = learnt_leaves(run.model, own, found, source)
    over = place(run.members.stack(learnt), by_member(run.mesh))

    def laid_over(tree: Variables) -> dict[str, Any]:
        flat = flatten_dict(dict(tree), keep_empty_nodes=True)
        flat.update({path: over[path].astype(flat[path].dtype) for path in learnt})
        return unflatten_dict(flat)

    variables = laid_over({"params": state.params, "batch_stats": state.batch_stats})
    state = state.replace(**variables)
    if isinstance(state, AveragedState):
        # Arrays of its own: a step uses up those that it is given.
        state = state.replace(ema=jax.tree.map(lambda leaf: leaf.copy(), variables))
    arrays["state"] = state
    if run.programs.keep:
        arrays["best"] = run.programs.keep(None, state, None)
    return Beginning(arrays, {"source": source, "sha256": digest(found), "begun_anew": anew, **told})


def learnt_leaves(
    model: Network, own: Variables, found: Variables, source: str
) -> tuple[dict[tuple[str, ...], np.ndarray], list[str]]:
    """What another network's variables have for this one, by path, and the layers of this one that begin anew.

    Only the last layer with a kernel, and what normalises it, may have other shapes, as they have with other classes.

    Args:
      model: this network.
      own: its variables.
      found: those of the other.
      source: where they are from, for errors.

    Raises:
      ConfigError: it is another network.
    """
    ours, theirs = flatten_dict(dict(own)), flatten_dict(dict(found))
    head = [call.name for call in _head(model)]
    strange = sorted(_layer(path) for path in ours.keys() ^ theirs.keys())
    if strange:
        raise ConfigError(f"config.init_from = '{source}' is another network: they differ in the layer {strange[0]}")
    other = [path for path in ours if np.shape(ours[path]) != np.shape(theirs[path])]
    for path in other:
        if _layer(path) not in head:
            raise ConfigError(
                f"config.init_from = '{source}' is another network: its {_layer(path)}/{path[-1]} has shape "
                f"{np.shape(theirs[path])}, and this one's {np.shape(ours[path])}"
            )
    anew = sorted({_layer(path) for path in other})
    learnt = {path: np.asarray(theirs[path]) for path in ours if _layer(path) not in anew}
    return learnt, anew


def _head(model: Network) -> list[LayerCall]:
    """The last layer with a kernel, which gives the logits, and those with weights behind it."""
    layers = [call for call in trace(model, model.image_shape) if call.params]
    last = max((place for place, call in enumerate(layers) if "kernel" in call.params), default=-1)
    return layers[last:]


def _layer(path: tuple[str, ...]) -> str:
    return "/".join(path[1:-1])


def _check_unseen(run: Run, source: str, trained: Mapping[str, Any]) -> dict[str, str]:
    """Refuses what has been trained on the images that judge the run; a warning for run.json where one cannot tell."""
    seen, unknown = seen_images(run, trained)
    if not seen and unknown:
        warning = (
            f"{source} was trained on {run.dataset.name} too, but of other files or with other examples left out: it "
            "may have seen the images that select or test this run, whose scores then flatter"
        )
        warn(warning)
        return {"warning": warning}
    if not seen:
        return {}
    if "test" in seen:
        advice = "begin with a run of this one's config.data.fold and config.data.split_by"
    else:
        advice = (
            "begin with a run of protocol 'clean' or 'tune', or take config.protocol = 'full', which selects nothing, "
            "or 'seed'"
        )
    can = "test" if "test" in seen else "select"
    raise ConfigError(
        f"config.init_from = '{source}' was trained on {in_words(run, seen)} (protocol '{trained['protocol']}'), which "
        f"could then {can} nothing: {advice}"
    )


def _open(source: str) -> Trained:
    """A released network or a run in its best state; a release's name means the same in every folder."""
    released = releases.names()
    if source not in released and not named(source).is_dir():
        raise ConfigError(
            f"config.init_from = '{source}' is neither the folder of a run nor a network that comes with fer_jax "
            f"({', '.join(released)}) nor a file of Keras ({', '.join(KERAS)})"
        )
    try:
        trained = open_released(source) if source in released else open_trained(source)
    except ConfigError as error:
        raise ConfigError(f"config.init_from = '{source}': {error}") from error
    if trained.record.get("stand_in"):
        warn(f"{source}, which this run begins with, was trained on stand-in data")
    return trained


def _of_keras(path: Path, model: Network) -> Variables:
    if not path.is_file():
        raise ConfigError(f"config.init_from = '{path}': there is no such file")
    stored = keras_weights.read(path)
    # Across kinds the file may not tell the order.
    kind = "dense" if len(_head(model)[0].params.get("kernel", ())) == 2 else "conv"
    ends = [layer for layer in stored.layers if layer.kind == kind and layer.weights]
    if not ends:
        raise ConfigError(f"config.init_from = '{path}' holds no such layer as this network's last")
    classes = int(np.shape(ends[-1].weights[0])[-1])
    if classes != model.num_classes:
        try:
            model = model.clone(num_classes=classes)
        except TypeError as error:
            raise UserError(
                f"config.init_from = '{path}' has {classes} classes, and this network always {model.num_classes}"
            ) from error
    images = jax.ShapeDtypeStruct((1, *model.image_shape), np.uint8)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    return keras_weights.load(path, model, jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), dict(shapes)))
