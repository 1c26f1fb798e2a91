"""The page that compares several runs: their scores, what their configs differ in, pair by pair, and their curves."""

import itertools
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from fer_jax.config import differences, flatten
from fer_jax.report.curves import Curve, charts_of_runs
from fer_jax.report.html import document, section, stand_in_notice, table, terms
from fer_jax.report.paired import INTERVAL as PAIRED_INTERVAL
from fer_jax.report.paired import TEST, paired
from fer_jax.run_words import INTERVAL, ONE_RUN, SUBSETS, percent, with_interval


class Compared(NamedTuple):
    """What the page tells of a run.

    Attributes:
      name: what it is called by, another for each.
      config: as it stands in config.json.
      record: as it stands in run.json, of one member.
      step: of the checkpoint.
      scores: by subset, as `scores.score` gives them, of the plain images.
      right: which images are classified rightly, bool [N]; of every run the same images.
      curve: what its curves are drawn from.
      selection: how the checkpoint was chosen, in words.
      report: where its own report is, relative to this page; '' where there is none.
      command: what makes that report.
      is_faces: whether its data are, or may be, faces, and it has a model card.
    """

    name: str
    config: Mapping[str, Any]
    record: Mapping[str, Any]
    step: int
    scores: Mapping[str, Mapping[str, Any]]
    right: np.ndarray
    curve: Curve
    selection: str
    report: str
    command: str
    is_faces: bool


def compare_page(runs: Sequence[Compared], *, split: str, data: str, stand_in: Sequence[str]) -> str:
    """The HTML of a comparison.

    Args:
      runs: at least two.
      split: that all were evaluated on.
      data: what it is of, in words.
      stand_in: the sentences of the stand-in notice; empty if the data are what the configs name.
    """
    title = f"{len(runs)} runs, {split} split"
    notice = stand_in_notice(stand_in)
    return document(
        f"{'STAND-IN DATA: ' if stand_in else ''}{title}",
        f"<header>{notice}<h1>{escape(title)}</h1>",
        terms(
            [
                ("runs", ", ".join(run.name for run in runs)),
                ("data", data),
                ("split", f"{split}, {len(runs[0].right):,} images, the same for every run"),
            ]
        ),
        _FACES if any(run.is_faces for run in runs) else "",
        "</header>\n<main>",
        section("scores", "Scores", _scores(runs, split)),
        section("pairs", "Pair by pair", _pairs(runs)),
        section("config", "What their configs differ in", _configs(runs)),
        section("curves", "Curves", charts_of_runs([run.curve for run in runs])),
        section("reports", "Each run's own report", _reports(runs)),
        f"</main>\n<footer>{notice}</footer>",
    )


_FACES = (
    '<p class="note">The classes are <strong>apparent expressions, as people who looked at the pictures named them, '
    "not what anybody felt</strong>. The <code>model_card.md</code> of each run says what the network is not for.</p>"
)


def _scores(runs: Sequence[Compared], split: str) -> str:
    ways = [name for name in SUBSETS if name in runs[0].scores]
    rows = [
        [
            run.name,
            *(with_interval(run.scores[way]["accuracy"], run.scores[way]["accuracy_interval"]) for way in ways),
            *(percent(run.scores["official"][key]) for key in ("macro_f1", "calibration_error")),
            f"{run.scores['official']['loss']:.4f}",
            run.config["model"]["name"],
            f"{run.record['params']['total']:,}",
            f"{run.step:,}",
            f"{run.record['seconds_training']:,.0f}",
        ]
        for run in runs
    ]
    accuracies = ["accuracy" if len(ways) == 1 else f"accuracy, {SUBSETS[way][0]}" for way in ways]
    header = ["run", *accuracies, "macro-F1", "calibration error", "loss (nats)", "network", "parameters", "step"]
    chosen = {run.selection: [one.name for one in runs if one.selection == run.selection] for run in runs}
    caption = f"The {split} split; accuracy with its {INTERVAL}"
    return "\n".join(
        [
            table(caption, [*header, "training (s)"], rows, words=(header.index("network"),)),
            f"<p>{escape(ONE_RUN)}</p>",
            terms([SUBSETS[way] for way in ways] if len(ways) > 1 else []),
            terms([(", ".join(names), sentence) for sentence, names in chosen.items()]),
        ]
    )


def _pairs(runs: Sequence[Compared]) -> str:
    rows = []
    for one, other in itertools.combinations(runs, 2):
        found = paired(one.right, other.right)
        low, high = found.interval
        rows.append(
            [
                f"{one.name} against {other.name}",
                f"{100 * found.difference:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})",
                *(f"{count:,}" for count in (found.first, found.second, found.both, found.neither)),
                f"{found.p_value:.2g}",
            ]
        )
    header = ["pair", "difference of accuracy (points)", "only the first right", "only the second right"]
    caption = f"The same images, counted officially; {PAIRED_INTERVAL}; p: {TEST}"
    return (
        table(caption, [*header, "both right", "both wrong", "p"], rows)
        + "\n<p>A small p says that chance in these images alone would rarely set the two apart so far. It says "
        "nothing about other seeds of the same configs, and with many pairs some p are small by chance.</p>"
    )


def _configs(runs: Sequence[Compared]) -> str:
    first, *others = (run.config for run in runs)
    keys = sorted({key for other in others for key in differences(first, other)})
    if not keys:
        return "<p>In nothing.</p>"
    values = [dict(flatten(run.config)) for run in runs]
    rows = [[key, *(repr(own[key]) if key in own else "-" for own in values)] for key in keys]
    return table(
        "Every key that is not the same in all",
        ["key", *(run.name for run in runs)],
        rows,
        words=range(1, len(runs) + 1),
    )


def _reports(runs: Sequence[Compared]) -> str:
    items = [
        f'<li><a href="{escape(run.report)}">{escape(run.name)}</a></li>'
        if run.report
        else f"<li>{escape(run.name)}: none yet; <code>{escape(run.command)}</code> makes it</li>"
        for run in runs
    ]
    return f"<ul>{''.join(items)}</ul>"
