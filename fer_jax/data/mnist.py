"""MNIST: its four IDX files, where they are published, and how they become arrays."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from fer_jax.data import idx, places
from fer_jax.data.dataset import DataSet, Split
from fer_jax.data.download import download
from fer_jax.errors import DataError

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# SHA-256 of the four files as Y. LeCun published them.
CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
# The `DataSet.fingerprint` of these files, however they are packed.
CANONICAL = "68c3462e6af4250178856d08395e7439c289be9dac72a4bf653db3e8c1e7662f"

_STEMS = tuple(name.removesuffix(".gz") for name in CHECKSUMS)
_EXPECTED = f"the four IDX files {', '.join(_STEMS)} (plain or .gz)"
_ADVICE = f"put {_EXPECTED} into a folder mnist/, and name the folder that holds it by --data_dir or FER_JAX_DATA"
_CLASS_NAMES = tuple(str(digit) for digit in range(10))


def load(data_dir: str = "") -> DataSet:
    """Loads MNIST.

    Args:
      data_dir: a folder that holds `mnist/`, with the four IDX files (plain or gzipped) or a prepared copy; no other
        place is searched. '' searches them all.

    Returns:
      'train' and 'test', images [N, 28, 28, 1]. Well-formed files with other digits, of any size, are taken too;
      `source` says whether the data are the canonical MNIST.

    Raises:
      UnavailableError: if no place has it.
      DataError: if `data_dir` does not have it, or the first place that does has it damaged.
    """
    recipe = places.Recipe(
        name="mnist",
        title="MNIST",
        splits=("train", "test"),
        expected=_EXPECTED,
        advice=_ADVICE,
        find=_find,
        describe=_describe,
        canonical=(CANONICAL,),
        download=_download,
    )
    return places.load(recipe, data_dir)


def _find(folder: Path) -> places.Source | None:
    files: dict[str, Path] = {}
    for stem in _STEMS:
        # Some archives name the files with a dot: train-images.idx3-ubyte.
        for name in (stem, stem.replace("-idx", ".idx")):
            for path in (folder / name, folder / f"{name}.gz"):
                if path.is_file():
                    files.setdefault(stem, path)
    if not files:
        return None
    missing = ", ".join(stem for stem in _STEMS if stem not in files)
    return places.Source(
        words=f"IDX files in {folder}",
        files=tuple(files.values()),
        read=partial(_parsed, files),
        missing=f"{missing} (plain or .gz)" if missing else "",
    )


def _parsed(files: Mapping[str, Path]) -> DataSet:
    splits = {}
    for name, prefix in (("train", "train"), ("test", "t10k")):
        images_path, labels_path = files[f"{prefix}-images-idx3-ubyte"], files[f"{prefix}-labels-idx1-ubyte"]
        images, labels = idx.read_images(images_path), idx.read_labels(labels_path, len(_CLASS_NAMES))
        if len(images) != len(labels):
            raise DataError(
                f"{images_path} holds {len(images)} images and {labels_path} {len(labels)} labels: get both again"
            )
        splits[name] = Split(images, labels)
    train, test = splits["train"].images.shape[1:3], splits["test"].images.shape[1:3]
    if train != test:
        raise DataError(
            f"{files['train-images-idx3-ubyte']} has images of {train[0]}x{train[1]} pixels and "
            f"{files['t10k-images-idx3-ubyte']} of {test[0]}x{test[1]}: the two splits must have one size"
        )
    return DataSet("mnist", splits, _CLASS_NAMES, source="")


def _describe(data: DataSet) -> str:
    return "the canonical MNIST" if data.fingerprint == CANONICAL else "which are not the canonical MNIST"


def _download(folder: Path) -> None:
    given = os.environ.get("FER_JAX_MNIST_URL", "")
    download(CHECKSUMS, (given,) if given else MIRRORS, folder)
