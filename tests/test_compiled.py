"""Compiled programs that are kept: damage among them costs one compilation and one sentence, and nothing else."""

import warnings

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from fer_jax import compiled


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A folder in which JAX keeps every program, and warnings as a command shows them."""
    before = jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "kept"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    compilation_cache.reset_cache()
    monkeypatch.setattr(compiled, "_told", set())
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        compiled.mend_kept_programs()
        yield tmp_path / "kept"
    jax.config.update("jax_compilation_cache_dir", before[0])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", before[1])
    compilation_cache.reset_cache()


def run_twice_three():
    """Compiles, or takes what is kept."""

    def twice(number):
        return 2 * number

    assert jax.jit(twice)(np.float32(3)) == 6


def program(folder):
    (found,) = folder.glob("jit_twice-*-cache")
    return found


@pytest.mark.parametrize(
    "damage", [lambda whole: whole[: len(whole) // 2], lambda whole: b"", lambda whole: whole[::-1]]
)
def test_a_damaged_program_is_told_once_and_kept_again(kept, damage, capsys):
    run_twice_three()
    path = program(kept)
    path.write_bytes(damage(path.read_bytes()))
    run_twice_three()
    sentence = f"fer_jax: warning: compiled programs in {kept} are damaged: they are compiled and kept again\n"
    assert capsys.readouterr().err == sentence
    written = program(kept).stat().st_mtime_ns
    run_twice_three()
    assert capsys.readouterr().err == "" and program(kept).stat().st_mtime_ns == written


def test_only_the_damaged_program_is_removed(kept):
    run_twice_three()
    whole = program(kept)
    (kept / "jit_twice-0-cache").write_bytes(b"torn")
    warnings.warn("Error reading persistent compilation cache entry for 'jit_twice': error: torn", stacklevel=1)
    assert program(kept) == whole


def test_a_folder_that_cannot_be_written_is_told_once(kept, capsys):
    kept.parent.joinpath("file").write_text("")
    jax.config.update("jax_compilation_cache_dir", str(kept.parent / "file" / "kept"))
    compilation_cache.reset_cache()
    run_twice_three()
    run_twice_three()
    told = capsys.readouterr().err
    assert told.startswith("fer_jax: warning: compiled programs cannot be kept in ") and told.count("\n") == 1


def test_other_warnings_are_shown_as_ever(kept, monkeypatch):
    shown = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_, **__: shown.append(str(message)))
    compiled.mend_kept_programs()
    warnings.warn("something else", stacklevel=1)
    assert shown == ["something else"]
