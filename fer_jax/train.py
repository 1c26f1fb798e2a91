"""Training: the order in which things happen."""

import contextlib
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from fer_jax import provenance
from fer_jax.build import Run, build, resolve
from fer_jax.card import write_card
from fer_jax.checkpoint import Checkpoints
from fer_jax.errors import DivergedError, Interrupted, UserError, warn
from fer_jax.evaluate import EvalSplit, Scores, evaluate, on_device
from fer_jax.final_scores import prepare_split, score_states
from fer_jax.metrics import Progress, means
from fer_jax.optim import with_reductions
from fer_jax.pacing import Pace, calls
from fer_jax.record import NOTHING_DONE, begin_record, count_test_read, epoch_line, note_scores, prefix, standing
from fer_jax.resume import (
    CONFIG_FILE,
    check_same_run,
    empty_progress,
    probe_logits,
    read_run,
    restore_newest,
    template,
    verify,
)
from fer_jax.signals import StopSignals
from fer_jax.steps import Examples, TrainState
from fer_jax.writers import Console, MetricWriter, say, say_result, say_stand_in


class Session(NamedTuple):
    """What stays from the first epoch to the last; `record`, what stands in run.json, is kept up to date."""

    run: Run
    folder: Path
    checkpoints: Checkpoints
    signals: StopSignals
    record: dict[str, Any]


def train(
    config: ml_collections.ConfigDict | Mapping[str, Any],
    *,
    workdir: str = "",
    name: str = "run",
    data_dir: str = "",
    profile: bool = False,
) -> dict[str, Any]:
    """Trains the run of a config to its end, going on where an earlier process stopped.

    Args:
      config: its top level is `build.Options`; its sections are the keywords of what they are named after.
      workdir: the run's folder; '' is `runs/<name>`, with the stand-in's name appended if the data are a stand-in.
      name: of the run.
      data_dir: where the data sets are, and nowhere else; '' looks in all the usual places.
      profile: write a `jax.profiler` trace of one call to `<workdir>/profile`.

    Returns:
      What stands in run.json at the end.

    Raises:
      UserError: anything that the user can mend; see `errors`.
    """
    config = resolve(config)
    run = build(config, data_dir)
    suffix = f"-{run.dataset.name}" if run.dataset.stand_in_for else ""
    folder = Path(workdir or f"runs/{name}{suffix}")
    stated = json.loads(config.to_json())
    say_stand_in(run.dataset)
    old, record = read_run(folder)
    if record is not None:
        check_same_run(folder, old, record, stated, run.dataset)
    if record is not None and record["finished"] and record["epoch"] >= run.options.epochs:
        say(f"{folder} is finished; nothing was trained.")
    else:
        _make_folder(folder)
        provenance.write_json(folder / CONFIG_FILE, stated)
        record = begin_record(run, record)
        provenance.write_json(folder / provenance.FILE, record)
        with contextlib.closing(Checkpoints(folder, **config.checkpoint)) as checkpoints, StopSignals() as signals:
            session = Session(run, folder, checkpoints, signals, record)
            _train(session, stated, profile)
            score_states(run, checkpoints, record, lambda: _stop_if_asked(session, record["step"]))
        record.update(finished=True, ended=provenance.now())
        provenance.write_json(folder / provenance.FILE, record)
        write_card(folder, run, stated, record)
    say_result(record, folder)
    say_stand_in(run.dataset)
    return record


def _train(session: Session, stated: Mapping[str, Any], profile: bool) -> None:
    """Restores or begins, and trains the epochs that are left."""
    run, folder, checkpoints, _, record = session
    examples, watched = on_device(run.splits.train, run.mesh, run.shares), prepare_split(run, run.splits.watched_name)
    state, progress = _restore_or_begin(session, watched)
    first_epoch = int(state.step) // run.steps_per_epoch
    if first_epoch == run.options.epochs:
        return
    _say_start(run, folder)
    state, progress = _compile(session, examples, watched, state, progress)
    console = Console(run.options.epochs, len(run.splits.train), run.options.batch_size)
    pace = Pace(run.options.steps_per_call, run.steps_per_epoch)
    with contextlib.closing(MetricWriter(folder, last_epoch=first_epoch)) as writer:
        writer.write_hparams(stated)
        for epoch in range(first_epoch, run.options.epochs):
            began, first_step = time.perf_counter(), int(state.step)
            trace = folder / "profile" if profile and epoch == first_epoch else None
            state, progress = _train_epoch(session, examples, state, progress, epoch, pace, console, trace)
            seconds = time.perf_counter() - began
            scores = _evaluate_watched(session, state, watched)
            line = epoch_line(record, run, epoch, progress, scores, seconds, steps=int(state.step) - first_step)
            is_best = note_scores(record, run, epoch, scores)
            state = _reduce_rate(session, state)
            progress = empty_progress(run)
            # The line first: a resume takes out lines that are newer than the checkpoint, and cannot make one up.
            writer.write_scalars(line["step"], line)
            writer.flush()
            ends = epoch + 1 == run.options.epochs
            if is_best or ends or (epoch + 1) % checkpoints.every_epochs == 0 or session.signals.received:
                _save(session, state, progress, scores, is_best)
            provenance.write_json(folder / provenance.FILE, record)
            console.epoch(line, prefix(run), time.perf_counter() - began)
            if not ends:
                _stop_if_asked(session, int(state.step))


def _train_epoch(
    session: Session,
    examples: Examples,
    state: TrainState,
    progress: Progress,
    epoch: int,
    pace: Pace,
    console: Console,
    trace: Path | None,
) -> tuple[TrainState, Progress]:
    """Trains an epoch from where the state stands in it; saves on the way where asked to."""
    run, _, checkpoints, signals, record = session
    every = checkpoints.every_steps

    def watch(step: int, sums: Progress) -> None:
        if sums.bad_step >= 0:
            raise _diverged(session, int(sums.bad_step))
        console.advance(step, *means(sums.metrics))

    mark = time.perf_counter()
    with console.bar(epoch + 1, int(state.step) - epoch * run.steps_per_epoch):
        parts = calls(
            run, examples, state, progress, epoch=epoch, pace=pace, save_every=every, watch=watch, trace=trace
        )
        for state, progress, done in parts:
            if done < run.steps_per_epoch and (signals.received or (every and done % every == 0)):
                watch(done, jax.device_get(progress))
                record["seconds_training"] += time.perf_counter() - mark
                mark = time.perf_counter()
                _save(session, state, progress, scores=None)
                _stop_if_asked(session, int(state.step))
    record["seconds_training"] += time.perf_counter() - mark
    return state, progress


def _restore_or_begin(session: Session, watched: EvalSplit) -> tuple[TrainState, Progress]:
    """The newest whole checkpoint, checked, or the state at step 0; `record` then tells of that moment."""
    run, folder, checkpoints, _, record = session
    restored, notes = restore_newest(run, checkpoints)
    for note in notes:
        warn(f"{note}; going on from the checkpoint before it")
    if restored is None:
        arrays = template(run)
        record.update(NOTHING_DONE)
    else:
        arrays = restored.arrays
        verify(run, restored, watched)
        if restored.record["scores"] is not None:
            count_test_read(record, run.splits.watched_name)
        record.update(restored.record["standing"])
        say(f"Going on from step {restored.step:,} in {folder}.")
    return arrays["state"], arrays["progress"]


def _compile(
    session: Session, examples: Examples, watched: EvalSplit, state: TrainState, progress: Progress
) -> tuple[TrainState, Progress]:
    """Compiles training and evaluation by calling them with no step to take, so that epochs are timed without it."""
    programs, began = session.run.programs, time.perf_counter()
    say("Compiling ...")
    order = programs.order(state, np.int32(0))
    here = np.int32(int(state.step) % session.run.steps_per_epoch)
    state, progress = programs.train(state, progress, examples, order, here)
    jax.block_until_ready(programs.logits(state, watched.examples, watched.order, np.int32(0), "plain"))
    session.record["seconds_compiling"] += time.perf_counter() - began
    return state, progress


def _save(
    session: Session, state: TrainState, progress: Progress, scores: Scores | None, is_best: bool = False
) -> None:
    """Saves where training stands, with what is needed to check it when it is restored."""
    run, record = session.run, session.record
    record["step"] = int(state.step)
    session.checkpoints.save(
        record["step"],
        {"state": state, "progress": progress},
        {
            "standing": standing(record),
            "scores": scores and {"split": run.splits.watched_name, "loss": scores.loss, "accuracy": scores.accuracy},
            "logits": probe_logits(run, state),
            "layout": provenance.layout(),
        },
        # A later best is better than an earlier one, and both are better than any other.
        rank=None if scores is None else float(record["epoch"] if is_best else 0),
    )


def _evaluate_watched(session: Session, state: TrainState, watched: EvalSplit) -> Scores:
    """Scores of the epoch on the split that the protocol watches; stops the run if they are not finite."""
    scores = evaluate(session.run.programs, state, watched)
    count_test_read(session.record, session.run.splits.watched_name)
    if not math.isfinite(scores.loss):
        raise _diverged(session, int(state.step))
    return scores


def _reduce_rate(session: Session, state: TrainState) -> TrainState:
    """The state with a lower learning rate, if the schedule asks for it after the epoch that `record` tells of."""
    record, schedule = session.record, session.run.optimizer.schedule
    reduced = record["rate_reduced_after"]
    if not schedule.reduces_now(record["epoch"], record["best"]["epoch"], reduced):
        return state
    record["rate_reduced_after"] = [*reduced, record["epoch"]]
    return state.replace(opt_state=with_reductions(state.opt_state, len(reduced) + 1))


def _diverged(session: Session, step: int) -> DivergedError:
    saved = session.checkpoints.steps()
    kept = f"the checkpoint of step {saved[-1]} is kept" if saved else "no checkpoint had been saved"
    return DivergedError(
        f"the loss at step {step} is not a finite number; training stopped and {kept} in {session.folder}: "
        "lower config.optim.learning_rate"
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


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--workdir {folder} cannot be made: {error.strerror}") from error


def _say_start(run: Run, folder: Path) -> None:
    summary, options, splits = run.summary, run.options, run.splits
    say(
        f"{summary.total:,} parameters ({summary.trainable:,} trainable) on {run.mesh.size} x "
        f"{jax.devices()[0].device_kind}; {len(splits.train):,} training images of {run.dataset.name} in steps of "
        f"{options.batch_size}, {len(splits.watched):,} {splits.watched_name} images watched; results in {folder}"
    )
    if options.protocol == "seed":
        say("Protocol 'seed': the test split is watched each epoch, and 'best' is the best epoch on the test split.")
