"""Files written whole or not at all."""

import contextlib
import errno
import os
from pathlib import Path

from fer_jax import processes
from fer_jax.errors import UserError


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file, text in UTF-8; what was there before stays until all of it is written.

    Of several processes the first writes.

    Raises:
      UserError: it cannot be written.
    """
    if not processes.is_first():
        return
    partial = path.with_name(path.name + ".partial")
    try:
        if isinstance(content, str):
            partial.write_text(content, encoding="utf-8")
        else:
            partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        hint = ": free some space and start the same command again" if error.errno == errno.ENOSPC else ""
        raise UserError(f"{path} cannot be written: {error.strerror}{hint}") from error
