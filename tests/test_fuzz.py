"""Every reader of files against damaged and hostile input: some cases of each, always the same ones.

The long way is `experiments/faults/fuzz.py`; what it has found is tested beside each reader.
"""

import gc
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hostile import digits, oracle
from hostile.oracle import Reader
from hostile.readers import READERS
from hypothesis import strategies as st

from fer_jax.errors import DataError, UserError, warn

SLOW = {"run": 5, "checkpoint": 5, "words": 8, "keras_export": 8, "fer2013_tree": 12, "calibration": 12}
"""Cases of those that take longer than the others."""
CASES = 25
NEEDS = {"onnx": "onnxruntime", "page": "onnxruntime"}

pytestmark = pytest.mark.filterwarnings("default")  # Keras and h5py warn of their own code.


@pytest.fixture
def folder(own_cache):
    with oracle.sandbox() as folder:
        yield folder


@pytest.mark.parametrize("name", READERS)
def test_hostile_input_is_read_or_refused(name, folder):
    if name in NEEDS and not importlib.util.find_spec(NEEDS[name]):
        pytest.skip("needs the extra 'export'")
    verdicts = []

    @hypothesis.settings(
        max_examples=SLOW.get(name, CASES),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(st.data())
    def one(data):
        verdicts.append(oracle.judge(READERS[name], data.draw, folder))

    one()
    assert len(verdicts) >= SLOW.get(name, CASES)


def judged(reader, folder):
    return oracle.judge(reader, lambda strategy: None, folder)


def write(content: bytes = b"x"):
    return lambda draw, folder: (folder / "file").write_bytes(content)


def refuse(folder):
    raise DataError(f"{folder} is damaged: get it again")


def test_the_oracle_lets_pass_what_is_right(folder):
    refused = judged(Reader(write(), refuse, lambda found, known: None), folder)
    read = judged(Reader(write(), lambda folder: (folder / "file").read_bytes(), lambda found, known: None), folder)
    assert refused.refused and not read.refused and read.size == 1


def hold_memory(folder):
    np.ones(oracle.MEMORY << 19)  # Eight bytes each.


def unpickle(folder):
    import pickle

    pickle.loads(pickle.dumps(Path))


def warned(folder):
    warn("something")
    sys.exit(1)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda folder: [][0], "the user would see a traceback: IndexError"),
        (lambda folder: time.sleep(60), "the user would see a traceback: Hang"),
        (hold_memory, "it took"),
        (unpickle, "pickle.find_class"),
        (lambda folder: subprocess.run(["true"]), "subprocess.Popen"),
        (lambda folder: Path("/tmp/hostile-outside").write_text(""), "open '/tmp/hostile-outside'"),
        (lambda folder: (folder / "new").write_text(""), "it changed its input"),
        (lambda folder: (folder.parent / "tmp" / "left").write_text(""), "it left temporary files"),
        (lambda folder: os.write(2, b"words of a library\n"), "stderr has 'words of a library'"),
        (warned, "no sentence says why"),
    ],
)
def test_the_oracle_finds(folder, monkeypatch, read, message):
    if "Hang" in message:
        monkeypatch.setattr(oracle, "SECONDS", 0.5)
    if "it took" in message and not Path("/proc/self/clear_refs").exists():
        pytest.skip("this system does not tell how much memory a process has had")
    # What earlier tests left would be freed meanwhile, and hide what is taken.
    gc.collect()
    try:
        with pytest.raises(AssertionError, match=message):
            judged(Reader(write(), read, lambda found, known: None), folder)
    finally:
        for left in (Path("/tmp/hostile-outside"), folder / "tmp" / "left"):
            left.unlink(missing_ok=True)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_the_oracle_finds_memory_that_lay_free_in_the_heap(folder):
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("this system does not tell how much memory a process has had")
    # Freed once, so much is taken from the heap from then on; the last arrays keep the heap from shrinking.
    np.ones(31 << 17)
    large = [np.ones(8 << 17) for _ in range(60)]
    small = [np.ones(1000) for _ in range(200)]
    del large
    with pytest.raises(AssertionError, match="it took"):
        judged(Reader(write(), hold_memory, lambda found, known: None), folder)
    del small


def test_the_oracle_finds_wrong_data(folder):
    reader = Reader(write(), lambda folder: 1, lambda found, known: np.testing.assert_equal(found, 2))
    with pytest.raises(AssertionError, match="Items are not equal"):
        judged(reader, folder)


def test_a_sentence_that_is_long_or_controls_a_terminal_is_told_in_one_line(folder):
    def read(folder):
        raise UserError(f"a\nb \x1b[31m {'x' * 5000} \ud800: get it again")

    assert judged(Reader(write(), read, lambda found, known: None), folder).refused


def test_bombs_are_bombs():
    """What must be refused would otherwise take more than is allowed."""
    packed = digits.packed_bomb(3, True)
    assert digits.BOMB > max(oracle.MEMORY << 20, oracle.TIMES * len(packed))


def test_the_command_counts_what_it_finds(tmp_path):
    root = Path(__file__).parents[1]
    command = [sys.executable, str(root / "experiments" / "faults" / "fuzz.py"), "--reader=exclude", "--cases=7"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
    subprocess.run([*command, f"--out={tmp_path / 'out.json'}"], env=environment, check=True)
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["cases"] == found["refused"] + found["accepted"] == 7 and found["findings"] == []
