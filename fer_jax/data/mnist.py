"""MNIST: where it is looked for, and how its files become arrays.

The first place that has it is used: the folder given by hand, else `FER_JAX_DATA`, else the user's cache, else a
download into that cache. A place that has it damaged is an error, never passed over. Data folders are only read; IDX
files are prepared once into the user's cache, under a key made of the files' bytes.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from fer_jax.data import idx
from fer_jax.data.dataset import DataSet, Split
from fer_jax.data.download import UnavailableError, cache_folder, download, is_offline
from fer_jax.errors import DataError, warn

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
    if data_dir:
        return _from_folder(Path(os.path.expanduser(data_dir)) / "mnist")
    places = []
    if given := os.environ.get("FER_JAX_DATA", ""):
        folder = Path(os.path.expanduser(given))
        if not folder.is_dir():
            warn(f"FER_JAX_DATA names {folder}, which is not a folder; MNIST is looked for elsewhere")
        elif (folder / "mnist").is_dir():
            return _from_folder(folder / "mnist")
        places.append(str(folder / "mnist"))
    cache = _cache()
    files = _idx_files(cache)
    if len(files) == len(_STEMS):
        return _from_files(files)
    data, damage = _prepared_earlier(cache)
    if data is not None:
        return data
    places.append(str(cache))
    try:
        return _downloaded(cache)
    except UnavailableError as error:
        if damage is not None:
            raise DataError(
                f"{damage}, and MNIST could not be downloaded again ({error}): delete that folder, and {_ADVICE}"
            ) from error
        raise UnavailableError(
            f"MNIST is not in {' or '.join(places)} and could not be downloaded ({error}): {_ADVICE}"
        ) from error


def _cache() -> Path:
    return cache_folder() / "mnist"


def _from_folder(folder: Path) -> DataSet:
    """Reads a data folder: the IDX files where all four are there, else a prepared copy."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: it should hold {_EXPECTED} or a prepared copy")
    files = _idx_files(folder)
    if len(files) == len(_STEMS):
        return _from_files(files)
    copies = sorted(path.parent for depth in ("", "*/", "*/*/") for path in folder.glob(f"{depth}dataset_info.json"))
    if len(copies) > 1:
        raise DataError(f"{folder} holds {len(copies)} prepared copies, {', '.join(map(str, copies))}: keep one")
    if copies:
        return _from_prepared(copies[0])
    if files:
        missing = ", ".join(stem for stem in _STEMS if stem not in files)
        raise DataError(f"{folder} lacks {missing} (plain or .gz): add what is missing")
    raise DataError(f"{folder} has nothing of MNIST: it should hold {_EXPECTED} or a prepared copy")


def _idx_files(folder: Path) -> dict[str, Path]:
    """The IDX files that are in `folder`, by the name they were published under, without '.gz'."""
    files: dict[str, Path] = {}
    for stem in _STEMS:
        # Some archives name the files with a dot: train-images.idx3-ubyte.
        for name in (stem, stem.replace("-idx", ".idx")):
            for path in (folder / name, folder / f"{name}.gz"):
                if path.is_file():
                    files.setdefault(stem, path)
    return files


def _from_files(files: Mapping[str, Path]) -> DataSet:
    """The prepared copy of these files if there is one, else the files, which are then prepared."""
    from fer_jax.data import prepared  # Here, as TFDS takes 0.2 s to import that other data sets need not spend.

    copy = _cache() / f"prepared-{_key(files)}"
    folder = next(iter(files.values())).parent
    if copy.is_dir():
        try:
            data = prepared.read(copy)
            return replace(data, source=f"IDX files in {folder}, {_kind(data)}, prepared in {copy}")
        except DataError as error:
            warn(f"{error}; it is prepared again from {folder}")
    data = _parsed(files)
    data = replace(data, source=f"IDX files in {folder}, {_kind(data)}")
    try:
        prepared.write(data, copy)
    except DataError as error:
        warn(f"MNIST is used without a prepared copy: {error}")
        return data
    return replace(data, source=f"{data.source}, prepared in {copy}")


def _key(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for stem in _STEMS:
        try:
            digest.update(hashlib.sha256(files[stem].read_bytes()).digest())
        except OSError as error:
            raise DataError(f"{files[stem]} cannot be read: {error.strerror}") from error
    return digest.hexdigest()[:16]


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


def _kind(data: DataSet) -> str:
    return "the canonical MNIST" if data.fingerprint == CANONICAL else "which are not the canonical MNIST"


def _from_prepared(copy: Path) -> DataSet:
    from fer_jax.data import prepared

    data = prepared.read(copy)
    if data.name != "mnist" or set(data.splits) != {"train", "test"}:
        raise DataError(f"{copy} is a prepared copy of '{data.name}' with {', '.join(data.splits)}, not of MNIST")
    return replace(data, source=f"the prepared copy {copy}, {_kind(data)}")


def _prepared_earlier(cache: Path) -> tuple[DataSet | None, DataError | None]:
    """The canonical MNIST, if it was prepared here from a data folder that is no longer named, else what is damaged.

    Other digits are found through their source files only: nobody who names no folder asks for them.
    """
    from fer_jax.data import prepared

    damage = None
    for copy in sorted(cache.glob("prepared-*")):
        if prepared.recorded_fingerprint(copy) in (CANONICAL, ""):
            try:
                return _from_prepared(copy), None
            except DataError as error:
                warn(f"{error}; it is passed over")
                damage = error
    return None, damage


def _downloaded(cache: Path) -> DataSet:
    if is_offline():
        raise UnavailableError("FER_JAX_OFFLINE is set")
    given = os.environ.get("FER_JAX_MNIST_URL", "")
    with _writable(cache) as folder:
        download(CHECKSUMS, (given,) if given else MIRRORS, folder)
        data = _from_files(_idx_files(folder))
    if folder != cache:
        return replace(data, source=f"a download that was not kept, {_kind(data)}")
    return data


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[Path]:
    """`folder`, made if need be; a temporary one where it cannot be written."""
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(tempfile.TemporaryFile(dir=folder))
        except OSError as error:
            warn(f"{folder} cannot be written ({error.strerror}): the download is not kept")
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield folder
