"""The report of an audit in words and tables: Markdown that reads as it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fer_jax.data import faults

_SHOWN = 10
"""Pairs of near twins in the report; audit.json has more."""


def write(report: Mapping[str, Any], folder: Path) -> str:
    """The report.

    Args:
      report: what stands in audit.json: the figures of `faults.examine`, and how the data are called.
      folder: where the lists are, for the example of how to use one.
    """
    parts = [
        f"# Audit of {report['data']}",
        f"Source: {report['source']}.\nFingerprint: {report['fingerprint']}.",
        _classes(report["classes"]),
        _twins(report["twins"], report["blank"]),
        _shared(report["shared"], report["twins"]),
    ]
    if "near" in report:
        parts.append(_near(report["near"], report["twins"]))
    if "fer_plus" in report:
        parts.append(_fer_plus(report["fer_plus"]))
    if "people" in report:
        parts.append(_people(report["people"], report["twins"]))
    parts.append(_lists(report["lists"], list(report["classes"]), folder))
    return "\n\n".join(parts) + "\n"


def _classes(classes: Mapping[str, Mapping[str, int]]) -> str:
    totals = {split: sum(counts.values()) for split, counts in classes.items()}
    names = next(iter(classes.values()))
    rows = [[name, *(_share(classes[split][name], total) for split, total in totals.items())] for name in names]
    rows.append(["all", *(f"{total:,}" for total in totals.values())])
    parts = ["## Classes", _table(["class", *totals], rows)]
    if empty := [f"{name} in {split}" for split in classes for name in names if not classes[split][name]]:
        parts.append(f"Classes without an example: {', '.join(empty)}.")
    return "\n\n".join(parts)


def _twins(twins: Mapping[str, Mapping[str, int]], blank: Mapping[str, int]) -> str:
    heads = ["examples", "distinct", "surplus", "groups", "in groups", "largest group"]
    heads += ["conflicting groups", "in conflicting groups"]
    blanks = {**blank, "all": sum(blank.values())}
    rows = [
        [split, *(f"{counts[head.replace(' ', '_')]:,}" for head in heads), f"{blanks[split]:,}"]
        for split, counts in twins.items()
    ]
    text = (
        "A group is all the examples of one image, to the last pixel, where they are more than one; it is conflicting "
        "if they carry more than one label. A blank image has one value all over."
    )
    return "\n\n".join(["## Identical images", _table(["split", *heads, "blank"], rows), text])


def _shared(shared: Sequence[Mapping[str, Any]], twins: Mapping[str, Mapping[str, int]]) -> str:
    rows = [
        [
            f"{pair['first']} and {pair['second']}",
            f"{pair['distinct']:,}",
            _share(pair["in_first"], twins[pair["first"]]["examples"]),
            _share(pair["in_second"], twins[pair["second"]]["examples"]),
            f"{pair['labels_differ']:,}",
        ]
        for pair in shared
    ]
    heads = ["splits", "distinct images", "examples in the first", "examples in the second", "labels not the same"]
    return "\n\n".join(["## Images in two splits", _table(heads, rows)])


def _near(near: Mapping[str, Any], twins: Mapping[str, Mapping[str, int]]) -> str:
    rows = []
    for pair in near["between"]:
        first, second = pair["first"], pair["second"]
        of_first, of_second = twins[first]["examples"], twins[second]["examples"]
        if first == second:
            rows.append([f"within {first}", _share(pair["in_first"], of_first), "", "", ""])
        else:
            rows.append(
                [
                    f"{first} and {second}",
                    _share(pair["in_first"], of_first),
                    _share(pair["in_second"], of_second),
                    _share(pair["in_first_or_same"], of_first),
                    _share(pair["in_second_or_same"], of_second),
                ]
            )
    heads = ["splits", "in the first", "in the second", "or identical, in the first", "or identical, in the second"]
    text = (
        f"Pairs of distinct images with a cosine above {near['above']:g} between their pixels, less the mean of each "
        f"image: {near['pairs']:,}; of these with more than one label: {near['labels_differ']:,}. A blank image has no "
        "cosine, and counts as identical only."
    )
    parts = ["## Near twins", text, _table(heads, rows)]
    if near["closest"]:
        closest = [
            [f"{pair['cosine']:.6f}", *(f"{split} {row}" for split, row in (pair["first"], pair["second"]))]
            for pair in near["closest"][:_SHOWN]
        ]
        parts += ["The closest, by position in their split:", _table(["cosine", "first", "second"], closest)]
    return "\n\n".join(parts)


def _fer_plus(votes: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for split, counts in votes.items():
        share = _share(counts["labels_differ"], counts["with_majority"])
        rows.append([split, f"{counts['not_a_face']:,}", f"{counts['with_majority']:,}", share])
    names = next(iter(votes.values()))["classes"]
    classes = [
        [
            name,
            *(
                _share(counts["classes"][name]["labels_differ"], counts["classes"][name]["with_majority"])
                for counts in votes.values()
            ),
        ]
        for name in names
    ]
    return "\n\n".join(
        [
            "## What FER+'s voters say",
            _table(["split", "not a face (10 of 10)", "with a majority", "which is not the label"], rows),
            "A majority is more than 5 of 10 votes on one of the seven emotions. Where it is not the label, by label:",
            _table(["label", *votes], classes),
        ]
    )


def _people(people: Mapping[str, Any], twins: Mapping[str, Mapping[str, int]]) -> str:
    rows = [
        [
            f"{pair['first']} and {pair['second']}",
            f"{pair['people']:,}",
            _share(pair["in_first"], twins[pair["first"]]["examples"]),
            _share(pair["in_second"], twins[pair["second"]]["examples"]),
        ]
        for pair in people["shared"]
    ]
    count = ", ".join(f"{number:,} in {split}" for split, number in people["in"].items())
    heads = ["splits", "people in both", "examples of them in the first", "in the second"]
    return "\n\n".join(["## People in two splits", f"There are {count}.", _table(heads, rows)])


def _lists(lists: Mapping[str, Mapping[str, Any]], splits: Sequence[str], folder: Path) -> str:
    if not lists:
        return "## Examples to leave out\n\nNone."
    what = {**faults.LISTS, faults.RECOMMENDED: "training examples of all the lists that matter to training"}
    rows = [[file["file"], what[key], *(f"{file.get(split, 0):,}" for split in splits)] for key, file in lists.items()]
    use = []
    if faults.RECOMMENDED in lists:
        file = folder / lists[faults.RECOMMENDED]["file"]
        use = [f"To train without them: `--config.data.exclude={file}`. No example of another split is in that list."]
    return "\n\n".join(["## Examples to leave out", _table(["file", "what", *splits], rows), *use])


def _share(part: int, whole: int) -> str:
    """'288 (8.0 %)'."""
    return f"{part:,} ({100 * part / whole:.1f} %)" if whole else f"{part:,}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with its columns in line; the first column to the left, numbers to the right."""
    # Class names may be those of folders, and hold what ends a cell or a line.
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in [heads, *rows]]
    columns = list(zip(*cells, strict=True))
    widths = [max(map(len, column)) for column in columns]
    sides = [">" if any(cell[:1].isdigit() for cell in column[1:]) else "<" for column in columns]
    rule = ["-" * (width - 1) + ("-" if side == "<" else ":") for width, side in zip(widths, sides, strict=True)]
    padded = [[f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)] for row in cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in [padded[0], rule, *padded[1:]])
