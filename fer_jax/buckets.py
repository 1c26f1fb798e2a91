"""Folders and files by the words that a user has for them: on this machine, or in a bucket, by gs://BUCKET/NAME.

What is in a bucket is named by an `etils.epath.Path`, which has the interface of `pathlib.Path`. It differs in this: an
object is written whole or not at all, none can be locked, renamed at once or added to, and a folder is there as long as
an object has its name in front.
"""

import os
from pathlib import Path
from typing import Any

from fer_jax.errors import ConfigError

_SCHEME = "gs://"


def is_bucket(place: str | Path) -> bool:
    """Whether a word, or what `named` made of it, names something in a bucket."""
    return "://" in str(place)


def named(word: str) -> Path:
    """The folder or file that a word names, which need not be there; `~` is the user's home.

    Raises:
      ConfigError: it is in a bucket of another kind than gs://, or what reads buckets is not installed.
    """
    if not is_bucket(word):
        return Path(os.path.expanduser(word))
    if not word.startswith(_SCHEME) or not word.removeprefix(_SCHEME).strip("/"):
        raise ConfigError(f"{word}: name a folder of this machine, or one in a bucket as gs://BUCKET/FOLDER")
    file_system()
    # Else it reads buckets by TensorFlow wherever that is installed, which takes seconds to import.
    os.environ.setdefault("EPATH_USE_TF", "false")
    from etils import epath

    path: Any = epath.Path(word)
    return path


def file_system() -> Any:
    """What reads and writes buckets, of fsspec.

    Raises:
      ConfigError: it is not installed.
    """
    import fsspec

    # Else it asks before each access for the kind of the bucket, over another protocol and with a right of its own.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    # Other processes write there too, and so does TensorStore: a listing that is kept is soon wrong.
    fsspec.config.conf.setdefault("gcs", {})["use_listings_cache"] = False
    try:
        return fsspec.filesystem("gcs")
    except ImportError as error:
        raise ConfigError(f"{_SCHEME} needs gcsfs, which is not installed: pip install -e '.[gcs]'") from error


def local(word: str) -> Path:
    """The folder of this machine that a word names.

    Raises:
      ConfigError: it names one in a bucket.
    """
    if is_bucket(word):
        raise ConfigError(f"{word} is in a bucket, and this command works on folders of this machine: copy it first")
    return Path(os.path.expanduser(word))


def failures(path: str | Path) -> type[Exception]:
    """What is raised where a file cannot be read or written: for a bucket it may be anything."""
    return Exception if is_bucket(path) else OSError
