"""Writing a report: the order in which a run is opened, evaluated, drawn and described."""

from pathlib import Path
from typing import Any

from fer_jax.build import Run
from fer_jax.card_facts import FACTS
from fer_jax.data.subsets import OFFICIAL
from fer_jax.data.views import views_up_to
from fer_jax.errors import UserError
from fer_jax.files import write_whole
from fer_jax.open_run import Opened, member_place, open_run
from fer_jax.record import prefix
from fer_jax.report.curves import Curve
from fer_jax.report.findings import most_confident_mistakes, reliability
from fer_jax.report.looks import look
from fer_jax.report.measure import measure
from fer_jax.report.page import Content, page
from fer_jax.run_words import provenance_terms, selection
from fer_jax.steps import evaluation_variables
from fer_jax.writers import read_metrics, say, say_stand_in, stand_in_sentences

FILE = "report.html"
PICTURES = ("confusion", "confusion_counts", "calibration", "curves", "looks", "kernels", "maps", "mistakes")
MOST_MISTAKES = 24


def report(
    workdir: str, *, split: str = "", checkpoint: str = "best", data_dir: str = "", member: int | None = None
) -> Path:
    """Evaluates a run's checkpoint on one of its splits and writes pictures and a page into its folder.

    Args:
      workdir: the run's folder.
      split: 'train', 'validation' or 'test'; '' is the one that the run's protocol watches. A look at 'test' is
        counted in run.json.
      checkpoint: 'last', 'best' or the number of a step.
      data_dir: as in training.
      member: of a run with several, counted from 0; None is the first, and says so.

    Returns:
      The page's file.

    Raises:
      ConfigError: no run in `workdir`, a split or a member it does not have, or other data than it was trained on.
      CheckpointError: no such checkpoint, or it fails the checks that were saved with it.
      UserError: Matplotlib is not installed, or a file cannot be written.
    """
    _check_matplotlib()
    from fer_jax.report.figures import thumbnail
    from fer_jax.report.pictures import gallery, pictures

    opened = open_run(workdir, split=split, checkpoint=checkpoint, data_dir=data_dir)
    run, folder, split, examples = opened.run, opened.folder, opened.split, opened.examples
    place = member_place(run.members, member)
    dataset, step = run.dataset, opened.steps[place]
    found = measure(opened, place, views_up_to(run.options.tta))
    record, logits, state = found.record, found.logits["plain"], opened.restored.arrays["state"]
    epochs = [run.members.line_of(line, place) for line in read_metrics(folder)]
    chosen = record["best"] if run.splits.selects else None
    variables = run.members.unpack_tree(evaluation_variables(state))[place]
    mistakes = most_confident_mistakes(logits, examples, split, dataset.class_names, MOST_MISTAKES)
    shown: dict[str, Any] = {
        "name": folder.resolve().name,
        "split": split,
        "step": step,
        "warning": f"STAND-IN DATA: {dataset.name}, NOT {dataset.stand_in_for}".upper() if dataset.stand_in_for else "",
    }
    drawn = pictures(
        **shown,
        official=found.scores["plain"][OFFICIAL],
        sure=reliability(logits, examples.labels),
        epochs=epochs,
        watched=prefix(run),
        best=chosen,
        looks=look(run.model, variables, examples, logits, dataset.class_names),
    )
    content = Content(
        title=f"{shown['name']}, {split} split",
        stand_in=stand_in_sentences(dataset),
        has_card=opened.card.is_file() and dataset.name in FACTS,
        summary=_summary(opened, place),
        selection=selection(record, split, step),
        split=split,
        scores=found.scores,
        pictures=drawn,
        curve=Curve(shown["name"], epochs, prefix(run)),
        chosen=chosen["epoch"] if chosen else None,
        mistakes=[(one, thumbnail(one.image)) for one in mistakes],
        provenance=provenance_terms(record),
        config=opened.config,
    )
    files = {name: {"png": picture.light, "svg": picture.svg} for name, picture in drawn.items()}
    if mistakes:
        files["mistakes"] = gallery(**shown, mistakes=mistakes)
    for name in PICTURES:
        for kind in ("png", "svg"):
            # What an earlier report left must not stand beside this one's page.
            (folder / f"{name}.{kind}").unlink(missing_ok=True)
            if name in files:
                write_whole(folder / f"{name}.{kind}", files[name][kind])
    write_whole(folder / FILE, page(content))
    accuracy = found.scores["plain"][OFFICIAL]["accuracy"]
    say(f"step {step}: {split}_accuracy: {accuracy!r}; the report is {folder / FILE}")
    say_stand_in(dataset)
    return folder / FILE


def _check_matplotlib() -> None:
    """Asks for it before anything is evaluated, so that no look at the test split is wasted."""
    try:
        import fer_jax.report.figures  # noqa: F401
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise UserError("a report needs matplotlib, which is not installed: pip install 'fer_jax[report]'") from error


def _watched(run: Run) -> str:
    if not run.splits.selects:
        return "the last state counts; the images that are watched were trained on too"
    return f"the {run.splits.watched_name} split is watched and selects"


def _summary(opened: Opened, place: int) -> list[tuple[str, str]]:
    run, record, step = opened.run, opened.record, opened.steps[place]
    epoch = step // run.steps_per_epoch
    unfinished = "" if record["finished"] else "; the run is not finished"
    return [
        ("network", f"{opened.config['model']['name']}, {run.summary.total:,} parameters"),
        ("data", f"{run.dataset.name}: {run.dataset.source}"),
        ("split", f"{opened.split}, {len(opened.examples):,} images"),
        *([("member", f"{place} of {len(run.members)}: {run.members.each[place]}")] if run.members.many else []),
        ("checkpoint", f"step {step:,}, after epoch {epoch} of {run.options.epochs}{unfinished}"),
        ("protocol", f"{run.options.protocol}: {_watched(run)}"),
        ("test reads", f"{record['test_reads']:,} evaluations of a checkpoint on the test split so far"),
    ]
