"""A run in a bucket, and data from one: by the libraries that a real one is reached with, on loopback."""

import io
import json
from importlib.util import find_spec

import numpy as np
import pytest
from fake_bucket import FakeBucket
from PIL import Image
from test_data import write_mnist

from fer_jax import data, evaluate_run, open_trained, predict, provenance, train
from fer_jax.buckets import file_system, named
from fer_jax.data import bucket_copy
from fer_jax.errors import CheckpointError, ConfigError, DataError, UserError
from fer_jax.writers import read_metrics

pytestmark = pytest.mark.skipif(not find_spec("gcsfs"), reason="needs the extra gcs")


@pytest.fixture(scope="module")
def server():
    """Buckets for this process. TensorStore reads where they are once, so they stay."""
    served = FakeBucket()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", served.url)
        patch.setenv("TENSORSTORE_GCS_HTTP_URL", served.url)
        patch.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "token")
        patch.setenv("GOOGLE_CLOUD_PROJECT", "lab")
        yield served
    type(file_system()).clear_instance_cache()


@pytest.fixture
def bucket(server):
    """A bucket 'lab' that holds nothing."""
    server.objects.clear()
    yield server
    server.refuse = lambda method, name: None


RUN = "gs://lab/runs/first"
CLOCK = ("seconds", "images_per_second")


def end_of(workdir):
    """The digest of the last arrays, and each epoch's numbers."""
    folder = named(str(workdir))
    steps = [int(path.name) for path in (folder / "checkpoints").iterdir() if path.name.isdecimal()]
    record = provenance.read_json(folder / "checkpoints" / str(max(steps)) / "record" / "metadata")
    lines = [{key: value for key, value in line.items() if key not in CLOCK} for line in read_metrics(folder)]
    return record["sha256"], lines


@pytest.fixture(scope="module")
def ends():
    """Where the first test that needs it keeps the end of the run left alone, on this machine."""
    return {}


@pytest.fixture
def expected(ends, tiny_config, tmp_path):
    """The end of the run of three epochs, saved every third step too, on this machine."""
    tiny_config.epochs, tiny_config.checkpoint.every_steps = 3, 3
    if not ends:
        train.train(tiny_config, workdir=str(tmp_path / "straight"))
        ends["end"] = end_of(tmp_path / "straight")
    return ends["end"]


def test_a_run_is_that_of_this_machine_and_leaves_the_same_files(expected, tiny_config, bucket, capsys):
    record = train.train(tiny_config, workdir=RUN)
    assert end_of(RUN) == expected
    assert json.loads(bucket.read("lab/runs/first/run.json")) == record and record["finished"]
    own = {name.removeprefix("lab/runs/first/").split("/")[0] for name in bucket.names()}
    assert own == {"config.json", "run.json", "metrics.jsonl", "model_card.md", "checkpoints", "tensorboard"}
    assert {name.split("/")[4] for name in bucket.names("lab/runs/first/checkpoints/")} == {"20", "21"}
    (events,) = bucket.names("lab/runs/first/tensorboard/")
    assert b"train_loss" in bucket.read(events)
    told = capsys.readouterr()
    assert "gs://lab/runs/first is in a bucket, which cannot be locked" in told.err
    assert "Everything is in gs://lab/runs/first" in told.out
    train.train(tiny_config, workdir=RUN)
    assert "gs://lab/runs/first is finished; nothing was trained." in capsys.readouterr().out


def test_a_killed_run_goes_on_to_the_same_end(expected, tiny_config, bucket, kill, capsys):
    kill((1, 6), lambda: train.train(tiny_config, workdir=RUN))
    saved = "lab/runs/first/checkpoints"
    # What a kill in the middle of the save of step 13 leaves.
    for name in bucket.names(f"{saved}/10/"):
        if not name.endswith("10/commit_success.txt"):
            bucket.put(name.replace(f"{saved}/10/", f"{saved}/13/"), bucket.read(name))
    train.train(tiny_config, workdir=RUN)
    assert "Going on from step 10 in gs://lab/runs/first" in capsys.readouterr().out
    assert end_of(RUN) == expected


def test_a_damaged_checkpoint_is_named_and_set_aside(expected, tiny_config, bucket, kill, capsys, orbax_leftovers):
    kill((1, 6), lambda: train.train(tiny_config, workdir=RUN))
    for name in bucket.names("lab/runs/first/checkpoints/10/arrays/"):
        bucket.put(name, bucket.read(name)[:10])
    train.train(tiny_config, workdir=RUN)
    told = capsys.readouterr()
    assert "gs://lab/runs/first/checkpoints/10 cannot be read; going on from the checkpoint before it" in told.err
    assert "Going on from step 7" in told.out
    assert "lab/runs/first/checkpoints-damaged/10/commit_success.txt" in bucket.names()
    assert end_of(RUN) == expected


def test_what_is_in_a_bucket_is_evaluated_opened_and_begun_with(expected, tiny_config, bucket):
    record = train.train(tiny_config, workdir=RUN)
    scores = evaluate_run.evaluate_run(RUN, split="test")
    assert scores.accuracy == record["last"]["test_accuracy"]
    assert provenance.read_json(named(RUN) / "run.json")["test_reads"] == record["test_reads"] + 1
    assert open_trained.open_trained(RUN, checkpoint="last").step == record["last"]["step"]
    (answer,) = predict.load(RUN, detect="none")(np.zeros((1, 28, 28, 1), np.uint8))
    assert answer.label in "0123456789"
    tiny_config.init_from = RUN
    assert train.train(tiny_config, workdir="gs://lab/runs/second")["init_from"]["source"] == RUN


def test_a_bucket_that_refuses_is_told_and_keeps_what_it_has(tiny_config, bucket):
    bucket.refuse = lambda method, name: 403 if method in ("POST", "PUT") and name.endswith("run.json") else None
    with pytest.raises(UserError, match="gs://lab/runs/first/run.json cannot be written: Forbidden"):
        train.train(tiny_config, workdir=RUN)
    bucket.refuse = lambda method, name: 403 if method in ("POST", "PUT") and "/checkpoints/14/" in name else None
    with pytest.raises(CheckpointError, match="the checkpoint of step 14 could not be written to gs://lab/runs/first"):
        train.train(tiny_config, workdir=RUN)
    bucket.refuse = lambda method, name: None
    assert train.train(tiny_config, workdir=RUN)["finished"]


def test_a_run_that_is_not_there_is_told_with_the_nearest(bucket):
    with pytest.raises(
        ConfigError, match="--workdir=gs://lab/runs/first holds no run .*: name the folder of a trained"
    ):
        evaluate_run.evaluate_run(RUN)
    bucket.put("lab/runs/fist/run.json", b"{}")
    with pytest.raises(ConfigError, match="--workdir=gs://lab/runs/first .*; did you mean 'gs://lab/runs/fist'?"):
        evaluate_run.evaluate_run(RUN)


def put_folder(bucket, folder, name):
    for path in folder.rglob("*"):
        if path.is_file():
            bucket.put(f"{name}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def test_data_in_a_bucket_are_those_of_a_folder(bucket, tmp_path, monkeypatch):
    splits = write_mnist(tmp_path / "data")
    put_folder(bucket, tmp_path / "data", "lab/data")
    by_hand = data.load(name="mnist", data_dir="gs://lab/data")
    np.testing.assert_array_equal(by_hand.splits["test"].images, splits["test"].images)
    assert by_hand.fingerprint == data.load(name="mnist", data_dir=str(tmp_path / "data")).fingerprint
    assert "IDX files in gs://lab/data/mnist" in by_hand.source
    monkeypatch.setenv("FER_JAX_DATA", "gs://lab/data/")
    assert data.load(name="mnist").fingerprint == by_hand.fingerprint


def test_pictures_and_lists_of_them_may_be_in_a_bucket(bucket):
    for place in range(8):
        png = io.BytesIO()
        Image.fromarray(np.full((48, 48), 20 * place, np.uint8)).save(png, "PNG")
        bucket.put(f"lab/faces/{'happy' if place % 2 else 'sad'}/{place}.png", png.getvalue())
    found = data.load(name="folder", path="gs://lab/faces")
    assert found.class_names == ("happy", "sad")
    listed = {"data": "folder", "fingerprint": found.fingerprint, "exclude": {"train": [0]}}
    bucket.put("lab/leave_out.json", json.dumps(listed).encode())
    rest = data.load(name="folder", path="gs://lab/faces", exclude="gs://lab/leave_out.json")
    assert len(rest.splits["train"]) == len(found.splits["train"]) - 1


def test_what_changes_in_a_bucket_changes_in_its_copy(bucket, monkeypatch):
    for name in ("a/x", "a/y", "b"):
        bucket.put(f"lab/data/{name}", name.encode())
    folder = bucket_copy.here("gs://lab/data")
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {"a/x", "a/y", "b"}
    bucket.put("lab/data/b", b"B")
    del bucket.objects["lab/data/a/y"]
    read = []
    bucket.refuse = lambda method, name: read.append(name)
    assert bucket_copy.here("gs://lab/data") == folder
    assert (folder / "b").read_bytes() == b"B" and (folder / "a" / "x").read_bytes() == b"a/x"
    assert not (folder / "a" / "y").exists()
    assert {name for name in read if not name.endswith("/data")} == {"lab/data/b"}


def test_data_that_a_bucket_does_not_have_are_told(bucket, tmp_path, monkeypatch):
    with pytest.raises(DataError, match="gs://lab/data/mnist has no files"):
        data.load(name="mnist", data_dir="gs://lab/data")
    monkeypatch.setenv("FER_JAX_DATA", "gs://lab/data")
    with pytest.raises(DataError, match="MNIST is not in gs://lab/data/mnist or "):
        data.load(name="mnist")
    bucket.put("lab/data/mnist/../../../x", b"x")
    with pytest.raises(DataError, match="holds an object that cannot be a file, ../../../x"):
        data.load(name="mnist", data_dir="gs://lab/data")
    del bucket.objects["lab/data/mnist/../../../x"]
    bucket.put("lab/data/mnist/x", b"x")
    bucket.refuse = lambda method, name: 403 if name.endswith("/x") else None
    with pytest.raises(DataError, match="gs://lab/data/mnist cannot be copied to .*: Forbidden"):
        data.load(name="mnist", data_dir="gs://lab/data")
