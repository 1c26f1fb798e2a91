"""Runs an exported file in its own runtime: `python -m fer_jax.export.runtime FORMAT FILE IMAGES.npy RESULT.npz`.

`verify` starts it as a process of its own, so that nothing of the process that wrote the file can help it.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from fer_jax.export import formats

BATCH = 256
"""Images at once."""
TIMED_CALLS, TIMED_S = 200, 2.0
"""How often a single image is classified for its latency, and after how many seconds that is enough."""


def batches(images: np.ndarray) -> list[np.ndarray]:
    """The images in their order: the first alone, then many at once, then what is left, so that the size changes."""
    return [images[:1], *(images[start : start + BATCH] for start in range(1, len(images), BATCH))]


def main(name: str, file: str, images_file: str, result_file: str) -> None:
    """Writes the probabilities of the images, the seconds that one takes, and what stands in the file."""
    images = np.load(images_file)
    opened = formats.open_file(name, Path(file))
    found: dict[str, Any] = {"probabilities": np.concatenate([opened.predict(batch) for batch in batches(images)])}
    if opened.logits:
        found["logits"] = np.concatenate([opened.logits(batch) for batch in batches(images)])
    told = json.dumps({"metadata": opened.metadata, "runtime": opened.runtime, "seconds": _latency(opened, images[:1])})
    np.savez(result_file, **found, told=np.array(told))


def _latency(opened, image: np.ndarray) -> float:
    """The median of many calls with one image, in seconds."""
    seconds: list[float] = []
    end = time.perf_counter() + TIMED_S
    while len(seconds) < TIMED_CALLS and time.perf_counter() < end:
        start = time.perf_counter()
        opened.predict(image)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
