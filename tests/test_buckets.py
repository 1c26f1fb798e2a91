"""What names a bucket where none can be is told in a sentence; no bucket and no library for one is needed."""

from pathlib import Path

import fsspec
import pytest
from commands import assert_refused, call_command

from fer_jax import audit, reproduce
from fer_jax import main as command_line
from fer_jax.export import __main__ as export
from fer_jax.report import __main__ as report
from fer_jax.sweep import __main__ as sweep

CONFIG = f"--config={Path(__file__).parents[1] / 'configs' / 'mnist_10k.py'}"


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Runs a command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda module, *words: call_command(module, *words, monkeypatch=monkeypatch, capsys=capsys)


@pytest.mark.parametrize(
    ("module", "words", "sentence"),
    [
        (report, ["--workdir=gs://lab/run"], "gs://lab/run is in a bucket, and this command works on folders of this"),
        (export, ["--workdir=gs://lab/run", "--format=stablehlo"], "gs://lab/run is in a bucket"),
        (sweep, ["--experiment=gs://lab/x.py"], "--experiment=gs://lab/x.py must be on this machine"),
        (reproduce, ["--experiments=gs://lab", "--list"], "--experiments=gs://lab must be on this machine"),
        (audit, ["--data=fer2013", "--out=gs://lab/audit"], "--out=gs://lab/audit must be on this machine"),
        (command_line, [CONFIG, "--workdir=s3://lab/run", "--config.data.name=digits"], "as gs://BUCKET/FOLDER"),
        (command_line, ["--mode=evaluate", "--workdir=gs://"], "as gs://BUCKET/FOLDER"),
        (command_line, [CONFIG, "--workdir=gs://lab/run", "--profile"], "--profile writes its trace on this machine"),
    ],
)
def test_what_cannot_be_in_a_bucket_is_told(command, module, words, sentence):
    assert_refused(command(module, *words), sentence)


def test_a_missing_library_is_told(command, monkeypatch):
    def missing(protocol):
        raise ImportError(protocol)

    monkeypatch.setattr(fsspec, "filesystem", missing)
    result = command(command_line, "--mode=evaluate", "--workdir=gs://lab/run")
    assert_refused(result, "gs:// needs gcsfs, which is not installed: pip install -e '.[gcs]'")
