"""Comparing several runs on one page: the order in which they are opened, checked, evaluated and described."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from fer_jax.card_facts import FACTS
from fer_jax.errors import ConfigError
from fer_jax.files import check_target, write_whole
from fer_jax.open_run import Opened, member_place, open_run
from fer_jax.record import prefix
from fer_jax.report.compare_page import Compared, compare_page
from fer_jax.report.curves import Curve
from fer_jax.report.measure import measure
from fer_jax.report.write import FILE as REPORT
from fer_jax.run_words import selection
from fer_jax.writers import read_metrics, say, say_stand_in, stand_in_sentences

FILE = "comparison.html"


def compare(
    workdirs: Sequence[str],
    *,
    out: str = "",
    overwrite: bool = False,
    split: str = "",
    checkpoint: str = "best",
    data_dir: str = "",
    member: int | None = None,
) -> Path:
    """Evaluates the checkpoints of several runs on the same images and writes one page about them.

    Args:
      workdirs: the folders of at least two runs.
      out: the page's file; '' is 'comparison.html' in the current folder.
      overwrite: whether it may replace what is there.
      split: 'train', 'validation' or 'test'; '' is the one that the runs' protocols watch. A look at 'test' is counted
        in each run.json.
      checkpoint: 'last', 'best' or the number of a step.
      data_dir: as in training.
      member: of each run with several, counted from 0; None is the first, and says so.

    Returns:
      The page's file.

    Raises:
      ConfigError: no run in a folder, a folder twice, runs that have no split with the same images, or a target that
        cannot be.
      CheckpointError: no such checkpoint, or it fails the checks that were saved with it.
      UserError: a file cannot be written.
    """
    path = Path(out or FILE)
    _check_target(path, overwrite)
    _check_different(workdirs)
    opened = [open_run(workdir, split=split, checkpoint=checkpoint, data_dir=data_dir) for workdir in workdirs]
    places = [member_place(one.run.members, member) for one in opened]
    _check_same_images(workdirs, opened)
    names = _names(workdirs)
    compared = [
        _compared(name, workdir, one, place, path)
        for name, workdir, one, place in zip(names, workdirs, opened, places, strict=True)
    ]
    datasets, split = [one.run.dataset for one in opened], opened[0].split
    dataset = next((one for one in datasets if one.stand_in_for), datasets[0])
    page = compare_page(
        compared, split=split, data=f"{dataset.name}: {dataset.source}", stand_in=stand_in_sentences(dataset)
    )
    write_whole(path, page)
    for run in compared:
        say(f"{run.name}, step {run.step}: {split}_accuracy: {run.scores['official']['accuracy']!r}")
    say(f"The comparison is {path}")
    say_stand_in(dataset)
    return path


def _check_target(path: Path, overwrite: bool) -> None:
    if not path.parent.is_dir():
        raise ConfigError(f"--out={path}: there is no folder {path.parent}: create it first, or name another")
    check_target(path, overwrite)


def _check_different(workdirs: Sequence[str]) -> None:
    seen: dict[Path, str] = {}
    for workdir in workdirs:
        same = seen.setdefault(Path(workdir).resolve(), workdir)
        if same is not workdir:
            also = "" if same == workdir else f" (it is {same} too)"
            raise ConfigError(f"--workdir={workdir} is given twice{also}: a run is compared with others")


def _check_same_images(workdirs: Sequence[str], opened: Sequence[Opened]) -> None:
    """Checks it before anything is evaluated, so that no look at the test split is wasted."""
    first, one = workdirs[0], opened[0]
    for workdir, other in zip(workdirs[1:], opened[1:], strict=True):
        if other.split != one.split:
            raise ConfigError(
                f"{first} watches its {one.split} split and {workdir} its {other.split} split: name one that both have "
                "with --split, for example --split=test"
            )
        images, labels = (
            np.array_equal(getattr(one.examples, what), getattr(other.examples, what)) for what in ("images", "labels")
        )
        if not (images and labels):
            raise ConfigError(
                f"{first} and {workdir} have other images in their {one.split} splits "
                f"({one.run.dataset.name}, {len(one.examples):,} images, and {other.run.dataset.name}, "
                f"{len(other.examples):,}): only runs on the same data and split are compared"
            )


def _names(workdirs: Sequence[str]) -> list[str]:
    """The names of the folders; as they were given where two are called the same."""
    names = [Path(workdir).resolve().name for workdir in workdirs]
    return names if len(set(names)) == len(names) else list(workdirs)


def _compared(name: str, workdir: str, opened: Opened, place: int, page: Path) -> Compared:
    run, found = opened.run, measure(opened, place, ["plain"])
    name = f"{name}, {run.members.each[place]}" if run.members.many else name
    epochs = [run.members.line_of(line, place) for line in read_metrics(opened.folder)]
    own = opened.folder / REPORT
    address = quote(Path(os.path.relpath(own.resolve(), page.resolve().parent)).as_posix())
    return Compared(
        name=name,
        config=opened.config,
        record=found.record,
        step=opened.steps[place],
        scores=found.scores["plain"],
        right=found.logits["plain"].argmax(axis=1) == opened.examples.labels,
        curve=Curve(name, epochs, prefix(run)),
        selection=selection(found.record, opened.split, opened.steps[place]),
        report=address if own.is_file() else "",
        command=f"python -m fer_jax.report --workdir={shlex.quote(workdir)}",
        is_faces=opened.card.is_file() and run.dataset.name in FACTS,
    )
