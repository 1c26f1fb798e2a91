"""Data that are damaged, missing or misnamed: one sentence that names the file, and never another data set instead."""

import gzip
import shutil
import socket

import numpy as np
import pytest
from test_data import STEMS, assert_same, copies, idx_bytes, mirror, no_data, tiny_splits, tree, write_mnist

from fer_jax import data
from fer_jax.data import download, idx, mnist, prepared
from fer_jax.data.dataset import DataSet
from fer_jax.errors import ConfigError, DataError

__all__ = ["mirror", "no_data"]  # Fixtures.

IMAGES = idx_bytes(np.arange(2 * 3 * 3).reshape(2, 3, 3))
LABELS = idx_bytes(np.array([7, 9, 0]))
PACKED = gzip.compress(IMAGES, mtime=0)


def assert_one_sentence(message: str) -> None:
    assert message and "\n" not in message and "Traceback" not in message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty", b"", "is empty"),
        ("short_magic", IMAGES[:3], "ends inside its header"),
        ("short_header", IMAGES[:9], "ends inside its header"),
        ("header_only", IMAGES[:16], "is truncated: 18 bytes promised for shape (2, 3, 3), 0 found"),
        ("short_body", IMAGES[:-1], "is truncated: 18 bytes promised for shape (2, 3, 3), 17 found"),
        ("long_body", IMAGES + b"\0", "goes on after its end"),
        ("web_page", b"<html>not found</html>", "begins with 0x00000803, this one with 0x3c68746d"),
        ("labels", LABELS, "an IDX file of images begins with 0x00000803, this one with 0x00000801"),
        ("floats", b"\0\0\x0d\x03" + IMAGES[4:], "this one with 0x00000d03"),
        ("no_images", idx_bytes(np.zeros((0, 28, 28))), "promises nothing to read"),
        ("no_pixels", idx_bytes(np.zeros((2, 0, 28))), "promises nothing to read"),
        ("huge", b"\0\0\x08\x03" + b"\xff" * 12, "is truncated"),
        ("empty.gz", b"", "is empty"),
        ("empty_inside.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("truncated.gz", PACKED[:-9], "is a damaged or truncated archive"),
        ("short.gz", PACKED[:1], "is a damaged or truncated archive"),
        ("flipped.gz", PACKED[:-6] + bytes([PACKED[-6] ^ 1]) + PACKED[-5:], "is a damaged or truncated archive"),
        ("plain.gz", IMAGES, "is a damaged or truncated archive"),
        ("trailing.gz", PACKED + b"garbage", "is a damaged or truncated archive"),
        (
            "bomb.gz",
            gzip.compress(idx_bytes(np.zeros((1 << 15, 28, 28))), mtime=0),
            "unpacks to more than 16,777,216 bytes",
        ),
    ],
)
def test_damaged_image_file(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        idx.read_images(path)
    assert str(path) in str(caught.value) and message in str(caught.value)
    assert_one_sentence(str(caught.value))


def test_damaged_label_file(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(IMAGES)
    with pytest.raises(DataError, match="an IDX file of labels begins with 0x00000801, this one with 0x00000803"):
        idx.read_labels(path, 10)
    path.write_bytes(idx_bytes(np.array([3, 12, 200])))
    with pytest.raises(DataError, match="labels: label 12 of example 1 is above 9"):
        idx.read_labels(path, 10)


def test_unreadable_file(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read: Is a directory"):
        idx.read_labels(tmp_path, 10)


def test_whole_files_are_read(tmp_path):
    (tmp_path / "labels").write_bytes(LABELS)
    (tmp_path / "images.gz").write_bytes(PACKED)
    assert idx.read_labels(tmp_path / "labels", 10).tolist() == [7, 9, 0]
    np.testing.assert_array_equal(idx.read_images(tmp_path / "images.gz").ravel(), np.arange(18))


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("damage", ["truncated", "swapped", "counts", "sizes", "label", "missing", "nothing"])
def test_damaged_folder_is_an_error_and_never_the_fallback(tmp_path, monkeypatch, damage, by_hand):
    write_mnist(tmp_path, packed=False)
    folder = tmp_path / "mnist"
    images, labels = folder / STEMS[0], folder / STEMS[1]
    if damage == "truncated":
        images.write_bytes(images.read_bytes()[:-1])
        messages = [str(images), "is truncated"]
    elif damage == "swapped":
        shutil.copy(images, labels)
        messages = [str(labels), "an IDX file of labels begins with"]
    elif damage == "counts":
        labels.write_bytes(idx_bytes(np.zeros(47)))
        messages = [f"{images} holds 48 images and {labels} 47 labels"]
    elif damage == "sizes":
        images.write_bytes(idx_bytes(np.zeros((48, 32, 32))))
        messages = [f"{images} has images of 32x32 pixels and {folder / STEMS[2]} of 28x28"]
    elif damage == "label":
        labels.write_bytes(idx_bytes(np.full(48, 12)))
        messages = [f"{labels}: label 12 of example 0"]
    elif damage == "missing":
        labels.unlink()
        messages = [f"{folder} lacks {STEMS[1]} (plain or .gz)"]
    else:
        for path in folder.iterdir():
            path.unlink()
        messages = [f"{folder} has nothing of MNIST", *STEMS]
    monkeypatch.setenv("FER_JAX_DATA", str(tmp_path / "unused" if by_hand else tmp_path))
    with pytest.raises(DataError) as caught:
        data.load(name="mnist", fallback="digits", data_dir=str(tmp_path) if by_hand else "")
    for message in messages:
        assert message in str(caught.value)
    assert_one_sentence(str(caught.value))
    assert not copies()


def test_folder_by_hand_is_strict(tmp_path, monkeypatch):
    write_mnist(tmp_path / "other")
    write_mnist(download.cache_folder())
    monkeypatch.setenv("FER_JAX_DATA", str(tmp_path / "other"))
    with pytest.raises(DataError) as caught:
        data.load(name="mnist", fallback="digits", data_dir=str(tmp_path))
    assert str(tmp_path / "mnist") in str(caught.value) and "train-images-idx3-ubyte" in str(caught.value)


def test_damaged_cache_is_an_error(no_data):
    write_mnist(download.cache_folder())
    path = download.cache_folder() / "mnist" / f"{STEMS[0]}.gz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="damaged or truncated archive"):
        data.load(name="mnist", fallback="digits")


def test_nothing_anywhere_without_a_fallback(tmp_path, monkeypatch):
    monkeypatch.setenv("FER_JAX_DATA", str(tmp_path))
    with pytest.raises(DataError) as caught:
        data.load(name="mnist")
    message = str(caught.value)
    for part in (str(tmp_path / "mnist"), str(download.cache_folder()), "FER_JAX_OFFLINE", "--data_dir", *STEMS):
        assert part in message
    assert_one_sentence(message)


def damage_copy(copy, damage):
    """Damages a prepared copy."""
    records = next(copy.glob("mnist-train.array_record*"))
    if damage == "truncated":
        records.write_bytes(records.read_bytes()[:70_000])
    elif damage == "flipped":
        content = bytearray(records.read_bytes())
        content[500] ^= 255
        records.write_bytes(content)
    elif damage == "empty":
        records.write_bytes(b"")
    elif damage == "another":
        # Whole, but of other data: what a mixed-up copy looks like.
        other = copy.parent / "other"
        prepared.write(DataSet("mnist", tiny_splits(seed=5), tuple("0123456789"), ""), other)
        shutil.copy(next(other.glob("mnist-train.array_record*")), records)
        shutil.rmtree(other)
    elif damage == "no records":
        records.unlink()
    elif damage == "no folder":
        for path in copy.iterdir():
            path.unlink()
    elif damage == "not json":
        (copy / "dataset_info.json").write_text("{")
    else:
        (copy / damage).unlink()


DAMAGES = ["truncated", "flipped", "empty", "another", "no records", "no folder", "not json"]
DAMAGES += ["dataset_info.json", "features.json", "metadata.json"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_prepared_copy_is_said_and_made_again(tmp_path, capfd, damage):
    want = write_mnist(tmp_path)
    data.load(name="mnist", data_dir=str(tmp_path))
    (copy,) = copies()
    whole = set(tree(copy))
    damage_copy(copy, damage)
    assert_same(data.load(name="mnist", data_dir=str(tmp_path)), want)
    said = capfd.readouterr().err
    assert str(copy) in said and "prepared again" in said and said.count("\n") == 1
    assert copies() == [copy] and set(tree(copy)) == whole
    assert_same(data.load(name="mnist", data_dir=str(tmp_path)), want)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("damage", ["truncated", "metadata.json"])
@pytest.mark.parametrize("by_hand", [True, False])
def test_damaged_prepared_copy_without_a_source(tmp_path, monkeypatch, no_data, damage, by_hand):
    write_mnist(tmp_path / "a")
    loaded = data.load(name="mnist", data_dir=str(tmp_path / "a"))
    monkeypatch.setattr(mnist, "CANONICAL", loaded.fingerprint)
    (copy,) = copies()
    damage_copy(copy, damage)
    if by_hand:
        shutil.copytree(copy, tmp_path / "b" / "mnist" / "1.0.0")
    with pytest.raises(DataError) as caught:
        data.load(name="mnist", fallback="digits", data_dir=str(tmp_path / "b") if by_hand else "")
    assert str(tmp_path / "b" / "mnist" / "1.0.0" if by_hand else copy) in str(caught.value)
    assert_one_sentence(str(caught.value))


def test_damaged_prepared_copy_without_a_source_is_downloaded_again(mirror, monkeypatch):
    _, want, asked = mirror
    loaded = data.load(name="mnist")
    monkeypatch.setattr(mnist, "CANONICAL", loaded.fingerprint)
    for path in (download.cache_folder() / "mnist").glob("*.gz"):
        path.unlink()
    damage_copy(copies()[0], "truncated")
    assert_same(data.load(name="mnist"), want)
    assert len(asked) == 2 * len(STEMS)


def test_several_prepared_copies_in_a_data_folder(tmp_path):
    for name in ("a", "b"):
        prepared.write(DataSet("mnist", tiny_splits(), tuple("0123456789"), ""), tmp_path / "mnist" / name)
    with pytest.raises(DataError, match="holds 2 prepared copies"):
        data.load(name="mnist", data_dir=str(tmp_path))


def test_prepared_copy_of_something_else(tmp_path):
    prepared.write(DataSet("letters", tiny_splits(), tuple("0123456789"), ""), tmp_path / "mnist" / "1.0.0")
    with pytest.raises(DataError, match="is a prepared copy of 'letters'"):
        data.load(name="mnist", data_dir=str(tmp_path))


@pytest.mark.parametrize("offline", ["1", "0"])
def test_refused_connection_falls_back(no_data, monkeypatch, offline):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("FER_JAX_MNIST_URL", f"http://127.0.0.1:{port}/")
    monkeypatch.setenv("FER_JAX_OFFLINE", offline)
    got = data.load(name="mnist", fallback="digits")
    assert got.stand_in_for == "mnist"
    assert ("Connection refused" in got.source) == (offline == "0")
    with pytest.raises(DataError):
        data.load(name="mnist")


def test_offline_does_not_ask(mirror, monkeypatch):
    monkeypatch.setenv("FER_JAX_OFFLINE", "1")
    assert data.load(name="mnist", fallback="digits").name == "digits"
    assert mirror[2] == []


def test_silent_server_is_given_up(no_data, monkeypatch):
    assert download.CONNECT_SECONDS == 3.0
    monkeypatch.setattr(download, "CONNECT_SECONDS", 0.2)
    monkeypatch.delenv("FER_JAX_OFFLINE")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("FER_JAX_MNIST_URL", f"http://127.0.0.1:{listening.getsockname()[1]}/")
        got = data.load(name="mnist", fallback="digits")
    assert "no answer within 0.2 s" in got.source


@pytest.mark.parametrize("stem", STEMS)
def test_wrong_checksum_is_an_error_and_leaves_nothing(mirror, stem):
    folder = mirror[0]
    (folder / f"{stem}.gz").write_bytes(b"a captive portal's page")
    with pytest.raises(DataError, match=rf"{stem}.gz is not the file that is published under this name"):
        data.load(name="mnist", fallback="digits")
    kept = download.cache_folder() / "mnist"
    assert sorted(path.name for path in kept.iterdir()) == sorted(f"{s}.gz" for s in STEMS[: STEMS.index(stem)])


def test_wrong_file_in_an_unfinished_cache_is_an_error(mirror):
    kept = download.cache_folder() / "mnist"
    kept.mkdir(parents=True)
    (kept / f"{STEMS[0]}.gz").write_bytes(b"someone's own")
    with pytest.raises(DataError, match="move it away"):
        data.load(name="mnist", fallback="digits")
    assert (kept / f"{STEMS[0]}.gz").read_bytes() == b"someone's own"


def test_download_that_breaks_off(no_data, monkeypatch):
    import threading

    def answer(listening):
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    monkeypatch.delenv("FER_JAX_OFFLINE")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("FER_JAX_MNIST_URL", f"http://127.0.0.1:{listening.getsockname()[1]}/")
        thread = threading.Thread(target=answer, args=(listening,))
        thread.start()
        got = data.load(name="mnist", fallback="digits")
        thread.join()
    assert "broke off after 4 of 100 bytes" in got.source


def test_full_disk_in_a_download(mirror, monkeypatch):
    def replace(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download.os, "replace", replace)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz cannot be written: No space left on device"):
        data.load(name="mnist", fallback="digits")
    assert list((download.cache_folder() / "mnist").iterdir()) == []


def test_base_url_of_another_kind(no_data, monkeypatch):
    monkeypatch.delenv("FER_JAX_OFFLINE")
    monkeypatch.setenv("FER_JAX_MNIST_URL", "file:///etc")
    with pytest.raises(DataError, match="begins with http"):
        data.load(name="mnist", fallback="digits")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"name": "mnits"}, r"config\.data\.name: .*'mnits'; did you mean 'mnist'\?"),
        ({"name": "mnist", "fallback": "digit"}, r"config\.data\.fallback: .*did you mean 'digits'\?"),
        ({"name": "digits", "fallback": "mnist"}, r"config\.data\.fallback: .*known: digits"),
        ({"name": "digits", "limit": -1}, r"config\.data\.limit must be at least 0, not -1"),
    ],
)
def test_bad_section(section, message):
    with pytest.raises(ConfigError, match=message):
        data.load(**section)


def test_bad_protocol():
    whole = DataSet("tiny", tiny_splits(), (), "")
    with pytest.raises(ConfigError, match=r"config\.protocol: .*did you mean 'clean'\?"):
        data.protocol_splits(whole, "claen")
    with pytest.raises(ConfigError, match=r"config\.data\.limit must be at least 0"):
        data.protocol_splits(whole, "clean", limit=-2)


@pytest.mark.parametrize(("train", "test", "name"), [(11, 1, "validation"), (0, 1, "train"), (24, 0, "test")])
def test_empty_split(train, test, name):
    splits = tiny_splits()
    whole = DataSet("tiny", {"train": splits["train"][:train], "test": splits["test"][:test]}, (), "here")
    with pytest.raises(DataError, match=rf"the {name} split of 'tiny' is empty under config.protocol = 'clean'"):
        data.protocol_splits(whole, "clean")
