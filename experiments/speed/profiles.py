"""Reading a profile: how long a batch's matrix products take, what is made for them, and all the rest."""

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

PARTS = ("forward", "gradients", "made", "rest")
"""Products of convolutions and dense layers, forward and for gradients; what is made for them; all else."""

_INSTRUCTION = re.compile(r"\s+(?:ROOT )?%([\w.\-]+) = .*?\s([\w\-]+)\(")
_COMPUTATION = re.compile(r"(ENTRY )?%([\w.\-]+) \(.*\{$")
_BODY = re.compile(r"body=%([\w.\-]+)")
_SOURCE = re.compile(r'op_name="([^"]*)"')
_LAYER = re.compile(r"/(Conv|Dense)_\d+/")

_TORCH_FORWARD = re.compile(r"aten::(.*conv.*|addmm|linear)$")
_TORCH_GRADIENTS = re.compile(r"aten::(.*conv.*backward.*|mm)$")


class Instruction(NamedTuple):
    """A line of a program compiled by XLA.

    Attributes:
      computation: that it stands in.
      kind: its operation.
      source: the path of the layer and function that it comes from.
      body: the computation that a loop repeats; '' of anything else.
    """

    computation: str
    kind: str
    source: str
    body: str = ""

    @property
    def part(self) -> str:
        """Which of `PARTS`. A convolution's products are a loop over rows; a fusion is named by its last operation."""
        if not _LAYER.search(self.source):
            return "rest"
        if self.kind != "while" and "dot_general" not in self.source:
            return "made"
        return "gradients" if "transpose(" in self.source else "forward"


def instructions(text: str) -> tuple[dict[str, Instruction], str]:
    """Those of a compiled program by name, and the name of its first computation."""
    found, computation, entry = {}, "", ""
    for line in text.splitlines():
        if begins := _COMPUTATION.match(line):
            computation = begins.group(2)
            entry = computation if begins.group(1) else entry
        elif match := _INSTRUCTION.match(line):
            source, body = _SOURCE.search(line), _BODY.search(line)
            found[match.group(1)] = Instruction(
                computation, match.group(2), source.group(1) if source else "", body.group(1) if body else ""
            )
    return found, entry


def parts_of_xla(nanoseconds: Mapping[str, float], text: str) -> dict[str, float]:
    """Seconds by part, from how long each instruction took.

    Instructions are in one another: counted are those of the computation that is repeated for each batch, which is the
    one that takes longest beside the first. A loop takes as long as what is in it, even where XLA notes that it has
    begun it, and no more.
    """
    known, entry = instructions(text)
    inside: Counter[str] = Counter()
    for name, value in nanoseconds.items():
        if name in known:
            inside[known[name].computation] += value
    by_computation: dict[str, Counter[str]] = {}
    for name, value in nanoseconds.items():
        if name in known and known[name].computation != entry:
            took = max(value, inside[known[name].body])
            by_computation.setdefault(known[name].computation, Counter())[known[name].part] += took
    longest: Counter[str] = max(by_computation.values(), key=lambda found: found.total(), default=Counter())
    return {part: longest[part] / 1e9 for part in PARTS}


def of_jax(action: Callable[[], object], text: str) -> dict[str, float]:
    """Profiles what runs a compiled program of that text, on one core; seconds by part."""
    import jax

    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            action()
        for path in Path(folder).rglob("*.xplane.pb"):
            for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
                for line in plane.lines:
                    for event in line.events:
                        found[event.name] += event.duration_ns
    return parts_of_xla(found, text)


def of_torch(action: Callable[[], object]) -> dict[str, float]:
    """Profiles an action of PyTorch, eager; seconds by part. What oneDNN copies is in its products."""
    from torch import profiler

    with profiler.profile(activities=[profiler.ProfilerActivity.CPU]) as profile:
        action()
    found = dict.fromkeys(PARTS, 0.0)
    for event in profile.key_averages():
        found[part_of_torch(event.key)] += event.self_cpu_time_total / 1e6
    return found


def part_of_torch(name: str) -> str:
    """Which of `PARTS` an operation of PyTorch belongs to."""
    if _TORCH_GRADIENTS.match(name):
        return "gradients"
    return "forward" if _TORCH_FORWARD.match(name) else "rest"
