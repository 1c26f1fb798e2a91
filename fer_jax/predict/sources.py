"""What is to be read: pictures, folders of pictures, the standard input, videos and a camera."""

import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fer_jax.data.fit_image import ALL_SUFFIXES
from fer_jax.errors import ConfigError, DataError, printable, warn
from fer_jax.files import kind
from fer_jax.predict import frames
from fer_jax.predict.predictor import Item

STDIN = "-"
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")
"""The endings by which videos are known, in lower case."""


class Sources(NamedTuple):
    """What is to be answered.

    Attributes:
      items: of each picture and frame, read one after the other.
      total: how many items there are; None where that shows only at the end.
      moving: whether there are frames among them, of which a face is not to be expected in each.
      longest: letters in the longest name.
    """

    items: Iterator[Item]
    total: int | None
    moving: bool
    longest: int


def find(words: Sequence[str], every: int = 1) -> Sources:
    """What the words of a command name; looks at folders, opens no picture.

    Args:
      words: files, folders (with all that is in them, but hidden files and what has another ending than pictures have)
        and '-', which is one picture on the standard input.
      every: takes each so many-th frame of a video.

    Raises:
      ConfigError: there is no such file or folder.
      DataError: no picture in a folder.
      UserError: a video, and OpenCV is not installed.
    """
    if not words:
        raise ConfigError("nothing to look at: name pictures, folders, videos or - (a picture on the standard input)")
    if words.count(STDIN) > 1:
        raise ConfigError("- is given twice, and the standard input is read once")
    found: list[Path | str] = []
    failed: list[DataError] = []
    for word in words:
        if word == STDIN:
            found.append(STDIN)
        elif _kind(word) == "folder":
            pictures, faults = _walk(Path(word))
            if not pictures and not faults:
                raise DataError(f"{printable(word)} holds no picture ({', '.join(end[1:] for end in ALL_SUFFIXES)})")
            found += pictures
            failed += faults
        else:
            found.append(Path(word))
    videos = [path for path in found if isinstance(path, Path) and path.suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        frames.check_opencv()
    items = itertools.chain(
        (Item(str(error).partition(" cannot be read")[0], error) for error in failed),
        *(_frames(path, every) if path in videos else _one(path) for path in found),
    )
    names = [printable(str(path)) for path in found]
    return Sources(items, None if videos else len(found) + len(failed), bool(videos), max(map(len, names), default=0))


def camera(index: int, every: int = 1) -> Sources:
    """The frames of a camera, until it is interrupted.

    Raises:
      DataError: there is no such camera.
      UserError: OpenCV is not installed.
    """
    name = f"camera {index}"
    shown = frames.open_camera(index)
    return Sources((Item(name, frame.pixels, frame.place) for frame in frames.every(shown, every)), None, True, 8)


def _kind(word: str) -> str:
    """'folder' or 'file'."""
    try:
        mode = os.stat(word).st_mode
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and not os.path.lexists(word):
            raise ConfigError(f"{printable(word)}: there is no such file or folder") from error
        return "file"  # What cannot be read is told with its name when its turn comes.
    found = kind(mode)
    if found in ("socket", "device"):
        raise ConfigError(f"{printable(word)} is a {found}, and no picture")
    return "folder" if found == "folder" else "file"


def _one(path: Path | str) -> Iterator[Item]:
    if path != STDIN:
        yield Item(printable(str(path)), path)
        return
    name = "the standard input"
    data = sys.stdin.buffer.read()
    yield Item(name, data or DataError(f"{name} is empty: send a picture, as in python -m fer_jax.predict - < a.png"))


def _frames(path: Path, every: int) -> Iterator[Item]:
    name = printable(str(path))
    try:
        for frame in frames.every(frames.open_video(path, name), every):
            yield Item(name, frame.pixels, frame.place)
    except DataError as error:
        yield Item(name, error)


def _endless(folder: str, name: str) -> bool:
    """Whether a name is that of a pipe or a device; a link that leads nowhere is told when its turn comes."""
    path = Path(folder, name)
    return path.exists() and not path.is_file()


def _walk(root: Path) -> tuple[list[Path], list[DataError]]:
    """The pictures in a folder and the folders in it, sorted, and the folders that cannot be read."""
    pictures: list[Path] = []
    faults: list[DataError] = []
    others = 0
    start = os.stat(root)
    seen = {(start.st_dev, start.st_ino)}

    def fault(error: OSError) -> None:
        faults.append(DataError(f"{printable(str(error.filename))} cannot be read: {error.strerror}"))

    for folder, inside, files in os.walk(root, followlinks=True, onerror=fault):
        kept = []
        for name in sorted(inside):
            # A link may lead back to a folder that it lies in, or twice to the same one.
            found = os.stat(os.path.join(folder, name))
            known = (found.st_dev, found.st_ino)
            if not name.startswith(".") and known not in seen:
                kept.append(name)
                seen.add(known)
        inside[:] = kept
        shown = [name for name in sorted(files) if not name.startswith(".")]
        taken = [name for name in shown if Path(name).suffix.lower() in ALL_SUFFIXES and not _endless(folder, name)]
        pictures += [Path(folder, name) for name in taken]
        others += len(shown) - len(taken)
    if others:
        warn(f"{printable(str(root))}: {others:,} files that do not end as pictures do are passed over")
    return pictures, faults
