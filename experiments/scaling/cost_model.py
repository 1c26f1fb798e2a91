"""How long a training step should take on TPU v5e, from one chip to a pod: compute, memory, sums over chips, dispatch.

    python experiments/scaling/cost_model.py

A prediction, and nothing that was measured: no TPU was at hand. Assumptions stand in `CHIP`, `USE` and `DISPATCH_S`;
the arithmetic and the bytes of a step are those of experiments/speed/roofline.py.

    step = max(arithmetic / (peak * use), bytes / memory) + sums + dispatch / steps in a call
    a sum over the batch = 2 (n - 1) / n * bytes / link + 2 * sqrt(n) * latency    (a ring on each axis of the torus)

A step has one sum of all gradients, and for each BatchNorm two forward and two backward, of a few hundred bytes, which
cost latency alone.
"""

import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "speed"))

from fer_jax import build
from roofline import work


class Chip(NamedTuple):
    """What a chip can do, as its maker states it.

    Attributes:
      operations: a second, in bfloat16.
      memory: bytes a second.
      link: bytes a second to the neighbours, in one direction, of all links together.
      latency: seconds for a hop.
    """

    operations: float
    memory: float
    link: float
    latency: float


CHIP = Chip(operations=197e12, memory=819e9, link=200e9, latency=1e-6)
"""TPU v5e: 197 TFLOP/s in bfloat16, 819 GB/s, 1,600 Gbit/s between chips; the hop is an assumption."""
USE = {"mnist_15k": 0.01, "fer2013_mini": 0.04, "fer2013_cnn": 0.25, "fer2013_vgg": 0.35}
"""The share of the peak that is reached, an assumption: the matrix unit is 128 wide and most layers have fewer
channels, and float32 takes several passes of bfloat16."""
DISPATCH_S = 100e-6
"""From the host to the chips, once a call."""
CHIPS = (1, 4, 8, 32, 128, 256)
BATCH = {"mnist_15k": 128, "fer2013_mini": 128, "fer2013_cnn": 128, "fer2013_vgg": 128}
IMAGES = {"mnist_15k": 60_000, "fer2013_mini": 28_709, "fer2013_cnn": 28_709, "fer2013_vgg": 28_709}


def step_seconds(name: str, chips: int, batch: int) -> dict[str, float]:
    """The parts of a step of a network on so many chips, with so many images in all."""
    _, described = build.build_model(build.resolve({"model": {"name": name}, "data": {"name": "digits"}}))
    needed = work(described.rows, described.trainable, -(-batch // chips))
    norms = sum(row.kind == "BatchNorm" for row in described.rows)
    compute = max(needed.operations / (CHIP.operations * USE[name]), needed.bytes / CHIP.memory)
    if chips == 1:
        return {"compute": compute, "sums": 0.0, "dispatch": DISPATCH_S / (IMAGES[name] / batch)}
    hops = 2 * chips**0.5 * CHIP.latency
    gradient = 2 * (chips - 1) / chips * 4 * described.trainable / CHIP.link + hops
    steps = IMAGES[name] / batch
    return {"compute": compute, "sums": gradient + 4 * norms * hops, "dispatch": DISPATCH_S / steps}


def main() -> None:
    """Prints the tables."""
    for kind in ("strong", "weak"):
        print(f"\n{kind}: {'a batch of 128' if kind == 'strong' else '128 images a chip'}; seconds an epoch\n")
        print("| network |" + "".join(f" {count} |" for count in CHIPS) + "\n|---|" + "---|" * len(CHIPS))
        for name in USE:
            cells = []
            for count in CHIPS:
                batch = BATCH[name] * (count if kind == "weak" else 1)
                parts = step_seconds(name, count, batch)
                seconds = sum(parts.values()) * IMAGES[name] / batch
                cells.append(f" {seconds:.3g} ({100 * parts['sums'] / sum(parts.values()):.0f} % sums) |")
            print(f"| `{name}` |" + "".join(cells))


if __name__ == "__main__":
    main()
