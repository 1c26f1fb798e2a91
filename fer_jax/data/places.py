"""Where a data set is looked for, and how its files are prepared once: the same for every set that has files.

The first place that has it is used: the folder given by hand, else `FER_JAX_DATA`, else the user's cache, else a
download into that cache. A place that has it damaged is an error, never passed over. Data folders are only read; source
files are prepared once into the user's cache, under a key made of their bytes.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fer_jax.buckets import is_bucket
from fer_jax.data import bucket_copy
from fer_jax.data.dataset import DataSet
from fer_jax.data.download import UnavailableError, cache_folder, is_offline
from fer_jax.errors import DataError, warn


@dataclass(frozen=True)
class Source:
    """The files of a data set that one folder holds.

    Attributes:
      words: what and where they are, for a person: 'IDX files in /data/mnist'.
      files: in a fixed order; their bytes, in that order, make the key of the prepared copy.
      read: turns them into the data set; its `source` says what was found in them, for `describe` to repeat.
      missing: the files that it lacks, in words; '' if it is whole.
      detail: what else decides what is read, such as the names of the files or an option; part of the key.
    """

    words: str
    files: tuple[Path, ...]
    read: Callable[[], DataSet]
    missing: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Recipe:
    """How one data set is found, read and named.

    Attributes:
      name: its folder in a data folder, and in the cache; the `name` of the data set.
      title: what a person calls it: 'MNIST'.
      splits: those that a prepared copy has at least.
      expected: what its folder should hold, in words.
      advice: what to do where it is in no place, as an imperative clause.
      find: the files of it that a folder holds; None if there are none.
      describe: what is to be said of the data themselves: 'the canonical MNIST'.
      canonical: the fingerprints of the published data, the best first: a copy prepared from them is used even where
        the files are no longer at hand.
      download: puts the published files into an existing folder, or raises UnavailableError; None if nobody publishes
        them.
    """

    name: str
    title: str
    splits: tuple[str, ...]
    expected: str
    advice: str
    find: Callable[[Path], Source | None]
    describe: Callable[[DataSet], str]
    canonical: tuple[str, ...] = ()
    download: Callable[[Path], None] | None = None


def load(recipe: Recipe, data_dir: str = "") -> DataSet:
    """Loads a data set from the first place that has it.

    Args:
      recipe: the data set.
      data_dir: a folder that holds `<recipe.name>/`, with the source files or a prepared copy; no other place is
        searched. '' searches them all.

    Returns:
      The data set; `source` says where it was read from and what `recipe.describe` says of it.

    Raises:
      UnavailableError: if no place has it.
      DataError: if `data_dir` does not have it, or the first place that does has it damaged.
    """
    if data_dir:
        return _from_given(recipe, data_dir)
    places = []
    if given := os.path.expanduser(os.environ.get("FER_JAX_DATA", "")):
        if _has(given, recipe):
            return _from_given(recipe, given)
        places.append(os.path.join(given, recipe.name))
    cache = _cache(recipe)
    source = recipe.find(cache)
    if source and not source.missing:
        return from_files(recipe, source)
    if source and recipe.download is None:
        raise DataError(f"{cache} lacks {source.missing}: add what is missing")
    data, damage = _prepared_earlier(recipe, cache)
    if data is not None:
        return data
    places.append(str(cache))
    try:
        return _downloaded(recipe, cache)
    except UnavailableError as error:
        if damage is not None:
            raise DataError(
                f"{damage}, and {recipe.title} could not be downloaded again ({error}): delete that folder, and "
                f"{recipe.advice}"
            ) from error
        raise UnavailableError(
            f"{recipe.title} is not in {' or '.join(places)} and could not be downloaded ({error}): {recipe.advice}"
        ) from error


def _cache(recipe: Recipe) -> Path:
    return cache_folder() / recipe.name


def _has(given: str, recipe: Recipe) -> bool:
    """Whether what FER_JAX_DATA names has a folder for a data set; warns if it is no folder itself."""
    if is_bucket(given):
        return bucket_copy.has(os.path.join(given, recipe.name))
    if not Path(given).is_dir():
        warn(f"FER_JAX_DATA names {given}, which is not a folder; {recipe.title} is looked for elsewhere")
    return Path(given, recipe.name).is_dir()


def _from_given(recipe: Recipe, data_dir: str) -> DataSet:
    """Reads what a data folder has of a set, on this machine or in a bucket."""
    word = os.path.join(data_dir, recipe.name)
    folder = bucket_copy.here(word)
    data = _from_folder(recipe, folder)
    return replace(data, source=data.source.replace(str(folder), word)) if is_bucket(word) else data


def _from_folder(recipe: Recipe, folder: Path) -> DataSet:
    """Reads a data folder: the source files where all are there, else a prepared copy."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: it should hold {recipe.expected} or a prepared copy")
    source = recipe.find(folder)
    if source and not source.missing:
        return from_files(recipe, source)
    copies = sorted(path.parent for depth in ("", "*/", "*/*/") for path in folder.glob(f"{depth}dataset_info.json"))
    if len(copies) > 1:
        raise DataError(f"{folder} holds {len(copies)} prepared copies, {', '.join(map(str, copies))}: keep one")
    if copies:
        return _from_prepared(recipe, copies[0])
    if source:
        raise DataError(f"{folder} lacks {source.missing}: add what is missing")
    raise DataError(f"{folder} has nothing of {recipe.title}: it should hold {recipe.expected} or a prepared copy")


def from_files(recipe: Recipe, source: Source) -> DataSet:
    """The prepared copy of these files if there is one, else the files, which are then prepared.

    Raises:
      DataError: if the files are damaged.
    """
    from fer_jax.data import prepared  # Here, as TFDS takes 0.2 s to import that other data sets need not spend.

    copy = _cache(recipe) / f"prepared-{_key(source)}"
    if copy.is_dir():
        try:
            data = prepared.read(copy)
            return replace(data, source=f"{source.words}, {recipe.describe(data)}, prepared in {copy}")
        except DataError as error:
            warn(f"{error}; it is prepared again from {source.words}")
    data = source.read()
    words = f"{source.words}, {recipe.describe(data)}"
    try:
        prepared.write(data, copy)
    except DataError as error:
        warn(f"{recipe.title} is used without a prepared copy: {error}")
        return replace(data, source=words)
    return replace(data, source=f"{words}, prepared in {copy}")


def _key(source: Source) -> str:
    digest = hashlib.sha256()
    for path in source.files:
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
    digest.update(source.detail.encode())
    return digest.hexdigest()[:16]


def _from_prepared(recipe: Recipe, copy: Path) -> DataSet:
    from fer_jax.data import prepared

    data = prepared.read(copy)
    if data.name != recipe.name or not set(recipe.splits) <= set(data.splits):
        raise DataError(
            f"{copy} is a prepared copy of '{data.name}' with {', '.join(data.splits)}, not of {recipe.title}"
        )
    return replace(data, source=f"the prepared copy {copy}, {recipe.describe(data)}")


def _prepared_earlier(recipe: Recipe, cache: Path) -> tuple[DataSet | None, DataError | None]:
    """The published data, if they were prepared here from a folder that is no longer named, else what is damaged.

    Other data are found through their source files only: nobody who names no folder asks for them.
    """
    from fer_jax.data import prepared

    found: list[tuple[int, Path]] = []
    for copy in sorted(cache.glob("prepared-*")):
        recorded = prepared.recorded_fingerprint(copy)
        if recorded in recipe.canonical:
            found.append((recipe.canonical.index(recorded), copy))
        elif not recorded:
            found.append((len(recipe.canonical), copy))
    damage = None
    for _, copy in sorted(found):
        try:
            return _from_prepared(recipe, copy), None
        except DataError as error:
            warn(f"{error}; it is passed over")
            damage = error
    return None, damage


def _downloaded(recipe: Recipe, cache: Path) -> DataSet:
    if recipe.download is None:
        raise UnavailableError("nobody publishes it for download")
    if is_offline():
        raise UnavailableError("FER_JAX_OFFLINE is set")
    with _writable(cache) as folder:
        recipe.download(folder)
        source = recipe.find(folder)
        if source is None or source.missing:
            raise DataError(f"the download did not bring {recipe.expected}")
        data = from_files(recipe, source)
    if folder != cache:
        return replace(data, source=f"a download that was not kept, {recipe.describe(data)}")
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
