"""What happens to a run from outside: the clock is set back, its data go, another run is started in its folder."""

import errno
import os
import shutil
import time
from pathlib import Path

import pytest
from test_data import write_mnist

from fer_jax import train
from fer_jax.checkpoint import Checkpoints
from fer_jax.errors import DataError, UserError
from fer_jax.writers import read_metrics

CLOCK = ("seconds", "images_per_second")


def numbers(workdir):
    """What stands in metrics.jsonl, without what a clock says."""
    return [{key: value for key, value in line.items() if key not in CLOCK} for line in read_metrics(workdir)]


def test_a_clock_set_back_chooses_no_other_checkpoint_and_spoils_no_duration(
    tiny_config, tmp_path, kill, monkeypatch, capsys
):
    tiny_config.epochs = 4
    straight = train.train(tiny_config, workdir=str(tmp_path / "straight"))
    hours = iter(range(10**6))
    real_time, real_time_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: real_time() - 3600 * next(hours))
    monkeypatch.setattr(time, "time_ns", lambda: real_time_ns() - 3600 * 10**9 * next(hours))
    run = tmp_path / "run"
    kill((3, 7), lambda: train.train(tiny_config, workdir=str(run)))
    for place, name in enumerate(("21", "14")):
        for path in (run / "checkpoints" / name).rglob("*"):
            os.utime(path, (1e9 + place, 1e9 + place))
    capsys.readouterr()
    record = train.train(tiny_config, workdir=str(run))
    told = capsys.readouterr()
    assert "Going on from step 21" in told.out and " - 0s left" in told.out and "-1s left" not in told.out
    assert numbers(run) == numbers(tmp_path / "straight") and record["best"] == straight["best"]
    assert all(line["seconds"] > 0 and line["images_per_second"] > 0 for line in read_metrics(run))
    assert 0 < record["seconds_training"] < 600


def test_data_that_go_while_a_run_trains_are_missed_by_the_next_only(tiny_config, tmp_path):
    write_mnist(tmp_path / "data")
    tiny_config.data.name, tiny_config.data.limit = "mnist", 0
    words = {"workdir": str(tmp_path / "run"), "data_dir": str(tmp_path / "data")}
    gone = []

    def delete(epoch):
        for folder in (tmp_path / "data", Path(os.environ["XDG_CACHE_HOME"])):
            shutil.rmtree(folder, ignore_errors=True)
            gone.append(folder)

    record = train.train(tiny_config, **words, epoch_ended=delete)
    assert gone and record["finished"] and len(read_metrics(tmp_path / "run")) == 2
    before = (tmp_path / "run" / "run.json").read_bytes()
    tiny_config.epochs = 3
    with pytest.raises(DataError, match=f"{tmp_path}/data/mnist is not a folder: it should hold "):
        train.train(tiny_config, **words)
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    write_mnist(tmp_path / "data")
    assert train.train(tiny_config, **words)["epoch"] == 3


@pytest.mark.parametrize("name", ["config.json", "run.json", "metrics.jsonl"])
def test_a_workdir_that_becomes_read_only_is_told_and_the_run_goes_on_later(tiny_config, tmp_path, monkeypatch, name):
    real_write = Path.write_text

    def write_text(path, *arguments, **options):
        if path.name == f"{name}.partial":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real_write(path, *arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(UserError, match=f"{name} cannot be written: Read-only file s"):
        patch.setattr(Path, "write_text", write_text)
        train.train(tiny_config, workdir=str(tmp_path))
    assert train.train(tiny_config, workdir=str(tmp_path))["finished"]
    assert [line["epoch"] for line in read_metrics(tmp_path)] == [1, 2]


def test_a_damaged_checkpoint_is_told_before_it_is_set_aside(
    tiny_config, tmp_path, monkeypatch, capsys, orbax_leftovers
):
    """A process that is killed between the two leaves it to be found, and told, again."""
    train.train(tiny_config, workdir=str(tmp_path))
    for path in (tmp_path / "checkpoints" / "14" / "arrays").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    tiny_config.epochs = 3

    def killed(checkpoints, steps):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoints, "set_aside", killed)
        train.train(tiny_config, workdir=str(tmp_path))
    sentence = "checkpoints/14 cannot be read; going on from the checkpoint before it"
    assert sentence in capsys.readouterr().err
    assert train.train(tiny_config, workdir=str(tmp_path))["epoch"] == 3
    assert sentence in capsys.readouterr().err
