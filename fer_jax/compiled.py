"""Compiled programs, kept on disk so that the second start is quick; what is damaged there is removed and told."""

import re
import warnings
import zlib
from pathlib import Path
from typing import Any

from fer_jax.errors import warn

# JAX is imported in the functions: what only parses flags must not wait for it.

_TROUBLE = re.compile(r"Error (?:reading|writing) persistent compilation cache entry for '(.+?)': (.*)", re.DOTALL)
_told: set[str] = set()


def mend_kept_programs() -> None:
    """Takes what JAX warns of a kept program for a sentence, and removes the program if it is damaged.

    JAX compiles it again then, but keeps it only where there is none: without this each start would be slow.
    """
    shown = warnings.showwarning

    def show(message: Any, *arguments: Any, **options: Any) -> None:
        if not _tell(str(message)):
            shown(message, *arguments, **options)

    if shown.__module__ != __name__:
        warnings.showwarning = show


def _tell(message: str) -> bool:
    """Whether a warning is of a kept program; then it has been told, each kind once."""
    import jax

    found = _TROUBLE.match(message)
    folder = getattr(jax.config, "jax_compilation_cache_dir", "")
    if not found or not folder:
        return False
    if _remove_damaged(Path(folder), found[1]):
        sentence = f"compiled programs in {folder} are damaged: they are compiled and kept again"
    else:
        sentence = f"compiled programs cannot be kept in {folder} ({found[2]}): each start compiles them again"
    if sentence not in _told:
        _told.add(sentence)
        warn(sentence)
    return True


def _remove_damaged(folder: Path, name: str) -> bool:
    """Removes the kept programs of a name that are not whole; whether there were any."""
    damaged = [path for path in folder.glob(f"{name}-*-cache") if not _is_whole(path)]
    for path in damaged:
        path.unlink(missing_ok=True)
    return bool(damaged)


def _is_whole(path: Path) -> bool:
    """Whether a kept program is as JAX has compressed it, which has a check sum."""
    try:
        zlib.decompress(path.read_bytes())
    except (OSError, zlib.error):
        return False
    return True
