"""Evaluating a split with a checkpoint of a run that has been trained: `--mode=evaluate`."""

from collections.abc import Mapping
from typing import Any

from fer_jax import provenance
from fer_jax.config import check_choice
from fer_jax.data.subsets import subsets
from fer_jax.data.views import VIEWS, views_up_to
from fer_jax.evaluate import Scores, full_scores_of_each, in_short, prepare
from fer_jax.open_run import open_run
from fer_jax.record import count_test_read
from fer_jax.resume import verify_scores
from fer_jax.score_table import format_classes, format_scores, has_parts
from fer_jax.writers import say


def evaluate_run(
    workdir: str,
    *,
    split: str = "",
    checkpoint: str = "last",
    data_dir: str = "",
    config: Mapping[str, Any] | None = None,
    tta: str = "",
) -> Scores | list[Scores]:
    """Scores of a run's checkpoint on one of its splits; a list, if the run has several members.

    Prints loss and accuracy to the last digit and, where the split has subsets or there is test-time augmentation, the
    tables that stand at the end of a run.

    Args:
      workdir: the run's folder.
      split: 'train', 'validation' or 'test'; '' is the one that the run's protocol watches.
      checkpoint: 'last', 'best' or the number of a step.
      data_dir: as in training.
      config: what the caller takes for the run's config, to be checked; None takes what the run has.
      tta: the richest test-time augmentation to score as well, 'flip' or 'ten_crop'; '' is what the run's config says.

    Raises:
      ConfigError: no run in `workdir`, another config, a split it does not have, or other data than it was trained on.
      CheckpointError: no such checkpoint, or it fails the checks that were saved with it.
    """
    if tta:
        check_choice("--tta", tta, VIEWS[1:])
    opened = open_run(workdir, split=split, checkpoint=checkpoint, data_dir=data_dir, config=config, buckets=True)
    run, restored, split, examples = opened.run, opened.restored, opened.split, opened.examples
    state, prepared = restored.arrays["state"], prepare(examples, run.mesh, subsets(run.dataset, split, examples))
    views = views_up_to(tta or run.options.tta)
    of_views = dict(full_scores_of_each(run.members, run.programs, state, prepared, run.dataset.class_names, views))
    found = [{view: each[place] for view, each in of_views.items()} for place in range(len(run.members))]
    scores = [in_short(own["plain"]) for own in found]
    if split == "test":
        count_test_read(opened.record, split, len(run.members))
        provenance.write_json(opened.folder / provenance.FILE, opened.record)
    verify_scores(restored, scores, split, len(examples))
    names = [
        f"{member}, step {step}" if run.members.many else f"step {step}"
        for member, step in zip(run.members.each, opened.steps, strict=True)
    ]
    for name, short in zip(names, scores, strict=True):
        say(f"{name}: {split}_loss: {short.loss!r} - {split}_accuracy: {short.accuracy!r}")
    if has_parts(found[0]):
        say(f"\n{format_scores(split, dict(zip(names, found, strict=True)))}\n")
        for name, own in zip(names, found, strict=True):
            say(format_classes(split, f"{name}, plain", own["plain"]))
    return run.members.pack(scores)
