"""Released networks: each is its run to the bit, is verified before it answers, and needs neither a run nor data."""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from commands import assert_refused, call_command
from PIL import Image
from predict_runs import KNOWN, copy_run, network_of
from scipy.special import softmax

from fer_jax import models, predict, provenance, release, releases
from fer_jax.errors import CheckpointError, ConfigError
from fer_jax.export import __main__ as export_command
from fer_jax.export import formats
from fer_jax.export.safetensors import pack
from fer_jax.open_released import open_released
from fer_jax.open_trained import open_trained
from fer_jax.predict import __main__ as predict_command
from fer_jax.predict.calibration import FILE as CALIBRATION

IMAGES = np.random.RandomState(0).randint(0, 256, (5, 28, 28, 1)).astype(np.uint8)
SHIPPED = releases.names()
README = Path(__file__).parent.parent / "README.md"


@pytest.fixture(scope="module")
def made(small_runs, tmp_path_factory):
    """A folder with two releases of small runs: one of a run alone, one of the second of two members."""
    folder = tmp_path_factory.mktemp("releases") / "released"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(releases, "FOLDER", folder)
        patch.setattr(models, "MODELS", KNOWN)
        for options in ({"name": "one", "workdir": "clean"}, {"name": "other", "workdir": "many", "member": 1}):
            workdir = str(small_runs / options.pop("workdir"))
            release.release(workdir, **options)
    return folder


@pytest.fixture
def folder(made, tiny, tmp_path, monkeypatch):
    """A copy of that folder, from which `releases` reads."""
    shutil.copytree(made, tmp_path / "released")
    monkeypatch.setattr(releases, "FOLDER", tmp_path / "released")
    return tmp_path / "released"


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder; what it changes in JAX is put back."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    yield partial(call_command, monkeypatch=monkeypatch, capsys=capsys)
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.parametrize(("name", "workdir", "member"), [("one", "clean", None), ("other", "many", 1)])
def test_a_release_is_its_run_to_the_bit(folder, small_runs, tmp_path, name, workdir, member):
    run = network_of(copy_run(small_runs / workdir, tmp_path / "run"), member=member)
    released = predict.load(model=name)
    np.testing.assert_array_equal(released.logits(IMAGES), run.logits(IMAGES))
    assert released.trained.step == run.trained.step and released.class_names == run.class_names
    assert released.calibration.temperature == pytest.approx(run.calibration.temperature, rel=1e-4)
    assert re.sub(r"[\d.]+", "", released.calibration.about) == re.sub(r"[\d.]+", "", run.calibration.about)
    assert (tmp_path / "run" / CALIBRATION).exists() and not list(folder.glob(CALIBRATION))


def test_a_release_tells_of_its_run_and_of_no_folder(folder, small_runs):
    found, run = releases.read("one"), open_trained(str(small_runs / "clean"))
    assert found.config == run.config
    for key in ("scores", "best", "last", "protocol", "selected_by", "test_reads", "git", "versions"):
        assert found.record[key] == run.record[key]
    assert found.record["data"]["fingerprint"] == run.record["data"]["fingerprint"]
    other = releases.read("other")
    assert (other.config["seed"], other.config["num_seeds"]) == (1, 1) and isinstance(other.record["best"], dict)
    text = found.card.read_text()
    official = run.record["scores"]["best"]["test"]["plain"]["official"]
    assert text.startswith("# Model card: one\n") and "--model=one" in text and "this is its selected state" in text
    assert f"{100 * official['accuracy']:.2f} [" in text and "calibrated: temperature" in text
    assert "It was trained from seed 1;" in other.card.read_text()
    for path in folder.iterdir():
        assert str(small_runs).encode() not in path.read_bytes()


def test_the_same_run_gives_the_same_bytes_and_the_digests_are_of_the_files(folder, small_runs):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    release.release(str(small_runs / "clean"), "one", overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--strict", releases.SUMS], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("IDX files in /home/me/data/mnist, the canonical MNIST, prepared in /home/me/.cache/x", "canonical MNIST"),
        ("the prepared copy /mnt/a b/mnist, the canonical MNIST", "canonical MNIST"),
        ("/home/me/runs/first", "first"),
        ("configs/mnist_15k.py", "configs/mnist_15k.py"),
    ],
)
def test_places_are_left_out(source, kept):
    found = release._without_places({"a": [source, "--workdir=/tmp/x", "--config=a.py"], "b": 0.5})
    assert found["b"] == 0.5 and len(found["a"]) == 2
    assert kept in found["a"][0] and "/" not in found["a"][0].replace("configs/", "")


def test_a_flipped_byte_is_refused(folder, command):
    file = folder / "one.safetensors"
    content = bytearray(file.read_bytes())
    content[-7] ^= 1
    file.write_bytes(content)
    Image.fromarray(IMAGES[0, ..., 0]).save("a.png")
    result = command(predict_command, "--model=one", "a.png")
    assert result.code == 1 and "Traceback" not in result.err
    assert "one.safetensors is not what was released: its SHA-256 is not that in SHA256SUMS" in result.err
    assert predict.load(model="other").trained.name == "other"
    file.unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        releases.read("one")
    (folder / releases.SUMS).write_text("one.safetensors\n")
    with pytest.raises(CheckpointError, match="SHA256SUMS is damaged"):
        releases.read("one")


def test_what_is_no_release_is_refused_though_its_digest_is_right(folder):
    (folder / "one.safetensors").write_bytes(b"text")
    (folder / releases.SUMS).write_text(f"{releases.digest(b'text')}  one.safetensors\n")
    with pytest.raises(CheckpointError, match="is no released network of this version"):
        releases.read("one")


def _put(folder, found):
    """Makes `one` that release, with the digest that belongs to it."""
    told = {key: getattr(found, key) for key in ("config", "record", "step", "calibrations")}
    content = pack(found.variables, {releases.FACTS: json.dumps(told)})
    (folder / "one.safetensors").write_bytes(content)
    (folder / releases.SUMS).write_text(f"{releases.digest(content)}  one.safetensors\n")


def test_a_network_without_statistics_is_read_whole(folder):
    found = releases.read("one")
    _put(folder, found._replace(variables={"params": found.variables["params"], "batch_stats": {}}))
    read = releases.read("one")
    assert read.variables["batch_stats"] == {} and read.variables["params"].keys() == found.variables["params"].keys()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ((), ("--workdir=RUN and --model=NAME are missing",)),
        (("--workdir=a", "--model=one"), ("are both given",)),
        (("--model=oen",), ("--model: no such choice as 'oen'", "did you mean 'one'?")),
        (("--model=xyz",), ("known: one, other",)),
        (("--model=one", "--checkpoint=last"), ("has one state", "--checkpoint")),
        (("--model=one", "--member=0"), ("has one state", "--member")),
    ],
)
def test_which_network_is_told_badly(folder, command, words, parts):
    Image.fromarray(IMAGES[0, ..., 0]).save(folder / "a.png")
    assert_refused(command(predict_command, *words, str(folder / "a.png")), *parts)


@pytest.mark.parametrize(
    ("words", "parts", "change"),
    [
        (("--name=new",), ("--workdir=RUN is missing",), {}),
        (("--workdir=RUN",), ("--name=: a release is called by small letters",), {}),
        (("--workdir=RUN", "--name=../new"), ("a release is called by small letters",), {}),
        (("--workdir=RUN", "--name=one"), ("one.safetensors is there already: add --overwrite",), {}),
        (("--workdir=RUN", "--name=new"), ("is not finished, and is not released",), {"finished": False}),
        (("--workdir=RUN", "--name=new"), ("was trained on stand-in data",), {"stand_in": True}),
        (("--workdir=none", "--name=new"), ("--workdir=none holds no run",), {}),
    ],
)
def test_what_is_not_released_leaves_nothing(folder, small_runs, tmp_path, command, words, parts, change):
    run = copy_run(small_runs / "clean", tmp_path / "run")
    provenance.write_json(run / "run.json", {**provenance.read_json(run / "run.json"), **change})
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert_refused(command(release, *(word.replace("RUN", str(run)) for word in words)), *parts)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_run_that_the_test_split_watched_gives_its_last_state_uncalibrated(folder, small_runs, tmp_path):
    run = copy_run(small_runs / "clean", tmp_path / "run")
    config, record = (provenance.read_json(run / name) for name in ("config.json", "run.json"))
    provenance.write_json(run / "config.json", {**config, "protocol": "seed"})
    record = {**record, "protocol": "seed", "selected_by": "test", "best": {**record["last"], "step": 7}}
    provenance.write_json(run / "run.json", record)
    release.release(str(run), "watched")
    found = predict.load(model="watched")
    assert found.trained.step == record["last"]["step"] and found.calibration.temperature is None
    assert "protocol 'seed' has no validation split" in found.calibration.about
    text = releases.read("watched").card.read_text()
    assert "this is its last state" in text and "uncalibrated" in text and "Test split by class, last state" in text


def test_a_view_without_a_temperature_is_told(folder):
    found = predict.load(model="one", tta="flip")
    assert found.calibration.temperature is None and "no temperature for the view 'flip'" in found.calibration.about
    with pytest.raises(ConfigError, match="no such choice as 'nowhere'"):
        open_released("nowhere")


@pytest.mark.parametrize("name", SHIPPED)
def test_what_the_package_brings_is_whole(name):
    found, sums = open_released(name), releases.read_sums()
    assert sums[f"{name}.md"] == releases.digest(found.card.read_bytes())
    size = (releases.FOLDER / f"{name}{releases.SUFFIX}").stat().st_size
    assert release.readme_row(name, releases.read(name), size) in README.read_text()
    assert found.record["finished"] and not found.record["stand_in"]
    told = json.dumps([found.config, found.record]) + found.card.read_text()
    assert not re.search(r"(?<![\w.])/(root|home|tmp|work|mnt|Users)/", told)


@pytest.mark.skipif(not SHIPPED, reason="nothing is released")
def test_predicting_with_a_release_needs_no_run_and_no_data(tmp_path):
    Image.fromarray(IMAGES[0, ..., 0]).save(tmp_path / "picture.png")
    environment = {key: value for key, value in os.environ.items() if key != "FER_JAX_DATA"}
    environment |= {"FER_JAX_OFFLINE": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    words = [f"--model={SHIPPED[-1]}", "picture.png", "--format=jsonl", "--detect=none"]
    done = subprocess.run(
        [sys.executable, "-m", "fer_jax.predict", *words], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    answer, released = json.loads(done.stdout), releases.read(SHIPPED[-1])
    assert list(answer["probabilities"]) == released.record["data"]["class_names"]
    assert (answer["run"], answer["step"], answer["error"]) == (SHIPPED[-1], released.step, "")


@pytest.mark.parametrize("name", ["one", "other"])
def test_a_release_is_exported_like_a_run(folder, command, name):
    pytest.importorskip("flatbuffers")
    result = command(export_command, f"--model={name}", "--format=stablehlo")
    assert result.code == 0 and not result.err, result.err
    (file,) = Path().iterdir()
    assert file.name == f"{name}.stablehlo.zip" and "training images" in result.out
    found, expected = formats.open_file("stablehlo", file), releases.read(name)
    np.testing.assert_allclose(
        found.predict(IMAGES), softmax(predict.load(model=name).logits(IMAGES), axis=-1), rtol=0, atol=1e-6
    )
    checkpoint = json.loads(found.metadata["checkpoint"])
    assert (checkpoint["run"], checkpoint["step"]) == (name, expected.step) and checkpoint["scores"]
    assert found.metadata["model_card"] == expected.card.read_text()
    assert f"{file} exists already" in command(export_command, f"--model={name}", "--format=stablehlo").err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model=one", "--format=stablehlo", "--ensemble"), "--model=one is one network: leave out --ensemble"),
        (("--model=one", "--format=onnx", "--int8"), "no run.json to count a look at the test split in"),
        (("--model=one", "--format=stablehlo", "--member=0"), "--model=one has one state: leave out"),
        (("--model=noe", "--format=stablehlo"), "no such choice as 'noe'"),
    ],
)
def test_what_a_release_cannot_be_exported_as_is_told(folder, command, words, message):
    assert_refused(command(export_command, *words), message)
    assert not list(Path().iterdir())


def test_a_release_is_exported_on_its_own_data_only(folder, command):
    found = releases.read("one")
    found.record["data"]["fingerprint"] = "0" * 64
    _put(folder, found)
    result = command(export_command, "--model=one", "--format=stablehlo")
    assert_refused(result, "--model=one was trained on other data (", "name the folder of its own with --data_dir")
