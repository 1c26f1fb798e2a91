"""What the report's pages are made of: one HTML file that needs no other, readable on a phone, on light and on dark."""

import base64
import importlib.resources
from collections.abc import Sequence
from html import escape
from typing import NamedTuple


class Picture(NamedTuple):
    """A figure as two PNG files, for light and for dark pages, what it shows in words, and the light one as SVG."""

    light: bytes
    dark: bytes
    alt: str
    svg: bytes


def document(title: str, *body: str) -> str:
    """The whole page; style and program are in it."""
    assets = importlib.resources.files("fer_jax.report") / "assets"
    style, program = ((assets / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>",
            *body,
            f"<script>\n{program}</script>\n</body>\n</html>\n",
        ]
    )


FACES = (
    '<p class="note">The classes are <strong>apparent expressions, as people who looked at the pictures named them, '
    "not what anybody felt</strong>. <code>model_card.md</code> beside this page says what the network is for, "
    "what it is not for, and what is wrong with its data. This page shows pictures of the data set: its terms hold "
    "for this page too, so do not publish it without a look at them.</p>"
)


def section(name: str, title: str, body: str) -> str:
    """A section with a heading; `name` is its id."""
    return f'<section aria-labelledby="{name}">\n<h2 id="{name}">{escape(title)}</h2>\n{body}\n</section>'


def stand_in_notice(sentences: Sequence[str]) -> str:
    """The sentences of `writers.stand_in_sentences` as an alarm; '' where there are none."""
    if not sentences:
        return ""
    return '<div class="alarm" role="alert">' + "".join(f"<p>{escape(line)}</p>" for line in sentences) + "</div>"


def terms(pairs: Sequence[tuple[str, str]]) -> str:
    """A list of (term, description)."""
    return "<dl>" + "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in pairs) + "</dl>"


def table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = ()) -> str:
    """A table whose first column names its rows; the columns numbered in `words` are text and not numbers."""
    kinds = [' class="words"' if number in words else "" for number in range(len(header))]
    head = "".join(f'<th scope="col"{kind}>{escape(cell)}</th>' for kind, cell in zip(kinds, header, strict=True))
    body = ""
    for name, *cells in rows:
        data = "".join(f"<td{kind}>{_unbroken(cell)}</td>" for kind, cell in zip(kinds[1:], cells, strict=True))
        body += f'<tr><th scope="row">{escape(name)}</th>{data}</tr>\n'
    # What scrolls must be reachable with the keyboard, and have a name.
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}">\n<table class="sortable">\n'
        f"<caption><span>{escape(caption)}</span></caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>"
    )


def _unbroken(cell: str) -> str:
    """A cell in which a line may break in front of an interval, and nowhere else."""
    return escape(cell).replace(" ", "\N{NO-BREAK SPACE}").replace("\N{NO-BREAK SPACE}(", " (")


def figure(picture: Picture) -> str:
    """A picture, as light or dark as the page."""
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{inline(picture.dark)}">'
        f'<img src="{inline(picture.light)}" alt="{escape(picture.alt)}"></picture></figure>'
    )


def inline(png: bytes) -> str:
    """A PNG file as the address of itself."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
