"""From results to tables in Markdown, and into README.md between their markers."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import agreement
from programs import TITLES

SMALL_NETWORKS = ("mnist_15k", "fer2013_mini")
LARGE_NETWORKS = ("fer2013_cnn", "fer2013_vgg")

Results = Mapping[str, Any]


class Ratio(NamedTuple):
    """fer_jax over another program, round by round.

    Attributes:
      middle: the median.
      least: of the rounds.
      most: of the rounds.
      program: the other one.
    """

    middle: float
    least: float
    most: float
    program: str = ""

    def __str__(self) -> str:
        return f"{self.middle:.2f} ({self.least:.2f} to {self.most:.2f})"


def ratio(ours: Sequence[float], theirs: Sequence[float], program: str = "") -> Ratio:
    """The ratio of two series whose rounds alternated."""
    found = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Ratio(median(found), min(found), max(found), program)


def best(found: Mapping[str, Mapping[str, Any]], start: str, kind: str) -> str | None:
    """The program with the highest median rate among those whose name begins with `start`."""
    of_kind = [name for name in found if name.startswith(start) and found[name].get(kind)]
    return max(of_kind, key=lambda name: median(found[name][kind]), default=None)


def against_best(results: Results, network: str, cores: int, start: str, kind: str) -> Ratio | None:
    """fer_jax over the best of those programs; None where it was not measured."""
    found = results["rates"].get(network, {}).get(str(cores), {})
    name = best(found, start, kind)
    if name is None or not found.get("fer_jax", {}).get(kind):
        return None
    return ratio(found["fer_jax"][kind], found[name][kind], name)


class Target(NamedTuple):
    """A row of the table of targets.

    Attributes:
      words: what is measured.
      must: the least (or, where less is better, the most) that is right.
      aim: what is wanted.
      found: the number; None where it was not measured.
      text: the number, for a person.
      less: less is better.
    """

    words: str
    must: float
    aim: float
    found: float | None
    text: str
    less: bool = False

    def verdict(self) -> str:
        """Met or not, in words."""
        if self.found is None:
            return "not measured"
        better: Callable[[float], bool] = lambda goal: self.found <= goal if self.less else self.found >= goal  # noqa: E731
        return "aim met" if better(self.aim) else "met" if better(self.must) else "**not met**"


def targets(results: Results) -> list[Target]:
    """What the project wants of its speed, and what was found."""
    rows = []
    cores = results["settings"]["cores"]

    def add(words: str, must: float, aim: float, network: str, start: str, kind: str) -> None:
        for count in cores:
            found = against_best(results, network, count, start, kind)
            text = f"{found}, {TITLES[found.program]}" if found else ""
            name = f"`{network}` {words}, {_cores(count)}"
            rows.append(Target(name, must, aim, found.middle if found else None, text))

    add("training, against the best PyTorch", 1.3, 2.0, "mnist_15k", "torch", "train")
    add("training, against Keras on JAX", 2.5, 4.0, "mnist_15k", "keras_jax", "train")
    for network in LARGE_NETWORKS:
        add("training, against the best PyTorch", 0.8, 1.1, network, "torch", "train")
    add("training, against the best PyTorch", 1.2, 2.0, "fer2013_mini", "torch", "train")
    for networks, must, aim in ((SMALL_NETWORKS, 1.3, 2.0), (LARGE_NETWORKS, 0.8, 1.1)):
        for network in networks:
            add("evaluation, against the best PyTorch", must, aim, network, "torch", "evaluate")
    return [*rows, *_gain_targets(results), *_process_targets(results)]


def _gain_targets(results: Results) -> list[Target]:
    gain, seeds = results.get("gain", {}).get("mnist_15k"), results.get("seeds")
    one = ratio(gain["all"], gain["one"]) if gain else None
    rows = [Target("`mnist_15k`, all cores against one: one run", 1.2, 1.8, one and one.middle, str(one or ""))]
    if seeds:
        together = seeds["together"] / seeds["one"]
        words = f"`mnist_15k`, all cores against one: {seeds['count']} seeds in one command"
        return [*rows, Target(words, 1.7, 1.95, together, f"{together:.2f}")]
    each = ratio(gain["each"], gain["one"]) if gain else None
    words = "`mnist_15k`, all cores against one: a separate process on each core (not yet seeds in one command)"
    return [*rows, Target(words, 1.7, 1.95, each and each.middle, str(each or ""))]


def _process_targets(results: Results) -> list[Target]:
    process = results.get("process")
    whole, first = (process["whole"], process["first_step"]) if process else ({}, {})
    memory = {name: median(run["peak_mib"] for run in runs) for name, runs in whole.items()}
    peers = {name: mib for name, mib in memory.items() if name.startswith("torch")}
    share, text = None, ""
    if peers and "fer_jax" in memory:
        peer = min(peers, key=lambda name: peers[name])
        share = memory["fer_jax"] / peers[peer]
        text = f"{share:.2f} ({memory['fer_jax']:,.0f} MiB; {TITLES[peer]} {peers[peer]:,.0f} MiB)"
        if "fer_jax_cold" in memory:
            text += f"; cold {memory['fer_jax_cold'] / peers[peer]:.2f}"
    start = median(first["fer_jax"]) if "fer_jax" in first else None
    return [
        Target(
            "peak memory of training `mnist_15k`, whole process, compile cache warm", 1.5, 1.0, share, text, less=True
        ),
        Target(
            *("command to first trained step of `mnist_15k`, compile cache warm, seconds", 6.0, 3.0, start),
            f"{start:.1f} ({min(first['fer_jax']):.1f} to {max(first['fer_jax']):.1f})" if start else "",
            less=True,
        ),
    ]


def comparison(results: Results) -> str:
    """All tables of a comparison."""
    parts = [_head(results), _target_table(targets(results))]
    for network, by_cores in results["rates"].items():
        for cores, found in by_cores.items():
            parts.append(_rate_table(results, network, int(cores), found))
    parts += [_start_table(results), _gain_table(results), _process_table(results), _check_table(results)]
    return "\n\n".join(part for part in parts if part)


def _head(results: Results) -> str:
    machine, versions, settings = results["machine"], results["versions"], results["settings"]
    names = ("python", "jax", "flax", "torch", "keras", "numpy")
    lines = [
        *[_of_run(run) for run in results.get("earlier", [])],
        _of_run(results),
        f"Machine: {machine['processor']}, {_cores(machine['cores'])} used at most. "
        f"Versions: {', '.join(f'{name} {versions[name]}' for name in names if name in versions)}.",
    ]
    if "seconds" in settings:
        lines.append("Medians of alternating rounds; in brackets the least and the most of the rounds.")
    else:
        lines.append(f"Medians of {settings['rounds']} runs of each size, which took turns.")
    if settings["quick"]:
        lines.insert(0, "**A miniature (`--quick`), to see that everything runs: these numbers mean nothing.**")
    return "\n".join(lines)


def _of_run(run: Results) -> str:
    git, settings = run["git"], run["settings"]
    rounds = f"; {settings['rounds']} rounds of about {settings['seconds']:g} s" if "seconds" in settings else ""
    commit = f"{(git['commit'] or 'unknown')[:12]}{' with changes' if git['dirty'] else ''}"
    return f"`{run['command']}`, {run['date']}, commit {commit}{rounds}."


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _cores(count: int) -> str:
    return f"{count} core{'s' if count > 1 else ''}"


def _target_table(rows: Sequence[Target]) -> str:
    sign = {True: "<=", False: ">="}
    cells = [
        [row.words, f"{sign[row.less]} {row.must:g}", f"{row.aim:g}", row.text, row.verdict()]
        for row in rows
        if row.found is not None
    ]
    left_out = sum(row.found is None for row in rows)
    note = f"\n\nThis run left out what {left_out} other targets are about." if left_out else ""
    return "### Targets\n\n" + _table(["what", "must", "aim", "found", ""], cells) + note


def _rate_table(results: Results, network: str, cores: int, found: Mapping[str, Mapping[str, Any]]) -> str:
    job = results["jobs"][network]
    ours = found["fer_jax"]
    rows = []
    for program, values in found.items():
        row = [TITLES[program]]
        for kind in ("train", "evaluate"):
            has = bool(values.get(kind)) and bool(ours.get(kind))
            row.append(_rate(values[kind]) if has else "")
            row.append(str(ratio(ours[kind], values[kind])) if has and program != "fer_jax" else "")
        row.append(f"{median(values['latency']):.2f}" if values.get("latency") else "")
        row.append(f"{values['peak_mib']:,.0f}" if "peak_mib" in values else "")
        rows.append(row)
    header = ["program", "training, images/s", "fer_jax is x", "evaluation, images/s", "fer_jax is x", "one image, ms"]
    title = f"### `{network}`, {_cores(cores)}, batch {job['batch']} (evaluation {job['evaluation_batch']}), float32"
    return f"{title}\n\n" + _table([*header, "peak memory in training, MiB"], rows)


def _rate(rates: Sequence[float]) -> str:
    middle = median(rates)
    places = 0 if middle >= 100 else 1 if middle >= 10 else 2
    return f"{middle:,.{places}f} ({min(rates):,.{places}f} to {max(rates):,.{places}f})"


def _start_table(results: Results) -> str:
    rows = []
    for network, programs in results["starts"].items():
        for program, starts in programs.items():
            row = [f"`{network}`", TITLES[program]]
            for cache in ("cold", "warm"):
                start = starts.get(cache)
                row += [f"{start['compile']:.1f}", f"{start['to_first_step']:.1f}"] if start else ["", ""]
            rows.append(row)
    header = ["network", "program", "first step's extra, cold, s", "process to first step, cold, s"]
    text = (
        "### Compiling\n\nThe first step less the second is what compiling costs; then the time from the start of the "
        "bare benchmark process (imports, network, images and weights) to the end of its first step, on all cores. "
        "Cold: no cache of compiled programs; warm: the caches that a program keeps of its own accord.\n\n"
    )
    return text + _table([*header, "extra, warm, s", "process, warm, s"], rows) if rows else ""


def _gain_table(results: Results) -> str:
    rows = [
        [
            f"`{network}`",
            *(_rate(gain[kind]) for kind in ("one", "all", "each")),
            *(str(ratio(gain[kind], gain["one"])) for kind in ("all", "each")),
        ]
        for network, gain in results.get("gain", {}).items()
    ]
    if not rows:
        return ""
    cores = next(iter(results["gain"].values()))["cores"]
    header = [
        "network",
        "one core, images/s",
        f"one run on {cores}",
        f"{cores} processes, a core each",
        "gain of one run",
    ]
    text = f"### What more cores give fer_jax\n\n{_table([*header, 'gain of processes'], rows)}"
    if "seeds" in results:
        seeds = results["seeds"]
        text += (
            f"\n\nWhole commands, images a second: one seed on one core {seeds['one']:,.0f}, {seeds['count']} seeds in "
            f"one command on all cores {seeds['together']:,.0f}."
        )
    return text


def _process_table(results: Results) -> str:
    process = results.get("process")
    if not process:
        return ""
    rows = []
    titles = {**TITLES, "fer_jax": "fer_jax, compile cache warm", "fer_jax_cold": "fer_jax, compile cache cold"}
    for name in ("fer_jax", "fer_jax_cold", "torch", "torch_channels_last"):
        first, whole = process["first_step"].get(name), process["whole"].get(name)
        if first or whole:
            rows.append(
                [
                    titles[name],
                    f"{median(first):.1f} ({min(first):.1f} to {max(first):.1f})" if first else "",
                    f"{median(run['peak_mib'] for run in whole):,.0f}" if whole else "",
                    f"{median(run['seconds'] for run in whole):.0f}" if whole else "",
                ]
            )
    images = process["limit"] or 60_000
    return (
        "### Whole commands on `mnist_15k`\n\n"
        "`python -m fer_jax.main --config=configs/mnist_15k.py --config.epochs=1` with everything that it does, and "
        "`torch_script.py`, which reads the same files, trains an epoch and evaluates; on all cores, "
        f"{images:,} training images of noise in MNIST's files. The first step is seen from outside: the "
        "progress bar has moved (`--config.steps_per_call=1`), the script has said so.\n\n"
        + _table(
            ["command", "to the first trained step, s", "peak memory, one epoch, MiB", "one epoch, whole, s"], rows
        )
    )


def _check_table(results: Results) -> str:
    if not results["checks"]:
        return ""
    names = list(agreement.TOLERANCES)
    rows = [
        [
            f"`{network}`",
            f"{losses['fer_jax']['training']:.6f}",
            *(f"{agreement.largest(losses, name):.1e}" for name in names),
        ]
        for network, losses in results["checks"].items()
    ]
    limits = ", ".join(f"{agreement.WORDS[name]}: {limit:g}" for name, limit in agreement.TOLERANCES.items())
    header = ["network", "fer_jax's loss", *(agreement.WORDS[name] for name in names)]
    return (
        "### All programs compute the same\n\nFrom the same weights, without Dropout: the largest difference of a "
        f"program from fer_jax, relative. Allowed: {limits}.\n\n" + _table(header, rows)
    )


def growth(results: Results) -> str:
    """The table of growth: each size, and what a unit more costs between two sizes."""
    rows = []
    for what, by_size in results["growth"].items():
        sizes = [int(size) for size in by_size]
        seconds, memory = (
            [median(run[key] for run in runs) for runs in by_size.values()] for key in ("training", "peak_mib")
        )
        whole = [median(run["seconds"] for run in runs) for runs in by_size.values()]
        more = [(after - before) / (b - a) for a, b, before, after in _steps(sizes, seconds)]
        for place, size in enumerate(sizes):
            rows.append(
                [
                    f"{size:,} {what}",
                    f"{seconds[place]:.1f}",
                    f"{1000 * more[place - 1]:,.3g}" if place else "",
                    f"{more[place - 1] / more[0]:.2f}" if place else "",
                    f"{whole[place]:.1f}",
                    f"{memory[place]:,.0f}",
                    f"{memory[place] / memory[0]:.2f}",
                ]
            )
    base = ", ".join(f"{size:,} {what}" for what, size in results["settings"]["base"].items())
    header = ["size", "training, s", "a unit more than the size above, ms", "against the first such step"]
    table = _table([*header, "whole command, s", "peak memory, MiB", "against the smallest"], rows)
    note = f"Where one grows the others stay at {base}. Linear growth is 1.00 in the fourth column."
    return f"{_head(results)}\n\n{table}\n\n{note}"


def _steps(sizes: Sequence[int], values: Sequence[float]) -> list[tuple[int, int, float, float]]:
    return list(zip(sizes, sizes[1:], values, values[1:], strict=False))


def write(path: Path, name: str, text: str) -> None:
    """Puts a text between its markers in a file; a file without them gets them at its end."""
    begin, end = (f"<!-- {name}: {word}, written by the script -->" for word in ("begin", "end"))
    old = path.read_text() if path.exists() else ""
    if begin not in old or end not in old:
        old = f"{old.rstrip()}\n\n{begin}\n{end}\n".lstrip()
    before, rest = old.split(begin, 1)
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end, 1)[1]}")
