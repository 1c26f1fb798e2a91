"""TensorBoard's event file, made by tensorboardX in memory: who has it writes it where it belongs."""

import contextlib
import sys
import warnings
from collections.abc import Iterator

_IN_MEMORY = "memory"


class Events:
    """The events of a process, in the form of one file.

    tensorboardX would write from a thread, where an error has nobody to tell, and add to the file, which no bucket can.

    Args:
      purge_step: TensorBoard forgets what an earlier process wrote from this step on.
    """

    def __init__(self, purge_step: int):
        with warnings.catch_warnings(), _hidden("torch"):
            warnings.simplefilter("ignore")
            from tensorboardX import SummaryWriter, record_writer

            self._file = _File()
            record_writer.register_writer_factory(_IN_MEMORY, self._file)
            self._writer = SummaryWriter(f"{_IN_MEMORY}:/", purge_step=purge_step)

    @property
    def name(self) -> str:
        """The name that TensorBoard expects of the file."""
        return self._file.name

    def content(self) -> bytes:
        """What stands in the file; the newest events may be on their way, until `close`."""
        return bytes(self._file.content)

    def scalar(self, name: str, value: float, step: int) -> None:
        """Adds a number."""
        self._writer.add_scalar(name, value, step)

    def text(self, name: str, text: str) -> None:
        """Adds a text in Markdown."""
        self._writer.add_text(name, text)

    def close(self) -> None:
        """Ends tensorboardX's thread, when all events have come."""
        self._writer.close()


class _File:
    """What tensorboardX writes to, and what it opens it by."""

    def __init__(self) -> None:
        self.name, self.content = "", bytearray()

    def open(self, path: str) -> "_File":
        self.name = path.rpartition("/")[2]
        return self

    def directory_check(self, path: str) -> None:
        pass

    def write(self, content: bytes) -> None:
        self.content += content

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


@contextlib.contextmanager
def _hidden(package: str) -> Iterator[None]:
    """While entered, a package that is not imported yet cannot be.

    tensorboardX imports PyTorch wherever there is one, for tensors that it never gets from here: over a second, and
    200 MB.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]
