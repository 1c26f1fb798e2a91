"""What it costs to divide a batch over devices: virtual devices of one CPU core, which share its time.

    python experiments/scaling/overhead.py

They compute no faster together than one, so all that a step of several takes beyond a step of one is overhead: the
sums over the batch (BatchNorm's, the loss's and the gradient's), threads, and smaller arrays. 'strong' divides a batch
of 256; 'weak' gives each device 32 images. Each figure is the median of rounds in which the numbers of devices take
turns, each a process of its own. What is found goes to overhead.json and to standard output as a table.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEVICES = (1, 2, 4, 8)
STRONG, WEAK = 256, 32
STEPS, WARM = 12, 4


def child(batch: int) -> None:
    """Prints the seconds of a step of `mnist_15k` on all devices of this process."""
    import jax
    import numpy as np

    from fer_jax import build
    from fer_jax.evaluate import on_device
    from fer_jax.resume import template

    config = {"model": {"name": "mnist_15k"}, "data": {"name": "digits"}, "batch_size": batch}
    run = build.build(build.resolve(config))
    examples = on_device(run.splits.train, run.mesh, run.shares)
    arrays = template(run)
    state, progress, seconds = arrays["state"], arrays["progress"], []
    for step in range(WARM + STEPS):
        epoch, place = divmod(step, run.steps_per_epoch)
        order = run.programs.order(state, np.int32(epoch))
        jax.block_until_ready(order)
        began = time.perf_counter()
        state, progress = run.programs.train(state, progress, examples, order, np.int32(place + 1))
        jax.block_until_ready(progress)
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"devices": run.mesh.size, "seconds": statistics.median(seconds[WARM:])}))


def measured(devices: int, batch: int) -> float:
    """The seconds of a step in a process of its own, on one core."""
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(devices), "JAX_PLATFORMS": "cpu"}
    core = min(os.sched_getaffinity(0))
    command = ["taskset", "-c", str(core), sys.executable, __file__, "--batch", str(batch)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    if found["devices"] != devices:
        raise SystemExit(f"a batch of {batch} is divided over {found['devices']} devices, not {devices}")
    return found["seconds"]


def main() -> None:
    """Measures, or is one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.batch:
        child(words.batch)
        return
    found: dict[str, dict[int, list[float]]] = {kind: {count: [] for count in DEVICES} for kind in ("strong", "weak")}
    for number in range(words.rounds):
        for count in DEVICES:
            found["strong"][count].append(measured(count, STRONG))
            found["weak"][count].append(measured(count, WEAK * count))
            print(f"round {number + 1} of {words.rounds}: {count} devices", file=sys.stderr, flush=True)
    (HERE / "overhead.json").write_text(json.dumps(found, indent=2) + "\n")
    print("| devices | strong, ms a step | of one device's | weak, ms a step | ms an image, of one device's |")
    print("|---|---|---|---|---|")
    strong, weak = ({count: statistics.median(times) for count, times in found[kind].items()} for kind in found)
    for count in DEVICES:
        print(
            f"| {count} | {1e3 * strong[count]:.1f} | {strong[count] / strong[1]:.2f} | {1e3 * weak[count]:.1f} | "
            f"{weak[count] / count / weak[1]:.2f} |"
        )


if __name__ == "__main__":
    main()
