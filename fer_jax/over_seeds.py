"""What the members of a run scored over their seeds: means with their intervals, for each combination of values."""

from collections.abc import Mapping, Sequence
from typing import Any

from fer_jax.members import Members
from fer_jax.scores import t_interval

INTERVAL = "95 % interval of the mean over the seeds (Student's t)"


def over_seeds(
    members: Members, last: Sequence[Mapping[str, Any]], best: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """An entry for each combination of values, as JSON takes it.

    Args:
      members: of the run.
      last: each one's scores at the end, as `run.json` holds them.
      best: each one's scores at its selected epoch.

    Returns:
      In each entry `values`, `seeds`, `n`, `interval` (what it is), and `last` and `best`: for each accuracy (and
      macro-F1, where that selects) its `mean` and the interval's `half_width`, which is None for a single seed.
    """
    return [
        {
            "values": dict(values),
            "seeds": [members.each[place].seed for place in places],
            "n": len(places),
            "interval": INTERVAL,
            **{
                which: _means([entries[place] for place in places])
                for which, entries in (("last", last), ("best", best))
            },
        }
        for values, places in members.combinations()
    ]


def _means(entries: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for name in entries[0]:
        if "accuracy" in name or "macro_f1" in name:
            values = [entry[name] for entry in entries]
            mean, half_width = t_interval(values) if len(values) > 1 else (values[0], None)
            found[name] = {"mean": mean, "half_width": half_width}
    return found
