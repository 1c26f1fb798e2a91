"""What a user should know, in one sentence: errors, which the commands print without a traceback, and warnings."""

import difflib
import sys
from collections.abc import Iterable


class UserError(Exception):
    """Bad input: the message says what is wrong, where, and what to do.

    Attributes:
      exit_code: what the command returns to the shell.
    """

    exit_code = 1


class ConfigError(UserError):
    """A config, a flag or an override that cannot be run."""

    exit_code = 2


class DataError(UserError):
    """A data set that is missing, damaged or not what the config asks for."""


class CheckpointError(UserError):
    """A checkpoint that cannot be saved, is damaged, or is not what its record says."""


class DivergedError(UserError):
    """The loss is no longer a finite number."""


class Interrupted(UserError):
    """A signal asked the run to stop; its state has been saved."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number


class LostProcessError(UserError):
    """Another process of the run has ended, or cannot be reached."""


_speaker = ["fer_jax"]
_LONGEST = 900
"""Letters in what is told at once, at most."""


def speak_as(name: str) -> None:
    """From now on what is told begins with this name."""
    _speaker[0] = name


def reason(error: BaseException) -> str:
    """Why something failed, in a line: what the system says, or the first line of the error's own words."""
    said = getattr(error, "strerror", None) or str(error).strip()
    return said.splitlines()[0] if said else type(error).__name__


def printable(text: str) -> str:
    """A text in one line of letters that every terminal and file takes: what is none is written as in Python."""
    safe = text.encode("utf-8", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in safe)


def note(message: str) -> None:
    """Tells something on stderr, in one line; what a command answers goes to the standard output."""
    line = printable(message)
    if len(line) > _LONGEST:
        # A file may have told of itself in the middle; what to do stands at the end.
        line = f"{line[: 2 * _LONGEST // 3]} [...] {line[-_LONGEST // 4 :]}"
    print(f"{_speaker[0]}: {line}", file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """Tells, on stderr, something that does not stop the work."""
    note(f"warning: {message}")


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: the nearest choice, or all of them."""
    choices = sorted(choices)
    near = difflib.get_close_matches(word, choices, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {', '.join(choices)}"
