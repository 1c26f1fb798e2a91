"""Hypothesis strategies that damage bytes, text, JSON and archives, whatever format they are of."""

import copy
import io
import json
import struct
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy], Any]

NUMBERS = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
"""Lengths, counts and offsets that programs get wrong."""

WORDS = (
    *("", " ", "-1", "0", "1", "7", "255", "256", "+5", "1e2", "0x10", "1_0", "12.0", "nan", "inf", "-inf", "9" * 400),
    *(
        "\u0663",
        "\uff15",
        "None",
        "True",
        "null",
        "'",
        '"',
        '""',
        '"a,b"',
        ",",
        ";",
        "\t",
        "\r",
        "\0",
        "\x1b[31m",
        "\u202e",
    ),
    *("a\nb", "..", ".", "../../x", "/etc/passwd", "C:\\x", "~", "$HOME", "%s", "{0}", "x" * 5000, "\ufeff", "\ud800"),
)
"""What may stand where a word or a number is expected."""

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1.5, 1e308, -1e308, 2**31, 2**63, 10**30, float("nan"), float("inf")),
    *([], {}, [[]], [None], {"": 0}, {"a": {"b": []}}, "", "x", "a\nb", "\x1b[31m", "\0", "x" * 5000, ["x"] * 50),
)
"""What may stand where JSON has something else."""

NAMES = (
    *(
        "../x",
        "../../../../tmp/x",
        "/etc/x",
        "C:\\x",
        "..\\x",
        "a/../../x",
        "./x",
        "x/",
        "",
        ".",
        "..",
        "a\nb",
        "\x1b[31m",
    ),
    *("x" * 300, "\udcff", "con", "-rf", "a" * 200 + ".png", "\u202egnp.x", " ", "~"),
)
"""Names that lead elsewhere, or that a terminal would obey."""


def _places(length: int) -> st.SearchStrategy:
    """Places in so many bytes: the ends, where headers and directories are, as often as all of it."""
    ends = st.integers(0, min(length, 64)), st.integers(max(0, length - 96), length)
    return st.one_of(*ends, st.integers(0, length))


def damaged(draw: Draw, content: bytes, times: int = 3) -> bytes:
    """Bytes that were cut, flipped, overwritten, repeated or mixed, up to so many times."""
    for _ in range(draw(st.integers(1, times))):
        at = draw(_places(len(content)))
        match draw(st.integers(0, 6)):
            case 0:
                content = content[:at]
            case 1:
                bit = draw(st.integers(0, 7))
                content = content[:at] + bytes(byte ^ 1 << bit for byte in content[at : at + 1]) + content[at + 1 :]
            case 2:
                size, order = draw(st.sampled_from((1, 2, 4, 8))), draw(st.sampled_from("<>"))
                number = draw(st.sampled_from(NUMBERS)) % 2 ** (8 * size)
                lie = struct.pack(order + {1: "B", 2: "H", 4: "I", 8: "Q"}[size], number)
                content = content[:at] + lie + content[at + size :]
            case 3:
                other = draw(_places(len(content)))
                content = content[:at] + content[min(at, other) : max(at, other)] + content[at:]
            case 4:
                content = content[:at] + content[at + draw(st.integers(1, 64)) :]
            case 5:
                content = content[:at] + draw(st.binary(min_size=1, max_size=16)) + content[at:]
            case 6:
                word = draw(st.sampled_from(WORDS)).encode("utf-8", "surrogatepass")
                content = content[:at] + word + content[at + len(word) :]
    return content


def damaged_rows(
    draw: Draw, rows: Sequence[Sequence[str]], within: Callable[[str], Sequence[str]] | None = None
) -> bytes:
    """A table as CSV in which fields, rows, line ends or the encoding are not what they should be.

    Args:
      draw: of Hypothesis.
      rows: the header first.
      within: the words of a long field, one of which may be changed in its place.
    """
    table = [list(row) for row in rows]
    separator, end, encoding = ",", "\n", "utf-8"
    for _ in range(draw(st.integers(1, 3))):
        if not table:
            break
        row = table[draw(st.integers(0, len(table) - 1))]
        column = draw(st.integers(0, max(0, len(row) - 1)))
        match draw(st.integers(0, 9)):
            case 0 if row:
                row[column] = draw(st.sampled_from(WORDS))
            case 1 if row and within:
                words = list(within(row[column]))
                if words:
                    words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from(WORDS))
                row[column] = " ".join(words)
            case 2 if row:
                del row[column]
            case 3:
                row.insert(column, draw(st.sampled_from(WORDS)))
            case 4:
                table.remove(row)
            case 5:
                table.insert(draw(st.integers(0, len(table))), list(row))
            case 6 if row:
                row[column] = f'"{row[column]}"'
            case 7:
                end = draw(st.sampled_from(("\r\n", "\r", "\n\n", "\0", "\u2028", "")))
            case 8:
                encoding = draw(st.sampled_from(("utf-16", "utf-32", "utf-8-sig", "cp1252", "utf-7")))
            case 9:
                separator = draw(st.sampled_from((";", "\t", ", ", "|")))
    return end.join(separator.join(row) for row in [*table, []]).encode(encoding, "replace")


def damaged_json(draw: Draw, value: Any) -> bytes:
    """JSON in which values are others, missing, repeated or renamed; now and then it is no JSON at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(
            st.sampled_from((b"", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"null", b"nan", b"9" * 5000))
        )
    value = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 3))):
        value = _changed(draw, value)
    content = json.dumps(value).encode()
    return damaged(draw, content, 1) if draw(st.integers(0, 4)) == 0 else content


def _changed(draw: Draw, value: Any) -> Any:
    """The value with one change somewhere in it."""
    if not (isinstance(value, dict | list) and value) or draw(st.integers(0, 9)) == 0:
        return copy.deepcopy(draw(st.sampled_from(VALUES)))
    key = draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
    match draw(st.integers(0, 7)):
        case 0:
            del value[key]
        case 1 if isinstance(value, dict):
            value[draw(st.sampled_from(WORDS)).replace("\ud800", "")] = value.pop(key)
        case 2 if isinstance(value, list):
            value.insert(key, copy.deepcopy(draw(st.sampled_from(VALUES))))
        case _:
            value[key] = _changed(draw, value[key])
    return value


def zipped(members: Sequence[tuple[str, bytes]], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive; names may repeat and be any text."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, content in members:
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type = name.replace("\udcff", "\xff"), packing
            if name not in archive.NameToInfo:
                archive.writestr(info, content)
    return buffer.getvalue()


@cache
def bomb_text(head: bytes, line: bytes, size: int) -> bytes:
    """A head and one line again and again, up to a size: what packs to a thousandth."""
    return head + line * (size // len(line))
