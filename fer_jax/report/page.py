"""The report's page: one HTML file that needs no other, readable on a phone, on light and on dark."""

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from fer_jax.report.findings import Mistake
from fer_jax.run_words import INTERVAL, ONE_RUN, SUBSETS, VIEWS, percent, with_interval


class Picture(NamedTuple):
    """A figure as two PNG files, for light and for dark pages, and what it shows in words."""

    light: bytes
    dark: bytes
    alt: str


class Content(NamedTuple):
    """What the page tells.

    Attributes:
      title: of the page.
      stand_in: the sentences of the stand-in notice; empty if the data are what the config names.
      has_card: whether a model card lies beside the page, as it does where the data are faces.
      summary: (term, description) of what was evaluated.
      selection: how the checkpoint was chosen, in words.
      split: 'train', 'validation' or 'test'.
      scores: by view and subset, as `scores.score` gives them; 'plain' and 'official' are there always.
      pictures: 'confusion', 'confusion_counts', 'calibration', once an epoch has ended 'curves', and of a network with
        maps 'looks', 'kernels' and 'maps'.
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
    mistakes: Sequence[tuple[Mistake, bytes]]
    provenance: Sequence[tuple[str, str]]
    config: Mapping[str, Any]


def page(content: Content) -> str:
    """The HTML of a report."""
    title = f"{'STAND-IN DATA: ' if content.stand_in else ''}{content.title}"
    notice = _stand_in(content.stand_in)
    sections = [
        _section("scores", "Scores", _scores(content)),
        _section("curves", "Curves", _curves(content)),
        _section("confusion", "Confusion", _confusion(content)),
        _section("classes", "Classes", _classes(content.scores["plain"]["official"])),
        _section("calibration", "Calibration", _calibration(content)),
        _section("inside", "Inside the network", _inside(content)),
        _section("mistakes", "Most confident mistakes", _mistakes(content)),
        _section("provenance", "Provenance", _provenance(content)),
    ]
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
            f"<header>{notice}<h1>{escape(content.title)}</h1>",
            _terms(content.summary),
            _FACES if content.has_card else "",
            "</header>\n<main>",
            *sections,
            f"</main>\n<footer>{notice}</footer>\n</body>\n</html>\n",
        ]
    )


_STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1f2328;--faint:#57606a;--line:#d0d7de;--panel:#f6f8fa;--alarm:#b3001b}
@media (prefers-color-scheme:dark){
:root{--paper:#16191d;--ink:#e6e8eb;--faint:#a3abb5;--line:#3b424b;--panel:#1f242a;--alarm:#c8102e}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:64rem;background:var(--paper);color:var(--ink);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0}
h2{font-size:1.25rem;margin:2.5rem 0 .75rem;border-bottom:1px solid var(--line)}
p{max-width:46rem}
.alarm{background:var(--alarm);color:#fff;padding:1rem;margin:0 0 1rem;font-size:1.15rem;font-weight:700}
.alarm p{margin:0 0 .5rem}
.alarm p:first-child{font-size:1.6rem;line-height:1.25}
.note{background:var(--panel);border-left:4px solid var(--line);padding:.6rem 1rem;max-width:46rem}
.wide{overflow-x:auto}
.wide:focus-visible{outline:2px solid var(--ink)}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;overflow-wrap:normal}
caption{text-align:left;color:var(--faint);padding-bottom:.4rem}
caption span{position:sticky;left:0;display:inline-block;max-width:calc(100vw - 2rem)}
th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
th:first-child,.words{text-align:left}
thead th{vertical-align:bottom}
dl{display:grid;grid-template-columns:minmax(7rem,max-content) 1fr;gap:.2rem 1rem;margin:.75rem 0}
dt{color:var(--faint)}
dd{margin:0}
figure{margin:0}
figure img{display:block;width:100%;max-width:36rem;height:auto}
.pair{display:grid;gap:1.5rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr))}
.gallery{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr));list-style:none;padding:0}
.gallery img{width:100%;image-rendering:pixelated}
.gallery figcaption{font-size:.875rem;line-height:1.35}
pre{overflow-x:auto;background:var(--panel);padding:1rem;font-size:.875rem}
summary{cursor:pointer;padding:.5rem 0}
"""

_FACES = (
    '<p class="note">The classes are <strong>apparent expressions, as people who looked at the pictures named them, '
    "not what anybody felt</strong>. <code>model_card.md</code> beside this page says what the network is for, "
    "what it is not for, and what is wrong with its data. This page shows pictures of the data set: its terms hold "
    "for this page too, so do not publish it without a look at them.</p>"
)


def _section(name: str, title: str, body: str) -> str:
    return f'<section aria-labelledby="{name}">\n<h2 id="{name}">{escape(title)}</h2>\n{body}\n</section>'


def _stand_in(sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    return '<div class="alarm" role="alert">' + "".join(f"<p>{escape(line)}</p>" for line in sentences) + "</div>"


def _terms(terms: Sequence[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in terms) + "</dl>"


def _table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = ()) -> str:
    """A table whose first column names its rows; the columns numbered in `words` are text and not numbers."""
    kinds = [' class="words"' if number in words else "" for number in range(len(header))]
    head = "".join(f'<th scope="col"{kind}>{escape(cell)}</th>' for kind, cell in zip(kinds, header, strict=True))
    body = ""
    for name, *cells in rows:
        data = "".join(f"<td{kind}>{_unbroken(cell)}</td>" for kind, cell in zip(kinds[1:], cells, strict=True))
        body += f'<tr><th scope="row">{escape(name)}</th>{data}</tr>\n'
    # What scrolls must be reachable with the keyboard, and have a name.
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}">\n<table>\n'
        f"<caption><span>{escape(caption)}</span></caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>"
    )


def _unbroken(cell: str) -> str:
    """A cell in which a line may break in front of an interval, and nowhere else."""
    return escape(cell).replace(" ", "\N{NO-BREAK SPACE}").replace("\N{NO-BREAK SPACE}(", " (")


def _figure(picture: Picture) -> str:
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{_inline(picture.dark)}">'
        f'<img src="{_inline(picture.light)}" alt="{escape(picture.alt)}"></picture></figure>'
    )


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


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
            _table(f"The {content.split} split; accuracy with its {INTERVAL}", header, rows),
            f"<p>{escape(ONE_RUN)}</p>",
            _terms(explained) if explained else "",
        ]
    )


def _curves(content: Content) -> str:
    if "curves" not in content.pictures:
        return "<p>No epoch has ended yet.</p>"
    return _figure(content.pictures["curves"])


def _confusion(content: Content) -> str:
    scores = content.scores["plain"]["official"]
    names = list(scores["per_class"])
    rows = [
        [name, *(f"{count:,}" for count in counts)]
        for name, counts in zip(names, scores["confusion"], strict=True)
    ]  # fmt: skip
    table = _table("Images by true class (rows) and predicted class (columns)", ["true", *names], rows)
    return (
        f'<div class="pair">{_figure(content.pictures["confusion"])}{_figure(content.pictures["confusion_counts"])}'
        f"</div>\n<details><summary>The counts as a table</summary>{table}</details>"
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
    return _table(caption, header, rows, words=(5,))


def _calibration(content: Content) -> str:
    error = percent(content.scores["plain"]["official"]["calibration_error"])
    return (
        f"<p>The expected calibration error is {error}: the mean distance between the probability that the network "
        "gives its prediction and the share of such predictions that are right, over 15 equal bins of that "
        "probability.</p>\n" + _figure(content.pictures["calibration"])
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
        + _figure(content.pictures["looks"])
        + f'<div class="pair">{_figure(content.pictures["kernels"])}{_figure(content.pictures["maps"])}</div>'
    )


def _mistakes(content: Content) -> str:
    if not content.mistakes:
        return "<p>There are none: every image is classified as its label says.</p>"
    items = []
    for one, image in content.mistakes:
        known = "<br>".join(escape(line) for line in one.known)
        items.append(
            f'<li><figure><img src="{_inline(image)}" alt="{escape(f"{one.true} taken for {one.predicted}")}">'
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
    return f"{_terms(content.provenance)}\n<details><summary>The whole config</summary><pre>{config}</pre></details>"
