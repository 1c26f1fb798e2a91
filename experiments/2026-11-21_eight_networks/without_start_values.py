"""Scores of a checkpoint as saved, and with what BatchNorm's moving statistics still hold of their start taken out.

    python experiments/2026-11-21_eight_networks/without_start_values.py runs/mnist_16k,epochs=2 469

After n steps a moving statistic holds 0.99^n of its start (mean 0, variance 1). It reads the test split: for diagnosis
only.
"""

import contextlib
import json
import sys

import ml_collections

from fer_jax.build import build, resolve
from fer_jax.checkpoint import Checkpoints
from fer_jax.evaluate import evaluate, prepare
from fer_jax.models.layers import BATCH_NORM_MOMENTUM
from fer_jax.resume import template


def main(workdir, step):
    """Prints both scores."""
    with open(f"{workdir}/config.json") as file:
        run = build(resolve(ml_collections.ConfigDict(json.load(file))))
    with contextlib.closing(Checkpoints(workdir)) as checkpoints:
        state = checkpoints.restore(step, template(run)).arrays["state"]
    left = BATCH_NORM_MOMENTUM**step
    corrected = {
        name: {"mean": stats["mean"] / (1 - left), "var": (stats["var"] - left) / (1 - left)}
        for name, stats in state.batch_stats.items()
    }
    test = prepare(run.splits.test, run.mesh)
    print("as saved           ", evaluate(run.programs, state, test))
    print("start values out   ", evaluate(run.programs, state.replace(batch_stats=corrected), test))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
