"""Where a run's numbers come from: the commit, and whether the code differs from it."""

import subprocess
from pathlib import Path

import pytest

from fer_jax.provenance import git_state


@pytest.fixture
def checkout(tmp_path):
    """The folder of a git checkout with a package, a config, an experiment and its rows."""
    files = ("package/module.py", "package/asset.css", "configs/one.py", "experiments/a/results.jsonl", "README.md")
    for name in (*files, "setup.cfg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("first\n")
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    for words in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    return tmp_path


def test_a_commit_as_it_is(checkout):
    head = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert git_state(checkout / "package/module.py") == {"commit": head.stdout.strip(), "dirty": False}


@pytest.mark.parametrize("name", ["package/module.py", "package/asset.css", "configs/one.py", "setup.cfg"])
def test_code_that_differs_is_told_of(checkout, name):
    (checkout / name).write_text("second\n")
    assert git_state(checkout / "package/module.py")["dirty"] is True


@pytest.mark.parametrize("name", ["experiments/a/results.jsonl", "README.md"])
def test_rows_that_a_sweep_writes_are_no_change_of_the_code(checkout, name):
    (checkout / name).write_text("second\n")
    assert git_state(checkout / "package/module.py")["dirty"] is False


def test_a_module_outside_of_a_checkout_has_no_commit(checkout, tmp_path_factory):
    untracked = checkout / "package/new.py"
    untracked.write_text("first\n")
    installed = tmp_path_factory.mktemp("site-packages") / "module.py"
    installed.write_text("first\n")
    nothing = {"commit": None, "dirty": None}
    assert git_state(untracked) == git_state(installed) == git_state(Path("/nowhere/module.py")) == nothing
