"""Exporting a run: the order in which it is opened, written, verified, quantised and given its name."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from fer_jax import provenance
from fer_jax.buckets import local
from fer_jax.config import check_network
from fer_jax.data.dataset import Split
from fer_jax.errors import ConfigError, UserError, reason
from fer_jax.evaluate import ensemble_logits, prepare, split_logits
from fer_jax.export.content import Content
from fer_jax.export.formats import APART, FORMATS, INT8, check_installed, room
from fer_jax.export.int8 import CALIBRATION_IMAGES, TestScores, metadata_of, on_test_split
from fer_jax.export.metadata import metadata
from fer_jax.export.table import Row, format_rows, format_test
from fer_jax.export.verify import IMAGES, TOLERANCE, run_file, verify
from fer_jax.files import behind_links, check_target
from fer_jax.models import Network
from fer_jax.models.ensemble import Ensemble, ensemble_variables
from fer_jax.open_released import open_released_run
from fer_jax.open_run import Opened, member_place, open_run
from fer_jax.record import count_test_read
from fer_jax.scores import log_probabilities
from fer_jax.signals import sigterm_raises
from fer_jax.steps import evaluation_variables
from fer_jax.writers import say, say_stand_in

FOLDER = "export"
"""In the run's folder, where no --out says otherwise."""
ALL = "all"
AS_ONE = ("stablehlo", "onnx", "web")
"""The formats that take several members as one network: those that hold a graph and not layers."""


class Chosen(NamedTuple):
    """A state of a run to be exported, and how the run answers.

    Attributes:
      opened: the run with its checkpoint.
      place: of the member; None is all of them as one.
      model: the network.
      variables: of its state, on the host.
      images: of the training split, uint8 [N, H, W, C].
      expected: the run's probabilities of them, [N, classes].
    """

    opened: Opened
    place: int | None
    model: Network
    variables: dict[str, Any]
    images: np.ndarray
    expected: np.ndarray


def export(
    workdir: str = "",
    *,
    name: str,
    model: str = "",
    checkpoint: str = "best",
    member: int | None = None,
    ensemble: bool = False,
    out: str = "",
    overwrite: bool = False,
    int8: bool = False,
    runtime: str = "",
    data_dir: str = "",
) -> list[Path]:
    """Exports a run's checkpoint, verifies every file in its own runtime and says how large and how fast it is.

    The images of the comparison are of the training split, so that it is no look at the test split. Nothing is left
    of files that fail; with several formats all are kept or none.

    Args:
      workdir: the run's folder.
      name: of the format, or 'all'.
      model: in place of `workdir` the name of a network in `releases.names()`.
      checkpoint: 'best', 'last' or the number of a step.
      member: of a run with several, counted from 0; None is the first, and says so.
      ensemble: all members of a run as one network, by the mean of their probabilities; in the formats `AS_ONE`.
      out: the file, or a folder for it; '' is the folder 'export' of the run, and the current one for a release. With
        'all' it is a folder, which is made where there is none.
      overwrite: what is there already is replaced.
      int8: ONNX with 8-bit integers instead of ONNX, or besides with 'all'. Evaluates the float and the 8-bit form on
        the test split, which run.json counts.
      runtime: for 'web', the folder with the runtime of its pages; see `web_runtime.runtime_files`.
      data_dir: as in training.

    Returns:
      The files.

    Raises:
      ConfigError: no run in `workdir`, no such release, a member it does not have, or a target that cannot be.
      CheckpointError: no such checkpoint, or it fails the checks that were saved with it.
      Interrupted: by SIGTERM.
      UserError: a package is missing, the network cannot be written in this format, or the file is not the run.
    """
    check_network(workdir, model, checkpoint, member)
    names = _names(name, int8)
    if model and (ensemble or int8):
        why = "is one network" if ensemble else "has no run.json to count a look at the test split in"
        raise ConfigError(f"--model={model} {why}: leave out {'--ensemble' if ensemble else '--int8'}")
    if runtime and name != "web":
        raise ConfigError(f"--runtime={runtime} goes with --format=web, not with --format={name}")
    if runtime and not Path(runtime).is_dir():
        raise ConfigError(f"--runtime={runtime}: there is no such folder")
    if ensemble and (member is not None or not set(names) <= set(AS_ONE)):
        what = f"--member={member}" if member is not None else f"--format={name}"
        raise ConfigError(f"--ensemble takes all members, with --format={' or '.join(AS_ONE)}: leave out {what}")
    check_installed(names)
    own = "model" if member is None else f"model_member_{member}"
    stem = model or ("ensemble" if ensemble else own)
    targets = _targets(names, Path() if model else local(workdir) / FOLDER, stem, out, overwrite)
    chosen = _choose(workdir, model, checkpoint, member, data_dir, ensemble)
    rows, test = [], None
    with (
        sigterm_raises("stopped by a signal: no file was written"),
        _folder_beside(next(iter(targets.values()))) as temporary,
    ):
        # The 8-bit form is made of the float one, which is verified whether it is kept or not.
        floats = [one for one in names if one != INT8] or ["onnx"]
        files = {one: temporary / f"model{FORMATS[one].suffix}" for one in [*floats, *names]}
        for one in floats:
            say(f"Writing {one} and running it ...")
            rows.append(_write(one, files[one], chosen, checkpoint, **{"runtime": runtime} if one == "web" else {}))
        if INT8 in names:
            test, row = _write_int8(files[INT8], files["onnx"], chosen, checkpoint)
            rows.append(row)
        for one in names:
            targets[one].parent.mkdir(exist_ok=True)
            os.replace(files[one], behind_links(targets[one]))
    _say(chosen, rows, test, targets)
    return list(targets.values())


@contextlib.contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """A folder for a while on the disk of a target, whose own may not be there yet: a file gets its name at once.

    Raises:
      UserError: there can be none.
    """
    folder = behind_links(target).parent
    try:
        made = tempfile.TemporaryDirectory(
            prefix=".export-", dir=folder if folder.is_dir() else folder.absolute().parent
        )
    except OSError as error:
        raise UserError(f"{target} cannot be written: {reason(error)}") from error
    with made as temporary:
        yield Path(temporary)


def _say(chosen: Chosen, rows: Sequence[Row], test: TestScores | None, targets: dict[str, Path]) -> None:
    run = chosen.opened.run
    if chosen.place is None:
        who = f"{len(run.members)} members as one"
    else:
        step = chosen.opened.steps[chosen.place]
        who = f"{run.members.each[chosen.place]}, step {step}" if run.members.many else f"step {step}"
    say(f"\n{format_rows(rows)}\n")
    say(
        f"{who}: each float file was run in a fresh process on {len(chosen.images):,} training images and compared "
        f"with the run: no probability is off by more than {TOLERANCE:g}, no label is another."
    )
    if test:
        say(format_test(test, chosen.opened.record["test_reads"]))
    for path in targets.values():
        say(str(path))
    say_stand_in(run.dataset)


def _names(name: str, int8: bool) -> list[str]:
    if name == ALL:
        floats = [one for one in FORMATS if one not in APART]
        return [*floats, INT8] if int8 else floats
    if int8 and name != "onnx":
        raise ConfigError(f"--int8 goes with --format=onnx or --format={ALL}, not with --format={name}")
    return [INT8] if int8 else [name]


def _targets(names: Sequence[str], own: Path, stem: str, out: str, overwrite: bool) -> dict[str, Path]:
    """Where each format goes, checked before anything is read; without --out it is `stem`, in the folder `own`."""
    path = Path(out) if out else own
    if not out or path.is_dir() or (len(names) > 1 and not path.exists() and path.absolute().parent.is_dir()):
        targets = {one: path / f"{stem}{FORMATS[one].suffix}" for one in names}
    elif len(names) > 1:
        raise ConfigError(f"--out={out} is no folder and cannot become one, and several formats need one: name another")
    else:
        (one,) = names
        if not path.parent.is_dir():
            raise ConfigError(f"--out={out}: there is no folder {path.parent}: create it first, or name another")
        if not path.name.endswith(FORMATS[one].suffix):
            raise ConfigError(f"--out={out}: the name of such a file ends with {FORMATS[one].suffix}")
        targets = {one: path}
    for target in targets.values():
        check_target(target, overwrite)
    return targets


def _choose(workdir: str, model: str, checkpoint: str, member: int | None, data_dir: str, ensemble: bool) -> Chosen:
    opened = (
        open_released_run(model, data_dir)
        if model
        else open_run(workdir, split="train", checkpoint=checkpoint, data_dir=data_dir)
    )
    run = opened.run
    if ensemble and len(run.members) < 2:
        raise ConfigError(f"--ensemble: the run in {opened.folder} has one member, and takes no mean")
    place = None if ensemble else member_place(run.members, member)
    dtype = opened.config["model"].get("dtype", "float32")
    if dtype != "float32":
        raise ConfigError(
            f"{opened.folder} was trained with config.model.dtype = '{dtype}': only float32 is exported, because every "
            "runtime rounds other types in its own way"
        )
    state = opened.restored.arrays["state"]
    each = run.members.unpack_tree(evaluation_variables(state))
    rows = np.unique(np.linspace(0, len(opened.examples) - 1, IMAGES).astype(int))
    few: Split = opened.examples[rows]
    # A GPU or TPU would round the factors of each product to fewer bits.
    with jax.default_matmul_precision("highest"):
        logits = run.members.unpack(split_logits(run.programs, state, prepare(few, run.mesh)))
    if place is None:
        as_one = Ensemble(network=run.model, members=len(each))
        return Chosen(opened, None, as_one, ensemble_variables(each), few.images, np.exp(ensemble_logits(logits)))
    return Chosen(opened, place, run.model, each[place], few.images, np.exp(log_probabilities(logits[place])))


def _content(chosen: Chosen, name: str, checkpoint: str) -> Content:
    texts = metadata(chosen.opened, checkpoint, chosen.place, FORMATS[name].packages)
    return Content(chosen.model, chosen.variables, texts)


def _write(name: str, file: Path, chosen: Chosen, checkpoint: str, **options: str) -> Row:
    content = _content(chosen, name, checkpoint)
    room(name).write(file, content, **options)
    ran, worst = verify(name, file, content, chosen.images, chosen.expected)
    return Row(name, file.stat().st_size, worst, ran.seconds, ran.runtime)


def _write_int8(file: Path, float_file: Path, chosen: Chosen, checkpoint: str) -> tuple[TestScores, Row]:
    """Writes the 8-bit form of a verified file and measures on the test split what it costs."""
    opened = chosen.opened
    examples, few = opened.run.splits.test, chosen.images[:CALIBRATION_IMAGES]
    if examples is None:
        raise ConfigError(
            f"{opened.folder} is a run of protocol 'tune', which has no test split to measure the cost of --int8 on"
        )
    texts = _content(chosen, INT8, checkpoint).metadata
    say("Quantising, and evaluating both forms on the test split ...")
    room(INT8).write_int8(file, float_file, few, texts)
    # Counted before anything of it is told.
    count_test_read(opened.record, "test", 2)
    provenance.write_json(opened.folder / provenance.FILE, opened.record)
    floats = run_file("onnx", float_file, examples.images)
    ran = run_file(INT8, file, np.concatenate([examples.images, chosen.images]))
    of_test, of_training = np.split(ran.probabilities, [len(examples)])
    test = on_test_split(floats.probabilities, of_test, examples.labels)
    room(INT8).add_metadata(file, texts | metadata_of(test, len(few)))
    worst = float(np.abs(of_training - chosen.expected).max())
    return test, Row(INT8, file.stat().st_size, worst, ran.seconds, ran.runtime)
