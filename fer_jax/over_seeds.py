"""What the members of a run scored over their seeds: means with their intervals, for each combination of values."""

from collections.abc import Mapping, Sequence
from typing import Any

from fer_jax.data.subsets import OFFICIAL
from fer_jax.members import Members
from fer_jax.scores import t_interval

_SPLITS = {"val": "validation"}
INTERVAL = "95 % interval of the mean over the seeds (Student's t)"


def over_seeds(
    members: Members,
    last: Sequence[Mapping[str, Any]],
    best: Sequence[Mapping[str, Any]],
    ensembles: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """An entry for each combination of values, as JSON takes it.

    Args:
      members: of the run.
      last: each one's scores at the end, as `run.json` holds them.
      best: each one's scores at its selected epoch.
      ensembles: as `run.json` holds them.

    Returns:
      In each entry `values`, `seeds`, `n`, `interval` (what it is), and `last` and `best`: for each accuracy (and
      macro-F1, where that selects) its `mean` and the interval's `half_width`, which is None for a single seed; and
      of several seeds `ensemble`: what they score as one, by the mean of their probabilities.
    """
    as_one = {tuple(entry["values"].items()): entry for entry in ensembles}
    found: list[dict[str, Any]] = [
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
    for entry in found:
        if ensemble := as_one.get(tuple(entry["values"].items())):
            entry["ensemble"] = {
                which: {name: _at(ensemble[which], name) for name in entry[which]} for which in ("last", "best")
            }
    return found


def _at(scores: Mapping[str, Any], name: str) -> float:
    """What the full scores of an ensemble have for 'test_accuracy', 'val_accuracy_twin_free' or 'val_macro_f1'."""
    split, _, what = name.partition("_")
    of_split = scores[_SPLITS.get(split, split)]["plain"]
    score, _, subset = what.partition("accuracy_")
    return float(of_split[subset]["accuracy"] if subset else of_split[OFFICIAL][score])


def _means(entries: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for name in entries[0]:
        if "accuracy" in name or "macro_f1" in name:
            values = [entry[name] for entry in entries]
            mean, half_width = t_interval(values) if len(values) > 1 else (values[0], None)
            found[name] = {"mean": mean, "half_width": half_width}
    return found
