"""From a config to the things it names: the options of the run, data, network, optimiser, programs.

Below this file nothing sees a config.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from fer_jax import data, losses, models, optim
from fer_jax.checkpoint import Checkpoints, check_policy
from fer_jax.config import check_at_least, check_at_most, check_choice, check_keywords, check_rate, defaults
from fer_jax.data import augment
from fer_jax.data.dataset import DataSet
from fer_jax.data.pipeline import steps_per_epoch
from fer_jax.data.views import VIEWS
from fer_jax.errors import ConfigError, did_you_mean
from fer_jax.member_programs import make_member_programs
from fer_jax.members import Members, Values, make_members
from fer_jax.programs import Programs, make_programs
from fer_jax.schedules import Schedule
from fer_jax.sharding import BATCH_AXIS, SHARDINGS, device_count, make_member_mesh, make_mesh, round_up
from fer_jax.steps import Recipe
from fer_jax.summary import Summary, check_budget, describe
from fer_jax.vary import check_vary, make_parts, value_arrays, with_values

SELECT_BY = ("accuracy", "macro_f1")
MOST_EPOCHS = 1_000_000
"""A learning rate for each of them is made when a run begins."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The top level of a config.

    Attributes:
      seed: of everything random: initial weights, data order, dropout, augmentation.
      num_seeds: trains so many at once, with the seeds from `seed` on, each as it would be trained alone.
      vary: keys of the config, each with a list of values, as in {'model.dropout': (0.0, 0.1)}: each combination is
        trained with each of the seeds, at once too. A network's rates, `ema_decay`, `loss.label_smoothing` and most
        numbers of `optim` can vary; see `fer_jax.vary`.
      epochs: passes over the training split.
      batch_size: examples in a step, on all devices together; the last step of an epoch takes what is left.
      protocol: 'seed' trains on all training images and watches the test split each epoch, as the seed documents
        did; 'clean' watches a validation split, and reads the test split for the selected and the last state only;
        'tune' does as 'clean' and never reads the test split: it is for choosing a recipe. 'full' trains on all
        training images, selects nothing, and reads the test split once, for the last state: it is for a recipe that
        has been chosen.
      steps_per_call: optimiser steps in one call of the device; 0 is the whole epoch on a GPU or TPU and about two
        seconds of work on a CPU. It changes no number.
      sharding: what the devices divide among them when several members are trained: 'members' (each device has its own
        and nothing passes between them; devices that are left over rest), 'batch' (all devices share every member's
        batch), or 'auto': the members as far as they go, and each one's batch among the devices that are left.
      uneven_batch: what happens if the batch does not divide evenly over the devices: 'pad' fills it up with places
        that count for nothing, 'error' refuses to run.
      select_by: what chooses the best state on the watched split: 'accuracy', or 'macro_f1' for a set whose classes
        are of very different sizes.
      tta: the richest test-time augmentation that the end of the run scores beside the plain images: '' for none,
        'flip', or 'ten_crop' (which includes 'flip'); see `data.views`. A mirrored digit is another picture, a
        mirrored face is not.
      sampling: 'shuffle' visits every training example once an epoch; 'balanced' draws as many, every class equally
        often.
      ema_decay: of a moving average of parameters and BatchNorm statistics, by the step, that is evaluated instead of
        the trained ones; 0 is none. In the first steps it is (1 + t) / (10 + t) after t steps, if that is less.
      max_params: the most parameters the network may have (moving statistics included); 0 is no limit.
      init_from: begin with what another has learnt: the name of a network that comes with the package (a folder of
        that name is written './name'), the folder of a run (its best state), or a file of Keras; '' draws the weights
        from the seed. The network must be the same but for the number of its classes, with which the last layer begins
        anew.
    """

    seed: int = 0
    num_seeds: int = 1
    vary: Mapping[str, Sequence[float]] | None = None
    epochs: int = 20
    batch_size: int = 128
    protocol: str = "seed"
    steps_per_call: int = 0
    sharding: str = "auto"
    uneven_batch: str = "pad"
    select_by: str = "accuracy"
    tta: str = ""
    sampling: str = "shuffle"
    ema_decay: float = 0.0
    max_params: int = 0
    init_from: str = ""

    def __post_init__(self) -> None:
        check_at_least("config.seed", self.seed, 0)
        check_at_most("config.seed", self.seed, 2**31 - 1)
        check_at_least("config.epochs", self.epochs, 1)
        check_at_most("config.epochs", self.epochs, MOST_EPOCHS)
        check_at_least("config.batch_size", self.batch_size, 1)
        check_choice("config.protocol", self.protocol, data.PROTOCOLS)
        check_at_least("config.steps_per_call", self.steps_per_call, 0)
        check_choice("config.sharding", self.sharding, SHARDINGS)
        check_choice("config.uneven_batch", self.uneven_batch, ("pad", "error"))
        check_choice("config.select_by", self.select_by, SELECT_BY)
        if self.tta:
            check_choice("config.tta", self.tta, VIEWS[1:])
        check_choice("config.sampling", self.sampling, ("shuffle", "balanced"))
        check_rate("config.ema_decay", self.ema_decay)
        check_at_least("config.max_params", self.max_params, 0)


def default_config(model: str, data_name: str) -> ml_collections.ConfigDict:
    """A config with every key at its default, locked: what a config file starts from.

    Args:
      model: the network, a name in `models.MODELS`.
      data_name: the data set.

    Raises:
      ConfigError: there is no such network.
    """
    models.check_name(model)
    config = ml_collections.ConfigDict(defaults(Options))
    config.model = {"name": model, **defaults(models.MODELS[model])}
    for section, function in _SECTIONS.items():
        config[section] = defaults(function)
    config.data.name = data_name
    return _stating(config, None)


def _stating(config: ml_collections.ConfigDict, vary: Mapping[str, Any] | None) -> ml_collections.ConfigDict:
    """The config with what varies, locked: a field of any type, because the keys of a section can have no dots."""
    config.vary = ml_collections.FieldReference(None, field_type=object)
    if vary:
        config.vary = dict(vary)
    return config.lock()


# What is bound here comes from elsewhere: a flag, or the rest of the config.
_SECTIONS: dict[str, Callable[..., Any]] = {
    "data": partial(data.load, data_dir="", image_shape=(0, 0, 0)),
    "augment": augment.create,
    "loss": partial(losses.create, class_counts=(), class_names=()),
    "optim": partial(optim.create, steps_per_epoch=1, epochs=1),
    "checkpoint": partial(Checkpoints, workdir=""),
}


def resolve(config: Mapping[str, Any]) -> ml_collections.ConfigDict:
    """The whole config: what it states, and the default of every key that it does not.

    Raises:
      ConfigError: an unknown section or key, a value of the wrong type, or no model or data set named.
    """
    sections = {"model", *_SECTIONS}
    stated = config.to_dict() if isinstance(config, ml_collections.ConfigDict) else dict(config)
    for section in sections:
        if not isinstance(stated.get(section, {}), Mapping):
            raise ConfigError(f"config.{section} must be a section, not {stated[section]!r}")
    for section in ("model", "data"):
        if not isinstance(stated.get(section, {}).get("name"), str):
            raise ConfigError(f"config.{section}.name is missing: it says which {section} to use")
    name = stated["model"]["name"]
    models.check_name(name)
    vary = stated.get("vary")
    options = {key: value for key, value in stated.items() if key not in sections and key != "vary"}
    unknown = options.keys() - defaults(Options).keys()
    if unknown:
        key = sorted(unknown)[0]
        known = [*defaults(Options), *sections]
        raise ConfigError(f"config.{key}: unknown key; {did_you_mean(key, known)}")
    check_keywords("", Options, options)
    whole = default_config(name, stated["data"]["name"]).to_dict()
    del whole["vary"]
    whole.update(options)
    for section in sections:
        whole[section].update(stated.get(section, {}))
    for section, function in _SECTIONS.items():
        check_keywords(section, function, whole[section])
    fields = {key: value for key, value in whole["model"].items() if key != "name"}
    check_keywords("model", models.MODELS[name], fields)
    return _stating(ml_collections.ConfigDict(whole), check_vary(vary, defaults(models.MODELS[name])))


class Run(NamedTuple):
    """All that a config names, built.

    Attributes:
      options: the top level of the config.
      members: who is trained.
      model: the network, as the first member has it.
      summary: its layers and parameter counts.
      schedules: the learning rates of each member.
      mesh: the devices.
      programs: compiled when they are first called.
      dataset: as it came.
      splits: what the protocol makes of it.
      targets: what training teaches, by its name in `losses.TARGETS`.
      shares: of the classes, where that is not the labels: float32 [N, classes].
      steps_per_epoch: optimiser steps in an epoch.
      teacher: whose answers the shares are made of, for run.json; None where there is none.
    """

    options: Options
    members: Members
    model: models.Network
    summary: Summary
    schedules: list[Schedule]
    mesh: Mesh
    programs: Programs
    dataset: DataSet
    splits: data.ProtocolSplits
    targets: str
    shares: np.ndarray | None
    steps_per_epoch: int
    teacher: dict[str, Any] | None = None


def build_options(config: ml_collections.ConfigDict) -> Options:
    """The top level of a resolved config."""
    return Options(**{key: config[key] for key in defaults(Options)})


def build_model(config: ml_collections.ConfigDict) -> tuple[models.Network, Summary]:
    """The network of a resolved config and its summary; whether that is within budget is for the caller to check.

    Raises:
      ConfigError: a field is out of range.
    """
    if config.model.dtype == "float64" and not jax.config.read("jax_enable_x64"):
        raise ConfigError("config.model.dtype = 'float64' needs JAX_ENABLE_X64=1 in the environment")
    model = models.create(**config.model)
    return model, describe(model, model.image_shape)


def check_config(config: ml_collections.ConfigDict) -> tuple[models.Network, Summary]:
    """Checks all of a resolved config that can be checked without its data; the network and its summary.

    Raises:
      ConfigError: a value out of its range.
    """
    options = build_options(config)
    described = _check_each(config, make_members(options.seed, options.num_seeds, config.vary or {}))
    augment.create(**config.augment)
    if options.protocol == "full" and config.optim.schedule == "plateau":
        raise ConfigError(
            "config.optim.schedule = 'plateau' waits until the watched split gets no better, and under config.protocol "
            "= 'full' none is watched that was not trained on: choose another schedule or protocol"
        )
    check_budget(described[1], options.max_params)
    check_policy(**config.checkpoint)
    return described


def build(config: ml_collections.ConfigDict, data_dir: str = "") -> Run:
    """Everything a resolved config names; reads the data, compiles nothing.

    Raises:
      ConfigError: a value out of its range.
      DataError: the data set cannot be had.
    """
    # What is wrong with the config should not wait for a download.
    model, summary = check_config(config)
    options = build_options(config)
    members = make_members(options.seed, options.num_seeds, config.vary or {})
    changes = augment.create(**config.augment)
    dataset = data.load(**config.data, image_shape=model.image_shape, data_dir=data_dir)
    _check_fits(config, model, dataset)
    splits = data.protocol_splits(dataset, options.protocol, config.data.limit)
    steps = steps_per_epoch(len(splits.train), options.batch_size)
    counts = np.bincount(splits.train.labels, minlength=model.num_classes).tolist()
    shares = losses.soft_targets(config.loss.targets, splits.train, dataset.class_names)
    balanced = options.sampling == "balanced"
    if balanced:
        losses.check_every_class("config.sampling = 'balanced'", counts, dataset.class_names)
    schedules, mesh, programs = _make_programs(
        config,
        members,
        model,
        changes,
        {"class_counts": counts, "class_names": dataset.class_names},
        examples=len(splits.train),
        balanced_labels=splits.train.labels if balanced else None,
    )
    targets = config.loss.targets
    return Run(options, members, model, summary, schedules, mesh, programs, dataset, splits, targets, shares, steps)


class Core(NamedTuple):
    """What a config names apart from its data: what it takes to restore a state of a run and to compute with it.

    `Run` has the same under the same names, and `programs` that train.
    """

    members: Members
    model: models.Network
    mesh: Mesh
    programs: Programs


def build_core(config: ml_collections.ConfigDict, train_examples: int, class_names: Sequence[str]) -> Core:
    """What a resolved config of a run names, without reading its data; compiles nothing.

    Args:
      config: of the run.
      train_examples: how many it is trained on.
      class_names: of its data.

    Raises:
      ConfigError: a value out of its range.
    """
    options = build_options(config)
    members = make_members(options.seed, options.num_seeds, config.vary or {})
    model, _ = _check_each(config, members)
    # The losses are not computed, so what they weigh the classes by is no matter.
    classes = {"class_counts": [1] * model.num_classes, "class_names": class_names}
    changes = augment.create(**config.augment)
    _, mesh, programs = _make_programs(config, members, model, changes, classes, examples=train_examples)
    return Core(members, model, mesh, programs)


def _make_programs(
    config: ml_collections.ConfigDict,
    members: Members,
    model: models.Network,
    changes: augment.Augment | None,
    classes: Mapping[str, Any],
    *,
    examples: int,
    balanced_labels: np.ndarray | None = None,
) -> tuple[list[Schedule], Mesh, Programs]:
    """The schedules of each member, the mesh and the programs; `classes` are their counts and names."""
    options = build_options(config)
    first = _of_member(config, members.each[0].values)
    objective = losses.create(**first.loss, **classes)
    steps = steps_per_epoch(examples, options.batch_size)
    optimizers = [
        optim.create(**own.optim, steps_per_epoch=steps, epochs=options.epochs)
        for own in (_of_member(config, member.values) for member in members.each)
    ]
    schedules = [optimizer.schedule for optimizer in optimizers]
    shape: dict[str, Any] = {
        "image_shape": model.image_shape,
        "examples": examples,
        # Places that no example can fill would cost memory and time.
        "batch_size": min(options.batch_size, examples),
        "balanced_labels": balanced_labels,
    }
    if members.many:
        mesh = make_member_mesh(len(members), options.sharding, share=device_count(options.batch_size))
        _check_even(options, mesh)
        parts = make_parts(config.to_dict(), model, schedules[0], changes, **classes)
        values = value_arrays(members, schedules)
        return schedules, mesh, make_member_programs(parts, values, mesh, **shape)
    mesh = make_mesh(device_count(options.batch_size))
    _check_even(options, mesh)
    recipe = Recipe(changes, objective, options.ema_decay)
    return schedules, mesh, make_programs(model, optimizers[0].tx, mesh, recipe=recipe, **shape)


def _check_even(options: Options, mesh: Mesh) -> None:
    if options.uneven_batch == "error" and round_up(options.batch_size, mesh) != options.batch_size:
        raise ConfigError(
            f"config.batch_size = {options.batch_size} does not divide evenly over {mesh.shape[BATCH_AXIS]} devices: "
            "choose a multiple, or config.uneven_batch = 'pad'"
        )


def _of_member(config: ml_collections.ConfigDict, values: Values) -> ml_collections.ConfigDict:
    """The config that a member would have alone, but for its seed."""
    return ml_collections.ConfigDict(with_values(config.to_dict() | {"vary": None}, values))


def _check_each(config: ml_collections.ConfigDict, members: Members) -> tuple[models.Network, Summary]:
    """Checks each combination of values as it would be checked alone; the network of the first and its summary."""
    combinations = [_of_member(config, values) for values, _ in members.combinations()]
    described = build_model(combinations[0])
    for own in combinations:
        model, options = models.create(**own.model), build_options(own)
        optim.create(**own.optim, steps_per_epoch=1, epochs=options.epochs)
        losses.create(**own.loss, class_counts=[1] * model.num_classes, class_names=[""] * model.num_classes)
    return described


def _check_fits(config: ml_collections.ConfigDict, model: models.Network, dataset: DataSet) -> None:
    classes = len(dataset.class_names)
    if classes != model.num_classes:
        raise ConfigError(
            f"config.model.name = '{config.model.name}' tells {model.num_classes} classes apart, but "
            f"config.data.name = '{dataset.name}' has {classes} ({', '.join(dataset.class_names)}): set "
            f"config.model.num_classes = {classes}"
        )
