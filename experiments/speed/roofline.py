"""How far training is from the machine's limits: arithmetic, bytes, the two floors they give, and the share reached.

    python experiments/speed/roofline.py

Takes the rates of fer_jax from results.json, which `compare.py` wrote on this machine, and measures what they are
compared with: the fastest float32 matrix product of NumPy and XLA and the fastest copy, on one core and on all. What
is found goes to roofline.json and, as a table, to README.md.

Counted is what a training step needs whatever the program:

- arithmetic: two operations for each multiply-add of the network's table, three times (forward, and the gradients by
  the input and by the weights; the first layer needs none by its input). A program that needs fewer products, as
  Winograd's filtering does, may go past this floor.
- bytes: the output of each convolution and dense layer goes through memory five times (written, read by what follows,
  read again by its gradient, and its gradient written and read), twice more where BatchNorm needs the sums of the
  whole batch first; each weight ten times (twice in the two passes; Adam reads the gradient, the weight and two
  moments, and writes three; the gradient is written once, and read once more to be summed). Everything else is taken
  to be fused or to stay in the cache.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tables
from fer_jax import build, summary
from options import Parser, available_cores
from workers import HERE

FLOAT = 4
"""Bytes in a float32."""
PASSES, NORM_PASSES, WEIGHT_PASSES = 5, 2, 10


class Work(NamedTuple):
    """What one training step on a batch needs.

    Attributes:
      operations: multiplications and additions.
      bytes: through memory.
    """

    operations: float
    bytes: float


def work(rows: Sequence[summary.Row], parameters: int, batch: int) -> Work:
    """That of a network from its layer table."""
    values = sum(_size(row) for row in _products(rows))
    normed = sum(_size(row) for row in rows if row.kind == "BatchNorm")
    return Work(
        operations=operations(rows, batch, training=True),
        bytes=FLOAT * (batch * (PASSES * values + NORM_PASSES * normed) + WEIGHT_PASSES * parameters),
    )


def operations(rows: Sequence[summary.Row], batch: int, training: bool) -> float:
    """The arithmetic of a batch, forward only or with the gradients, from a layer table."""
    multiply_adds = [row.multiply_adds or 0 for row in _products(rows)]
    return 2 * batch * (3 * sum(multiply_adds) - multiply_adds[0] if training else sum(multiply_adds))


def _products(rows: Sequence[summary.Row]) -> list[summary.Row]:
    return [row for row in rows if row.kind in ("Conv", "Dense")]


def _size(row: summary.Row) -> int:
    size = 1
    for side in row.output_shape:
        size *= side or 1
    return size


def floors(needed: Work, operations_per_second: float, bytes_per_second: float) -> tuple[float, float]:
    """The least seconds that a step takes, by arithmetic and by memory."""
    return needed.operations / operations_per_second, needed.bytes / bytes_per_second


def limits() -> dict[str, float]:
    """The fastest matrix product (operations a second) and copy (bytes a second, read and written) of this process.

    The product is NumPy's or XLA's, whichever is faster: NumPy's library does not know every processor.
    """
    import jax
    import numpy as np

    side = 2048
    left, right = (np.random.default_rng(seed).normal(size=(side, side)).astype(np.float32) for seed in (0, 1))
    out = np.empty_like(left)
    on_device, product = (jax.device_put(left), jax.device_put(right)), jax.jit(lambda a, b: a @ b)
    jax.block_until_ready(product(*on_device))
    seconds = (
        _least(lambda: np.matmul(left, right, out=out)),
        _least(lambda: jax.block_until_ready(product(*on_device))),
    )
    block = np.zeros(2**26, np.float32)
    target = np.zeros_like(block)
    return {
        "operations": 2 * side**3 / min(seconds),
        "bytes": 2 * block.nbytes / _least(lambda: np.copyto(target, block)),
    }


def _least(action: Any) -> float:
    seconds = []
    for _ in range(8):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def table(results: dict[str, Any], found: dict[str, dict[str, float]]) -> str:
    """A row for each network and number of cores: arithmetic, bytes, floors, rate, share."""
    lines = [
        "| network | cores | GFLOP a step | MiB a step | by arithmetic | by memory | a step took | share reached |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for network, by_cores in results["rates"].items():
        config = build.resolve({"model": {"name": network}, "data": {"name": "digits"}})
        _, described = build.build_model(config)
        batch = results["jobs"][network]["batch"]
        needed = work(described.rows, described.trainable, batch)
        for cores, programs in by_cores.items():
            if cores not in found or not programs.get("fer_jax", {}).get("train"):
                continue
            took = batch / statistics.median(programs["fer_jax"]["train"])
            arithmetic, memory = floors(needed, found[cores]["operations"], found[cores]["bytes"])
            lines.append(
                f"| `{network}` | {cores} | {needed.operations / 1e9:.2f} | {needed.bytes / 2**20:.0f} | "
                f"{1e3 * arithmetic:.1f} ms | {1e3 * memory:.1f} ms | {1e3 * took:.1f} ms | "
                f"{100 * max(arithmetic, memory) / took:.0f} % |"
            )
    for cores, limit in found.items():
        lines.append(
            f"\nThe limits on {cores} core{'s' if int(cores) > 1 else ''}: {limit['operations'] / 1e9:.0f} GFLOP/s "
            f"(matrix product of side 2048), {limit['bytes'] / 1e9:.1f} GB/s (copy of 256 MiB)."
        )
    return "\n".join(lines)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command."""
    parser = Parser(prog="roofline", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results.json", help="what compare.py wrote")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main() -> int:
    """Runs the command; the exit code."""
    flags = parse()
    if flags.measure:
        print(json.dumps(limits()))
        return 0
    try:
        results = json.loads(flags.results.read_text())
    except (OSError, ValueError) as error:
        print(f"roofline: {flags.results} cannot be read ({error}): run compare.py first", file=sys.stderr)
        return 1
    cores = available_cores()
    found = {}
    for count in sorted({1, len(cores)}):
        # A process of its own, because the libraries count their threads when they are loaded.
        words = ["taskset", "-c", ",".join(map(str, cores[:count])), sys.executable, __file__, "--measure"]
        found[str(count)] = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    out = flags.results.with_name("roofline.json")
    out.write_text(json.dumps(found, indent=1) + "\n")
    text = table(results, found)
    tables.write(out.with_name("README.md"), "roofline", text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
