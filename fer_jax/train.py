"""Training: the order in which things happen."""

import contextlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from fer_jax import processes, provenance
from fer_jax.buckets import named
from fer_jax.build import Run, build, resolve
from fer_jax.card import write_card
from fer_jax.checkpoint import Checkpoints, saved_steps
from fer_jax.distill import check_same_teacher, with_teacher
from fer_jax.doubts import doubts
from fer_jax.errors import DivergedError, Interrupted, warn
from fer_jax.evaluate import EvalSplit, Scores, evaluate, on_device
from fer_jax.final_scores import prepare_split, score_states
from fer_jax.init_from import beginning
from fer_jax.lock import only_one
from fer_jax.machine import give_back_memory
from fer_jax.metrics import Progress, means
from fer_jax.optim import with_reductions
from fer_jax.over_seeds import over_seeds
from fer_jax.pacing import Pace, calls
from fer_jax.record import begin_record, count_test_read, epoch_line, note_scores, nothing_done, prefix
from fer_jax.resume import empty_progress, lost_best, restore_newest, set_unranked_aside, standing_of, verify
from fer_jax.same_run import CONFIG_FILE, check_same_run, check_told_of, read_run
from fer_jax.score_table import name_values
from fer_jax.sharding import on_host
from fer_jax.signals import StopSignals
from fer_jax.steps import Examples, TrainState, not_finite, steps_taken
from fer_jax.writers import Console, MetricWriter, read_metrics, say, say_result, say_stand_in

EXPLODED = 3
"""Times the loss of guessing: an epoch's mean above this is warned of."""


class Session(NamedTuple):
    """What stays from the first epoch to the last.

    `record`, what stands in run.json, and `lines`, those of metrics.jsonl, are kept up to date. `epoch_ended` is told
    each epoch that has ended, counted from 1.
    """

    run: Run
    folder: Path
    checkpoints: Checkpoints
    signals: StopSignals
    record: dict[str, Any]
    lines: list[dict[str, Any]]
    epoch_ended: Callable[[int], None]


def train(
    config: ml_collections.ConfigDict | Mapping[str, Any],
    *,
    workdir: str = "",
    name: str = "run",
    data_dir: str = "",
    profile: bool = False,
    epoch_ended: Callable[[int], None] = lambda epoch: None,
) -> dict[str, Any]:
    """Trains the run of a config to its end, going on where an earlier process stopped.

    Args:
      config: its top level is `build.Options`; its sections are the keywords of what they are named after.
      workdir: the run's folder, on this machine or in a bucket; '' is `runs/<name>`, with the stand-in's name
        appended if the data are a stand-in.
      name: of the run.
      data_dir: where the data sets are, and nowhere else; '' looks in all the usual places.
      profile: write a `jax.profiler` trace of one call to `<workdir>/profile`.
      epoch_ended: told each epoch that has ended, counted from 1, when what it scored has been written.

    Returns:
      What stands in run.json at the end.

    Raises:
      UserError: anything that the user can mend; see `errors`.
    """
    config = resolve(config)
    run = with_teacher(build(config, data_dir), config)
    suffix = f"-{run.dataset.name}" if run.dataset.stand_in_for else ""
    folder = named(workdir or f"runs/{name}{suffix}")
    stated = json.loads(config.to_json())
    for doubt in doubts(config):
        warn(doubt)
    say_stand_in(run.dataset)
    with only_one(folder) if processes.is_first() else contextlib.nullcontext():
        record = _go_on(run, folder, config, stated, profile, epoch_ended)
    say_result(record, folder)
    say_stand_in(run.dataset)
    return record


def _go_on(
    run: Run,
    folder: Path,
    config: ml_collections.ConfigDict,
    stated: Mapping[str, Any],
    profile: bool,
    epoch_ended: Callable[[int], None],
) -> dict[str, Any]:
    """Does what is left of a run in its folder; what stands in run.json at the end."""
    old, record = read_run(folder)
    check_told_of(folder, old, record)
    if record is not None and not record["step"] and not saved_steps(folder):
        # Nothing was trained, so nothing can be lost, and any run may begin here.
        old = record = None
    if record is not None:
        check_same_run(folder, old, record, stated, run.dataset)
        check_same_teacher(folder, record, run)
    processes.wait("what is in the run's folder has been read")
    if record is not None and record["finished"] and record["epoch"] >= run.options.epochs:
        say(f"{folder} is finished; nothing was trained.")
        return record
    provenance.write_json(folder / CONFIG_FILE, stated)
    record = begin_record(run, record)
    provenance.write_json(folder / provenance.FILE, record)
    set_unranked_aside(folder)
    with contextlib.closing(Checkpoints(folder, **config.checkpoint)) as checkpoints, StopSignals() as signals:
        session = Session(run, folder, checkpoints, signals, record, [], epoch_ended)
        _train(session, stated, profile)
        score_states(run, checkpoints, record, lambda: _stop_if_asked_now(session))
    if run.members.many:
        record["over_seeds"] = over_seeds(run.members, record["last"], record["best"], record["ensembles"])
    record.update(finished=True, ended=provenance.now())
    provenance.write_json(folder / provenance.FILE, record)
    write_card(folder, run, stated, record)
    return record


def _train(session: Session, stated: Mapping[str, Any], profile: bool) -> None:
    """Restores or begins, and trains the epochs that are left."""
    run, folder, checkpoints, _, record, lines, _ = session
    examples, watched = on_device(run.splits.train, run.mesh, run.shares), prepare_split(run, run.splits.watched_name)
    arrays = _restore_or_begin(session, watched)
    state, progress, best = arrays["state"], arrays["progress"], arrays.get("best")
    first_epoch = steps_taken(state) // run.steps_per_epoch
    if first_epoch == run.options.epochs:
        return
    _say_start(run, folder)
    state, progress = _compile(session, examples, watched, state, progress)
    console = Console(run.options.epochs, len(run.splits.train), run.options.batch_size)
    pace = Pace(run.options.steps_per_call, run.steps_per_epoch)
    with contextlib.closing(MetricWriter(folder, earlier=lines)) as writer:
        writer.write_hparams(stated)
        told_of_explosion = False
        for epoch in range(first_epoch, run.options.epochs):
            began, first_step = time.perf_counter(), steps_taken(state)
            trace = folder / "profile" if profile and epoch == first_epoch else None
            state, progress = _train_epoch(session, examples, state, progress, best, epoch, pace, console, trace)
            seconds = time.perf_counter() - began
            scores = _evaluate_watched(session, state, watched)
            line = epoch_line(record, run, epoch, progress, scores, seconds, steps=steps_taken(state) - first_step)
            better = note_scores(record, run, epoch, scores)
            told_of_explosion = told_of_explosion or _warn_of_explosion(run, line)
            if run.programs.keep:
                best = run.programs.keep(best, state, np.array(better))
            # A best state that is carried need not be saved at once.
            is_best = better[0] and run.splits.selects and not run.members.many
            state = _reduce_rate(session, state)
            progress = empty_progress(run)
            lines.append(line)
            writer.write_scalars(line["step"], line)
            writer.flush()
            ends = epoch + 1 == run.options.epochs
            session.signals.agree()
            if is_best or ends or (epoch + 1) % checkpoints.every_epochs == 0 or session.signals.received:
                _save(session, state, progress, best, scores, is_best)
            provenance.write_json(folder / provenance.FILE, record)
            console.epoch(line, prefix(run), time.perf_counter() - began)
            session.epoch_ended(epoch + 1)
            if not ends:
                _stop_if_asked(session, steps_taken(state))


def _warn_of_explosion(run: Run, line: Mapping[str, Any]) -> bool:
    """Warns, and says so, if the line of an epoch tells of a member's training loss far above that of guessing."""
    guessing = math.log(run.model.num_classes)
    worst = max(run.members.unpack(line["train_loss"]))
    if worst <= EXPLODED * guessing:
        return False
    warn(
        f"the training loss is {worst:.3g}, and guessing has {guessing:.3g}: the run is likely to diverge; lower "
        "config.optim.learning_rate"
    )
    return True


def _train_epoch(
    session: Session,
    examples: Examples,
    state: TrainState,
    progress: Progress,
    best: TrainState | None,
    epoch: int,
    pace: Pace,
    console: Console,
    trace: Path | None,
) -> tuple[TrainState, Progress]:
    """Trains an epoch from where the state stands in it; saves on the way where asked to."""
    run, _, checkpoints, signals, record, *_ = session
    every = checkpoints.every_steps

    def watch(step: int, sums: Progress, newest: TrainState) -> None:
        each = run.members.unpack_tree(sums)
        for place, own in enumerate(each):
            if own.bad_step >= 0:
                raise _diverged(session, int(own.bad_step), place, newest, math.isfinite(means(own.metrics)[0]))
        console.advance(step, *np.mean([means(own.metrics) for own in each], axis=0))

    mark = time.perf_counter()
    with console.bar(epoch + 1, steps_taken(state) - epoch * run.steps_per_epoch):
        parts = calls(
            run, examples, state, progress, epoch=epoch, pace=pace, save_every=every, watch=watch, trace=trace
        )
        for state, progress, done in parts:
            signals.agree()
            if done < run.steps_per_epoch and (signals.received or (every and done % every == 0)):
                watch(done, on_host(progress), state)
                record["seconds_training"] += time.perf_counter() - mark
                mark = time.perf_counter()
                _save(session, state, progress, best, scores=None)
                _stop_if_asked(session, steps_taken(state))
    record["seconds_training"] += time.perf_counter() - mark
    return state, progress


def _restore_or_begin(session: Session, watched: EvalSplit) -> dict[str, Any]:
    """The arrays of the newest whole checkpoint, checked, or those at step 0.

    `record` and `lines` then tell of that moment.
    """
    run, folder, checkpoints, _, record, lines, _ = session
    left, told = max(checkpoints.steps(), default=0), record["step"]
    if told > left:
        newest = f"the newest checkpoint is of step {left:,}" if left else "there is no checkpoint"
        warn(f"{folder / provenance.FILE} tells of step {told:,}, and {newest}: what came after it is trained again")
    restored = restore_newest(run, checkpoints)
    if restored is None:
        arrays, learnt = beginning(run)
        record.update(nothing_done(run.members))
        if learnt:
            record["init_from"] = learnt
            anew = f"; {', '.join(learnt['begun_anew'])} begins anew" if learnt["begun_anew"] else ""
            say(f"Beginning with what {learnt['source']} has learnt{anew}.")
    else:
        arrays = restored.arrays
        verify(run, restored, watched)
        if restored.record["scores"] is not None:
            count_test_read(record, run.splits.watched_name, len(run.members))
        record.update(restored.record["standing"])
        # Checkpoints hold the lines since a file that was damaged has to be made again.
        lines += restored.record.get("lines") or [
            line for line in read_metrics(folder) if line["epoch"] <= record["epoch"]
        ]
        _select_anew_if_lost(session)
        say(f"Going on from step {restored.step:,} in {folder}.")
    return arrays


def _select_anew_if_lost(session: Session) -> None:
    """Where the best state is lost, has the best of the epochs to come selected, and says so."""
    run, folder, checkpoints, _, record, *_ = session
    why = lost_best(run, folder, checkpoints, record)
    if not why:
        return
    ended = record["epoch"] >= run.options.epochs
    then = "the last state stands in its place" if ended else "the best of the epochs from here on will be selected"
    warn(f"{why}; the state of epoch {record['best']['epoch']}, the best until then, is lost, and {then}")
    record["lost_best"] = record["best"]
    record["best"] = record["last"] if ended else None


def _compile(
    session: Session, examples: Examples, watched: EvalSplit, state: TrainState, progress: Progress
) -> tuple[TrainState, Progress]:
    """Compiles training and evaluation by calling them with no step to take, so that epochs are timed without it."""
    programs, began = session.run.programs, time.perf_counter()
    say("Compiling ...")
    order = programs.order(state, np.int32(0))
    here = np.int32(steps_taken(state) % session.run.steps_per_epoch)
    state, progress = programs.train(state, progress, examples, order, here)
    jax.block_until_ready(programs.logits(state, watched.examples, watched.order, np.int32(0), "plain"))
    # Making a program, or reading a kept one, takes more than any step does.
    give_back_memory()
    session.record["seconds_compiling"] += time.perf_counter() - began
    return state, progress


def _save(
    session: Session,
    state: TrainState,
    progress: Progress,
    best: TrainState | None,
    scores: Sequence[Scores] | None,
    is_best: bool = False,
) -> None:
    """Saves where training stands, with what is needed to check it when it is restored."""
    run, record = session.run, session.record
    record["step"] = steps_taken(state)
    arrays = {"state": state, "progress": progress, **({"best": best} if best is not None else {})}
    told = {**standing_of(run, record, state, best, scores), "lines": session.lines}
    # A later best is better than an earlier one, and both are better than any other; with several members none counts.
    ranked = scores is not None and not run.members.many
    rank = float(record["epoch"] if is_best else 0) if ranked else None
    session.checkpoints.save(record["step"], arrays, told, rank)


def _evaluate_watched(session: Session, state: TrainState, watched: EvalSplit) -> list[Scores]:
    """The members' scores on the split that the protocol watches; stops the run if one is not finite."""
    run = session.run
    scores = run.members.unpack(evaluate(run.programs, state, watched))
    count_test_read(session.record, run.splits.watched_name, len(run.members))
    for place, one in enumerate(scores):
        if not math.isfinite(one.loss):
            raise _diverged(session, steps_taken(state), place, state, False)
    return scores


def _reduce_rate(session: Session, state: TrainState) -> TrainState:
    """The state with a lower learning rate, if the schedule asks for it after the epoch that `record` tells of."""
    record, members = session.record, session.run.members
    reduced = members.unpack(record["rate_reduced_after"])
    now = [
        schedule.reduces_now(record["epoch"], best["epoch"], before)
        for schedule, best, before in zip(session.run.schedules, members.unpack(record["best"]), reduced, strict=True)
    ]
    if not any(now):
        return state
    reduced = [[*before, record["epoch"]] if also else before for before, also in zip(reduced, now, strict=True)]
    record["rate_reduced_after"] = members.pack(reduced)
    return state.replace(opt_state=with_reductions(state.opt_state, members.pack(list(map(len, reduced)))))


def _diverged(session: Session, step: int, place: int, state: TrainState, loss_is_finite: bool) -> DivergedError:
    """What is told of the member at a place whose step was bad; `state` is one after that step."""
    members, record, folder = session.run.members, session.record, session.folder
    who = f"of {members.each[place]} " if members.many else ""
    what = "a parameter or statistic" if loss_is_finite else "the loss"
    lost = not_finite(members.unpack_tree(state)[place])
    more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
    where = f" (what is not finite then: {', '.join(lost[:3])}{more})" if lost else ""
    saved = session.checkpoints.steps()
    kept = f"the checkpoint of step {saved[-1]} is kept" if saved else "no checkpoint had been saved"
    record["diverged"] = {"step": step, "member": place}
    provenance.write_json(folder / provenance.FILE, record)
    return DivergedError(
        f"{what} {who}at step {step} is not a finite number{where}; training stopped and {kept} in {folder}: "
        f"lower config.optim.learning_rate, or see what happened with --mode=diagnose --workdir={folder}"
    )


def _stop_if_asked(session: Session, step: int) -> None:
    """Raises Interrupted if a signal came; the state at `step` has been saved."""
    number = session.signals.received
    if number is not None:
        provenance.write_json(session.folder / provenance.FILE, session.record)
        raise Interrupted(
            f"interrupted; step {step:,} is saved in {session.folder}: the same command goes on from there",
            number,
        )


def _stop_if_asked_now(session: Session) -> None:
    """As `_stop_if_asked`, where nothing is under way that would have to be saved."""
    session.signals.agree()
    _stop_if_asked(session, session.record["step"])


def _say_start(run: Run, folder: Path) -> None:
    summary, options, splits = run.summary, run.options, run.splits
    say(
        f"{summary.total:,} parameters ({summary.trainable:,} trainable) on {run.mesh.size} x "
        f"{jax.devices()[0].device_kind}; {len(splits.train):,} training images of {run.dataset.name} in steps of "
        f"{options.batch_size}, {len(splits.watched):,} {splits.watched_name} images watched; results in {folder}"
    )
    if run.members.many:
        seeds = f"{options.num_seeds} seeds from {options.seed} on" if options.num_seeds > 1 else f"seed {options.seed}"
        values = [name_values(values) for values, _ in run.members.combinations()]
        say(
            f"{len(run.members)} members at once: {seeds}"
            + (f", with each of {'; '.join(values)}" if values != [""] else "")
        )
    if options.protocol == "seed":
        say("Protocol 'seed': the test split is watched each epoch, and 'best' is the best epoch on the test split.")
    if not splits.selects:
        say("Protocol 'full': the watched images are trained on too, and choose nothing; the last state counts.")
