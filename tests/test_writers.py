"""metrics.jsonl holds each epoch once, whatever happened before; the lines a person reads are right."""

import json
import subprocess
import sys

import pytest

from fer_jax.data.dataset import DataSet
from fer_jax.errors import UserError
from fer_jax.writers import Console, MetricWriter, format_seconds, read_metrics, say_stand_in


def line(epoch):
    return {"epoch": epoch, "step": 10 * epoch, "train_loss": 1 / epoch}


def write(workdir, epochs, earlier=()):
    writer = MetricWriter(workdir, earlier=[line(epoch) for epoch in earlier])
    for epoch in epochs:
        writer.write_scalars(10 * epoch, line(epoch))
    writer.flush()
    writer.close()


def test_a_line_an_epoch(tmp_path):
    write(tmp_path, [1, 2, 3])
    assert read_metrics(tmp_path) == [line(1), line(2), line(3)]
    assert [json.loads(text) for text in (tmp_path / "metrics.jsonl").read_text().splitlines()] == read_metrics(
        tmp_path
    )


def test_a_resume_takes_out_the_epochs_that_it_trains_again(tmp_path):
    write(tmp_path, [1, 2, 3])
    write(tmp_path, [2, 3, 4], earlier=[1])
    assert read_metrics(tmp_path) == [line(1), line(2), line(3), line(4)]


@pytest.mark.parametrize(
    "torn",
    [
        *('{"epoch": 3, "st', "\x00\x00\x00", "7", "[" * 100_000, '{"step": 3}', '{"epoch": "3"}'),
        *('{"epoch": 3, "train_loss": "x"}', '{"epoch": 3, "train_loss": [null]}', '{"epoch": 3, "": {}}'),
    ],
)
def test_a_torn_last_line_is_left_out(tmp_path, torn):
    write(tmp_path, [1, 2])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(torn)
    assert read_metrics(tmp_path) == [line(1), line(2)]
    write(tmp_path, [3], earlier=[1, 2])
    assert read_metrics(tmp_path) == [line(1), line(2), line(3)]


def test_no_file_is_no_epochs(tmp_path):
    assert read_metrics(tmp_path) == []


def test_tensorboard_gets_every_number(tmp_path):
    write(tmp_path, [1, 2])
    content = b"".join(path.read_bytes() for path in (tmp_path / "tensorboard").iterdir())
    assert content.count(b"train_loss") == 2


def test_a_full_disk_under_tensorboard_is_told_and_nothing_else_is_said(tmp_path):
    """In a process of its own, because tensorboardX has a thread, and tidies up at the end of the process."""
    code = f"""
import errno, os, pathlib, sys
from fer_jax.errors import UserError
from fer_jax.writers import MetricWriter

def full(path, content):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

writer = MetricWriter(pathlib.Path({str(tmp_path)!r}))
pathlib.Path.write_bytes = full
writer.write_scalars(1, {{"epoch": 1, "train_loss": 0.5}})
try:
    writer.flush()
except UserError as error:
    sys.exit(str(error))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1
    assert "cannot be written: No space left on device: free some space" in ended.stderr
    assert [epoch["train_loss"] for epoch in read_metrics(tmp_path)] == [0.5]


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match=r"metrics.jsonl cannot be written"):
        MetricWriter(tmp_path / "absent")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59.4, "59s"), (59.6, "1m 00s"), (185, "3m 05s"), (3599.6, "1h 00m"), (7830, "2h 10m")],
)
def test_a_duration_as_a_person_says_it(seconds, text):
    assert format_seconds(seconds) == text


def test_the_line_of_an_epoch_tells_numbers_and_time_left(capsys):
    numbers = {
        **{"epoch": 3, "step": 30, "learning_rate": 0.0018315018, "train_loss": 0.05, "train_accuracy": 0.98},
        **{"seconds": 40.2, "images_per_second": 1493.0, "val_loss": 0.04, "val_accuracy": 0.99},
    }
    Console(epochs=5, examples=1000, batch_size=100).epoch(numbers, "val", seconds=42.0)
    assert capsys.readouterr().out == (
        "Epoch 3/5 - 40s - 1,493 images/s - lr: 0.0018315 - loss: 0.0500 - acc: 0.9800"
        " - val_loss: 0.0400 - val_acc: 0.9900 - 1m 24s left\n"
    )


def test_the_stand_in_notice_fits_a_terminal_whatever_the_reason(capsys):
    dataset = DataSet("digits", {}, (), f"some digits, because {'there is a very long reason, ' * 30}", "mnist")
    say_stand_in(dataset)
    lines = capsys.readouterr().out.splitlines()
    assert "STAND-IN DATA: MNIST COULD NOT BE HAD" in lines[1]
    assert {len(line) for line in lines} == {100}
    say_stand_in(DataSet("mnist", {}, (), "IDX files"))
    assert capsys.readouterr().out == ""


def test_an_installed_pytorch_is_not_imported(tmp_path):
    """A stand-in for it that ends the process: in one of its own, because what was imported stays."""
    (tmp_path / "torch.py").write_text("raise SystemExit('imported')\n")
    code = "; ".join(
        [
            "import pathlib, sys",
            "sys.path.insert(0, sys.argv[1])",
            "from fer_jax.writers import MetricWriter",
            "MetricWriter(pathlib.Path(sys.argv[1])).close()",
            "assert 'torch' not in sys.modules",
            "import torch",
        ]
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "imported\n")
    assert list((tmp_path / "tensorboard").iterdir())
