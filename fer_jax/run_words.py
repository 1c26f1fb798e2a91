"""A run and its scores in words, as the report's page and the model card write them."""

from collections.abc import Mapping, Sequence
from typing import Any

from fer_jax.score_table import NAMES
from fer_jax.writers import format_seconds

SUBSETS = {
    "official": (NAMES["official"], "every image of the split, with the data set's own label"),
    "twin_free": (NAMES["twin_free"], "without the images that have a pixel-identical twin in the training split"),
    "fer_plus": (
        NAMES["fer_plus"],
        "the images on which more than 5 of 10 FER+ taggers agree on one of the seven emotions, against that emotion",
    ),
}
"""The ways in which one evaluation is counted: name and explanation, in the order of every table."""

VIEWS = {
    "plain": ("plain", "the image as it is"),
    "flip": ("flip", "test-time augmentation: the mean over the image and its mirror image"),
    "ten_crop": ("ten-crop", "test-time augmentation: the mean over five crops and their mirror images"),
}
"""What a prediction is made from: name and explanation, in the order of every table."""

INTERVAL = "95 % Wilson interval over the images"
ONE_RUN = (
    "Intervals are 95 % Wilson intervals over the images of this one run: they tell how few images were counted, and "
    "not how much another seed would differ."
)


def percent(value: float | None) -> str:
    """0.6893 -> '68.93 %'; a dash for what is undefined."""
    return "-" if value is None else f"{100 * value:.2f} %"


def with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    """(0.6893, [0.674, 0.7042]) -> '68.93 % (67.40 to 70.42)'."""
    if value is None or interval is None:
        return percent(value)
    low, high = interval
    return f"{percent(value)} ({100 * low:.2f} to {100 * high:.2f})"


def selection(record: Mapping[str, Any], split: str, step: int) -> str:
    """What chose the checkpoint of a step, and what that makes of its score on `split`."""
    best, by = record["best"], record["selected_by"]
    measure = {"accuracy": "accuracy", "macro_f1": "macro-F1"}[record.get("select_by", "accuracy")]
    if best is None or best["step"] != step or by is None:
        return "No score selected this checkpoint."
    sentence = f"This checkpoint was selected: of all epochs so far it has the highest {measure} on the {by} split."
    if by == split:
        sentence += (
            f" So its score on the {split} split is the best of many looks at the same images: it flatters, "
            "and is no estimate of how the network does on new ones."
        )
    return sentence


def provenance_terms(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where a run's numbers come from, as (term, description)."""
    git, data = record["git"], record["data"]
    dirty = ", with changes that were not committed" if git["dirty"] else ""
    return [
        ("command", " ".join(record["command"])),
        ("commit", f"{git['commit']}{dirty}" if git["commit"] else "unknown: the code was not a git checkout"),
        ("versions", ", ".join(f"{name} {version}" for name, version in record["versions"].items())),
        ("devices", ", ".join(record["devices"])),
        ("processor", record["machine"]["processor"]),
        ("data", f"{data['name']}: {data['source']}"),
        ("data fingerprint", data["fingerprint"]),
        ("started", record["started"]),
        ("ended", record["ended"] or "not yet"),
        (
            "time",
            f"{format_seconds(record['seconds_training'])} training, "
            f"{format_seconds(record['seconds_compiling'])} compiling",
        ),
    ]
