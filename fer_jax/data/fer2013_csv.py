"""FER2013 as Kaggle publishes it: a CSV with a row for each image, read as a stream.

`fer2013.csv` has the columns emotion, pixels, Usage; `icml_face_data.csv` has the same rows under 'emotion', ' Usage',
' pixels'. The file is 301 MB, of which one row at a time is held as text.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from fer_jax.data.dataset import DataSet, Split
from fer_jax.data.fer2013_facts import CLASS_NAMES, SIDE, SPLITS
from fer_jax.data.packed import open_packed
from fer_jax.errors import DataError

MEMBERS = ("fer2013.csv", "icml_face_data.csv")

_COLUMNS = ("emotion", "pixels", "Usage")
_PIXELS = SIDE * SIDE
# Bytes: a row has 9,241 at most as published.
_LONGEST_LINE = 1 << 16
_ROWS_PER_UPDATE = 500
# What may stand around a field: blanks and quotation marks, as no field holds any.
_AROUND = b' "'
_MARK = b"\xef\xbb\xbf"


def read(path: Path) -> DataSet:
    """Reads the CSV, plain or packed.

    Args:
      path: the CSV, or an archive that `packed.open_packed` knows. A byte order mark, CRLF, quoted fields, blanks
        around names and values, any order of the columns and further columns are accepted. Progress is shown if stderr
        is a terminal.

    Returns:
      The splits that `Usage` tells, in the order of the rows, with 'row' (from 0) in the extras; `source` is ''.

    Raises:
      DataError: naming the file and the line (from 1, the header being line 1), if it is damaged, empty or something
        else.
    """
    pixels = {usage: bytearray() for usage in SPLITS}
    labels: dict[str, list[int]] = {usage: [] for usage in SPLITS}
    rows: dict[str, list[int]] = {usage: [] for usage in SPLITS}
    try:
        with path.open("rb") as file, open_packed(file, path, MEMBERS) as stream:
            for row, (line, emotion, text, usage) in enumerate(_rows(file, stream, path)):
                where = f"{path}, line {line}"
                if usage not in SPLITS:
                    raise DataError(f"{where}: its Usage is '{_shown(usage)}', which is none of {', '.join(SPLITS)}")
                labels[usage].append(_label(emotion, where))
                pixels[usage] += _image(text, where)
                rows[usage].append(row)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    for usage, name in SPLITS.items():
        if not rows[usage]:
            raise DataError(
                f"{path} has no row whose Usage is {usage}, so there is no {name} split: get the file again"
            )
    splits = {
        name: Split(
            np.frombuffer(pixels[usage], np.uint8).reshape(-1, SIDE, SIDE, 1),
            np.array(labels[usage], np.int32),
            {"row": np.array(rows[usage], np.int32)},
        )
        for usage, name in SPLITS.items()
    }
    return DataSet("fer2013", splits, CLASS_NAMES, source="")


def _rows(file: BinaryIO, stream: BinaryIO, path: Path) -> Iterator[tuple[int, str, bytes, str]]:
    """Of each row: the line it stands on, its emotion, its pixels and its usage."""
    header = _line(stream, path, 1)
    if not header.removeprefix(_MARK).strip():
        raise DataError(f"{path} is empty or begins with an empty line: get the file again")
    names = [_text(field.strip(_AROUND)) for field in header.removeprefix(_MARK).rstrip().split(b",")]
    for column in _COLUMNS:
        if names.count(column) != 1:
            raise DataError(
                f"{path}, line 1: a header with the columns {', '.join(_COLUMNS)} is expected, '{column}' once; "
                f"this one is '{_shown(','.join(names))}'"
            )
    emotion, pixels, usage = (names.index(column) for column in _COLUMNS)
    line, found = 1, False
    with tqdm(total=path.stat().st_size, desc=path.name, unit="B", unit_scale=True, leave=False, disable=None) as bar:
        while content := _line(stream, path, line + 1):
            line += 1
            if line % _ROWS_PER_UPDATE == 0:
                bar.update(file.tell() - bar.n)
            fields = content.rstrip(b"\r\n").split(b",")
            if len(fields) != len(names):
                if not content.strip():
                    continue
                raise DataError(
                    f"{path}, line {line}: {len(names)} fields are expected and {len(fields)} found, as where a "
                    "file is cut off: get the file again"
                )
            found = True
            values = [fields[column].strip(_AROUND) for column in (emotion, pixels, usage)]
            yield line, _text(values[0]), values[1], _text(values[2])
    if not found:
        raise DataError(f"{path} holds a header and no row: get the file again")


def _line(stream: BinaryIO, path: Path, number: int) -> bytes:
    content = stream.readline(_LONGEST_LINE)
    if len(content) == _LONGEST_LINE:
        raise DataError(f"{path}, line {number}: it is longer than any row of FER2013: get the file again")
    return content


def _label(emotion: str, where: str) -> int:
    if not (emotion.isascii() and emotion.isdigit()):
        raise DataError(f"{where}: its emotion is '{_shown(emotion)}', which is no whole number")
    if len(emotion) > 4 or int(emotion) >= len(CLASS_NAMES):
        raise DataError(f"{where}: its emotion is {_shown(emotion)}, and the last is {len(CLASS_NAMES) - 1}")
    return int(emotion)


def _image(text: bytes, where: str) -> bytes:
    """The pixels of a row, a byte each."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Before numpy 2.3, a word that is no number was only warned of.
            values = np.fromstring(text, np.int64, sep=" ")
    except (ValueError, DeprecationWarning):
        values = np.empty(0, np.int64)
    if len(values) != _PIXELS or values.min() < 0 or values.max() > 255:
        raise DataError(f"{where}: {_pixel_fault(text)}")
    return values.astype(np.uint8).tobytes()


def _pixel_fault(text: bytes) -> str:
    words = _text(text).split()
    for position, word in enumerate(words):
        if not (word.isascii() and word.removeprefix("-").isdigit()):
            return f"pixel {position} is '{_shown(word)}', which is no whole number"
        if word.startswith("-") or len(word) > 4 or int(word) > 255:
            return f"pixel {position} is {_shown(word)}, outside 0..255"
    return f"it has {len(words):,} pixels in place of {_PIXELS:,} ({SIDE}x{SIDE})"


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="replace")


def _shown(word: str) -> str:
    """A word of the file, short enough for a sentence and without anything that a terminal would obey."""
    word = word if len(word) <= 60 else f"{word[:60]}..."
    return "".join(letter if letter.isprintable() else "?" for letter in word)
