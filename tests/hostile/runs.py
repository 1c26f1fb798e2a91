"""Readers of what runs and sweeps leave, of prepared copies and lists, and of the words of a command."""

import atexit
import contextlib
import io
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from absl import flags
from absl.testing import flagsaver
from conftest import TINY_TABLE
from hypothesis import strategies as st

from fer_jax import build, command, main, models, open_trained, train
from fer_jax.build import default_config, resolve
from fer_jax.checkpoint import digest
from fer_jax.config import flatten
from fer_jax.data import index_lists, prepared
from fer_jax.data.dataset import DataSet, Split
from fer_jax.errors import UserError
from fer_jax.members import make_members
from fer_jax.models import mnist
from fer_jax.predict.calibration import Calibration, calibrate, fit
from fer_jax.sweep.grid import Grid, load_grid
from fer_jax.sweep.results import keep, read_results
from fer_jax.sweep.tables import make_tables
from fer_jax.writers import METRICS_FILE, read_metrics
from hostile.damage import NUMBERS, WORDS, Draw, damaged, damaged_json
from hostile.digits import check_data
from hostile.oracle import Reader

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def _tiny() -> Iterator[None]:
    """While entered, there is a network that compiles in a second."""
    with mock.patch.dict(models.MODELS, tiny=partial(mnist.MnistNet, table=TINY_TABLE)):
        yield


@cache
def _run() -> Path:
    """A trained run of some seconds."""
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="hostile-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with _tiny(), contextlib.redirect_stdout(io.StringIO()):
        config = default_config(model="tiny", data_name="digits")
        config.epochs, config.batch_size, config.data.limit, config.protocol = 1, 16, 32, "clean"
        train.train(config, workdir=str(folder / "run"))
    shutil.rmtree(folder / "run" / "tensorboard")
    return folder / "run"


@cache
def _core() -> build.Core:
    with _tiny():
        config, record = (json.loads((_run() / name).read_text()) for name in ("config.json", "run.json"))
        return build.build_core(resolve(config), record["data"]["train_examples"], record["data"]["class_names"])


def _build_core(config: Any, train_examples: int, class_names: Any) -> build.Core:
    """`build_core`, without compiling anew where nothing that it depends on differs."""
    usual = json.loads((_run() / "config.json").read_text())
    same = json.loads(config.to_json()) == json.loads(json.dumps(usual))
    if same and train_examples == 32 and len(class_names) == 10:
        return _core()
    return build.build_core(config, train_examples, class_names)


@cache
def _whole() -> open_trained.Trained:
    return _open(_run())


def _open(folder: Path) -> open_trained.Trained:
    with _tiny(), mock.patch.object(open_trained, "build_core", _build_core):
        return open_trained.open_trained(str(folder))


def _check_trained(found: open_trained.Trained, known: None) -> None:
    state, whole = found.state, _whole().state
    assert digest([state.params, state.batch_stats]) == digest([whole.params, whole.batch_stats])
    assert len(found.dataset.class_names) == 10 and all(isinstance(name, str) for name in found.dataset.class_names)
    assert isinstance(found.dataset.source, str) and found.step >= 0


def _write_run(draw: Draw, folder: Path) -> None:
    """Damages config.json or run.json."""
    _whole()
    shutil.copytree(_run(), folder, dirs_exist_ok=True)
    for name in draw(st.sampled_from((("config.json",), ("run.json",), ("run.json",), ("config.json", "run.json")))):
        (folder / name).write_bytes(damaged_json(draw, json.loads((folder / name).read_text())))


def _write_checkpoint(draw: Draw, folder: Path) -> None:
    _whole()
    shutil.copytree(_run(), folder, dirs_exist_ok=True)
    paths = sorted(path for path in (folder / "checkpoints").rglob("*") if path.is_file())
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(paths) - 1))
        path = paths[place]
        if not path.is_file():
            continue
        match draw(st.integers(0, 7)):
            case 0:
                path.unlink()
            case 1:
                path.write_bytes(paths[draw(st.integers(0, len(paths) - 1))].read_bytes() if path.exists() else b"")
            case 2:
                target = draw(st.sampled_from(("0", "99", "-1", "x", "7.orbax-checkpoint-tmp", "9" * 30)))
                step = folder / "checkpoints" / path.relative_to(folder / "checkpoints").parts[0]
                if not (folder / "checkpoints" / target).exists():
                    step.rename(folder / "checkpoints" / target)
            case 3 | 4:
                content = path.read_bytes()
                if content.startswith(b"{"):
                    with contextlib.suppress(ValueError):
                        path.write_bytes(damaged_json(draw, json.loads(content)))
            case _:
                path.write_bytes(damaged(draw, path.read_bytes()))
        paths = sorted(path for path in (folder / "checkpoints").rglob("*") if path.is_file()) or [path]


@cache
def _calibrations() -> dict[str, Any]:
    whole = _whole()
    draw = np.random.RandomState(0)
    key = {"step": whole.step, "member": 0, "view": "plain"}
    key["state_sha256"] = digest([whole.state.params, whole.state.batch_stats])
    entry = {**key, "split": "validation", **fit(draw.rand(20, 10), draw.randint(0, 10, 20)), "fitted": "today"}
    return {"calibrations": [entry]}


def _write_calibration(draw: Draw, folder: Path) -> None:
    (folder / "calibration.json").write_bytes(damaged_json(draw, _calibrations()))


def _not_kept(images: np.ndarray) -> np.ndarray:
    raise UserError("the calibration is not kept, and would be fitted again")


def _read_calibration(folder: Path) -> Calibration:
    with _tiny():
        return calibrate(_whole()._replace(folder=folder), "plain", _not_kept)


def _check_calibration(found: Calibration, known: None) -> None:
    assert isinstance(found.temperature, float) and 0 < found.temperature < 1000 and isinstance(found.about, str)


def _metrics() -> list[dict[str, Any]]:
    numbers = {"train_loss": 1.5, "train_accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.6, "learning_rate": 0.001}
    return [{"epoch": epoch, "step": 7 * epoch, **numbers, "seconds": 1.0} for epoch in (1, 2, 3)]


def _write_metrics(draw: Draw, folder: Path) -> None:
    lines = [json.dumps(line).encode() for line in _metrics()]
    place = draw(st.integers(0, 2))
    lines[place] = damaged_json(draw, _metrics()[place])
    content = b"\n".join([*lines, b""])
    (folder / METRICS_FILE).write_bytes(damaged(draw, content) if draw(st.booleans()) else content)


def _read_metrics(folder: Path) -> list[dict[str, Any]]:
    return [make_members(0, 1, {}).line_of(line, 0) for line in read_metrics(folder)]


def _check_metrics(found: list[dict[str, Any]], known: None) -> None:
    for line in found:
        assert isinstance(line["epoch"], int) and all(isinstance(key, str) for key in line)
        assert all(isinstance(value, int | float | list) for value in line.values())


@cache
def _grid() -> Grid:
    return load_grid(str(ROOT / "experiments" / "digits_smoke" / "experiment.py"))


@cache
def _rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (_grid().folder / "results.jsonl").read_text().splitlines()]


def _write_results(draw: Draw, folder: Path) -> None:
    rows = [json.dumps(row).encode() for row in _rows()]
    place = draw(st.integers(0, len(rows) - 1))
    rows[place] = damaged_json(draw, _rows()[place])
    content = b"\n".join([*rows, b""])
    (folder / "results.jsonl").write_bytes(damaged(draw, content) if draw(st.integers(0, 3)) == 0 else content)


def _read_results(folder: Path) -> dict[str, Any]:
    results = read_results(folder / "results.jsonl")
    kept = keep(_grid(), results.rows)
    return make_tables(_grid(), kept) if kept.by_cell else {}


def _small() -> DataSet:
    """Two splits of noise, with every kind of extra."""
    draw = np.random.RandomState(0)
    splits = {}
    for name, size in (("train", 8), ("test", 5)):
        images = draw.randint(0, 256, (size, 6, 6, 1)).astype(np.uint8)
        extras = {"row": np.arange(size, dtype=np.int32), "file": np.array([f"{name}/ä{i}" for i in range(size)])}
        splits[name] = Split(images, (np.arange(size) % 3).astype(np.int32), extras)
    return DataSet("small", splits, ("a", "b", "c"), source="noise")


def _write_list(draw: Draw, folder: Path) -> None:
    content = {"data": "small", "fingerprint": _small().fingerprint, "exclude": {"train": [0, 3], "test": [1]}}
    (folder / "list.json").write_bytes(damaged_json(draw, content))


def _check_list(found: DataSet, known: None) -> None:
    check_data(found)
    for name, split in found.splits.items():
        rows = split.extras["row"]
        np.testing.assert_array_equal(split.images, _small().splits[name].images[rows])


@cache
def _copy() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        prepared.write(_small(), Path(folder) / "copy")
        root = Path(folder) / "copy"
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _write_copy(draw: Draw, folder: Path) -> None:
    files = dict(_copy())
    for _ in range(draw(st.integers(1, 2))):
        if not files:
            break
        name = draw(st.sampled_from(sorted(files)))
        match draw(st.integers(0, 7)):
            case 0:
                del files[name]
            case 1:
                files[name] = files[draw(st.sampled_from(sorted(files)))]
            case 2 | 3 | 4 if name.endswith(".json"):
                with contextlib.suppress(ValueError):
                    files[name] = damaged_json(draw, json.loads(files[name]))
            case _:
                files[name] = damaged(draw, files[name])
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _check_copy(found: DataSet, known: None) -> None:
    check_data(found)
    assert found.fingerprint == _small().fingerprint and all(isinstance(name, str) for name in found.class_names)
    assert isinstance(found.name, str) and isinstance(found.source, str)


@cache
def _keys() -> list[str]:
    config = default_config(model="mnist_11k", data_name="digits")
    return [key for key, _ in flatten(json.loads(config.to_json()))]


_FLAGS = ("workdir", "mode", "data_dir", "split", "checkpoint", "tta", "profile", "num_processes", "config", "x", "")


def _write_words(draw: Draw, folder: Path) -> None:
    words = [f"--config={ROOT / 'configs' / 'mnist_11k.py'}", "--config.data.name=digits", "--config.data.fallback="]
    values = st.one_of(
        st.sampled_from(WORDS),
        st.sampled_from(NUMBERS).map(str),
        st.floats().map(repr),
        st.sampled_from(
            ("()", "(1, 2)", "[]", "{}", "{'model.dropout': (0.0, 0.1)}", "adam", "cosine", "clean", "tune")
        ),
    )
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from((*_keys(), "model", "optim", "vary", "optim.x", "model.dropuot", "", ".", "a.b.c")))
        name = f"config.{key}" if draw(st.integers(0, 5)) else draw(st.sampled_from(_FLAGS))
        word = (
            f"--{name}={draw(values)}"
            if draw(st.integers(0, 9))
            else draw(st.sampled_from((f"--{name}", name, "-", "--")))
        )
        words.insert(draw(st.integers(max(0, len(words) - 3), len(words))), word)
    (folder / "words").write_text("\n\n".join(words), encoding="utf-8", errors="surrogatepass")


def _read_words(folder: Path) -> build.Run | None:
    words = (folder / "words").read_text(encoding="utf-8", errors="surrogatepass").split("\n\n")
    argv = ["fer_jax", *words]
    saved = flagsaver.save_flag_values(main.FLAGS)
    try:
        with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(io.StringIO()):
            command.parse(main.FLAGS, argv)
            config = main.FLAGS["config"].value
            return None if config is None else build.build(resolve(config))
    finally:
        flagsaver.restore_flag_values(saved, main.FLAGS)
        main.FLAGS.unparse_flags()
        flags.FLAGS.unparse_flags()


def _check_words(found: build.Run | None, known: None) -> None:
    assert found is None or (len(found.members) >= 1 and found.steps_per_epoch >= 1 and len(found.splits.train))


READERS = {
    "words": Reader(_write_words, _read_words, _check_words, 10, memory=512),
    "run": Reader(_write_run, _open, _check_trained, 6, memory=512),
    "checkpoint": Reader(_write_checkpoint, _open, _check_trained, 5, memory=512, changes=True),
    "calibration": Reader(_write_calibration, _read_calibration, _check_calibration, 10),
    "metrics": Reader(_write_metrics, _read_metrics, _check_metrics, 15),
    "results": Reader(_write_results, _read_results, lambda found, known: None, 15),
    "exclude": Reader(
        _write_list, lambda folder: index_lists.exclude(_small(), str(folder / "list.json")), _check_list, 15
    ),
    "prepared": Reader(_write_copy, prepared.read, _check_copy, 10, memory=256),
}
