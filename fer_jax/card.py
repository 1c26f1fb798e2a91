"""The model card of a run: what the network is for, what is wrong with its data, and what it scored."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fer_jax.build import Run
from fer_jax.card_facts import (
    APPARENT,
    DIGITS_OUT_OF_SCOPE,
    INTENDED,
    LAW,
    MAY_BE_APPARENT,
    NO_GROUPS,
    OUT_OF_SCOPE,
    facts_of,
    subject_of,
)
from fer_jax.data.subsets import OFFICIAL
from fer_jax.files import write_whole
from fer_jax.run_words import ONE_RUN, SUBSETS, VIEWS, percent, provenance_terms, selection
from fer_jax.score_table import format_classes, format_over_seeds, format_scores, name_states
from fer_jax.writers import stand_in_sentences, times

FILE = "model_card.md"


def write_card(folder: Path, run: Run, config: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Writes `model_card.md` into the folder of a finished run.

    Args:
      folder: the run's folder.
      run: what was trained.
      config: as it stands in config.json.
      record: as it stands in run.json, final.
    """
    write_whole(folder / FILE, card(folder.resolve().name, run, config, record))


def card(
    name: str,
    run: Run,
    config: Mapping[str, Any],
    record: Mapping[str, Any],
    opening: Sequence[str] = (),
    which: str = "best",
) -> str:
    """The card's text, in Markdown.

    Args:
      name: of the run.
      run: as in `write_card`, and so are `config`
      config: and
      record: `record`, which of a run that has not ended may lack its scores.
      opening: paragraphs that stand first.
      which: the state whose classes are told, 'best' or 'last'.
    """
    facts, subject = facts_of(run.dataset.name), subject_of(run.dataset.name)
    # What nobody has said the subject of may be people, and is told of with the same caution.
    faces = subject != "digit"
    classes = APPARENT if subject == "face" else MAY_BE_APPARENT
    stand_in = stand_in_sentences(run.dataset)
    notice = ["> **" + "**\n>\n> **".join(stand_in) + "**"] if stand_in else []
    sections = [
        f"# Model card: {name}",
        *notice,
        *opening,
        _what(run, config, subject),
        *(["## What the classes are", classes, "## What it is for", _list(INTENDED)] if faces else []),
        "## What it is not for",
        *([_list(OUT_OF_SCOPE), LAW] if faces else [_list(DIGITS_OUT_OF_SCOPE)]),
        "## Data",
        _list([f"Read from: {run.dataset.source}.", *facts.origin, *_choices(run, config)]),
        _counts(run),
        *(["### What is wrong with them", _list(facts.faults)] if facts.faults else []),
        "## Training",
        _recipe(run, config, record),
        "## Numbers",
        *_numbers(run, record, which, faces),
        *(["## Known biases", _list([*[NO_GROUPS] * faces, *facts.biases])] if facts.biases else []),
        "## Where this comes from",
        _list([f"{term}: {text}" for term, text in provenance_terms(record)]),
        *notice,
    ]
    return "\n\n".join(sections) + "\n"


def _what(run: Run, config: Mapping[str, Any], subject: str) -> str:
    height, width, channels = run.model.image_shape
    colour = {1: "gray", 3: "RGB"}.get(channels, f"{channels} channels")
    return (
        f"`{config['model']['name']}`, a convolutional network of {run.summary.total:,} parameters "
        f"({run.summary.trainable:,} trainable), written in JAX and Flax. It takes a picture of {width}x{height} "
        f"pixels ({colour}, 8 bit){f' that shows one {subject}' if subject else ''}, and gives a probability for each "
        f"of {len(run.dataset.class_names)} classes: {', '.join(run.dataset.class_names)}."
    )


def _choices(run: Run, config: Mapping[str, Any]) -> list[str]:
    """What the run chose of its data, where that bears on its numbers."""
    data, found = config["data"], []
    if run.dataset.name == "facial_expressions":
        people = {
            "person": "by person: nobody is in two of them",
            "image": "**by picture: the same people are in several of them, which flatters every number below**",
        }
        found.append(f"The splits are those of fold {data['fold']} of 5, {people[data['split_by']]}.")
    if data["exclude"] and not run.dataset.stand_in_for:
        found.append(f"Left out: the pictures listed in {data['exclude']}.")
    if data["limit"]:
        found.append(f"**Cut short: the first {data['limit']:,} pictures of each split only.**")
    return found


def _counts(run: Run) -> str:
    """How many images of each class each split has."""
    names = run.dataset.class_names
    lines = [f"| split | images | {' | '.join(names)} |", "|---" * (2 + len(names)) + "|"]
    for split, examples in run.splits.by_name().items():
        counts = np.bincount(examples.labels, minlength=len(names))
        lines.append(f"| {split} | {len(examples):,} | {' | '.join(f'{count:,}' for count in counts)} |")
    return "\n".join(lines)


def _recipe(run: Run, config: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """The whole config, a line a section."""
    top = {key: value for key, value in config.items() if not isinstance(value, Mapping)}
    sections = {key: value for key, value in config.items() if isinstance(value, Mapping)}
    begun = "from random weights: no other pictures and no pretrained network were used"
    if record.get("init_from"):
        begun = f"from what `{record['init_from']['source']}` had learnt"
        if "warning" in record["init_from"]:
            begun += f" (**{record['init_from']['warning']}**)"
    lines = [
        f"{run.options.epochs} epochs of {run.steps_per_epoch:,} steps, {begun}. The whole config, as `config.json` "
        "has it:"
    ]
    for name, section in {"top level": top, **sections}.items():
        values = ", ".join(f"{key} = {value!r}" for key, value in section.items())
        lines.append(f"- {name}: `{values}`")
    return lines[0] + "\n\n" + "\n".join(lines[1:])


_NO_SCORES = "**No test scores were taken in this run.**"


def _numbers(run: Run, record: Mapping[str, Any], which: str, faces: bool) -> list[str]:
    """The test scores of the selected and the last state, or that there are none."""
    if run.members.many:
        return _numbers_of_members(record, faces)
    scores = record.get("scores") or {}
    watched = run.splits.watched_name
    split = "test" if "test" in scores.get("best", {}) else watched
    reads = (
        f"The test split was read {times(record['test_reads'])} up to the end of the run (each evaluation of one "
        "checkpoint on it counts); `run.json` keeps the count."
    )
    paragraphs = [reads]
    if split != "test":
        paragraphs.append(_NO_SCORES)
    if split not in scores.get("best", {}):
        return paragraphs
    paragraphs.append(selection(record, split, record[which]["step"]))
    views = scores[which][split]
    plain, state = views["plain"], {"best": "selected", "last": "last"}[which]
    official = plain[OFFICIAL]
    most = max(run.dataset.class_names, key=lambda name: official["per_class"][name]["examples"])
    share = official["per_class"][most]["examples"] / official["examples"]
    ways = [f"{name}: {meaning}." for name, meaning in (SUBSETS[key] for key in plain)]
    shown = [f"{name}: {meaning}." for name, meaning in (VIEWS[key] for key in views)]
    error = percent(official["calibration_error"])
    return [
        *paragraphs,
        f"{ONE_RUN} Always answering '{most}' would score {percent(share)}.",
        f"```\n{format_scores(split, name_states(record, split))}\n```",
        _list([*ways, *shown]),
        f"```\n{format_classes(split, f'{state} state, plain', plain)}\n```",
        f"Calibration: on average the probability of the {state} state's answer is {error} away from the share "
        "of such answers that are right (expected calibration error, 15 bins)."
        + faces
        * (
            " A probability from this network says how sure the network is of its label, and nothing about how strong "
            "a feeling is."
        ),
    ]


def _numbers_of_members(record: Mapping[str, Any], faces: bool) -> list[str]:
    """The accuracies of all members, as means over their seeds."""
    by = record["selected_by"]
    selected = f"Each network's epoch was selected on the {by} split, "
    if by is None:
        selected = "No epoch was selected: each network's last state counts."
    watched = (
        "so a selected epoch's score on the test split is the best of many looks at the same images: it flatters, and "
        "is no estimate of how the network does on new ones."
        if by == "test"
        else "so its scores on that split flatter; those on the test split do not."
    )
    return [
        f"{len(record['members'])} networks were trained at once, from different seeds or with different values of "
        f"what varies. The test split was read {times(record['test_reads'])} up to the end of the run (each "
        "evaluation of one network on it counts); `run.json` keeps the count, and every score of each network.",
        selected if by is None else selected + watched,
        f"```\n{format_over_seeds(record['over_seeds'])}\n```" if "over_seeds" in record else _NO_SCORES,
        "An interval over seeds tells how much the mean of other seeds would differ, and not how few images were "
        "counted."
        + faces
        * (
            " A probability from such a network says how sure it is of its label, and nothing about how strong a "
            "feeling is."
        ),
    ]


def _list(sentences: Any) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)
