"""What a run writes while it trains: metrics.jsonl, TensorBoard events, and lines and a bar for the person watching."""

import contextlib
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fer_jax import processes
from fer_jax.buckets import failures
from fer_jax.data.dataset import DataSet
from fer_jax.errors import UserError, reason
from fer_jax.files import write_whole
from fer_jax.forms import ANY, misfit
from fer_jax.score_table import NAMES, format_classes, format_over_seeds, format_scores, has_parts, name_states
from fer_jax.tensorboard import Events

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
NOTICE_WIDTH = 100


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """The epochs in a workdir's metrics.jsonl, up to the first line that is torn or no epoch's numbers."""
    try:
        lines = (workdir / METRICS_FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    epochs = []
    for line in lines:
        try:
            epoch = json.loads(line)
        except (ValueError, RecursionError):
            break
        if misfit(epoch, {"epoch": int, ANY: (float, [float])}) is not None:
            break
        epochs.append(epoch)
    return epochs


class MetricWriter:
    """Writes an epoch's numbers to metrics.jsonl and TensorBoard; its calls are those of clu's MetricWriter.

    Of several processes the first writes.

    Args:
      workdir: the run's folder.
      earlier: the lines of the epochs that were trained before; what the file holds besides is taken out, because a
        resumed run writes later epochs again.

    Raises:
      UserError: a file cannot be written.
    """

    def __init__(self, workdir: Path, earlier: Sequence[Mapping[str, Any]] = ()):
        self._path, self._writes = workdir / METRICS_FILE, processes.is_first()
        if not self._writes:
            return
        self._lines = [json.dumps(dict(line)) + "\n" for line in earlier]
        write_whole(self._path, "".join(self._lines))
        last = earlier[-1].get("step", 0) if earlier else 0
        self._folder, self._events = workdir / TENSORBOARD_FOLDER, Events(purge_step=last + 1)

    def write_scalars(self, step: int, scalars: Mapping[str, float | list[float]]) -> None:
        """Adds a line: `scalars`, which hold 'epoch'; in TensorBoard they stand at `step`.

        A list has an entry for each member of the run.
        """
        if not self._writes:
            return
        self._lines.append(json.dumps(dict(scalars)) + "\n")
        write_whole(self._path, "".join(self._lines))
        for name, value in scalars.items():
            if isinstance(value, list):
                for place, one in enumerate(value):
                    self._events.scalar(f"{name}/member_{place}", one, step)
            else:
                self._events.scalar(name, value, step)

    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        """Shows the config as text in TensorBoard."""
        if not self._writes:
            return
        self._events.text("config", "    " + json.dumps(hparams, indent=2).replace("\n", "\n    "))

    def flush(self) -> None:
        """Makes what was written visible to readers."""
        if not self._writes:
            return
        try:
            self._folder.mkdir(exist_ok=True)
        except failures(self._folder) as error:
            raise UserError(f"{self._folder} cannot be made: {reason(error)}") from error
        write_whole(self._folder / self._events.name, self._events.content())

    def close(self) -> None:
        """Ends the files."""
        if not self._writes:
            return
        self._events.close()
        self.flush()


class Console:
    """Keras-like lines for a person: one an epoch, and on a terminal a bar inside the epoch.

    Args:
      epochs: in the run.
      examples: images in an epoch.
      batch_size: images in a step.
    """

    def __init__(self, epochs: int, examples: int, batch_size: int):
        self._epochs, self._examples, self._batch_size = epochs, examples, batch_size
        self._seconds: list[float] = []
        self._bar: tqdm | None = None

    @contextlib.contextmanager
    def bar(self, epoch: int, done: int) -> Iterator[None]:
        """While entered, the bar of an epoch (counted from 1), `done` steps of which were trained before."""
        with tqdm(
            total=self._examples,
            initial=done * self._batch_size,
            desc=f"Epoch {epoch}/{self._epochs}",
            unit=" images",
            unit_scale=True,
            leave=False,
            disable=not (sys.stderr.isatty() and processes.is_first()),
        ) as self._bar:
            yield
        self._bar = None

    def advance(self, done: int, loss: float, accuracy: float) -> None:
        """Moves the bar to step `done` and shows the epoch's running means."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss: {loss:.4f} - acc: {accuracy:.4f}", refresh=False)
            self._bar.update(min(done * self._batch_size, self._examples) - self._bar.n)

    def epoch(self, line: Mapping[str, Any], watched: str, seconds: float) -> None:
        """The line of a finished epoch: its numbers in metrics.jsonl, and the time that is left."""
        self._seconds.append(seconds)
        # The latest epochs tell best what the next will take.
        recent = self._seconds[-5:]
        left = (self._epochs - line["epoch"]) * sum(recent) / len(recent)
        say(
            f"Epoch {line['epoch']}/{self._epochs} - {line['seconds']:.0f}s - {line['images_per_second']:,.0f} images/s"
            f" - lr: {_figure(line['learning_rate'], '.6g')}"
            f" - loss: {_figure(line['train_loss'])} - acc: {_figure(line['train_accuracy'])}"
            f" - {watched}_loss: {_figure(line[f'{watched}_loss'])} - {watched}_acc: {_accuracies(line, watched)}"
            f" - {format_seconds(left)} left"
        )


def _accuracies(line: Mapping[str, Any], watched: str) -> str:
    """The accuracy on a split, in all ways in which it is scored, and what else selects."""
    parts = [
        f"{words} {_figure(line[f'{watched}_accuracy_{name}'])}"
        for name, words in NAMES.items()
        if f"{watched}_accuracy_{name}" in line
    ]
    text = _figure(line[f"{watched}_accuracy"]) + (f" ({', '.join(parts)})" if parts else "")
    if f"{watched}_macro_f1" in line:
        text += f" - {watched}_macro_f1: {_figure(line[f'{watched}_macro_f1'])}"
    return text


def _figure(value: float | Sequence[float], form: str = ".4f") -> str:
    """A number; of several members their mean and, in brackets, the least and the greatest."""
    if not isinstance(value, list):
        return f"{value:{form}}"
    return f"{sum(value) / len(value):{form}} ({min(value):{form}}..{max(value):{form}})"


def times(count: int) -> str:
    """'once', 'twice', '3 times'."""
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def format_seconds(seconds: float) -> str:
    """12s, 3m 05s, 2h 10m."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m {seconds % 60:02d}s"
    return f"{seconds // 3600}h {seconds % 3600 // 60:02d}m"


def say(text: str) -> None:
    """A line for the person watching, at once; of several processes the first says it."""
    if processes.is_first():
        print(text, flush=True)


def stand_in_sentences(dataset: DataSet) -> list[str]:
    """What must be said wherever a run on stand-in data is shown; nothing if the data are what the config names."""
    if not dataset.stand_in_for:
        return []
    wanted, given = dataset.stand_in_for.upper(), dataset.name.upper()
    return [
        f"STAND-IN DATA: {wanted} COULD NOT BE HAD. THIS RUN IS ON {given} INSTEAD.",
        f"{dataset.source}.",
        f"Its numbers say nothing about {wanted} and belong in no table of results.",
        "To train on the real data, set FER_JAX_DATA to the folder that holds it, and start the same command.",
    ]


def say_stand_in(dataset: DataSet) -> None:
    """The notice that a run is not on the data its config names, if that is so; said at its start and at its end."""
    sentences = stand_in_sentences(dataset)
    if sentences:
        lines = [
            line for sentence in sentences for line in textwrap.wrap(sentence, NOTICE_WIDTH - 4, break_on_hyphens=False)
        ]
        frame = "*" * NOTICE_WIDTH
        say("\n".join([frame, *(f"* {line:<{len(frame) - 4}} *" for line in lines), frame]))


def say_result(record: Mapping[str, Any], workdir: Path) -> None:
    """The last and the best scores of a finished run, and which split chose the best.

    Where there is more than plain images of a whole split to show, or accuracy did not choose, it is shown as tables;
    and where there are several members, as a table of their means over the seeds.
    """
    if "over_seeds" in record:
        _say_over_seeds(record)
    else:
        _say_states(record)
    read = f"read {times(record['test_reads'])}" if record["test_reads"] else "never read"
    say(
        f"The test split was {read}. Compiling took "
        f"{format_seconds(record['seconds_compiling'])}, training {format_seconds(record['seconds_training'])}. "
        f"Everything is in {workdir}"
    )


def _say_over_seeds(record: Mapping[str, Any]) -> None:
    by = "macro-F1" if record["select_by"] == "macro_f1" else "accuracy"
    chosen = f"each selected on the {record['selected_by']} split by its own {by}"
    say(f"{len(record['members'])} members, {chosen if record['selected_by'] else 'nothing selected'}.")
    say(f"\n{format_over_seeds(record['over_seeds'])}\n")


def _say_states(record: Mapping[str, Any]) -> None:
    by_macro_f1 = record.get("select_by", "accuracy") == "macro_f1"
    for name in ("last", "best") if record["selected_by"] else ("last",):
        scores = record[name]
        numbers = " - ".join(
            f"{split}_loss: {scores[f'{split}_loss']:.4f} - {split}_accuracy: {_accuracies(scores, split)}"
            for split in ("seen", "val", "test")
            if f"{split}_loss" in scores
        )
        chosen = f", chosen on the {record['selected_by']} split" if name == "best" else ""
        if chosen and by_macro_f1:
            chosen += " by macro-F1"
        say(f"{name.capitalize()} (epoch {scores['epoch']}{chosen}): {numbers}")
    found = record.get("scores")
    if not found:
        return
    # A protocol that never looks at the test split has scored the watched one only.
    split = "test" if "test" in found["best"] else record["selected_by"]
    if by_macro_f1 or has_parts(found["best"][split]):
        states = name_states(record, split)
        selected = next(iter(states))
        say(f"\n{format_scores(split, states)}\n")
        say(f"{format_classes(split, f'{selected} state, plain', states[selected]['plain'])}\n")
