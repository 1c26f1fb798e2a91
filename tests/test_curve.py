"""`experiments/2026-11-21_mnist_15k/curve.py` draws every run and the document's log."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "experiments" / "2026-11-21_mnist_15k" / "curve.py"


def test_every_run_and_the_document_are_drawn():
    pytest.importorskip("matplotlib", reason="plots are of the extra 'report'")
    spec = importlib.util.spec_from_file_location("curve", FILE)
    curve = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(curve)
    own = {"train_loss": [0.5] * 20, "test_accuracy": [0.98] * 19 + [0.99]}
    left, right = curve.draw({"fer_jax, seed 0": own}).axes
    assert [line.get_label() for line in right.lines] == ["fer_jax, seed 0", "seed document 001"]
    assert [list(line.get_ydata())[-1] for line in left.lines] == [0.5, 0.0175]
    assert [list(line.get_ydata())[-1] for line in right.lines] == pytest.approx([99.0, 99.19])
