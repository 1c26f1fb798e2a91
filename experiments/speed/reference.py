"""What all programs of a network are given, from its fer_jax config: `python reference.py [NETWORK FOLDER [IMAGES]]`.

It writes `job.json` and `weights.npz` into FOLDER/train, the same without Dropout into FOLDER/check, and prints the
machine and versions as JSON. A process of its own, so that the one that starts the others stays small.
"""

import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np

from fer_jax import evaluate, models, provenance
from fer_jax.data.pipeline import steps_per_epoch
from job import Job
from networks import NETWORKS, with_rates, without_dropout
from programs.fer_jax_program import config_of, reference_weights

IMAGES = {"mnist": 60_000, "fer2013": 28_709, "facial_expressions": 8_500}
"""Images in memory, by the beginning of a network's name: as many as the real training splits have."""


def write_reference(network: str, folder: Path, images: int = 0) -> None:
    """Writes the jobs of a network; `images` other than 0 says how many lie in memory."""
    config = config_of(network)
    model = models.create(**config.model)
    images = images or next(count for start, count in IMAGES.items() if network.startswith(start))
    # The largest multiple of the batch: then no program meets a partial one.
    images = config.batch_size * max(1, steps_per_epoch(images + 1, config.batch_size) - 1)
    rates = {field: value for field, value in config.model.items() if field.endswith("dropout")}
    weights = reference_weights(network)
    whole = with_rates(NETWORKS[network], rates)
    for name, layers in (("train", whole), ("check", without_dropout(whole))):
        path = folder / name
        path.mkdir(parents=True, exist_ok=True)
        np.savez(path / "weights.npz", *weights)
        Job(
            network=network,
            layers=layers,
            image_shape=model.image_shape,
            classes=model.num_classes,
            batch=config.batch_size,
            evaluation_batch=evaluate.BATCH_SIZE,
            images=images if name == "train" else 2 * config.batch_size,
            folder=str(path),
        ).write()


def environment() -> dict[str, object]:
    """Commit, versions and machine."""
    found = provenance.environment()
    for package in ("torch", "keras"):
        try:
            found["versions"][package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return {key: found[key] for key in ("git", "versions", "machine")}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write_reference(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    print(json.dumps(environment()))
