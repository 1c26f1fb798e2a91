"""StableHLO by `jax.export`: the network as a program for CPU, GPU and TPU, for JAX without this package.

What `jax.export` serialises has no place for text. So the file is a zip archive, which every language reads: the
program is its member `model.jax_export`, and label names, card and origin are others beside it. Two loose files would
soon be parted, and probabilities without their labels are of no use.
"""

import json
import zipfile
from pathlib import Path

import jax
import numpy as np
from jax import export

from fer_jax.export.content import Content, Loaded
from fer_jax.files import check_zip

# What makes the network is imported where it is written, so that a file is opened by JAX alone.

PROGRAM, METADATA, LABELS, CARD = "model.jax_export", "metadata.json", "labels.txt", "model_card.md"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def write(path: Path, content: Content) -> None:
    """Writes the archive; the number of images, 1 or more, is left open."""
    from fer_jax.export.function import probabilities_of

    shape = export.symbolic_shape(", ".join(["N", *map(str, content.model.image_shape)]))
    function = jax.jit(probabilities_of(content.model, content.variables))
    exported = export.export(function, platforms=PLATFORMS)(jax.ShapeDtypeStruct(shape, np.uint8))
    members: dict[str, bytes | str] = {
        PROGRAM: bytes(exported.serialize()),
        METADATA: json.dumps(content.metadata, indent=2, ensure_ascii=False),
        LABELS: "\n".join(json.loads(content.metadata["labels"])) + "\n",
    }
    if "model_card" in content.metadata:
        members[CARD] = content.metadata["model_card"]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)


def open_file(path: Path) -> Loaded:
    """The file, by nothing but JAX."""
    with zipfile.ZipFile(path) as archive:
        check_zip(archive, path.stat().st_size)
        exported = export.deserialize(bytearray(archive.read(PROGRAM)))
        metadata = json.loads(archive.read(METADATA))
    program = jax.jit(exported.call)
    return Loaded(lambda images: np.asarray(program(images)), metadata, f"jax {jax.__version__}")
