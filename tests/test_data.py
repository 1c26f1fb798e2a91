"""Data sets that are whole: where they are looked for, what they become, how a protocol splits them."""

import contextlib
import gzip
import hashlib
import http.server
import shutil
import socket
import struct
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from fer_jax import data
from fer_jax.data import digits, download, mnist, prepared
from fer_jax.data.dataset import DataSet, Split
from fer_jax.errors import DataError

STEMS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
TRAIN, TEST = 48, 12


def idx_bytes(array: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes."""
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def tiny_splits(seed: int = 0) -> dict[str, Split]:
    """A train and a test split of noise."""
    draw = np.random.RandomState(seed)
    return {
        name: Split(draw.randint(0, 256, (n, 28, 28, 1)).astype(np.uint8), draw.randint(0, 10, n).astype(np.int32))
        for name, n in (("train", TRAIN), ("test", TEST))
    }


def write_mnist(folder: Path, seed: int = 0, packed: bool = True) -> dict[str, Split]:
    """Writes the four IDX files into `folder`/mnist and returns what is in them."""
    splits = tiny_splits(seed)
    (folder / "mnist").mkdir(parents=True)
    arrays = [array for split in splits.values() for array in (split.images[..., 0], split.labels)]
    for stem, array in zip(STEMS, arrays, strict=True):
        content = idx_bytes(array)
        name, content = (f"{stem}.gz", gzip.compress(content, mtime=0)) if packed else (stem, content)
        (folder / "mnist" / name).write_bytes(content)
    return splits


def copies() -> list[Path]:
    """The prepared copies in the cache of this test."""
    return sorted((download.cache_folder() / "mnist").glob("prepared-*"))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_same(got: DataSet, want: dict[str, Split]) -> None:
    assert set(got.splits) == set(want)
    for name, split in want.items():
        assert got.splits[name].images.dtype == np.uint8
        assert got.splits[name].labels.dtype == np.int32
        np.testing.assert_array_equal(got.splits[name].images, split.images)
        np.testing.assert_array_equal(got.splits[name].labels, split.labels)


@contextlib.contextmanager
def serving(folder: Path):
    """Serves `folder` on the loopback; gives the base URL and the list of paths that were asked for."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A loopback mirror with tiny files whose checksums are the expected ones."""
    splits = write_mnist(tmp_path / "mirror")
    folder = tmp_path / "mirror" / "mnist"
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    monkeypatch.setattr(mnist, "CHECKSUMS", {f"{stem}.gz": sums[f"{stem}.gz"] for stem in STEMS})
    monkeypatch.delenv("FER_JAX_OFFLINE")
    monkeypatch.delenv("FER_JAX_DATA", raising=False)
    with serving(folder) as (url, asked):
        monkeypatch.setenv("FER_JAX_MNIST_URL", url)
        yield folder, splits, asked


@pytest.fixture
def no_data(monkeypatch):
    monkeypatch.delenv("FER_JAX_DATA", raising=False)


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_read_prepared_and_read_back(tmp_path, monkeypatch, packed):
    want = write_mnist(tmp_path, packed=packed)
    before = tree(tmp_path)
    first = data.load(name="mnist", data_dir=str(tmp_path))
    assert_same(first, want)
    assert first.class_names == tuple("0123456789") and first.stand_in_for == ""
    (copy,) = copies()
    assert first.source == f"IDX files in {tmp_path / 'mnist'}, which are not the canonical MNIST, prepared in {copy}"

    def parsed(files):
        raise AssertionError("the prepared copy is to be used")

    monkeypatch.setattr(mnist, "_parsed", parsed)
    second = data.load(name="mnist", data_dir=str(tmp_path))
    assert_same(second, want)
    assert second.source == first.source and second.fingerprint == first.fingerprint
    assert tree(tmp_path) == before, "a data folder is only read"
    assert [path.name for path in copy.parent.iterdir()] == [copy.name], "nothing temporary is left"


def test_nothing_is_printed_and_tensorflow_is_not_imported(tmp_path, capfd):
    write_mnist(tmp_path)
    for _ in range(2):
        data.load(name="mnist", data_dir=str(tmp_path))
    assert capfd.readouterr() == ("", "")
    assert "tensorflow" not in sys.modules


def test_splits_of_several_blocks_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(prepared, "_BLOCK", 5)
    want = write_mnist(tmp_path)
    for _ in range(2):
        assert_same(data.load(name="mnist", data_dir=str(tmp_path)), want)


def test_file_names_with_a_dot_are_known(tmp_path):
    want = write_mnist(tmp_path, packed=False)
    for path in (tmp_path / "mnist").iterdir():
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert_same(data.load(name="mnist", data_dir=str(tmp_path)), want)


def test_every_data_folder_has_its_own_prepared_copy(tmp_path):
    for seed in (0, 1, 0, 1):
        folder = tmp_path / str(seed)
        want = tiny_splits(seed) if folder.exists() else write_mnist(folder, seed)
        assert_same(data.load(name="mnist", data_dir=str(folder)), want)
    assert len(copies()) == 2


def test_environment_folder_is_used_and_a_folder_by_hand_goes_before_it(tmp_path, monkeypatch):
    in_environment = write_mnist(tmp_path / "a", seed=1)
    by_hand = write_mnist(tmp_path / "b", seed=2)
    monkeypatch.setenv("FER_JAX_DATA", str(tmp_path / "a"))
    assert_same(data.load(name="mnist", fallback="digits"), in_environment)
    assert_same(data.load(name="mnist", data_dir=str(tmp_path / "b")), by_hand)


def test_environment_folder_without_mnist_leads_on_to_the_cache(tmp_path, monkeypatch):
    want = write_mnist(download.cache_folder())
    monkeypatch.setenv("FER_JAX_DATA", str(tmp_path))
    assert_same(data.load(name="mnist"), want)


def test_environment_folder_that_is_none_is_mentioned(tmp_path, monkeypatch, capsys):
    write_mnist(download.cache_folder())
    monkeypatch.setenv("FER_JAX_DATA", str(tmp_path / "misspelt"))
    data.load(name="mnist")
    assert "misspelt, which is not a folder" in capsys.readouterr().err


@pytest.mark.parametrize("inside", [".", "1.0.0", "mnist/1.0.0"])
def test_prepared_copy_inside_a_data_folder(tmp_path, inside):
    want = write_mnist(tmp_path / "source")
    data.load(name="mnist", data_dir=str(tmp_path / "source"))
    shutil.copytree(copies()[0], tmp_path / "other" / "mnist" / inside)
    got = data.load(name="mnist", data_dir=str(tmp_path / "other"))
    assert_same(got, want)
    assert got.source.startswith(f"the prepared copy {tmp_path / 'other' / 'mnist' / inside}")


def test_canonical_copy_is_found_without_its_source(tmp_path, monkeypatch, no_data):
    want = write_mnist(tmp_path)
    write_mnist(tmp_path / "other", seed=1)
    loaded = data.load(name="mnist", data_dir=str(tmp_path))
    data.load(name="mnist", data_dir=str(tmp_path / "other"))
    assert data.load(name="mnist", fallback="digits").name == "digits", "these are not the canonical MNIST"
    monkeypatch.setattr(mnist, "CANONICAL", loaded.fingerprint)
    got = data.load(name="mnist", fallback="digits")
    assert_same(got, want)
    assert got.source.endswith(", the canonical MNIST")


@pytest.mark.parametrize("cache", ["file", "homeless"])
def test_unwritable_cache_is_said_and_does_no_harm(tmp_path, monkeypatch, capsys, cache):
    want = write_mnist(tmp_path)
    if cache == "file":
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    else:
        monkeypatch.delenv("XDG_CACHE_HOME")

        def home():
            raise RuntimeError("no home")

        monkeypatch.setattr(Path, "home", home)
    got = data.load(name="mnist", data_dir=str(tmp_path))
    assert_same(got, want)
    assert got.source == f"IDX files in {tmp_path / 'mnist'}, which are not the canonical MNIST"
    assert "MNIST is used without a prepared copy" in capsys.readouterr().err


def test_cache_folder_ignores_a_relative_setting(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert download.cache_folder() == Path.home() / ".cache" / "fer_jax"


def test_copy_that_another_process_put_there_first_is_kept(tmp_path, monkeypatch):
    write_mnist(tmp_path)

    def replace(source, target):
        shutil.copytree(source, target)
        raise OSError("Directory not empty")

    monkeypatch.setattr(prepared.os, "replace", replace)
    assert "prepared in" in data.load(name="mnist", data_dir=str(tmp_path)).source


def test_download_is_kept_and_not_repeated(mirror):
    _, want, asked = mirror
    assert_same(data.load(name="mnist"), want)
    assert sorted(asked) == sorted(f"/{stem}.gz" for stem in STEMS)
    kept = download.cache_folder() / "mnist"
    assert sorted(path.name for path in kept.iterdir()) == sorted([*mnist.CHECKSUMS, copies()[0].name])
    assert_same(data.load(name="mnist"), want)
    assert len(asked) == len(STEMS)


def test_interrupted_download_goes_on_where_it_was(mirror):
    folder, want, asked = mirror
    kept = download.cache_folder() / "mnist"
    kept.mkdir(parents=True)
    shutil.copy(folder / f"{STEMS[0]}.gz", kept)
    assert_same(data.load(name="mnist"), want)
    assert sorted(asked) == sorted(f"/{stem}.gz" for stem in STEMS[1:])


def test_download_without_a_writable_cache(mirror, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    got = data.load(name="mnist")
    assert_same(got, mirror[1])
    assert (
        got.source.startswith("a download that was not kept") and "the download is not kept" in capsys.readouterr().err
    )


@pytest.mark.parametrize("broken", ["refuses", "hangs", "has nothing"])
def test_second_mirror_serves_when_the_first_does_not(mirror, tmp_path, monkeypatch, broken):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # A listening socket that is never accepted from takes a request and does not answer.
        broken_url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        if broken == "refuses":
            listening.close()
        if broken == "has nothing":
            broken_url = mnist.os.environ["FER_JAX_MNIST_URL"] + "nowhere/"
        monkeypatch.setattr(mnist, "MIRRORS", (broken_url, mnist.os.environ["FER_JAX_MNIST_URL"]))
        monkeypatch.delenv("FER_JAX_MNIST_URL")
        assert_same(data.load(name="mnist"), mirror[1])


def test_progress_is_drawn_on_a_terminal_only(mirror, monkeypatch, capfd):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    data.load(name="mnist")
    assert "train-images-idx3-ubyte.gz" in capfd.readouterr().err


def test_offline_falls_back_to_digits_and_says_why(no_data):
    got = data.load(name="mnist", fallback="digits")
    assert got.name == "digits" and got.stand_in_for == "mnist"
    assert "FER_JAX_OFFLINE is set" in got.source and str(download.cache_folder() / "mnist") in got.source


def test_digits():
    got = data.load(name="digits", data_dir="/nowhere")
    assert got.stand_in_for == "" and got.class_names == tuple("0123456789")
    train, test = got.splits["train"], got.splits["test"]
    assert train.images.shape == (1437, 28, 28, 1) and test.images.shape == (360, 28, 28, 1)
    assert train.images.dtype == np.uint8 and train.labels.dtype == np.int32
    assert train.labels.shape == (1437,) and test.labels.shape == (360,)
    images = np.concatenate([train.images, test.images])[..., 0]
    assert images[:, 2:26, 2:26].max() == 255 and images.sum() == images[:, 2:26, 2:26].sum()
    from sklearn.datasets import load_digits

    original = load_digits()
    order = np.random.RandomState(0).permutation(1797)
    np.testing.assert_array_equal(images[:, 3:26:3, 3:26:3], np.round(original.images[order] * 255 / 16))
    np.testing.assert_array_equal(images[:, 2:26:3, 4:26:3], images[:, 3:26:3, 3:26:3])
    np.testing.assert_array_equal(np.concatenate([train.labels, test.labels]), original.target[order])
    assert digits.load().fingerprint == got.fingerprint


def test_seed_protocol_watches_the_test_split():
    splits = tiny_splits()
    got = data.protocol_splits(DataSet("tiny", splits, (), ""), "seed")
    np.testing.assert_array_equal(got.train.images, splits["train"].images)
    np.testing.assert_array_equal(got.test.labels, splits["test"].labels)
    assert got.watched is got.test and got.watched_name == "test"


def test_clean_protocol_holds_out_the_last_twelfth():
    splits = tiny_splits()
    got = data.protocol_splits(DataSet("tiny", splits, (), ""), "clean")
    assert (len(got.train), len(got.watched), len(got.test)) == (44, 4, 12) and got.watched_name == "validation"
    for part in ("images", "labels"):
        together = np.concatenate([getattr(got.train, part), getattr(got.watched, part)])
        np.testing.assert_array_equal(together, getattr(splits["train"], part))
        np.testing.assert_array_equal(getattr(got.test, part), getattr(splits["test"], part))


@pytest.mark.parametrize(("rows", "held_out"), [(60_000, 5_000), (1437, 119), (12, 1), (23, 1)])
def test_clean_protocol_sizes(rows, held_out):
    train = Split(np.zeros((rows, 1, 1, 1), np.uint8), np.arange(rows, dtype=np.int32))
    got = data.protocol_splits(DataSet("rows", {"train": train, "test": train[:1]}, (), ""), "clean")
    np.testing.assert_array_equal(got.train.labels, np.arange(rows - held_out))
    np.testing.assert_array_equal(got.watched.labels, np.arange(rows - held_out, rows))


def test_clean_protocol_uses_a_validation_split_where_there_is_one():
    splits = {**tiny_splits(), "validation": tiny_splits(seed=1)["test"]}
    got = data.protocol_splits(DataSet("tiny", splits, (), ""), "clean")
    np.testing.assert_array_equal(got.watched.images, splits["validation"].images)
    assert len(got.train) == TRAIN


@pytest.mark.parametrize("protocol", ["seed", "clean"])
def test_limit_is_taken_after_splitting(protocol):
    whole = DataSet("tiny", tiny_splits(), (), "")
    unlimited, got = data.protocol_splits(whole, protocol), data.protocol_splits(whole, protocol, limit=3)
    for name in ("train", "watched", "test"):
        np.testing.assert_array_equal(getattr(got, name).images, getattr(unlimited, name).images[:3])
        np.testing.assert_array_equal(getattr(got, name).labels, getattr(unlimited, name).labels[:3])


def test_limit_above_the_size_keeps_everything():
    got = data.protocol_splits(DataSet("tiny", tiny_splits(), (), ""), "clean", limit=1000)
    assert (len(got.train), len(got.watched), len(got.test)) == (44, 4, 12)


def test_real_mnist(real_data):
    for _ in range(2):
        got = data.load(name="mnist", data_dir=str(real_data))
        assert got.fingerprint == mnist.CANONICAL
        assert "the canonical MNIST" in got.source and "not the canonical" not in got.source
        train, test = got.splits["train"], got.splits["test"]
        assert train.images.shape == (60_000, 28, 28, 1) and test.images.shape == (10_000, 28, 28, 1)
        assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
        assert round(float(train.images.mean() / 255), 5) == 0.13066
    clean = data.protocol_splits(got, "clean")
    assert (len(clean.train), len(clean.watched), len(clean.test)) == (55_000, 5_000, 10_000)


def test_real_files_have_the_checksums_of_the_download(real_data):
    for name, checksum in mnist.CHECKSUMS.items():
        path = real_data / "mnist" / name
        if path.is_file():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == checksum


def test_prepared_copy_cannot_be_written_over_a_file(tmp_path):
    (tmp_path / "copy").touch()
    with pytest.raises(DataError, match="copy cannot be written"):
        prepared.write(DataSet("tiny", tiny_splits(), ("a",), ""), tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
