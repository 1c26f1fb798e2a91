"""Is an exported file the run? It is run on real images in its own runtime and compared with the run itself."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

import fer_jax
from fer_jax.errors import UserError
from fer_jax.export.content import Content
from fer_jax.export.function import logits_of
from fer_jax.export.runtime import batches

TOLERANCE = 1e-5
"""The largest difference of two probabilities that counts as rounding."""
IMAGES = 1000
"""How many images are compared, where there are as many."""


class Ran(NamedTuple):
    """What came of running a file.

    Attributes:
      probabilities: [N, classes].
      metadata: as it stood in the file.
      runtime: its name and version.
      seconds: the median time for one image.
      logits: [N, classes], where the file gives them.
    """

    probabilities: np.ndarray
    metadata: dict[str, str]
    runtime: str
    seconds: float
    logits: np.ndarray | None


def run_file(name: str, file: Path, images: np.ndarray) -> Ran:
    """Runs a file of a format on uint8 images [N, H, W, C] in a fresh process, on the CPU.

    Raises:
      UserError: the runtime cannot open or run it; its last line says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        images_file, result_file = Path(folder) / "images.npy", Path(folder) / "result.npz"
        np.save(images_file, images)
        command = [sys.executable, "-m", "fer_jax.export.runtime", name, str(file), str(images_file), str(result_file)]
        done = subprocess.run(command, env=_environment(), capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise UserError(f"the export to {name} cannot be run, so it was not kept: {reason[:300]}")
        with np.load(result_file) as found:
            told = json.loads(str(found["told"]))
            return Ran(
                found["probabilities"],
                told["metadata"],
                told["runtime"],
                told["seconds"],
                found["logits"] if "logits" in found else None,
            )


def _environment() -> dict[str, str]:
    """Of the fresh process: on the CPU, because an accelerator may not be shared; programs are kept where ours are."""
    package = str(Path(fer_jax.__file__).parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"PYTHONPATH": os.pathsep.join(paths), "JAX_PLATFORMS": "cpu", "KERAS_BACKEND": "jax"}
    if cache := getattr(jax.config, "jax_compilation_cache_dir", None):
        own |= {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1"}
    return {**os.environ, **own}


def verify(name: str, file: Path, content: Content, images: np.ndarray, expected: np.ndarray) -> tuple[Ran, float]:
    """Compares a file with the run.

    Args:
      name: of the format.
      file: to be verified.
      content: what was to be written into it.
      images: uint8 [N, H, W, C].
      expected: the run's own probabilities of them, [N, classes].

    Returns:
      What came of running it, and the largest difference of two probabilities.

    Raises:
      UserError: they differ by more than `TOLERANCE` or in a label, or the text or the weights in the file are not
        what was written.
    """
    ran = run_file(name, file, images)
    refused = f"the export to {name} was not kept: "
    if ran.metadata != content.metadata:
        keys = sorted({*ran.metadata, *content.metadata})
        other = [key for key in keys if ran.metadata.get(key) != content.metadata.get(key)]
        raise UserError(f"{refused}its metadata are read back with another {', '.join(other)}")
    worst = float(np.abs(ran.probabilities - expected).max()) if ran.probabilities.shape == expected.shape else np.inf
    labels = int((ran.probabilities.argmax(1) != expected.argmax(1)).sum()) if np.isfinite(worst) else len(images)
    if not worst <= TOLERANCE or labels:
        raise UserError(
            f"{refused}in {ran.runtime} its probabilities of {len(images):,} images differ from the run's by up to "
            f"{worst:.3g} (allowed: {TOLERANCE:g}), and {labels:,} labels are others"
        )
    if ran.logits is not None:
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            program = jax.jit(logits_of(content.model, content.variables))
            written = np.concatenate([np.asarray(program(batch)) for batch in batches(images)])
        if not np.array_equal(ran.logits, written):
            off = float(np.abs(ran.logits - written).max())
            raise UserError(f"{refused}read back, its logits differ from those of what was written by up to {off:.3g}")
    return ran, worst
