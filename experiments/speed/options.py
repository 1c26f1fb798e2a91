"""The options of the comparison, and what is wrong with them in one sentence."""

import argparse
import difflib
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from networks import NETWORKS
from programs import PROGRAMS
from workers import HERE

DEFAULT_NETWORKS = ("mnist_15k", "fer2013_mini", "fer2013_cnn", "fer2013_vgg")
PARTS = ("rates", "gain", "process")
SMALL = {"images": 1024, "rounds": 2, "seconds": 0.3}
"""What --quick takes: for seeing that everything runs. Its numbers mean nothing."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> Any:
        print(f"{self.prog}: {message}", file=sys.stderr)
        sys.exit(2)


def some_of(choices: Iterable[str]) -> Any:
    """A type for argparse: names with commas between them, each one of the choices."""

    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        for name in names:
            if name not in choices:
                near = difflib.get_close_matches(name, list(choices), n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(choices)}"
                raise argparse.ArgumentTypeError(f"'{name}' is not known; {hint}")
        if not names:
            raise argparse.ArgumentTypeError(f"names nothing; known: {', '.join(choices)}")
        return list(dict.fromkeys(names))

    return parse


def counts(text: str) -> list[int]:
    """A type for argparse: numbers of cores."""
    found = sorted({int(word) for word in text.split(",")})
    here = len(available_cores())
    if not found or found[0] < 1 or found[-1] > here:
        raise argparse.ArgumentTypeError(f"this process may use {here} cores: give numbers from 1 to {here}")
    return found


def positive(kind: type) -> Any:
    """A type for argparse: a number above 0."""

    def parse(text: str) -> Any:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be a number above 0, not {text}")
        return value

    parse.__name__ = kind.__name__
    return parse


def parse(argv: Sequence[str] | None = None, description: str = "") -> argparse.Namespace:
    """The options of the command, which `description` is about."""
    parser = Parser(prog="compare", description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=some_of(NETWORKS), default=list(DEFAULT_NETWORKS), help="with commas")
    parser.add_argument("--programs", type=some_of(PROGRAMS), default=list(PROGRAMS), help="with commas")
    parser.add_argument("--parts", type=some_of(PARTS), default=list(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--cores", type=counts, help="numbers of cores with commas; default: 1 and all")
    parser.add_argument("--rounds", type=positive(int), default=5, help="each program's turns at each measurement")
    parser.add_argument("--seconds", type=positive(float), default=4.0, help="of a turn, but at least one batch")
    parser.add_argument("--seeds", type=int, default=0, help="also time so many seeds trained together")
    parser.add_argument("--out", type=Path, default=HERE / "results.json", help="the JSON file; README.md is beside it")
    parser.add_argument("--add", action="store_true", help="keep what the JSON file has of other networks and parts")
    parser.add_argument("--quick", action="store_true", help="a miniature, to see that everything runs")
    flags = parser.parse_args(argv)
    flags.images = 0
    if flags.quick:
        flags.images, flags.rounds, flags.seconds = SMALL["images"], SMALL["rounds"], SMALL["seconds"]
        if flags.out == HERE / "results.json":
            flags.out = Path(tempfile.gettempdir()) / "fer_jax_speed" / "results.json"
    flags.cores = flags.cores or sorted({1, len(available_cores())})
    flags.programs = [name for name in PROGRAMS if name in {"fer_jax", *flags.programs}]
    if flags.seeds < 0 or flags.seeds == 1:
        parser.error(f"--seeds must be 2 or more, not {flags.seeds}")
    return flags


def available_cores() -> list[int]:
    """The numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
