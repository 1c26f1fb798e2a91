"""What is no file and no folder, made in a folder of a test."""

import os
import stat
from pathlib import Path

import pytest

_MODES = {"pipe": stat.S_IFIFO, "socket": stat.S_IFSOCK, "device": stat.S_IFCHR}
KINDS = tuple(_MODES)


def special(kind: str, path: Path) -> Path:
    """Makes one of `KINDS`; the device swallows all, as /dev/null does, and needs rights that are not everyone's."""
    try:
        os.mknod(path, _MODES[kind] | 0o600, os.makedev(1, 3) if kind == "device" else 0)
    except PermissionError:
        pytest.skip(f"needs the right to make a {kind}")
    return path
