"""What an experiment file states: a base config, named variants that state only their difference, a number of seeds.

from configs import mnist_15k
from fer_jax.sweep import Experiment, Variant


def get_experiment():
    return Experiment(
        base=mnist_15k.get_config(),
        variants=[Variant("dropout 0.1"), Variant("no dropout", {"model.dropout": 0.0})],
        seeds=3,
        baseline="dropout 0.1",
    )
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_collections

from fer_jax.errors import ConfigError, did_you_mean

STATED = ("last", "best")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+=,()%-]*(?<! )")


def shown(value: Any) -> str:
    """A value in an error: one line, cut short."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True)
class Variant:
    """One recipe of an experiment.

    Attributes:
      name: in tables and, with '-' for each space, in the ids of its numbers.
      changes: how it differs from the base config: values by key, as in {"model.dropout": 0.0}.
      config: a config of its own in place of the base, for comparing whole recipes.
      stated: accuracies in per cent that a source states for it, to stand beside ours: 'last', 'best' or both.

    Raises:
      ConfigError: a name that is no text or fits no table, or a part of another type.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    config: ml_collections.ConfigDict | None = None
    stated: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and _NAME.fullmatch(self.name)):
            raise ConfigError(
                f"a variant cannot be called {self.name!r}: letters, digits, spaces and ._+=,()%- make a name, and it "
                "begins with a letter or a digit"
            )
        if not (isinstance(self.changes, Mapping) and all(isinstance(key, str) for key in self.changes)):
            raise ConfigError(
                f"the changes of variant '{self.name}' must be values by key, as in {{'model.dropout': 0.0}}, not "
                f"{shown(self.changes)}"
            )
        if self.config is not None and not isinstance(self.config, ml_collections.ConfigDict):
            raise ConfigError(
                f"the config of variant '{self.name}' must be an ml_collections.ConfigDict, not {shown(self.config)}"
            )
        # NaN is in no range.
        if not isinstance(self.stated, Mapping) or not all(
            isinstance(one, int | float) and not isinstance(one, bool) and 0 <= one <= 100
            for one in self.stated.values()
        ):
            raise ConfigError(
                f"stated of variant '{self.name}' must be accuracies in per cent, from 0 to 100, as in "
                f"{{'last': 99.2}}, not {shown(self.stated)}"
            )
        for key in self.stated:
            if key not in STATED:
                raise ConfigError(f"stated of variant '{self.name}' has '{key}'; {did_you_mean(str(key), STATED)}")

    @property
    def slug(self) -> str:
        """The name as it stands in an id."""
        return self.name.replace(" ", "-")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What is compared.

    Attributes:
      base: the config that the variants differ from.
      variants: at least one, in the order of the tables.
      seeds: how many, counted from the base config's `seed`; every variant has the same.
      folds: each seed is trained on the folds 0 to `folds` - 1 of `config.data.fold`, for data that are made of
        folds; 0 is the one that the config states.
      baseline: the name of the variant that the others are compared with; '' is the first.

    Raises:
      ConfigError: what is wrong, in one sentence.
    """

    base: ml_collections.ConfigDict
    variants: Sequence[Variant]
    seeds: int
    folds: int = 0
    baseline: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.base, ml_collections.ConfigDict):
            hint = "; call it" if callable(self.base) else ""
            raise ConfigError(
                "base must be an ml_collections.ConfigDict, as get_config() of a config file returns, not "
                f"{shown(self.base)}{hint}"
            )
        # A mapping by name would have lost all but the last of two variants with one name.
        if not isinstance(self.variants, list | tuple) or not all(isinstance(one, Variant) for one in self.variants):
            raise ConfigError(
                f"variants must be a list of Variant(name, {{key: value}}), not {shown(self.variants)}: in a dict two "
                "variants with one name would be one"
            )
        if not self.variants:
            raise ConfigError("variants is empty: an experiment has at least one, Variant('base')")
        if not isinstance(self.seeds, int) or isinstance(self.seeds, bool) or self.seeds < 1:
            raise ConfigError(f"seeds must be a whole number of at least 1, not {shown(self.seeds)}")
        if not isinstance(self.folds, int) or isinstance(self.folds, bool) or self.folds < 0:
            raise ConfigError(f"folds must be a whole number of at least 0, not {shown(self.folds)}")
        seen: dict[str, Variant] = {}
        for variant in self.variants:
            # File systems and readers may not tell 'A' from 'a', and ids have '-' for each space.
            other = seen.setdefault(variant.slug.lower(), variant)
            if other is not variant:
                raise ConfigError(
                    f"two variants are called '{other.name}' and '{variant.name}': give each its own name"
                )
        names = [variant.name for variant in self.variants]
        if not isinstance(self.baseline, str):
            raise ConfigError(f"baseline must be the name of a variant, not {shown(self.baseline)}")
        if self.baseline and self.baseline not in names:
            raise ConfigError(f"baseline '{self.baseline}' is no variant; {did_you_mean(self.baseline, names)}")

    @property
    def baseline_name(self) -> str:
        """The name of the variant that the others are compared with."""
        return self.baseline or self.variants[0].name
