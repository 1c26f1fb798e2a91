"""Answers as JSON lines, as CSV or as a table for a person: one line for each face or picture, and for each problem."""

import contextlib
import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from fer_jax import files
from fer_jax.errors import ConfigError, UserError, printable
from fer_jax.predict.predictor import Answer, Item, Prediction, Predictor
from fer_jax.run_words import percent

FORMATS = ("table", "jsonl", "csv")
_ENDINGS = {"": "table", ".txt": "table", ".jsonl": "jsonl", ".json": "jsonl", ".csv": "csv"}
_BOX = ("left", "top", "width", "height")
_LONGEST_NAME = 60
"""Letters of a name in the table; of a longer one the end is shown."""

Writer = Callable[[Answer], None]


def format_of(stated: str | None, out: str) -> str:
    """The format asked for, or that of the ending of the file's name; 'table' without either.

    Raises:
      ConfigError: no format goes by this ending, and none is asked for.
    """
    suffix = Path(out).suffix.lower()
    if not stated and suffix not in _ENDINGS:
        known = ", ".join(f"{ending} ({name})" for ending, name in _ENDINGS.items() if ending)
        raise ConfigError(f"--out={out}: no format goes by '{suffix}': add --format, or end it with {known}")
    return stated or _ENDINGS[suffix]


def rows(answer: Answer, predictor: Predictor) -> Iterator[dict[str, Any]]:
    """What a line of JSON says, for each prediction of an answer or for its problem.

    The keys are always the same: `file`; `frame` and `seconds` of a video; `face`, counted from 0; `box`; `label`;
    `probability` of the most probable class; `withheld`; `probabilities` of all classes; `inverted` and `centred` of a
    digit; `error`; `run`, `step`, `member`, `view`, `temperature` (null where uncalibrated) and `stand_in` of the
    network. What means nothing is null; `error` and `stand_in` are then ''.
    """
    for face, one in enumerate(answer.predictions or [Prediction(0)]):
        yield {
            "file": answer.item.name,
            "frame": answer.item.place.get("frame"),
            "seconds": answer.item.place.get("seconds"),
            "face": face if one.box else None,
            "box": list(one.box) if one.box else None,
            "label": one.label,
            "probability": one.probability,
            "withheld": one.withheld,
            "probabilities": dict(one.probabilities) or None,
            "inverted": one.inverted,
            "centred": one.centred,
            "error": answer.problem,
            "run": printable(predictor.trained.name),
            "step": predictor.trained.step,
            "member": predictor.trained.member,
            "view": predictor.view,
            "temperature": predictor.calibration.temperature,
            "stand_in": predictor.stand_in,
        }


def check_target(out: str, overwrite: bool) -> None:
    """Checks that a file can be written, before anything is computed.

    Raises:
      ConfigError: it is there already, it is no file, or its folder is not there.
      UserError: it cannot be told what is there.
    """
    path = Path(out)
    files.check_target(path, overwrite)
    if not path.parent.is_dir():
        raise ConfigError(f"--out={out}: there is no folder {path.parent}")


@contextlib.contextmanager
def opened(out: str, kind: str, predictor: Predictor, longest: int) -> Iterator[Writer]:
    """What writes answers to a file, or to the standard output if `out` is ''.

    The file appears when all is written, and not at all if the work is broken off.

    Args:
      out: the file.
      kind: one of `FORMATS`.
      predictor: whose answers they are.
      longest: letters in the longest name, for the table.

    Raises:
      UserError: the file cannot be written.
    """
    start, write, end = _KINDS[kind](predictor, longest)
    if not out:
        start(sys.stdout)
        yield lambda answer: write(sys.stdout, answer)
        end(sys.stdout)
        sys.stdout.flush()
        return
    path = Path(out)
    target = files.behind_links(path)
    partial = target.with_name(target.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            start(file)
            yield lambda answer: write(file, answer)
            end(file)
        os.replace(partial, target)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


_Kind = tuple[Callable[[TextIO], None], Callable[[TextIO, Answer], None], Callable[[TextIO], None]]
"""What is written first, for each answer, and last."""


def _nothing(file: TextIO) -> None:
    pass


def _jsonl(predictor: Predictor, longest: int) -> _Kind:
    def write(file: TextIO, answer: Answer) -> None:
        for row in rows(answer, predictor):
            file.write(json.dumps(row) + "\n")
        file.flush()

    return _nothing, write, _nothing


def _csv(predictor: Predictor, longest: int) -> _Kind:
    names = [f"p_{name}" for name in predictor.class_names]

    def flat(row: Mapping[str, Any]) -> dict[str, Any]:
        box = row["box"] or [None] * 4
        values = (row["probabilities"] or dict.fromkeys(predictor.class_names)).values()
        rest = {key: value for key, value in row.items() if key not in ("box", "probabilities")}
        return {**rest, **dict(zip(_BOX, box, strict=True)), **dict(zip(names, values, strict=True))}

    columns = list(flat(next(rows(_NO_ANSWER, predictor))))

    def start(file: TextIO) -> None:
        csv.writer(file, lineterminator="\n").writerow(columns)

    def write(file: TextIO, answer: Answer) -> None:
        csv.writer(file, lineterminator="\n").writerows(flat(row).values() for row in rows(answer, predictor))
        file.flush()

    return start, write, _nothing


def _table(predictor: Predictor, longest: int) -> _Kind:
    width = min(longest, _LONGEST_NAME)
    widest = max(map(len, [*predictor.class_names, "(withheld)"]))

    def notice(file: TextIO) -> None:
        if predictor.stand_in:
            file.write(f"*** {predictor.stand_in} ***\n")

    def write(file: TextIO, answer: Answer) -> None:
        name = answer.item.name
        name = name if len(name) <= _LONGEST_NAME else f"...{name[3 - _LONGEST_NAME :]}"
        frame = answer.item.place.get("frame")
        begin = f"{name:<{width}}" + (f"  frame {frame:>6}" if frame is not None else "")
        if answer.problem:
            problem = answer.problem.removeprefix(answer.item.name).strip()
            file.write(f"{begin}  - {problem}\n")
        for one in answer.predictions:
            file.write(f"{begin}  {_told(one, widest)}\n".rstrip() + "\n")
        file.flush()

    return notice, write, notice


def _told(one: Prediction, widest: int) -> str:
    ranked = sorted(one.probabilities.items(), key=lambda pair: -pair[1])
    others = ", ".join(f"{name} {percent(value)}" for name, value in ranked[1:3])
    parts = [f"{one.label or '(withheld)':<{widest}}", f"{percent(one.probability):>8}", f"({others})"]
    if one.box:
        parts.append(f"face at {one.box.left},{one.box.top}, {one.box.width}x{one.box.height}")
    if one.inverted is not None:
        done = [word for word, is_so in (("inverted", one.inverted), ("cut out and centred", one.centred)) if is_so]
        parts.append(" and ".join(done) or "as it is")
    return "  ".join(parts)


_NO_ANSWER = Answer(Item("", b""), [], "", True, None)
_KINDS: Mapping[str, Callable[[Predictor, int], _Kind]] = {"table": _table, "jsonl": _jsonl, "csv": _csv}
