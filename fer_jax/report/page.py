"""The page of a run's report: what stands in it, in which order."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from fer_jax.report.curves import Curve, charts_of_run
from fer_jax.report.findings import Mistake
from fer_jax.report.html import FACES, Picture, document, figure, inline, section, stand_in_notice, table, terms
from fer_jax.run_words import INTERVAL, ONE_RUN, SUBSETS, VIEWS, percent, with_interval


class Content(NamedTuple):
    """What the page tells.

    Attributes:
      title: of the page.
      stand_in: the sentences of the stand-in notice; empty if the data are what the config names.
      has_card: whether the data are, or may be, faces, and a model card lies beside the page.
      summary: (term, description) of what was evaluated.
      selection: how the checkpoint was chosen, in words.
      split: 'train', 'validation' or 'test'.
      scores: by view and subset, as `scores.score` gives them; 'plain' and 'official' are there always.
      pictures: 'confusion', 'confusion_counts', 'calibration', once an epoch has ended 'curves', and of a network with
        maps 'looks', 'kernels' and 'maps'.
      curve: what the curves are drawn from.
      chosen: the selected epoch; None where none was selected.
      mistakes: the most confident first, each with its image as a PNG file.
      provenance: (term, description).
      config: the run's config.
    """

    title: str
    stand_in: Sequence[str]
    has_card: bool
    summary: Sequence[tuple[str, str]]
    selection: str
    split: str
    scores: Mapping[str, Mapping[str, Mapping[str, Any]]]
    pictures: Mapping[str, Picture]
    curve: Curve
    chosen: int | None
    mistakes: Sequence[tuple[Mistake, bytes]]
    provenance: Sequence[tuple[str, str]]
    config: Mapping[str, Any]


def page(content: Content) -> str:
    """The HTML of a report."""
    title = f"{'STAND-IN DATA: ' if content.stand_in else ''}{content.title}"
    notice = stand_in_notice(content.stand_in)
    sections = [
        section("scores", "Scores", _scores(content)),
        section("curves", "Curves", _curves(content)),
        section("confusion", "Confusion", _confusion(content)),
        section("classes", "Classes", _classes(content.scores["plain"]["official"])),
        section("calibration", "Calibration", _calibration(content)),
        section("inside", "Inside the network", _inside(content)),
        section("mistakes", "Most confident mistakes", _mistakes(content)),
        section("provenance", "Provenance", _provenance(content)),
    ]
    return document(
        title,
        f"<header>{notice}<h1>{escape(content.title)}</h1>",
        terms(content.summary),
        FACES if content.has_card else "",
        "</header>\n<main>",
        *sections,
        f"</main>\n<footer>{notice}</footer>",
    )


def _scores(content: Content) -> str:
    plain = content.scores["plain"]
    subsets = [name for name in SUBSETS if name in plain]
    views = [view for view in VIEWS if view in content.scores]
    rows = []
    for name in subsets:
        of_views = [content.scores[view][name] for view in views]
        scores = plain[name]
        others = [percent(scores[key]) for key in ("top2", "macro_f1", "balanced_accuracy", "calibration_error")]
        rows.append(
            [
                SUBSETS[name][0],
                f"{scores['examples']:,}",
                *(with_interval(found["accuracy"], found["accuracy_interval"]) for found in of_views),
                *others,
                f"{scores['loss']:.4f}",
            ]
        )
    accuracies = ["accuracy" if view == "plain" else f"accuracy, {VIEWS[view][0]}" for view in views]
    header = ["counted", "images", *accuracies]
    header += ["top-2", "macro-F1", "balanced accuracy", "calibration error", "loss (nats)"]
    explained = [SUBSETS[name] for name in subsets if len(subsets) > 1] + [VIEWS[view] for view in views[1:]]
    return "\n".join(
        [
            f"<p>{escape(content.selection)}</p>",
            table(f"The {content.split} split; accuracy with its {INTERVAL}", header, rows),
            f"<p>{escape(ONE_RUN)}</p>",
            terms(explained) if explained else "",
        ]
    )


def _curves(content: Content) -> str:
    if "curves" not in content.pictures:
        return "<p>No epoch has ended yet.</p>"
    return charts_of_run(content.curve, content.chosen, content.pictures["curves"].alt)


def _confusion(content: Content) -> str:
    scores = content.scores["plain"]["official"]
    names = list(scores["per_class"])
    rows = [
        [name, *(f"{count:,}" for count in counts)]
        for name, counts in zip(names, scores["confusion"], strict=True)
    ]  # fmt: skip
    counts_table = table("Images by true class (rows) and predicted class (columns)", ["true", *names], rows)
    return (
        f'<div class="pair">{figure(content.pictures["confusion"])}{figure(content.pictures["confusion_counts"])}'
        f"</div>\n<details><summary>The counts as a table</summary>{counts_table}</details>"
    )


def _classes(scores: Mapping[str, Any]) -> str:
    names = list(scores["per_class"])
    rows = []
    for number, (name, found) in enumerate(scores["per_class"].items()):
        wrong = [0 if other == number else count for other, count in enumerate(scores["confusion"][number])]
        most = max(range(len(wrong)), key=wrong.__getitem__)
        taken = f"{names[most]} ({wrong[most]:,})" if wrong[most] else "-"
        rows.append(
            [
                name,
                f"{found['examples']:,}",
                with_interval(found["recall"], found["recall_interval"]),
                with_interval(found["precision"], found["precision_interval"]),
                percent(found["f1"]),
                taken,
            ]
        )
    header = ["class", "images", "recall", "precision", "F1", "most often taken for (images)"]
    caption = f"Each class, counted officially; recall and precision with their {INTERVAL}"
    return table(caption, header, rows, words=(5,))


def _calibration(content: Content) -> str:
    error = percent(content.scores["plain"]["official"]["calibration_error"])
    return (
        f"<p>The expected calibration error is {error}: the mean distance between the probability that the network "
        "gives its prediction and the share of such predictions that are right, over 15 equal bins of that "
        "probability.</p>\n" + figure(content.pictures["calibration"])
    )


def _inside(content: Content) -> str:
    if "looks" not in content.pictures:
        return "<p>The network has no convolution, whose maps could be shown.</p>"
    return (
        "<p>Of each class the image that is classified rightly with the median probability, then the surest mistakes. "
        "The square is what the strongest place of the last map was computed from. Grad-CAM (2017) shows where that "
        "map speaks for the answer; integrated gradients (2017) what each pixel adds to its logit (red) or takes from "
        "it (blue), compared with an image of the ground\u2019s gray level. Both tell what this network does, and "
        "nothing of what is right."
        "</p>\n"
        + figure(content.pictures["looks"])
        + f'<div class="pair">{figure(content.pictures["kernels"])}{figure(content.pictures["maps"])}</div>'
    )


def _mistakes(content: Content) -> str:
    if not content.mistakes:
        return "<p>There are none: every image is classified as its label says.</p>"
    items = []
    for one, image in content.mistakes:
        known = "<br>".join(escape(line) for line in one.known)
        items.append(
            f'<li><figure><img src="{inline(image)}" alt="{escape(f"{one.true} taken for {one.predicted}")}">'
            f"<figcaption>true: <strong>{escape(one.true)}</strong> ({percent(one.true_probability)})<br>"
            f"predicted: <strong>{escape(one.predicted)}</strong> ({percent(one.probability)})<br>{known}"
            "</figcaption></figure></li>"
        )
    return (
        "<p>The images on which the network is surest and wrong, surest first. Where a label looks wrong, it may be: "
        "no label was changed for this report.</p>\n"
        '<ul class="gallery">\n' + "\n".join(items) + "\n</ul>"
    )


def _provenance(content: Content) -> str:
    config = escape(json.dumps(content.config, indent=2))
    return f"{terms(content.provenance)}\n<details><summary>The whole config</summary><pre>{config}</pre></details>"
