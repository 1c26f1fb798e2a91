"""One run on one device, on eight, and on two processes of four: the same numbers, files and checkpoints."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import JAX_CACHE

from fer_jax import errors, processes
from fer_jax.errors import ConfigError, UserError
from fer_jax.writers import read_metrics

ROOT = Path(__file__).parents[1]
LAYOUTS = {"one device": (1, 1), "eight devices": (1, 8), "two processes": (2, 4)}
"""Processes, and devices of each."""

CONFIG = """
from functools import partial

from fer_jax import models
from fer_jax.build import default_config
from fer_jax.models import mnist

TABLE = (mnist.block(4, kernel=5, pool=True), mnist.logits(kernel=12))
models.MODELS["tiny"] = partial(mnist.MnistNet, table=TABLE)

def get_config():
    config = default_config(model="tiny", data_name="digits")
    config.data.limit = 500
    config.batch_size = 256
    config.epochs = 25
    config.optim.name = "adam"
    config.optim.learning_rate = 0.003
    config.checkpoint.every_epochs = 100
    config.steps_per_call = 1
    return config
"""
"""Two steps an epoch, the second of which does not divide over the devices; nor does the test split."""

FLOAT64 = ("--config.model.dtype=float64", "JAX_ENABLE_X64=1")


def start(layout, config, workdir, *words, port=None, **options):
    """The processes of a run; words with a capital first are of the environment."""
    count, devices = LAYOUTS[layout]
    own = dict(word.split("=", 1) for word in words if word[0].isupper())
    environment = {
        **os.environ,
        **own,
        "PYTHONPATH": str(ROOT),
        "JAX_NUM_CPU_DEVICES": str(devices),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": JAX_CACHE,
    }
    command = [sys.executable, "-m", "fer_jax.main", f"--config={config}", f"--workdir={workdir}"]
    command += [word for word in words if not word[0].isupper()]
    port = port or free_port()
    own_words = [
        [f"--coordinator=localhost:{port}", f"--num_processes={count}", f"--process_id={index}"] if count > 1 else []
        for index in range(count)
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return [subprocess.Popen([*command, *more], env=environment, **pipes, **options) for more in own_words]


def free_port():
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def end(started, codes=(0,), timeout=240):
    """What the processes printed, when all have ended; each with one of the exit codes."""
    try:
        told = [process.communicate(timeout=timeout) for process in started]
    finally:
        for process in started:
            process.kill()
    for process, (out, err) in zip(started, told, strict=True):
        assert process.returncode in codes, f"{process.returncode}\n{out}\n{err}"
    return told


def run(layout, config, workdir, *words):
    return end(start(layout, config, workdir, *words))


def numbers(workdir, *names):
    return np.array([[line[name] for name in names] for line in read_metrics(Path(workdir))])


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "layouts.py"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def float64_runs(config, tmp_path_factory):
    """Fifty steps in float64 on each layout: the folders, and what the two processes printed."""
    folder = tmp_path_factory.mktemp("float64")
    told = {name: run(name, config, folder / name, *FLOAT64) for name in LAYOUTS}
    return folder, told["two processes"]


def weights(workdir, config):
    """The logits that the last checkpoint was saved with: of fixed pictures, by all weights and statistics."""
    steps = sorted(int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdecimal())
    files = [path for path in (workdir / "checkpoints" / str(steps[-1])).glob("record/*") if path.is_file()]
    (record,) = (json.loads(path.read_text()) for path in files if '"logits"' in path.read_text())
    return np.array(record["logits"])


def test_fifty_steps_are_the_same_on_every_layout(float64_runs, config):
    folder, _ = float64_runs
    names = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
    expected, logits = numbers(folder / "one device", *names), weights(folder / "one device", config)
    assert len(expected) == 25
    for name in ("eight devices", "two processes"):
        np.testing.assert_allclose(numbers(folder / name, *names), expected, rtol=0, atol=1e-9)
        np.testing.assert_allclose(weights(folder / name, config), logits, rtol=0, atol=1e-8)


def test_only_the_first_process_talks_and_writes(float64_runs):
    folder, ((out, err), (other_out, other_err)) = float64_runs
    assert "Epoch 25/25" in out
    # The library that sums over processes on CPUs speaks of itself, from several threads into one line.
    gloo = r"\[Gloo\]|\b(Rank|is|connected|to|peer|ranks|Expected|number|of)\b|[\d.:\s]"
    assert not re.sub(gloo, "", other_out)
    waiting = r"fer_jax: process {}: waiting for all 2 processes to come to localhost:\d+, for 300 seconds at most\n"
    assert re.fullmatch(waiting.format(0), err) and re.fullmatch(waiting.format(1), other_err)
    files = {path.name for path in (folder / "two processes").iterdir()}
    assert files == {path.name for path in (folder / "one device").iterdir()}
    machine = json.loads((folder / "two processes" / "run.json").read_text())["machine"]
    assert (machine["devices"], machine["processes"]) == (8, 2)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_checkpoint_of_one_layout_goes_on_on_the_others(float64_runs, config, tmp_path, name):
    """All have ended; each is given two epochs more on another layout, and all end alike."""
    folder, _ = float64_runs
    others = list(LAYOUTS)
    other = others[(others.index(name) + 1) % len(others)]
    workdir = shutil.copytree(folder / name, tmp_path / "run")
    run(other, config, workdir, *FLOAT64, "--config.epochs=27")
    expected = shutil.copytree(folder / name, tmp_path / "same")
    run(name, config, expected, *FLOAT64, "--config.epochs=27")
    found, wanted = (numbers(path, "train_loss", "test_loss") for path in (workdir, expected))
    assert len(found) == 27
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)


def test_in_float32_the_first_losses_agree(config, tmp_path):
    words = ("--config.epochs=3", "--config.batch_size=512")
    losses = []
    for name in LAYOUTS:
        run(name, config, tmp_path / name, *words)
        losses.append(numbers(tmp_path / name, "train_loss")[:3])
    np.testing.assert_allclose(losses[1:], [losses[0]] * 2, rtol=0, atol=1e-5)


def test_members_on_two_processes_are_those_of_one(config, tmp_path):
    words = (*FLOAT64, "--config.num_seeds=8", "--config.epochs=2", "--config.data.limit=100")
    for name in ("eight devices", "two processes"):
        run(name, config, tmp_path / name, *words)
    found, expected = (
        np.array([line["test_loss"] for line in read_metrics(tmp_path / name)])
        for name in ("two processes", "eight devices")
    )
    assert found.shape == (2, 8) and len(np.unique(found)) == 16
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    record = json.loads((tmp_path / "two processes" / "run.json").read_text())
    assert record["finished"] and len(record["scores"]["best"]) == 8


def test_a_signal_to_one_process_stops_all_at_one_step(config, tmp_path):
    started = start("two processes", config, tmp_path / "run", "--config.epochs=1000")
    wait_for_epoch(tmp_path / "run", started)
    started[1].send_signal(signal.SIGTERM)
    told = end(started, codes=(128 + signal.SIGTERM,))
    assert all("is saved in" in err for _, err in told)
    epochs = len(read_metrics(tmp_path / "run"))
    assert 0 < epochs < 1000


def test_when_a_process_dies_the_others_end_too(config, tmp_path):
    started = start("two processes", config, tmp_path / "run", "--config.epochs=1000")
    wait_for_epoch(tmp_path / "run", started)
    started[1].kill()
    began = time.monotonic()
    _, err = started[0].communicate(timeout=120)
    assert started[0].returncode != 0 and time.monotonic() - began < 60
    started[1].communicate()
    # In JAX's own words.
    assert re.search(r"tasks are unhealthy[^:]*:\s+1\b", err), err


def wait_for_epoch(workdir, started):
    deadline = time.monotonic() + 120
    while not read_metrics(workdir):
        assert all(process.poll() is None for process in started) and time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"SLURM_STEP_NUM_TASKS": "4"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "1"}, False),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_WORKER_HOSTNAMES": "10.0.0.2,10.0.0.3"}, True),
    ],
)
def test_the_cluster_says_whether_there_are_several(environment, expected):
    assert processes.named_by_environment(environment) is expected


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("localhost:1", None, None), "belong together"),
        (("", 2, None), "belong together"),
        (("", None, 0), "belong together"),
        (("localhost", 2, 0), "--coordinator=localhost must be HOST:PORT"),
        (("localhost:0", 2, 0), "--coordinator=localhost:0: a port is a number from 1 to 65535"),
        (("localhost:65536", 2, 1), "--coordinator=localhost:65536: a port is a number from 1 to 65535"),
        (("localhost:1x", 2, 1), "--coordinator=localhost:1x must be HOST:PORT"),
        (("http://localhost:1", 2, 1), "--coordinator=http://localhost:1 must be HOST:PORT"),
        (("::1:1", 2, 1), "--coordinator=::1:1 must be HOST:PORT"),
        (("[1]:1", 2, 1), "must be HOST:PORT of the first process: "),
        (("300.0.0.1:1", 2, 1), "must be HOST:PORT of the first process: "),
        (("a..b:1", 2, 1), "must be HOST:PORT of the first process: "),
        (("localhost:1", 2, 2), "--process_id=2 with --num_processes=2: they are counted from 0"),
        (("localhost:1", 2, -1), "--process_id=-1 with --num_processes=2"),
        (("localhost:1", 0, 0), "--process_id=0 with --num_processes=0"),
    ],
)
def test_processes_that_cannot_be_joined_are_told(monkeypatch, words, sentence):
    monkeypatch.setattr(processes, "named_by_environment", lambda: False)
    with pytest.raises(ConfigError, match=sentence):
        processes.join(*words)


def test_one_process_is_alone_whatever_the_environment_says(monkeypatch):
    monkeypatch.setattr(processes, "named_by_environment", lambda: True)
    processes.join(num_processes=1)
    assert processes.is_first() and processes.count() == 1
    assert processes.largest(3) == processes.of_first(3) == 3
    processes.wait("nothing")


@pytest.fixture
def impatient(monkeypatch):
    """This process forgets afterwards that it was to be one of several; none waits for long."""
    monkeypatch.setattr(processes, "_processes", {"count": 1, "index": 0})
    monkeypatch.setattr(errors, "_speaker", ["fer_jax"])
    monkeypatch.setattr(processes, "_JOIN_S", 1)
    monkeypatch.setattr(processes, "_OWN_S", 1)
    monkeypatch.delenv("JAX_COORDINATOR_BIND_ADDRESS", raising=False)


@pytest.mark.parametrize("host", ["localhost", "nobody.invalid"])
def test_a_process_that_finds_no_first_one_is_told(impatient, capsys, host):
    address = f"{host}:{free_port()}"
    with pytest.raises(UserError, match=f"process 0 was not to be reached at {address} within 1 seconds") as told:
        processes.join(address, 2, 1)
    assert told.value.exit_code == 1
    waiting = f"fer_jax: process 1: waiting for all 2 processes to come to {address}, for 1 seconds at most\n"
    assert capsys.readouterr().err == waiting


@pytest.mark.parametrize("host", ["", "127.0.0.1"])
def test_a_first_process_whose_port_is_taken_is_told(impatient, host):
    with socket.create_server((host, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen at port {port} of this machine .it is taken by another"):
            processes.join(f"localhost:{port}", 2, 0)


def test_a_first_process_on_another_machine_than_its_address_is_told(impatient):
    # An address that is kept for examples: nobody has it.
    with pytest.raises(ConfigError, match="--coordinator=192.0.2.1:1234. does not lead to this machine"):
        processes.join("192.0.2.1:12345", 2, 0)


def test_a_first_process_reaches_itself_behind_others_that_knock(monkeypatch):
    with socket.create_server(("localhost", 0)) as listener:
        host, port = listener.getsockname()
        with socket.create_connection((host, port)), socket.create_connection((host, port)) as other:
            other.sendall(b"PRI * HTTP/2.0")
            monkeypatch.setattr(processes, "_OWN_S", 0.5)
            assert processes._reaches_itself(listener, host, port)


ALONE = """
import signal, sys
from fer_jax import command, processes
signal.signal(signal.SIGINT, signal.default_int_handler)
processes._JOIN_S = int(sys.argv[1])
sys.exit(command._end(command.told(lambda: processes.join(sys.argv[2], 2, 0))))
"""


def alone(seconds, address):
    """A first process to which nobody comes."""
    command = [sys.executable, "-c", ALONE, str(seconds), address]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def test_a_first_process_to_which_nobody_comes_ends_with_a_sentence():
    address = f"localhost:{free_port()}"
    ((out, err),) = end([alone(2, address)], codes=(1,), timeout=60)
    assert not out and len(err.splitlines()) == 2
    assert f"not all 2 processes of this run came to {address} within 2 seconds" in err


def test_a_first_process_that_waits_ends_by_ctrl_c():
    process = alone(120, f"localhost:{free_port()}")
    assert "waiting for all 2" in process.stderr.readline()
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    ((_, err),) = end([process], codes=(130,), timeout=30)
    assert "interrupted" in err and "Traceback" not in err
