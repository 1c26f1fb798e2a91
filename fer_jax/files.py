"""Files written whole or not at all, on this machine or in a bucket."""

import contextlib
import errno
import os
from pathlib import Path

from fer_jax import processes
from fer_jax.buckets import failures, is_bucket, reason
from fer_jax.errors import UserError


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file, text in UTF-8; what was there before stays until all of it is written.

    Of several processes the first writes.

    Raises:
      UserError: it cannot be written.
    """
    if not processes.is_first():
        return
    # An object in a bucket is there when all of it has come.
    partial = path if is_bucket(path) else path.with_name(path.name + ".partial")
    try:
        if isinstance(content, str):
            partial.write_text(content, encoding="utf-8")
        else:
            partial.write_bytes(content)
        if partial != path:
            os.replace(partial, path)
    except failures(path) as error:
        if partial != path:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        full = getattr(error, "errno", None) == errno.ENOSPC
        hint = ": free some space and start the same command again" if full else ""
        raise UserError(f"{path} cannot be written: {reason(error)}{hint}") from error
