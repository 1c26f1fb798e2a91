"""The full scores of a finished run: the selected and the last state, on the watched split and on the test split."""

from collections.abc import Callable, Mapping
from typing import Any

from fer_jax.build import Run
from fer_jax.checkpoint import Checkpoints
from fer_jax.data.subsets import subsets
from fer_jax.data.views import views_up_to
from fer_jax.evaluate import EvalSplit, ensemble_logits, in_short, prepare, score_subsets, split_logits
from fer_jax.record import count_test_read, with_test
from fer_jax.resume import restore_state, verify_logits, verify_scores

SplitScores = dict[str, dict[str, Any]]
"""[split][view][subset]."""


def prepare_split(run: Run, name: str) -> EvalSplit:
    """The watched or the test split on the devices, with the subsets in which it is scored."""
    split = run.splits.by_name()[name]
    return prepare(split, run.mesh, subsets(run.dataset, name, split))


def score_states(run: Run, checkpoints: Checkpoints, record: dict[str, Any], stop_if_asked: Callable[[], None]) -> None:
    """Writes `record['scores'][which][split][view][subset]`, of `which` in 'best' and 'last'.

    With several members `record['scores'][which]` is a list with an entry for each, and `record['ensembles']` has an
    entry for each combination of values that has several seeds: `values`, `seeds`, and of `which` in 'best' and 'last'
    the scores of these members as one network, by the mean of their probabilities.

    Under the clean protocol this is the one look at the test split; under 'tune' there is none. A state's look counts
    as one read: its views and subsets are scored together, and nothing is chosen by them.

    Args:
      run: whose training has ended.
      checkpoints: of the run.
      record: of the run.
      stop_if_asked: called after each pass over a split.

    Raises:
      CheckpointError: a state does not compute what it did when it was saved.
    """
    members = run.members
    splits = {name: prepare_split(run, name) for name in run.splits.by_name() if name != "train"}
    last, best = members.unpack(record["last"]), members.unpack(record["best"])
    of_last, ensembles_of_last = _scores_of(run, checkpoints, record, "last", splits, len(members), stop_if_asked)
    found, ensembles = {"last": of_last, "best": list(of_last)}, {"last": ensembles_of_last, "best": ensembles_of_last}
    # A member whose last state is its best has been scored.
    others = [place for place in range(len(members)) if best[place]["step"] != last[place]["step"]]
    if others:
        of_best, ensembles["best"] = _scores_of(run, checkpoints, record, "best", splits, len(others), stop_if_asked)
        for place in others:
            found["best"][place] = of_best[place]
    for which, of_members in found.items():
        if run.splits.watched_name != "test" and "test" in splits:
            entries = members.unpack(record[which])
            pairs = zip(entries, of_members, strict=True)
            record[which] = members.pack([with_test(entry, scores["test"]["plain"]) for entry, scores in pairs])
    record["scores"] = {which: members.pack(of_members) for which, of_members in found.items()}
    if members.many:
        record["ensembles"] = [
            {
                "values": dict(values),
                "seeds": [members.each[place].seed for place in places],
                **{which: of_combinations[number] for which, of_combinations in ensembles.items()},
            }
            for number, (values, places) in enumerate(members.combinations())
            if len(places) > 1
        ]


def _scores_of(
    run: Run,
    checkpoints: Checkpoints,
    record: dict[str, Any],
    which: str,
    splits: Mapping[str, EvalSplit],
    states: int,
    stop_if_asked: Callable[[], None],
) -> tuple[list[SplitScores], list[SplitScores]]:
    """The scores of one state of each member, and of each combination's members as one; counts `states` reads."""
    restored = restore_state(run, checkpoints, record, which)
    verify_logits(run, restored)
    combinations = [places for _, places in run.members.combinations()]
    found: list[SplitScores] = [{name: {} for name in splits} for _ in run.members.each]
    ensembles: list[SplitScores] = [{name: {} for name in splits} for _ in combinations]
    for name, split in splits.items():
        count_test_read(record, name, states)
        for view in views_up_to(run.options.tta):
            logits = run.members.unpack(split_logits(run.programs, restored.arrays["state"], split, view))
            as_one = [ensemble_logits([logits[place] for place in places]) for places in combinations]
            for own, of_own in zip([*found, *ensembles], [*logits, *as_one], strict=True):
                own[name][view] = score_subsets(of_own, split, run.dataset.class_names)
            stop_if_asked()
    watched = run.splits.watched_name
    short = [in_short(own[watched]["plain"]) for own in found]
    verify_scores(restored, short, watched, len(run.splits.watched))
    return found, ensembles
