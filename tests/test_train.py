"""A run from start to end on the embedded digits: what it leaves, both protocols, going on where it stopped."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from commands import JAX_CACHE

from fer_jax import pacing, provenance, train
from fer_jax.build import build, resolve
from fer_jax.checkpoint import Checkpoints
from fer_jax.errors import ConfigError, DivergedError, Interrupted
from fer_jax.evaluate import evaluate, prepare
from fer_jax.resume import template
from fer_jax.writers import read_metrics


def run(config, workdir, **options):
    return train.train(config, workdir=str(workdir), **options)


def last_arrays(config, workdir):
    """The arrays of a run's newest checkpoint, as NumPy."""
    built = build(resolve(config))
    checkpoints = Checkpoints(workdir)
    restored = checkpoints.restore(checkpoints.steps()[-1], template(built))
    checkpoints.close()
    arrays = jax.tree.map(lambda x: jax.random.key_data(x) if x.dtype == built_key_dtype() else x, restored.arrays)
    return jax.tree.map(np.asarray, arrays)


def built_key_dtype():
    return jax.random.key(0).dtype


def numbers(workdir):
    """metrics.jsonl without what depends on the clock."""
    return [
        {k: v for k, v in line.items() if k not in ("seconds", "images_per_second")} for line in read_metrics(workdir)
    ]


def assert_same_end(config, workdir, other):
    """Two runs of a config have the same epochs and end with the same arrays, to the bit."""
    assert numbers(workdir) == numbers(other)
    jax.tree.map(np.testing.assert_array_equal, last_arrays(config, workdir), last_arrays(config, other))


def test_a_run_leaves_what_the_readme_lists(tiny_config, tmp_path):
    record = run(tiny_config, tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "checkpoints",
        "config.json",
        "metrics.jsonl",
        "model_card.md",
        "run.json",
        "tensorboard",
    ]
    assert record == json.loads((tmp_path / "run" / "run.json").read_text())
    assert json.loads((tmp_path / "run" / "config.json").read_text())["model"]["dropout"] == 0.1
    lines = read_metrics(tmp_path / "run")
    assert [line["epoch"] for line in lines] == [1, 2]
    assert [line["step"] for line in lines] == [7, 14]
    assert set(lines[0]) == {
        *("epoch", "step", "learning_rate", "train_loss", "train_accuracy", "seconds", "images_per_second"),
        *("test_loss", "test_accuracy"),
    }
    assert record["finished"] and not record["stand_in"]
    # Once each epoch, and at the end once for each state that is scored in full.
    assert record["test_reads"] == 2 + (1 if record["best"]["epoch"] == 2 else 2)
    assert record["last"]["test_accuracy"] == lines[1]["test_accuracy"]
    assert record["params"] == {"total": 5_890, "trainable": 5_882, "non_trainable": 8}
    events = list((tmp_path / "run" / "tensorboard").iterdir())
    assert events and events[0].stat().st_size > 0


def test_a_finished_run_is_reported_and_not_trained_again(tiny_config, tmp_path, capsys):
    first = run(tiny_config, tmp_path)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file())
    capsys.readouterr()
    assert run(tiny_config, tmp_path) == first
    assert "finished; nothing was trained" in capsys.readouterr().out
    assert before == sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file())


def test_more_epochs_go_on_and_end_like_a_run_of_that_length(tiny_config, tmp_path):
    run(tiny_config, tmp_path / "grown")
    tiny_config.epochs = 3
    run(tiny_config, tmp_path / "grown")
    run(tiny_config, tmp_path / "straight")
    assert_same_end(tiny_config, tmp_path / "grown", tmp_path / "straight")


@pytest.mark.parametrize("kill_at", [(0, 3), (1, 2), (2, 5)])
@pytest.mark.parametrize("every_steps", [0, 2])
def test_a_killed_run_ends_bit_identical(tiny_config, tmp_path, kill, kill_at, every_steps):
    """Killed in the first, second or third epoch, with and without saves inside the epoch."""
    tiny_config.epochs = 3
    tiny_config.steps_per_call = 1
    run(tiny_config, tmp_path / "straight")
    tiny_config.checkpoint.every_steps = every_steps
    kill(kill_at, lambda: run(tiny_config, tmp_path / "killed"))
    record = run(tiny_config, tmp_path / "killed")
    assert record["finished"]
    assert_same_end(tiny_config, tmp_path / "killed", tmp_path / "straight")
    straight = json.loads((tmp_path / "straight" / "run.json").read_text())
    assert record["best"] == straight["best"] and record["last"] == straight["last"]


@pytest.mark.parametrize("steps_per_call", [1, 3, 7, 100])
def test_where_an_epoch_is_cut_changes_no_bit(tiny_config, tmp_path, steps_per_call):
    run(tiny_config, tmp_path / "default")
    tiny_config.steps_per_call = steps_per_call
    run(tiny_config, tmp_path / "cut")
    assert_same_end(tiny_config, tmp_path / "cut", tmp_path / "default")


def test_ctrl_c_saves_and_the_same_command_goes_on(tiny_config, tmp_path, monkeypatch):
    tiny_config.steps_per_call = 2
    run(tiny_config, tmp_path / "straight")
    real_calls = pacing.calls

    def interrupted_calls(*arguments, epoch, **options):
        for state, progress, done in real_calls(*arguments, epoch=epoch, **options):
            if (epoch, done) == (1, 4):
                os.kill(os.getpid(), signal.SIGINT)
            yield state, progress, done

    monkeypatch.setattr(train, "calls", interrupted_calls)
    with pytest.raises(Interrupted, match="step 11 is saved") as stopped:
        run(tiny_config, tmp_path / "stopped")
    assert stopped.value.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    run(tiny_config, tmp_path / "stopped")
    assert_same_end(tiny_config, tmp_path / "stopped", tmp_path / "straight")


def test_the_clean_protocol_reads_the_test_split_for_two_states_only(tiny_config, tmp_path):
    tiny_config.protocol = "clean"
    tiny_config.epochs = 4
    record = run(tiny_config, tmp_path)
    lines = read_metrics(tmp_path)
    assert all("val_accuracy" in line and not any(key.startswith("test") for key in line) for line in lines)
    best = max(lines, key=lambda line: (line["val_accuracy"], -line["epoch"]))
    assert record["selected_by"] == "validation"
    assert record["best"]["epoch"] == best["epoch"]
    assert record["test_reads"] == (1 if best["epoch"] == 4 else 2)
    built = build(resolve(tiny_config))
    checkpoints = Checkpoints(tmp_path)
    for name in ("best", "last"):
        restored = checkpoints.restore(record[name]["step"], template(built))
        scores = evaluate(built.programs, restored.arrays["state"], prepare(built.splits.test, built.mesh))
        assert record[name]["test_accuracy"] == scores.accuracy
        assert record[name]["test_loss"] == scores.loss
    checkpoints.close()


def test_a_stand_in_goes_to_its_own_folder_and_says_so(tiny_config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FER_JAX_DATA", raising=False)
    tiny_config.data.name, tiny_config.data.fallback = "mnist", "digits"
    record = train.train(tiny_config, name="example")
    assert record["stand_in"] and record["data"]["stand_in_for"] == "mnist"
    assert [path.name for path in Path("runs").iterdir()] == ["example-digits"]
    assert capsys.readouterr().out.count("STAND-IN DATA: MNIST COULD NOT BE HAD") == 2


def test_a_finished_stand_in_does_not_pass_for_the_real_thing(tiny_config, tmp_path, monkeypatch):
    monkeypatch.delenv("FER_JAX_DATA", raising=False)
    tiny_config.data.name, tiny_config.data.fallback = "mnist", "digits"
    run(tiny_config, tmp_path / "run")
    real = build(resolve(tiny_config)).dataset
    images = {name: split.images.copy() for name, split in real.splits.items()}
    write_idx(tmp_path / "data" / "mnist", images, {name: split.labels for name, split in real.splits.items()})
    monkeypatch.setenv("FER_JAX_DATA", str(tmp_path / "data"))
    with pytest.raises(ConfigError, match="stand-in"):
        run(tiny_config, tmp_path / "run")


def write_idx(folder, images, labels):
    """Writes splits as plain IDX files, one pixel changed so that they are another set."""
    folder.mkdir(parents=True)
    for split, stem in (("train", "train"), ("test", "t10k")):
        pixels = images[split][..., 0]
        pixels[0, 0, 0] ^= 1
        header = b"\0\0\x08\x03" + np.array(pixels.shape, ">u4").tobytes()
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        header = b"\0\0\x08\x01" + np.array(labels[split].shape, ">u4").tobytes()
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(header + labels[split].astype(np.uint8).tobytes())


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", 1), ("batch_size", 8), ("epochs", 1), ("protocol", "clean"), ("model.dropout", 0.2), ("data.limit", 90)],
)
def test_a_changed_config_is_refused_by_name(tiny_config, tmp_path, key, value):
    run(tiny_config, tmp_path)
    tiny_config.update_from_flattened_dict({key: value})
    with pytest.raises(ConfigError, match=f"config.{key}"):
        run(tiny_config, tmp_path)


def test_checkpoint_settings_may_change(tiny_config, tmp_path):
    record = run(tiny_config, tmp_path)
    tiny_config.checkpoint.keep = 5
    assert run(tiny_config, tmp_path) == record


def test_nan_stops_names_the_step_and_keeps_the_good_checkpoint(tiny_config, tmp_path, poisoned):
    tiny_config.steps_per_call = 1
    with (
        poisoned(epoch=1),
        pytest.raises(DivergedError, match="the loss at step 8 is not a finite number.*checkpoint of step 7 is kept"),
    ):
        run(tiny_config, tmp_path)
    assert run(tiny_config, tmp_path)["finished"]


def test_a_rate_far_too_high_is_told_as_divergence(tiny_config, tmp_path):
    tiny_config.optim.name, tiny_config.optim.learning_rate = "sgd", 1e30
    with pytest.raises(DivergedError, match="lower config.optim.learning_rate"):
        run(tiny_config, tmp_path)
    assert not list((tmp_path / "checkpoints").glob("[0-9]*"))


@pytest.mark.usefixtures("orbax_leftovers")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize("damage", ["truncate", "delete"])
def test_a_torn_newest_checkpoint_falls_back_and_says_so(tiny_config, tmp_path, capsys, damage):
    tiny_config.epochs = 3
    run(tiny_config, tmp_path / "straight")
    tiny_config.epochs = 2
    run(tiny_config, tmp_path / "torn")
    newest = tmp_path / "torn" / "checkpoints" / "14"
    victims = [path for path in (newest / "arrays").rglob("*") if path.is_file() and path.stat().st_size > 200]
    assert victims
    for path in victims:
        if damage == "delete":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    tiny_config.epochs = 3
    capsys.readouterr()
    run(tiny_config, tmp_path / "torn")
    output, warned = capsys.readouterr()
    assert "warning" in warned and "checkpoints/14" in warned and "Going on from step 7" in output
    assert numbers(tmp_path / "torn") == numbers(tmp_path / "straight")
    assert (tmp_path / "torn" / "checkpoints-damaged" / "14").is_dir()


def test_a_run_killed_by_the_system_ends_like_one_that_was_not(tmp_path):
    """The real thing: SIGKILL to a training process, as a command."""
    command = [
        *(sys.executable, "-m", "fer_jax.main", "--config=configs/mnist_10k.py", "--config.data.name=digits"),
        *("--config.data.limit=128", "--config.epochs=4", "--config.checkpoint.every_steps=1"),
    ]
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": JAX_CACHE}
    start = {"cwd": Path(__file__).parents[1], "env": environment, "stdout": subprocess.PIPE, "text": True}
    straight = subprocess.run([*command, f"--workdir={tmp_path / 'straight'}"], check=True, **start)
    assert "Epoch 4/4" in straight.stdout
    process = subprocess.Popen([*command, f"--workdir={tmp_path / 'killed'}"], **start)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Epoch 2/4"):
            break
    process.kill()
    process.wait()
    process.stdout.close()
    subprocess.run([*command, f"--workdir={tmp_path / 'killed'}"], check=True, **start)
    assert numbers(tmp_path / "killed") == numbers(tmp_path / "straight")
    shutil.rmtree(tmp_path / "killed")


def test_the_profile_flag_writes_a_trace(tiny_config, tmp_path):
    tiny_config.epochs = 1
    run(tiny_config, tmp_path, profile=True)
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_the_record_tells_where_the_numbers_come_from(tiny_config, tmp_path):
    record = run(tiny_config, tmp_path)
    assert record["machine"] == provenance.layout() and record["machine"]["devices"] == 4
    assert {"jax", "flax", "optax", "orbax-checkpoint"} <= set(record["versions"])
    assert record["data"]["fingerprint"] == build(resolve(tiny_config)).dataset.fingerprint
    assert record["seconds_training"] > 0 and record["seconds_compiling"] > 0
