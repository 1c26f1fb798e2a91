"""Prepared copies of data sets: written and read by a TFDS builder of ours, without TensorFlow.

A record is a block of up to 1,000 examples: TFDS reads and decodes record by record in Python, so MNIST's training
images took 10 s one by one (2 s in one batched call) and take 0.2 s in blocks.
"""

import contextlib
import io
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from fer_jax.aligned import aligned
from fer_jax.data.dataset import DataSet, Split
from fer_jax.errors import DataError
from fer_jax.forms import misfit

_BLOCK = 1000
_METADATA = "metadata.json"


class _Info(tfds.core.DatasetInfo):
    def initialize_from_bucket(self) -> None:
        """Looks nowhere: TFDS would leave an empty temporary folder behind for a lookup that is off by default."""


class ImageArrays(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes a `DataSet` as ArrayRecord files.

    A record has 'images', uint8 [n, H, W, C], 'labels', int32 [n], and the extras by their names, with n <= 1,000, in
    the order of the split.

    Args:
      data: the data set; its name becomes the builder's.
      data_dir: the files go to `<data_dir>/<name>/<version>`.
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, data: DataSet, data_dir: str):
        self.name = data.name
        self._data = data
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        splits = list(self._data.splits.values())
        if any(split.extras.keys() != splits[0].extras.keys() for split in splits):
            raise ValueError("its splits carry different extras")
        return _Info(
            builder=self,
            disable_shuffling=True,
            features=tfds.features.FeaturesDict(
                {name: _feature(values) for name, values in _columns(splits[0]).items()}
            ),
            metadata=tfds.core.MetadataDict(
                name=self._data.name,
                class_names=list(self._data.class_names),
                source=self._data.source,
                fingerprint=self._data.fingerprint,
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {name: self._generate_examples(split) for name, split in self._data.splits.items()}

    def _generate_examples(self, split: Split) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        for start in range(0, len(split), _BLOCK):
            yield start, _columns(split[start : start + _BLOCK])


def _columns(split: Split) -> dict[str, np.ndarray]:
    """What a record holds of a split, by name; TFDS takes text as objects only."""
    columns = {"images": split.images, "labels": split.labels, **split.extras}
    return {name: values.astype(object) if values.dtype.kind == "U" else values for name, values in columns.items()}


def _feature(values: np.ndarray) -> tfds.features.Tensor:
    if values.dtype == object:
        return tfds.features.Tensor(shape=(None, *values.shape[1:]), dtype=np.str_)
    # Without an encoding, TFDS writes each byte as a 64-bit integer, ten times slower.
    return tfds.features.Tensor(
        shape=(None, *values.shape[1:]), dtype=values.dtype, encoding=tfds.features.Encoding.BYTES
    )


def write(data: DataSet, directory: Path) -> None:
    """Writes a prepared copy, whole or not at all; one that is there is replaced.

    Raises:
      DataError: if it cannot be written.
    """
    temporary = None
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.mkdtemp(prefix=".preparing-", dir=directory.parent)
        with _quiet():
            builder = ImageArrays(data=data, data_dir=temporary)
            builder.download_and_prepare(download_dir=temporary)
        shutil.rmtree(directory, ignore_errors=True)
        try:
            os.replace(builder.data_dir, directory)
        except OSError:
            # Another process may have put its copy of the same data there first.
            if not (directory / _METADATA).is_file():
                raise
    except Exception as error:  # TFDS and array_record document no errors: OSError, RuntimeError, ... were seen.
        raise DataError(f"{directory} cannot be written ({_first_line(error)})") from error
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def read(directory: Path) -> DataSet:
    """Reads a prepared copy into host memory, and checks every pixel, label and extra against its fingerprint.

    Raises:
      DataError: if it is damaged or is not one of ours.
    """
    try:
        with _quiet():
            builder = tfds.builder_from_directory(str(directory))
            splits = {name: _read_split(builder.as_data_source(name)) for name in builder.info.splits}
        metadata = json.loads((directory / _METADATA).read_text(encoding="utf-8"))
        wrong = misfit(metadata, {"name": str, "class_names": [str], "source": str, "fingerprint": str})
        if wrong is not None:
            raise ValueError(f"{_METADATA} is damaged: {wrong or 'all of it'}")
        data = DataSet(metadata["name"], splits, tuple(metadata["class_names"]), metadata["source"])
        fingerprint = metadata["fingerprint"]
    except Exception as error:  # A damaged file shows up as any of a dozen errors of TFDS, protobuf and array_record.
        raise DataError(f"{directory} is no whole prepared copy of ours ({_first_line(error)})") from error
    if data.fingerprint != fingerprint:
        raise DataError(f"{directory}: the examples are not those that were prepared (fingerprint {fingerprint[:12]})")
    for name, split in splits.items():
        if len(split) and not 0 <= split.labels.min() <= split.labels.max() < len(data.class_names):
            raise DataError(f"{directory}: the labels of {name} are not those of its {len(data.class_names)} classes")
    return data


def recorded_fingerprint(directory: Path) -> str:
    """What `directory` says that the fingerprint of its data is; '' if it is no prepared copy."""
    try:
        return str(json.loads((directory / _METADATA).read_text(encoding="utf-8"))["fingerprint"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ""


def _read_split(records: Sequence[Any]) -> Split:
    blocks = [records[i] for i in range(len(records))]
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    for name, values in columns.items():
        if values.dtype.kind in "OS":  # Text comes back as the bytes of each string.
            columns[name] = np.array([value.decode() for value in values])
    images, labels = columns.pop("images"), columns.pop("labels")
    if (
        images.dtype != np.uint8
        or labels.dtype != np.int32
        or images.ndim != 4
        or any(len(values) != len(images) for values in (labels, *columns.values()))
    ):
        raise ValueError(f"images {images.shape}, labels {labels.shape} and extras do not belong together")
    return Split(aligned(images), labels, columns)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what TFDS prints, logs, warns of and draws off the terminal."""
    tfds.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
