"""The grid of an experiment: its cells, each a variant with a seed on a fold, and what a cell's number depends on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import ml_collections

from fer_jax.build import check_config, default_config, resolve
from fer_jax.config import flatten
from fer_jax.data import WITH_VALIDATION
from fer_jax.errors import ConfigError, UserError, did_you_mean
from fer_jax.python_file import call_function
from fer_jax.sweep.experiment import Experiment, Variant, shown

OF_THE_SWEEP = ("seed", "num_seeds", "vary")
_NO_NUMBER = (*OF_THE_SWEEP, "steps_per_call", "sharding", "uneven_batch", "max_params", "data.fallback")
"""Keys that change no number of a cell, or say which cell it is; so does all of `checkpoint`."""


class Repeat(NamedTuple):
    """What tells the cells of a variant apart; `fold` is None in an experiment without folds."""

    seed: int
    fold: int | None = None

    def __str__(self) -> str:
        return f"seed {self.seed}" if self.fold is None else f"seed {self.seed}, fold {self.fold}"


class Cell(NamedTuple):
    """A variant with a seed, on a fold: one trained network; `digest` is its variant's on that fold."""

    variant: str
    repeat: Repeat
    digest: str

    def __str__(self) -> str:
        return f"{self.variant}, {self.repeat}"

    @property
    def seed(self) -> int:
        """Of the run."""
        return self.repeat.seed


@dataclass(frozen=True)
class Recipe:
    """A variant as it is trained.

    Attributes:
      variant: as the experiment states it.
      config: resolved, with the seed of the first cell and the fold that the variant states.
      changes: how the config differs from the base config, as JSON.
      digests: of what its numbers depend on, by fold; see `digest`.
      image_shape: (height, width, channels) of its network.
      params: of its network: in all, trainable and not.
      multiply_adds: of its network, for one image; None if unknown.
    """

    variant: Variant
    config: ml_collections.ConfigDict
    changes: dict[str, Any]
    digests: dict[int | None, str]
    image_shape: tuple[int, int, int]
    params: dict[str, int]
    multiply_adds: int | None

    def data(self, fold: int | None) -> dict[str, Any]:
        """The section `data` of its config, on a fold."""
        return on_fold(self.config, fold)["data"]

    def data_key(self, fold: int | None) -> str:
        """Two recipes that have the same are trained on the same data."""
        return f"{json.dumps(self.data(fold), sort_keys=True)} {self.image_shape}"


@dataclass(frozen=True)
class Grid:
    """An experiment, checked.

    Attributes:
      file: it was read from.
      content: of the file when it was read.
      question: the docstring of the file.
      experiment: as stated.
      recipes: of its variants, by name, in their order.
      first_seed: of each variant.
    """

    file: Path
    content: bytes
    question: str
    experiment: Experiment
    recipes: dict[str, Recipe]
    first_seed: int

    @property
    def folder(self) -> Path:
        """Where results, tables and plots are."""
        return self.file.parent

    @property
    def name(self) -> str:
        """The name of the folder that the file is in."""
        return self.file.resolve().parent.name

    @property
    def seeds(self) -> list[int]:
        """Of every variant."""
        return list(range(self.first_seed, self.first_seed + self.experiment.seeds))

    @property
    def folds(self) -> list[int | None]:
        """That each seed is trained on; None is the one that the config states."""
        return folds_of(self.experiment)

    @property
    def repeated(self) -> str:
        """What a number is the mean over, in a word."""
        folds, seeds = self.experiment.folds > 1, self.experiment.seeds > 1
        return "seeds and folds" if folds and seeds else "folds" if folds else "seeds"

    @property
    def one_repeat(self) -> str:
        """What tells the cells of a variant apart, in a word."""
        return "cell" if self.experiment.folds else "seed"

    def cells(self) -> list[Cell]:
        """All, variant by variant."""
        return [
            Cell(name, Repeat(seed, fold), recipe.digests[fold])
            for name, recipe in self.recipes.items()
            for fold in self.folds
            for seed in self.seeds
        ]

    def check_unchanged(self, kept: str) -> None:
        """Checks that the file is what it was.

        Args:
          kept: what is safe of the work so far, for the message.

        Raises:
          UserError: it is not.
        """
        try:
            same = self.file.read_bytes() == self.content
        except OSError:
            same = False
        if not same:
            raise UserError(
                f"{self.file} was changed while its sweep ran: {kept}; start the same command again to go on with what "
                "the file says now"
            )


def load_grid(file: str) -> Grid:
    """Reads and checks an experiment file.

    Raises:
      ConfigError: there is none, or what is wrong in it.
    """
    content = Path(file).read_bytes() if Path(file).is_file() else b""
    module, experiment = call_function(
        "experiment", file, "get_experiment", kind="an experiment file", hint="it is called without one"
    )
    where = f"--experiment={file}"
    if not isinstance(experiment, Experiment):
        hint = "; does it lack its return?" if experiment is None else ""
        raise ConfigError(
            f"{where}: get_experiment() must return a fer_jax.sweep.Experiment, not {shown(experiment)}{hint}"
        )
    try:
        return make_grid(Path(file), content, (module.__doc__ or "").strip(), experiment)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def make_grid(file: Path, content: bytes, question: str, experiment: Experiment) -> Grid:
    """Checks the configs of an experiment; the arguments are those of `Grid`.

    Raises:
      ConfigError: naming the variant.
    """
    base = resolve(experiment.base)
    recipes: dict[str, Recipe] = {}
    by_digest: dict[str, str] = {}
    for variant in experiment.variants:
        try:
            recipe = _recipe(variant, base, experiment)
        except ConfigError as error:
            raise ConfigError(f"variant '{variant.name}': {error}") from error
        other = by_digest.setdefault(next(iter(recipe.digests.values())), variant.name)
        if other != variant.name:
            raise ConfigError(f"variants '{other}' and '{variant.name}' are the same config: leave one out")
        recipes[variant.name] = recipe
    _check_comparable(recipes)
    return Grid(file, content, question, experiment, recipes, base.seed)


def _check_comparable(recipes: Mapping[str, Recipe]) -> None:
    """Checks that there is a split on which every variant has scores.

    Any two protocols share one, but for 'tune', which has the validation split only, and those that have none.
    """
    by_protocol: dict[str, str] = {}
    for name, recipe in recipes.items():
        by_protocol.setdefault(recipe.config.protocol, name)
    others = [protocol for protocol in by_protocol if protocol not in WITH_VALIDATION]
    if "tune" in by_protocol and others:
        raise ConfigError(
            f"variants '{by_protocol['tune']}' (protocol 'tune') and '{by_protocol[others[0]]}' (protocol "
            f"'{others[0]}') have scores on no split in common, so no table can compare them: give them one protocol, "
            "or each an experiment of its own"
        )


def folds_of(experiment: Experiment) -> list[int | None]:
    """See `Grid.folds`."""
    return [*range(experiment.folds)] if experiment.folds else [None]


def on_fold(config: ml_collections.ConfigDict, fold: int | None) -> dict[str, Any]:
    """The values of a config, on another fold of its data where one is given."""
    values = config.to_dict()
    return values if fold is None else {**values, "data": {**values["data"], "fold": fold}}


def _recipe(variant: Variant, base: ml_collections.ConfigDict, experiment: Experiment) -> Recipe:
    own = base if variant.config is None else resolve(variant.config)
    if own.vary:
        raise ConfigError("config.vary is the sweep's own: make each of its combinations a variant")
    stated = own.to_dict()
    for key, value in variant.changes.items():
        section, dot, name = key.rpartition(".")
        _check_key(own, key)
        if key in OF_THE_SWEEP:
            raise ConfigError(f"config.{key} is the sweep's own: the seeds are counted from the base config's seed")
        if key == "data.fold" and experiment.folds:
            raise ConfigError(f"config.data.fold is the sweep's own: it trains on each of {experiment.folds} folds")
        (stated[section] if dot else stated)[name] = value
    # As many seeds as there are, so that there are so many.
    config = resolve({**stated, "seed": base.seed, "num_seeds": experiment.seeds, "vary": None})
    model, summary = check_config(config)
    config = resolve({**config.to_dict(), "num_seeds": 1})
    flat, of_base = (dict(flatten(json.loads(one.to_json()))) for one in (config, base))
    absent = object()
    changes = {
        key: value for key, value in flat.items() if key not in OF_THE_SWEEP and of_base.get(key, absent) != value
    }
    params = {"total": summary.total, "trainable": summary.trainable, "non_trainable": summary.non_trainable}
    digests = {fold: digest(on_fold(config, fold)) for fold in folds_of(experiment)}
    return Recipe(variant, config, changes, digests, model.image_shape, params, summary.multiply_adds)


def _check_key(config: ml_collections.ConfigDict, key: str) -> None:
    """Checks that a dotted key names a value in a config."""
    inner: Any = config
    for place, word in enumerate(key.split(".")):
        above = ".".join(["config", *key.split(".")[:place]])
        if not isinstance(inner, ml_collections.ConfigDict):
            raise ConfigError(f"{above} is a value and has no key '{word}'")
        if word not in inner:
            raise ConfigError(f"{above} has no key '{word}'; {did_you_mean(word, inner.keys())}")
        inner = inner[word]
    if isinstance(inner, ml_collections.ConfigDict):
        raise ConfigError(f"config.{key} is a section: change its keys, one by one")


def digest(config: Mapping[str, Any]) -> str:
    """SHA-256 over what a cell's number depends on, besides its seed and the data.

    Only what differs from `default_config()` counts, so that a key that comes to exist, with a default that changes
    nothing, makes no earlier result invalid.

    Args:
      config: resolved.
    """
    name, data_name = config["model"]["name"], config["data"]["name"]
    usual = dict(flatten(json.loads(default_config(name, data_name).to_json())))
    stated = dict(flatten(json.loads(resolve(config).to_json())))
    counted = {
        # 0 and 0.0 are one value.
        key: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for key, value in stated.items()
        if key not in _NO_NUMBER and not key.startswith("checkpoint.") and usual[key] != value
    }
    counted.update({"model.name": name, "data.name": data_name})
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()
