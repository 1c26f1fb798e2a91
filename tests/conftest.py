"""Strict settings for every test, and the fixtures that several files share.

They are set before JAX makes its first array: four CPU devices, so that sharding is always in play; implicit rank
promotion is an error; compiled programs are kept between runs.
"""

import contextlib
import gc
import os
import shutil
import signal
from functools import partial
from pathlib import Path

import jax
import ml_collections
import numpy as np
import pytest
from commands import JAX_CACHE, call_command

from fer_jax import models, sharding, train
from fer_jax.build import default_config
from fer_jax.models import mnist

jax.config.update("jax_num_cpu_devices", 4)
# However small a batch is, it is divided over all of them.
sharding.CPU_SHARE = 1
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", JAX_CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)

# A shell that starts the tests in the background has Ctrl-C ignored, and some tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's cache, or reaches for the network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("FER_JAX_OFFLINE", "1")


@pytest.fixture
def orbax_leftovers():
    """For tests that damage checkpoints: Orbax leaves coroutines behind when a read fails.

    They are collected while that test's own filters for warnings hold.
    """
    yield
    gc.collect()


@pytest.fixture
def poisoned(monkeypatch):
    """`with poisoned(epoch=1):` trains that epoch, from 0, with weights that are not numbers."""
    real = train.calls

    @contextlib.contextmanager
    def poison(epoch):
        bad_epoch = epoch

        def calls(run, examples, state, progress, *, epoch, **options):
            if epoch == bad_epoch:
                state = state.replace(params=jax.tree.map(lambda x: x * np.float32(np.nan), state.params))
            return real(run, examples, state, progress, epoch=epoch, **options)

        with monkeypatch.context() as patch:
            patch.setattr(train, "calls", calls)
            yield

    return poison


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real data sets; the test is skipped where there is none."""
    folder = os.environ.get("FER_JAX_DATA", "")
    if not (Path(folder) / "mnist").is_dir():
        pytest.skip("needs real MNIST: set FER_JAX_DATA to a folder that holds mnist/")
    return Path(folder)


@pytest.fixture(scope="session")
def real_fer2013() -> Path:
    """The folder with the real data sets, FER2013 among them; the test is skipped where it is not."""
    folder = os.environ.get("FER_JAX_DATA", "")
    if not (Path(folder) / "fer2013").is_dir():
        pytest.skip("needs real FER2013: set FER_JAX_DATA to a folder that holds fer2013/")
    return Path(folder)


@pytest.fixture(scope="session")
def real_facial_expressions() -> Path:
    """The folder with the real data sets, facial_expressions among them; the test is skipped where it is not."""
    folder = os.environ.get("FER_JAX_DATA", "")
    if not (Path(folder) / "facial_expressions").is_dir():
        pytest.skip("needs real facial_expressions: set FER_JAX_DATA to a folder that holds facial_expressions/")
    return Path(folder)


TINY_TABLE = (mnist.block(4, kernel=5, pool=True), mnist.logits(kernel=12))
"""A network that compiles in a second: convolution, BatchNorm, Dropout, pooling, logits."""


@pytest.fixture
def tiny(monkeypatch) -> str:
    """The name of a small network for images of 28x28, known to `models.create` while the test runs."""
    monkeypatch.setitem(models.MODELS, "tiny", partial(mnist.MnistNet, table=TINY_TABLE))
    return "tiny"


@pytest.fixture
def tiny_config(tiny) -> ml_collections.ConfigDict:
    """A run of a few seconds: the small network, 2 epochs of 100 digits in steps of 16 (the last one of 4)."""
    config = default_config(model=tiny, data_name="digits")
    config.epochs = 2
    config.batch_size = 16
    config.data.limit = 100
    config.optim.learning_rate = 0.01
    return config


@pytest.fixture(scope="session")
def small_runs(tmp_path_factory) -> Path:
    """The folder of the small trained runs that predict; see `predict_runs`. A test that changes one copies it."""
    import predict_runs

    return predict_runs.train_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; the test is skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright, of the extra 'test'")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium, to open the page in")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the program may catch it."""


@pytest.fixture
def kill(monkeypatch):
    """Trains until a place and is killed there: (the epoch from 0 and its step, what trains)."""

    def killed(place, action):
        def dying_calls(*arguments, epoch, **options):
            for state, progress, done in real_calls(*arguments, epoch=epoch, **options):
                if (epoch, done) == place:
                    raise Killed
                yield state, progress, done

        real_calls = train.calls
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(train, "calls", dying_calls)
            action()

    return killed


@pytest.fixture
def run_module(monkeypatch, capsys, tmp_path, tiny):
    """`run_module(MODULE, WORD...)` runs a command in this process, in an empty folder."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", JAX_CACHE)
    return partial(call_command, monkeypatch=monkeypatch, capsys=capsys)
