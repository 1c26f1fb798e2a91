"""The command line: what is wrong with it is one sentence and an exit code, and nothing is half-written."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import orbax.checkpoint as ocp
import pytest
from commands import JAX_CACHE, Result, assert_refused, call_command
from test_data import write_mnist

from fer_jax import main as command_line
from fer_jax import provenance
from fer_jax.writers import read_metrics

CONFIGS = Path(__file__).parents[1] / "configs"
MNIST_10K = f"--config={CONFIGS / 'mnist_10k.py'}"


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Runs a command in this process, in an empty folder, as `python -m fer_jax.main` does with these words."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.delenv("FER_JAX_DATA", raising=False)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", JAX_CACHE)

    def call(*words: str) -> Result:
        return call_command(command_line, *words, monkeypatch=monkeypatch, capsys=capsys)

    return call


@pytest.fixture
def tiny_file(tiny, tmp_path) -> str:
    """--config=FILE of a run of a few seconds on digits."""
    (tmp_path / "tiny.py").write_text(
        "from fer_jax.build import default_config\n\n\n"
        "def get_config():\n"
        "    config = default_config(model='tiny', data_name='digits')\n"
        "    config.epochs = 2\n"
        "    config.batch_size = 16\n"
        "    config.data.limit = 100\n"
        "    config.optim.learning_rate = 0.01\n"
        "    return config\n"
    )
    return f"--config={tmp_path / 'tiny.py'}"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--config.modle.dropout=1"], "--config.modle.dropout: config has no key 'modle'; did you mean 'model'?"),
        (["--config.model.dropuot=0.2"], "config.model has no key 'dropuot'; did you mean 'dropout'?"),
        (["--config.epohcs=3"], "--config.epohcs: config has no key 'epohcs'; did you mean 'epochs'?"),
        (["--config.epohcs", "3"], "config has no key 'epohcs'; did you mean 'epochs'?"),
        (["--config.zzz=3"], "config has no key 'zzz'; known: augment, batch_size, "),
        (["--config.epochs.count=3"], "config.epochs is a value and has no keys; set it with --config.epochs=VALUE"),
        (["--config.model=3"], "--config.model is a section; set its keys, one by one: "),
        (["--config.epochs=abc"], "--config.epochs=abc must be a whole number"),
        (["--config.epochs="], "--config.epochs= must be a whole number"),
        (["--config.batch_size=1.5"], "--config.batch_size=1.5 must be a whole number"),
        (["--config.model.dropout=high"], "--config.model.dropout=high must be a number"),
        (["--config.model.use_bias=3"], "--config.model.use_bias=3 must be true or false"),
        (["--config.epochs"], "--config.epochs lacks its value: --config.epochs=VALUE"),
        ([MNIST_10K], "--config is given twice"),
        (["--wrokdir=x"], "--wrokdir: no such flag; did you mean '--workdir'?"),
        (["--confg.epochs=3"], "--confg.epochs: no such flag; did you mean '--config.epochs'?"),
        (["--epochs=3"], "--epochs: no such flag; --help lists the flags, and a key of the config is written --c"),
        (["--mode=evalute"], "--mode=evalute: no such mode; did you mean 'evaluate'?"),
        (["--mode=predict_all"], "--mode=predict_all: no such mode; known: diagnose, evaluate, summary, train"),
        (["--profile=maybe"], "--profile=maybe must be true or false"),
        (["--workdir"], "--workdir lacks its value: --workdir=VALUE"),
        (["extra"], "'extra' is no flag; a flag is written --name=value"),
    ],
)
def test_a_wrong_word_is_told(command, words, sentence):
    assert_refused(command(MNIST_10K, *words), sentence)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "--config=FILE is missing, for example --config=configs/mnist_15k.py"),
        (["--mode=summary"], "--config=FILE is missing"),
        (["--config"], "--config lacks its value: --config=VALUE"),
        (["--config="], "--config= names no file"),
        (["--config.epochs=3"], "--config.epochs sets a key of a config file, and --config=FILE is missing"),
        (["--config.epochs=3", MNIST_10K], "--config.epochs stands before --config: name the config file first"),
        ([f"{CONFIGS}/mnist_10k.py"], "mnist_10k.py' is no flag; did you mean --config="),
        (["--config=configs/mnist_99k.py"], "fer_jax: --config=configs/mnist_99k.py: there is no such file\n"),
        ([f"--config={CONFIGS}"], f"--config={CONFIGS} is a folder, not a config file"),
        ([f"{MNIST_10K}:arg"], "mnist_10k.py: its get_config() takes no argument; leave out ':arg'"),
    ],
)
def test_a_config_that_is_not_there_is_told(command, words, sentence):
    assert_refused(command(*words), sentence)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", " defines no function get_config()"),
        ("get_config = 3\n", " defines no function get_config()"),
        ("def get_config(:\n", ", line 1: SyntaxError: invalid syntax"),
        ("x = 1\nimport no_such_module\n", ", line 2 (import no_such_module): ModuleNotFoundError: No module named"),
        ("def get_config():\n    return 1 / 0\n", ", line 2 (return 1 / 0): ZeroDivisionError: division by zero"),
        ("raise SystemExit\n", ", line 1 (raise SystemExit): SystemExit"),
        ("def get_config():\n    pass\n", ": get_config() must return an ml_collections.ConfigDict, not None; does it"),
        ("def get_config():\n    return {'epochs': 3}\n", "must return an ml_collections.ConfigDict, not {'epo"),
        ("def get_config(size):\n    return size\n", "its get_config() needs an argument; write --config="),
        ("CONFIG.epohcs = 3\n", ", line 5 (config.epohcs = 3): no key 'epohcs'; did you mean 'epochs'?"),
        ("CONFIG.zzz = 3\n", ", line 5 (config.zzz = 3): no key 'zzz': a config has the keys that default_config()"),
        ("CONFIG.epochs = config.epohcs\n", ", line 5 (config.epochs = config.epohcs): no key 'epohcs'; did you"),
        ("CONFIG.model.dropuot = 0.2\n", "line 5 (config.model.dropuot = 0.2): no key 'dropuot'; did you mean"),
        ("CONFIG.epochs = 'many'\n", ", line 5 (config.epochs = 'many'): "),
        ("CONFIG.modle.dropout = 0.2\n", "no key 'modle'; did you mean 'model'?"),
        ("\0", "null bytes"),
        ("x = '\udcff'\n", "SyntaxError"),
    ],
)
def test_a_config_file_that_does_not_run_is_told_with_its_line(command, tmp_path, text, sentence):
    head = (
        "from fer_jax.build import default_config\n\ndef get_config():\n    config = default_config('mnist_10k', 'x')"
    )
    if text.startswith("CONFIG"):
        text = head + text.replace("CONFIG", "\n    config") + "    return config\n"
    (tmp_path / "bad.py").write_text(text, errors="surrogateescape")
    assert_refused(command(f"--config={tmp_path / 'bad.py'}"), f"fer_jax: --config={tmp_path / 'bad.py'}", sentence)


def test_a_config_file_may_take_an_argument_and_have_any_name(command, tiny, tmp_path):
    (tmp_path / "sized").write_text(
        "from fer_jax.build import default_config\n\n\n"
        "def get_config(name):\n    return default_config(model=name, data_name='digits')\n"
    )
    result = command(f"--config={tmp_path / 'sized'}:tiny", "--mode=summary")
    assert result.code == 0 and "Total params: 5,890" in result.out


def test_an_unknown_network_in_a_config_file_is_told(command, tmp_path):
    (tmp_path / "bad.py").write_text(
        "from fer_jax.build import default_config\n\n\n"
        "def get_config():\n    return default_config(model='mnist_51k', data_name='mnist')\n"
    )
    result = command(f"--config={tmp_path / 'bad.py'}")
    assert_refused(result, "bad.py, line 5 (", "no network 'mnist_51k'; did you mean 'mnist_1")


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("epochs=0", "config.epochs must be at least 1, not 0"),
        ("epochs=-3", "config.epochs must be at least 1, not -3"),
        ("batch_size=0", "config.batch_size must be at least 1, not 0"),
        ("steps_per_call=-1", "config.steps_per_call must be at least 0, not -1"),
        ("max_params=-1", "config.max_params must be at least 0, not -1"),
        ("seed=-1", "config.seed must be at least 0, not -1"),
        (f"seed={2**40}", "config.seed must be at most 2147483647, not 1099511627776"),
        ("data.limit=-1", "config.data.limit must be at least 0, not -1"),
        ("model.dropout=1.0", "config.model.dropout must be at least 0 and below 1, not 1.0"),
        ("model.dropout=-0.1", "config.model.dropout must be at least 0 and below 1, not -0.1"),
        ("model.dropout=nan", "config.model.dropout must be at least 0 and below 1, not nan"),
        ("optim.learning_rate=0", "config.optim.learning_rate must be above 0, not 0.0"),
        ("optim.learning_rate=-0.1", "config.optim.learning_rate must be above 0, not -0.1"),
        ("optim.learning_rate=nan", "config.optim.learning_rate must be above 0, not nan"),
        ("optim.learning_rate=inf", "config.optim.learning_rate must be above 0, not inf"),
        ("optim.decay_rate=-1", "config.optim.decay_rate must be at least 0, not -1.0"),
        ("optim.momentum=-1", "config.optim.momentum must be at least 0 and below 1, not -1.0"),
        ("checkpoint.keep=0", "config.checkpoint.keep must be at least 1, not 0"),
        ("checkpoint.every_epochs=0", "config.checkpoint.every_epochs must be at least 1, not 0"),
        ("checkpoint.every_steps=-1", "config.checkpoint.every_steps must be at least 0, not -1"),
        ("model.name=mnist_51k", "config.model.name: no network 'mnist_51k'; did you mean 'mnist_1"),
        ("model.dtype=float23", "config.model.dtype: no such choice as 'float23'; did you mean 'float32'?"),
        ("data.name=mnits", "config.data.name: no such choice as 'mnits'; did you mean 'mnist'?"),
        ("data.fallback=digit", "config.data.fallback: no such choice as 'digit'; did you mean 'digits'?"),
        ("protocol=sede", "config.protocol: no such choice as 'sede'; did you mean 'seed'?"),
        ("optim.name=adm", "config.optim.name: no such choice as 'adm'; did you mean 'adam'?"),
        ("select_by=f1", "config.select_by: no such choice as 'f1'; known: accuracy, macro_f1"),
        ("tta=flop", "config.tta: no such choice as 'flop'; did you mean 'flip'?"),
        ("tta=plain", "config.tta: no such choice as 'plain'; known: flip, ten_crop"),
        ("optim.schedule=cosin", "config.optim.schedule: no such choice as 'cosin'; did you mean 'cosine'?"),
        ("max_params=100", "the network has 5,890 parameters, more than config.max_params = 100; make it smaller, or"),
    ],
)
def test_a_value_out_of_range_is_told_before_anything_is_written(command, tiny_file, override, sentence):
    assert_refused(command(tiny_file, f"--config.{override}"), sentence)


def test_a_budget_is_told_after_the_table_that_shows_where_the_parameters_are(command, tiny_file):
    result = command(tiny_file, "--config.max_params=100", "--mode=summary")
    assert "Total params: 5,890" in result.out
    assert_refused(result, "more than config.max_params = 100")


def test_a_batch_larger_than_the_data_is_one_step_an_epoch(command, tiny_file):
    assert command(tiny_file, "--config.batch_size=1000000", "--config.data.limit=20").code == 0
    (workdir,) = Path("runs").iterdir()
    assert [line["step"] for line in read_metrics(workdir)] == [1, 2]


def test_data_that_are_not_there_are_told(command, tiny_file, tmp_path):
    no_fallback = (tiny_file, "--config.data.name=mnist", "--config.data.fallback=")
    assert_refused(command(*no_fallback), "FER_JAX_DATA", "--data_dir", code=1)
    by_hand = (tiny_file, "--config.data.name=mnist", "--config.data.fallback=digits")
    assert_refused(command(*by_hand, f"--data_dir={tmp_path / 'none'}"), str(tmp_path / "none"), code=1)
    (tmp_path / "bare").mkdir()
    assert_refused(command(*by_hand, f"--data_dir={tmp_path / 'bare'}"), str(tmp_path / "bare" / "mnist"), code=1)
    write_mnist(tmp_path / "torn", packed=False)
    images = tmp_path / "torn" / "mnist" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])
    assert_refused(command(*by_hand, f"--data_dir={tmp_path / 'torn'}"), f"{images} is truncated", code=1)


def test_a_workdir_that_cannot_be_made_is_told(command, tiny_file, tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder, reason in ((tmp_path / "file", "File exists"), (tmp_path / "file" / "run", "Not a directory")):
        result = command(tiny_file, f"--workdir={folder}")
        assert_refused(result, f"--workdir {folder} cannot be made: {reason}", code=1)
    assert_refused(command(tiny_file, f"--workdir={'x' * 300}"), "File name too long", code=1)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder in which nobody can write")
def test_a_workdir_that_nobody_can_write_is_told(command, tiny_file):
    assert_refused(command(tiny_file, "--workdir=/proc/fer_jax"), "--workdir /proc/fer_jax cannot be made", code=1)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind root")
def test_a_workdir_without_permission_is_told(command, tiny_file, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    result = command(tiny_file, f"--workdir={tmp_path / 'locked' / 'run'}")
    assert_refused(result, "cannot be made: Permission denied", code=1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Where the first test that needs it leaves a finished run of `tiny_file`."""
    return tmp_path_factory.mktemp("finished") / "run"


@pytest.fixture
def workdir(finished, command, tiny_file, tmp_path):
    """A copy of a finished run's folder."""
    if not finished.exists():
        assert command(tiny_file, f"--workdir={finished}").code == 0
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("mode", ["train", "evaluate"])
@pytest.mark.parametrize("name", ["config.json", "run.json"])
def test_a_torn_record_of_a_run_is_told(command, tiny_file, workdir, mode, name):
    whole = (workdir / name).read_text()
    torn = whole[: len(whole) // 2]
    (workdir / name).write_text(torn)
    words = (tiny_file, f"--workdir={workdir}", f"--mode={mode}")
    assert_refused(command(*words), f"{workdir / name} cannot be read as JSON", "name another --workdir", code=1)
    assert (workdir / name).read_text() == torn
    for other in ("[]", "3", "{}"):
        (workdir / name).write_text(other)
        assert_refused(command(*words), f"{workdir / name} is damaged", "name another --workdir", code=1)


def test_the_default_workdir_has_the_name_of_the_config_and_its_overrides(command, tiny_file):
    result = command(tiny_file, "--config.seed=3", "--config.epochs", "1", "--noconfig.model.use_bias")
    assert result.code == 0
    assert [path.name for path in Path("runs").iterdir()] == ["tiny,epochs=1,model.use_bias=False,seed=3"]


def test_run_name():
    assert command_line.run_name("configs/mnist_15k.py", {}) == "mnist_15k"
    assert command_line.run_name("configs/mnist_15k.py", {"seed": 3}) == "mnist_15k,seed=3"
    assert command_line.run_name("a/b.c.py:big/1", {"z": 1, "a.b": 0.5}) == "b.c,a.b=0.5,z=1"
    assert command_line.run_name("x.py", {"data.name": "../../etc/passwd"}) == "x,data.name=.._.._etc_passwd"
    long = [command_line.run_name("x.py", {"data.name": "ü" * 300 + end}) for end in "ab"]
    assert long[0] != long[1] and all(len(os.fsencode(name)) <= 200 for name in long)
    assert long[0].startswith("x,data.name=üü")


def python(*words, start=("-m", "fer_jax.main"), **environment) -> subprocess.CompletedProcess:
    """A command as a user gives it, in a process of its own, in the folder that holds configs/."""
    return subprocess.run(
        [sys.executable, *start, *words],
        cwd=CONFIGS.parent,
        env={**os.environ, "JAX_COMPILATION_CACHE_DIR": JAX_CACHE, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_shows_the_flags():
    result = python("--help")
    assert result.returncode == 0 and not result.stderr
    for word in ("python -m fer_jax.main", "--config", "--workdir", "--mode", "--data_dir", "--split", "--checkpoint"):
        assert word in result.stdout


def test_a_misspelt_flag_is_told_before_jax_is_imported():
    result = python("--config=configs/mnist_15k.py", "--wrokdir=x", PYTHONPROFILEIMPORTTIME="1")
    assert "no such flag; did you mean '--workdir'?" in result.stderr and result.returncode == 2
    assert not [line for line in result.stderr.splitlines() if line.endswith(("| jax", "| flax", "| orbax"))]


def test_the_first_command_on_a_machine_without_data_or_network(tmp_path):
    environment = {"HOME": str(tmp_path), "XDG_CACHE_HOME": "", "FER_JAX_OFFLINE": "1", "FER_JAX_DATA": ""}
    words = ("--config=configs/mnist_15k.py", "--config.epochs=1", "--config.data.limit=200")
    result = python(*words, f"--workdir={tmp_path / 'run'}", **environment)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    frames = [index for index, line in enumerate(lines) if set(line) == {"*"}]
    height = frames[1] + 1
    assert frames == [0, height - 1, len(lines) - height, len(lines) - 1]
    assert lines[:height] == lines[-height:]
    assert "STAND-IN DATA: MNIST COULD NOT BE HAD" in lines[1]
    assert provenance.read_json(tmp_path / "run" / "run.json")["stand_in"]
    scores = python("--mode=evaluate", f"--workdir={tmp_path / 'run'}", **environment)
    assert scores.returncode == 0 and "STAND-IN" in scores.stdout
    (line,) = read_metrics(tmp_path / "run")
    assert f"test_loss: {line['test_loss']!r} - test_accuracy: {line['test_accuracy']!r}\n" in scores.stdout


def test_summary_as_a_command():
    result = python("--mode=summary", "--config=configs/mnist_15k.py")
    assert result.returncode == 0 and "Total params: 13,880" in result.stdout and not result.stderr


def test_ctrl_c_is_one_sentence_and_the_same_command_goes_on(tmp_path):
    words = ("--config=configs/mnist_10k.py", "--config.data.name=digits", "--config.data.limit=256")
    words = (*words, "--config.epochs=12", "--config.steps_per_call=1", f"--workdir={tmp_path / 'run'}")
    process = subprocess.Popen(
        [sys.executable, "-m", "fer_jax.main", *words],
        cwd=CONFIGS.parent,
        env={**os.environ, "JAX_COMPILATION_CACHE_DIR": JAX_CACHE},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    for line in process.stdout:
        if line.startswith("Epoch 1/"):
            process.send_signal(signal.SIGINT)
            break
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.startswith("fer_jax: interrupted; step ") and "the same command goes on from there" in err
    assert err.count("\n") == 1
    saved = provenance.read_json(tmp_path / "run" / "run.json")
    assert not saved["finished"]
    result = python(*words)
    assert result.returncode == 0 and "Going on from step " in result.stdout
    assert [line["epoch"] for line in read_metrics(tmp_path / "run")] == list(range(1, 13))


def full_disk(*arguments, **keywords):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_late(folder, until):
    """What TensorStore's threads do: they make the folders of a file that they still have to write."""
    number = 0
    while not until.wait(0.02):
        late = folder / f"late{number}"
        late.mkdir(parents=True, exist_ok=True)
        number += 1


def test_writes_that_come_after_a_failed_checkpoint_leave_nothing(command, tiny_file, tmp_path, monkeypatch):
    folder, ended = tmp_path / "run" / "checkpoints", threading.Event()
    late = threading.Thread(target=write_late, args=(folder / "7.orbax-checkpoint-tmp", ended))

    def save(*arguments, **options):
        late.start()
        threading.Timer(1, ended.set).start()
        full_disk()

    monkeypatch.setattr(ocp.CheckpointManager, "save", save)
    result = command(tiny_file, f"--workdir={tmp_path / 'run'}")
    late.join()
    assert_refused(result, f"the checkpoint of step 7 could not be written to {folder}: no space left on the", code=1)
    assert list(folder.iterdir()) == []


def test_a_full_disk_during_a_checkpoint_keeps_the_one_before(command, tiny_file, tmp_path, monkeypatch):
    words = (tiny_file, f"--workdir={tmp_path / 'run'}")
    real_save, saved = ocp.CheckpointManager.save, []

    def save(manager, step, **options):
        saved.append(step)
        if len(saved) == 2:
            (tmp_path / "run" / "checkpoints" / f"{step}.orbax-checkpoint-tmp-1").mkdir()
            full_disk()
        return real_save(manager, step, **options)

    monkeypatch.setattr(ocp.CheckpointManager, "save", save)
    result = command(*words)
    folder = tmp_path / "run" / "checkpoints"
    assert_refused(result, f"the checkpoint of step 14 could not be written to {folder}: no space left on the", code=1)
    assert "earlier checkpoints are kept: free some space and start the same command again" in result.err
    assert [path.name for path in folder.iterdir()] == ["7"]
    monkeypatch.setattr(ocp.CheckpointManager, "save", real_save)
    result = command(*words)
    assert result.code == 0 and "Going on from step 7" in result.out
    assert [line["epoch"] for line in read_metrics(tmp_path / "run")] == [1, 2]


LIMITED = """
import resource, signal, sys
from fer_jax import checkpoint, command, main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
save, saved = checkpoint.Checkpoints.save, []
def limited_save(self, step, *arguments, **options):
    saved.append(step)
    if len(saved) == 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
    return save(self, step, *arguments, **options)
checkpoint.Checkpoints.save = limited_save
sys.argv[0] = "fer_jax"
command.run(main.main, main.FLAGS)
"""


def test_files_that_cannot_grow_end_a_run_in_one_sentence(tmp_path):
    """The real thing: the system refuses what Orbax writes in the second checkpoint."""
    words = ("--config=configs/mnist_10k.py", "--config.data.name=digits", "--config.data.limit=128")
    words = (*words, "--config.epochs=3", f"--workdir={tmp_path / 'run'}")
    result = python(*words, start=("-c", LIMITED))
    assert result.returncode == 1
    assert result.stderr.startswith("fer_jax: the checkpoint of step 4 could not be written to ")
    assert result.stderr.count("\n") == 1
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["2"]
    result = python(*words)
    assert result.returncode == 0 and "Going on from step 2" in result.stdout


@pytest.mark.parametrize("name", ["run.json", "config.json"])
def test_a_full_disk_under_a_record_is_told_and_leaves_the_old_one(command, tiny_file, tmp_path, monkeypatch, name):
    workdir = tmp_path / "run"
    words = (tiny_file, f"--workdir={workdir}")
    assert command(*words).code == 0
    before = (workdir / name).read_bytes()
    real_write = Path.write_text

    def write_text(path, text, *arguments, **options):
        if path.name == f"{name}.partial":
            real_write(path, text[:10])
            full_disk()
        return real_write(path, text, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", write_text)
    result = command(*words, "--config.epochs=3")
    assert_refused(result, f"{workdir / name} cannot be written: No space left on device: free some space", code=1)
    assert (workdir / name).read_bytes() == before and not list(workdir.glob("*.partial"))
    monkeypatch.setattr(Path, "write_text", real_write)
    assert command(*words, "--config.epochs=3").code == 0


def test_a_full_disk_under_the_metrics_is_told(command, tiny_file, tmp_path, monkeypatch):
    words = (tiny_file, f"--workdir={tmp_path / 'run'}")
    real_write = Path.write_text

    def write_text(path, text, *arguments, **options):
        if path.name == "metrics.jsonl.partial" and text.count("\n") == 2:
            real_write(path, text[:10])
            full_disk()
        return real_write(path, text, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", write_text)
    result = command(*words)
    assert_refused(result, "metrics.jsonl cannot be written: No space left on device: free some space", code=1)
    assert [line["epoch"] for line in read_metrics(tmp_path / "run")] == [1]
    monkeypatch.setattr(Path, "write_text", real_write)
    result = command(*words)
    assert result.code == 0 and "Going on from step 7" in result.out
    assert [line["epoch"] for line in read_metrics(tmp_path / "run")] == [1, 2]
