"""Who is trained in a run: one, or several members at once, each seed with each combination of the values that vary.

What a run knows of its members is a list with an entry for each. In files and arrays of a run of one, that list is its
only entry: `Members.pack` and `Members.unpack` are the way from one form to the other.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from fer_jax.config import check_at_least, check_at_most
from fer_jax.errors import UserError
from fer_jax.score_table import name_values
from fer_jax.sharding import on_host

LARGEST_SEED = 2**31 - 1
MOST = 10_000
"""Members of a run."""

OF_A_MEMBER = ("best", "last", "rate_reduced_after")
"""What each member has of its own in `run.json`, beside `scores`."""

Values = Mapping[str, float]
"""By the key in the config, with its section: {'model.dropout': 0.1}."""


@dataclass(frozen=True)
class Member:
    """One of those who are trained.

    Attributes:
      seed: its own.
      values: what it has of that which varies.
    """

    seed: int
    values: Values

    def __str__(self) -> str:
        return ", ".join([f"seed {self.seed}", *([name_values(self.values)] if self.values else [])])


@dataclass(frozen=True)
class Members:
    """All who are trained in a run: each combination of values with each seed, seed by seed.

    Attributes:
      each: at least one.
      many: whether the run's files and arrays hold a list of members; False for a plain run of one.
    """

    each: tuple[Member, ...]
    many: bool

    def __len__(self) -> int:
        return len(self.each)

    def pack(self, entries: Sequence[Any]) -> Any:
        """An entry for each member, as the run's files hold them: the list, or in a run of one the entry itself."""
        return list(entries) if self.many else next(iter(entries))

    def unpack(self, packed: Any) -> list[Any]:
        """The way back; of an array the entries are along its first axis."""
        return list(packed) if self.many else [packed]

    def unpack_tree(self, tree: Any) -> list[Any]:
        """A pytree for each member from the one in which every leaf has an entry for each, on the host."""
        tree = on_host(tree)
        if not self.many:
            return [tree]
        return [jax.tree.map(lambda leaf, place=place: leaf[place], tree) for place in range(len(self))]

    def stack(self, tree: Any) -> Any:
        """A pytree in which every leaf is given to each member, [members, ...]; as it is in a run of one."""
        if not self.many:
            return tree
        return jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf)[None], len(self), axis=0), tree)

    def record_of(self, record: Mapping[str, Any], place: int) -> dict[str, Any]:
        """What `run.json` tells of the member at a place, in the form of a run of one."""
        if not self.many:
            return dict(record)
        own = {key: record[key][place] for key in OF_A_MEMBER}
        scores = {which: of_each[place] for which, of_each in record.get("scores", {}).items()}
        return {**record, **own, **({"scores": scores} if scores else {})}

    def line_of(self, line: Mapping[str, Any], place: int) -> dict[str, Any]:
        """What a line of metrics.jsonl tells of the member at a place, in the form of a run of one.

        Raises:
          UserError: it is of other members.
        """
        for key, value in line.items():
            if isinstance(value, list) and len(value) != len(self):
                raise UserError(
                    f"metrics.jsonl is damaged: '{key}' has {len(value)} entries, and the run {len(self)} members"
                )
        return {key: value[place] if isinstance(value, list) else value for key, value in line.items()}

    def combinations(self) -> list[tuple[Values, list[int]]]:
        """The combinations of values, each with the places of its members."""
        found: dict[tuple, tuple[Values, list[int]]] = {}
        for place, member in enumerate(self.each):
            found.setdefault(tuple(member.values.items()), (member.values, []))[1].append(place)
        return list(found.values())


def make_members(seed: int, num_seeds: int, vary: Mapping[str, Sequence[float]]) -> Members:
    """The members of a run: `vary` has been checked.

    Raises:
      ConfigError: more seeds than there are.
    """
    check_at_least("config.num_seeds", num_seeds, 1)
    check_at_most("config.seed + config.num_seeds - 1", seed + num_seeds - 1, LARGEST_SEED)
    count = num_seeds * math.prod(map(len, vary.values()))
    check_at_most("config.num_seeds times the combinations of config.vary", count, MOST)
    combinations = [dict(zip(vary, values, strict=True)) for values in itertools.product(*vary.values())]
    each = (Member(seed + place, values) for values in combinations for place in range(num_seeds))
    return Members(tuple(each), many=num_seeds > 1 or bool(vary))
