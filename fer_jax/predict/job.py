"""The work of the command: what is checked first, what is read, answered, written, and said at the end."""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tqdm import tqdm

from fer_jax.config import check_at_least
from fer_jax.errors import ConfigError, UserError, note, warn
from fer_jax.predict import output, predictor, sources
from fer_jax.predict.draw import Drawings
from fer_jax.predict.framing import FACE_SCALES

Counts = dict[str, int]


def predict(
    words: Sequence[str],
    *,
    camera: int | None = None,
    every: int = 1,
    out: str = "",
    kind: str | None = None,
    overwrite: bool = False,
    draw: str = "",
    **options: Any,
) -> None:
    """Answers what the words of a command name, and says on stderr what with, how fast, and what could not be answered.

    Args:
      words: pictures, folders, videos, '-'.
      camera: the number of a camera in place of words.
      every: takes each so many-th frame of a video or a camera.
      out: the file for the answers; '' is the standard output.
      kind: 'table', 'jsonl' or 'csv'; None goes by the name of the file.
      overwrite: whether `out` and the pictures in `draw` may replace what is there.
      draw: a folder for the pictures with what was found drawn in; '' draws none.
      options: of `fer_jax.predict.load`, with `workdir` and `model`.

    Raises:
      ConfigError: an option or a name that cannot be used; nothing was written.
      UserError: something was not answered; all else was.
    """
    check_at_least("--every", every, 1)
    kind = output.format_of(kind, out)
    if out:
        output.check_target(out, overwrite)
    if camera is not None and words:
        raise ConfigError(f"--camera={camera} and '{output.printable(words[0])}': name one of the two")
    drawings = Drawings(draw, overwrite) if draw else None
    found = sources.find(words, every) if camera is None else sources.camera(camera, every)
    network = predictor.load(**options)
    _introduce(network)
    start = time.monotonic()
    counts: Counts = dict.fromkeys(("pictures", "predictions", "withheld", "unread", "empty"), 0)
    bar = tqdm(total=found.total, unit=" pictures", leave=False, disable=None if out or not _is_watched() else True)
    with output.opened(out, kind, network, found.longest) as write, bar, _until_interrupted(camera is not None):
        for answer in network.answers(found.items, at_once=camera is not None):
            _count(counts, answer)
            if answer.problem and not (found.moving and not answer.unread):
                with tqdm.external_write_mode(sys.stderr):
                    warn(answer.problem if answer.unread else f"{answer.item.name}: {answer.problem}")
            for one in answer.predictions:
                if one.doubt and not found.moving:
                    with tqdm.external_write_mode(sys.stderr):
                        warn(f"{answer.item.name}: {one.doubt}")
            write(answer)
            if drawings:
                drawings.write(answer, network.stand_in)
            bar.update()
    _sum_up(network, counts, time.monotonic() - start)
    _check_answered(counts, found.moving)


def _is_watched() -> bool:
    """Whether the answers go to the terminal, where a bar would stand between them."""
    return sys.stdout.isatty()


@contextlib.contextmanager
def _until_interrupted(is_camera: bool) -> Iterator[None]:
    """Ctrl-C is how the work with a camera ends."""
    try:
        yield
    except KeyboardInterrupt:
        if not is_camera:
            raise


def _introduce(network: predictor.Predictor) -> None:
    trained = network.trained
    if network.stand_in:
        warn(network.stand_in)
    if network.view != "plain":
        if trained.dataset.name in ("mnist", "digits"):
            warn("a mirrored digit is another picture: --tta makes these predictions worse")
    if (trained.dataset.stand_in_for or trained.dataset.name) in FACE_SCALES:
        note(f"the classes are apparent expressions, and not what anybody feels; what this is not for: {trained.card}")
    network_name = trained.config["model"]["name"]
    note(f"{trained.name}: {network_name}, step {trained.step:,}, {network.view}, {network.about}")
    note(network.calibration.about)


def _count(counts: Counts, answer: predictor.Answer) -> None:
    counts["pictures"] += 1
    counts["predictions"] += len(answer.predictions)
    counts["withheld"] += sum(one.withheld for one in answer.predictions)
    counts["unread"] += answer.unread
    counts["empty"] += bool(answer.problem) and not answer.unread


def _sum_up(network: predictor.Predictor, counts: Counts, seconds: float) -> None:
    withheld = f", {counts['withheld']:,} labels withheld" if counts["withheld"] else ""
    rate = counts["pictures"] / seconds if seconds > 0 else 0.0
    note(
        f"{counts['pictures']:,} pictures, {counts['predictions']:,} predictions{withheld} in {seconds:.1f} s "
        f"({rate:,.1f} pictures a second, reading and compiling included)"
    )
    if network.stand_in:
        warn(network.stand_in)


def _check_answered(counts: Counts, moving: bool) -> None:
    """Raises UserError if something was not answered. A frame without a face is no fault of a video."""
    faults = []
    if counts["unread"]:
        faults.append(f"{counts['unread']:,} could not be read")
    if counts["empty"] and not (moving and counts["predictions"]):
        faults.append(f"in {counts['empty']:,} nothing was found")
    if faults:
        raise UserError(f"of {counts['pictures']:,} pictures {', and '.join(faults)}: see above; all others are done")
