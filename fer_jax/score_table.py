"""Scores as tables for a terminal: shares in per cent, intervals in brackets."""

from collections.abc import Mapping, Sequence
from typing import Any

from fer_jax.text_table import aligned

NAMES = {"official": "official", "twin_free": "twin-free", "fer_plus": "FER+ majority"}
"""How the subsets of a split are called in words."""

Views = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""What `scores.score` gave, by view and subset."""


def has_parts(views: Views) -> bool:
    """Whether there is more to show than one view of a whole split."""
    return len(views) > 1 or any(len(subsets) > 1 for subsets in views.values())


def name_states(record: Mapping[str, Any], split: str) -> dict[str, Views]:
    """The full scores of a run's two states on a split, the selected one first, or the one that is both."""
    best, last = (record["scores"][which][split] for which in ("best", "last"))
    if record["best"]["step"] == record["last"]["step"]:
        return {"last and selected" if record["selected_by"] else "last": best}
    return {"selected": best, "last": last}


def format_scores(split: str, states: Mapping[str, Views]) -> str:
    """A row for each state, view and subset of a split.

    Args:
      split: its name.
      states: the scores of each state, by the words that a row begins with.
    """
    rows: list[tuple[str, ...]] = [
        ("", "view", "images", "n", "accuracy", "macro-F1", "balanced", "top-2", "calibration error")
    ]
    interval = ""
    for state, views in states.items():
        for view, subsets in views.items():
            for subset, found in subsets.items():
                interval = found["interval"]
                shares = (found[key] for key in ("macro_f1", "balanced_accuracy", "top2", "calibration_error"))
                accuracy = _with_interval(found["accuracy"], found["accuracy_interval"])
                rows.append((state, view, NAMES[subset], f"{found['examples']:,}", accuracy, *map(_percent, shares)))
    return f"{split.capitalize()} split in per cent; [ ]: {interval}\n" + aligned(rows, left=range(3))


def format_classes(split: str, state: str, subsets: Mapping[str, Mapping[str, Any]]) -> str:
    """A row for each class of each subset, of one state and one view of a split."""
    rows: list[tuple[str, ...]] = [("images", "class", "n", "precision", "recall", "F1")]
    for subset, found in subsets.items():
        for name, of_class in found["per_class"].items():
            shares = (_with_interval(of_class[key], of_class[f"{key}_interval"]) for key in ("precision", "recall"))
            rows.append((NAMES[subset], name, f"{of_class['examples']:,}", *shares, _percent(of_class["f1"])))
    interval = next(iter(subsets.values()))["interval"]
    return f"{split.capitalize()} split by class, {state}, in per cent; [ ]: {interval}\n" + aligned(
        rows, left=range(2)
    )


def format_over_seeds(entries: Sequence[Mapping[str, Any]]) -> str:
    """A row for each combination of values of a run's members; `entries` are `over_seeds` of its record."""
    names = list(entries[0]["last"])
    states = ("last", "best")
    titles = [f"{_STATES[which]} {name}" for name in names for which in states]
    rows: list[tuple[str, ...]] = [("members", "n", *titles)]
    for entry in entries:
        cells = [_with_half_width(**entry[which][name]) for name in names for which in states]
        rows.append((name_values(entry["values"]) or "all", str(entry["n"]), *cells))
        if "ensemble" in entry:
            as_one = [_percent(entry["ensemble"][which][name]) for name in names for which in states]
            rows.append(("  as one (mean probabilities)", str(entry["n"]), *as_one))
    return f"In per cent; ±: {entries[0]['interval']}\n" + aligned(rows, left=range(1))


_STATES = {"last": "last", "best": "selected"}


def name_values(values: Mapping[str, float]) -> str:
    """'model.dropout = 0.1, loss.label_smoothing = 0.2'; '' where nothing varies."""
    return ", ".join(f"{key} = {value:g}" for key, value in values.items())


def _with_half_width(mean: float, half_width: float | None) -> str:
    return _percent(mean) if half_width is None else f"{_percent(mean)} ± {_percent(half_width)}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def _with_interval(share: float | None, interval: Sequence[float] | None) -> str:
    return _percent(share) if interval is None else f"{_percent(share)} [{', '.join(map(_percent, interval))}]"
