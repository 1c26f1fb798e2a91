"""Running a command in the process of the tests, and what must hold of one that is refused."""

import os
import sys
from pathlib import Path

from absl import flags
from absl.testing import flagsaver

from fer_jax import command

JAX_CACHE = str(Path(__file__).parent / ".jax_cache" / os.environ.get("PYTEST_XDIST_WORKER", ""))
"""Compiled programs, kept from one run of the tests to the next; each process of pytest-xdist writes its own."""


class Result:
    """How a command ended: its exit code, and what it printed."""

    def __init__(self, code: int, out: str, err: str):
        self.code, self.out, self.err = code, out, err


def call_command(module, *words: str, monkeypatch, capsys) -> Result:
    """Runs a command module (`FLAGS` and `main`) as `python -m` does with these words."""
    argv = ["fer_jax", *words]
    monkeypatch.setattr(sys, "argv", argv)
    capsys.readouterr()
    saved = flagsaver.save_flag_values(module.FLAGS)
    try:
        rest = command.parse(module.FLAGS, argv, command.takes_words(module.main))
        code = command.told(lambda: command.call(module.main, rest[1:]))
    except SystemExit as end:
        code = end.code
    finally:
        flagsaver.restore_flag_values(saved, module.FLAGS)
        module.FLAGS.unparse_flags()
        flags.FLAGS.unparse_flags()
    return Result(code, *capsys.readouterr())


def assert_refused(result: Result, *parts: str, code: int = 2) -> None:
    """One sentence on stderr with these parts in it, nothing of a traceback, and nothing written."""
    for part in parts:
        assert part in result.err
    assert result.err.startswith("fer_jax: ") and result.err.count("\n") == 1 and "Traceback" not in result.err
    assert len(result.err) < 700 and result.code == code
    assert not list(Path().iterdir())
