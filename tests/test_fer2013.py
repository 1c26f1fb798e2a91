"""FER2013 that is whole: every form of it gives the same arrays, and says what it is."""

import gzip
import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fer2013_files import (
    SIZES,
    csv_bytes,
    csv_lines,
    icml_bytes,
    tar_bytes,
    tiny_fer2013,
    tiny_votes,
    votes_lines,
    write_compact,
    write_pictures,
    zip_bytes,
)
from test_data import tree

from fer_jax import data
from fer_jax.data import download, fer2013, fer2013_compact, fer2013_csv, fer2013_facts, prepared
from fer_jax.data.dataset import DataSet, Split
from fer_jax.errors import DataError


@pytest.fixture
def folder(tmp_path) -> Path:
    """A data folder with an empty fer2013/."""
    (tmp_path / "data" / "fer2013").mkdir(parents=True)
    return tmp_path / "data"


@pytest.fixture
def official(monkeypatch):
    """The tiny splits, taken for the published ones while the test runs."""
    splits = tiny_fer2013()
    for name, split in splits.items():
        monkeypatch.setitem(fer2013_facts.COUNTS, name, fer2013_facts.counts(split))
        monkeypatch.setitem(fer2013_facts.CONTENTS, name, fer2013_facts.content(split))
    return splits


def copies() -> list[Path]:
    """The prepared copies in the cache of this test."""
    return sorted((download.cache_folder() / "fer2013").glob("*"))


def assert_same(got: DataSet, want: dict[str, Split]) -> None:
    assert list(got.splits) == list(want)
    for name, split in want.items():
        found = got.splits[name]
        assert found.images.dtype == np.uint8 and found.labels.dtype == np.int32
        np.testing.assert_array_equal(found.images, split.images)
        np.testing.assert_array_equal(found.labels, split.labels)
        assert found.extras.keys() == split.extras.keys()
        for key, values in split.extras.items():
            assert found.extras[key].dtype == values.dtype
            np.testing.assert_array_equal(found.extras[key], values)


def as_set(split: Split) -> set[tuple[int, bytes]]:
    return {(int(label), image.tobytes()) for label, image in zip(split.labels, split.images, strict=True)}


FORMS = {
    "fer2013.csv": csv_bytes,
    "fer2013.csv.xz": lambda splits: lzma.compress(csv_bytes(splits)),
    "fer2013.csv.gz": lambda splits: gzip.compress(csv_bytes(splits)),
    "fer2013.csv.zip": lambda splits: zip_bytes({"fer2013.csv": csv_bytes(splits)}),
    "fer2013.zip": lambda splits: zip_bytes({"fer2013/README": b"", "fer2013/fer2013.csv": csv_bytes(splits)}),
    "fer2013.tar.gz": lambda splits: tar_bytes(
        {"fer2013/README": b"hello", "fer2013/fer2013.csv": csv_bytes(splits), "fer2013/fer2013.bib": b"@"}
    ),
    "icml_face_data.csv": icml_bytes,
    "icml_face_data.csv.zip": lambda splits: zip_bytes({"icml_face_data.csv": icml_bytes(splits)}),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_packing_of_the_csv_gives_the_same_arrays(folder, capfd, name):
    want = tiny_fer2013()
    (folder / "fer2013" / name).write_bytes(FORMS[name](want))
    before = tree(folder)
    for _ in range(2):
        got = data.load(name="fer2013", data_dir=str(folder))
        assert_same(got, want)
        assert got.class_names == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
        assert got.source.startswith(f"{name} in {folder / 'fer2013'}, not the canonical FER2013 (")
        assert "and not 3995 angry in train" in got.source and got.source.endswith(f"prepared in {copies()[0]}")
    assert len(copies()) == 1, "nothing temporary is left, and nothing is prepared twice"
    assert tree(folder) == before, "a data folder is only read"
    assert capfd.readouterr() == ("", "")


def quoted(splits: dict[str, Split]) -> bytes:
    lines = [",".join(f'"{field}"' for field in line.split(",")) for line in csv_lines(splits)]
    return "\n".join(lines).encode()


def with_more_columns(splits: dict[str, Split]) -> bytes:
    header, *lines = csv_lines(splits)
    return "\n".join([f"id,{header},note", *(f"7,{line},x" for line in lines)]).encode()


@pytest.mark.parametrize(
    "dialect",
    [
        lambda splits: b"\xef\xbb\xbf" + csv_bytes(splits),
        lambda splits: csv_bytes(splits).replace(b"\n", b"\r\n"),
        lambda splits: b"\xef\xbb\xbf" + csv_bytes(splits).replace(b"\n", b"\r\n"),
        lambda splits: csv_bytes(splits).rstrip(b"\n"),
        lambda splits: csv_bytes(splits) + b"\n \r\n\n",
        lambda splits: csv_bytes(splits).replace(b" ", b"  ").replace(b",Training", b" , Training "),
        quoted,
        with_more_columns,
    ],
    ids=["bom", "crlf", "both", "no last newline", "empty lines", "blanks", "quoted", "more columns"],
)
def test_dialects_of_csv_are_accepted(tmp_path, dialect):
    want = tiny_fer2013()
    path = tmp_path / "fer2013.csv"
    path.write_bytes(dialect(want))
    assert_same(fer2013_csv.read(path), want)


def test_rows_of_the_splits_may_be_mixed(tmp_path):
    splits = tiny_fer2013()
    header, *lines = csv_lines(splits)
    order = np.random.RandomState(3).permutation(len(lines))
    (tmp_path / "fer2013.csv").write_text("\n".join([header, *(lines[i] for i in order)]))
    got = fer2013_csv.read(tmp_path / "fer2013.csv")
    for name, split in got.splits.items():
        assert as_set(split) == as_set(splits[name])
        np.testing.assert_array_equal(split.extras["row"], np.flatnonzero(np.isin(order, splits[name].extras["row"])))


def test_compact_files_give_the_same_arrays(folder):
    want = tiny_fer2013()
    shutil.rmtree(folder / "fer2013")
    write_compact(folder / "fer2013", want)
    got = data.load(name="fer2013", data_dir=str(folder))
    assert_same(got, want)
    assert got.source.startswith(f"fer2013_*.npz in {folder / 'fer2013'}, not the canonical FER2013")


def test_compact_images_may_come_in_several_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(fer2013_compact, "_BLOCK", 5)
    want = tiny_fer2013()
    write_compact(tmp_path / "x", want)
    files = {split: tmp_path / "x" / name for split, name in fer2013_compact.FILES.items()}
    assert_same(fer2013_compact.read(files), want)


def test_csv_goes_before_compact_files_and_an_unfinished_form_leads_on(folder):
    want = tiny_fer2013()
    shutil.rmtree(folder / "fer2013")
    write_compact(folder / "fer2013", want)
    (folder / "fer2013" / "fer2013.csv.gz").write_bytes(gzip.compress(csv_bytes(want)))
    assert data.load(name="fer2013", data_dir=str(folder)).source.startswith("fer2013.csv.gz in")
    (folder / "fer2013" / "fer2013.csv.gz").unlink()
    (folder / "fer2013" / "fer2013_train.npz").unlink()
    write_pictures(folder / "fer2013", want)
    assert data.load(name="fer2013", data_dir=str(folder)).source.startswith("pictures by class in")


@pytest.mark.parametrize("numbers_from", [0, 1])
def test_pictures_numbered_by_class_are_split_as_the_rows_were(folder, official, capfd, numbers_from):
    write_pictures(folder / "fer2013", official, lambda name, row, number: f"im{number + numbers_from}")
    (folder / "fer2013" / "train" / "angry" / ".DS_Store").touch()
    (folder / "fer2013" / "test" / "Thumbs.db").touch()
    for _ in range(2):
        got = data.load(name="fer2013", data_dir=str(folder))
        assert set(got.splits) == set(official)
        for name, split in official.items():
            assert len(got.splits[name]) == len(split) and as_set(got.splits[name]) == as_set(split)
            assert list(got.splits[name].extras) == ["file"]
        assert "the images and labels of the canonical FER2013, its rows and so its FER+ votes unknown" in got.source
    train = got.splits["train"]
    assert np.count_nonzero(np.diff(train.labels)) > 8, "the first examples are of several classes"
    for file, label in zip(train.extras["file"], train.labels, strict=True):
        assert file.startswith(f"train/{got.class_names[label]}/im")
    assert capfd.readouterr() == ("", "")


def test_pictures_numbered_in_another_order_are_not_split(folder, official, capfd):
    backwards = {name: Split(split.images[::-1], split.labels[::-1], split.extras) for name, split in official.items()}
    mixed = {"train": official["train"], "test": backwards["test"], "validation": backwards["validation"]}
    write_pictures(folder / "fer2013", mixed)
    got = data.load(name="fer2013", data_dir=str(folder))
    assert set(got.splits) == {"train", "test"}
    assert as_set(got.splits["test"]) == as_set(official["validation"]) | as_set(official["test"])
    assert "canonical FER2013, PublicTest and PrivateTest together as test" in got.source
    said = capfd.readouterr().err
    assert "do not tell PublicTest from PrivateTest" in said and said.count("\n") == 1
    clean = data.protocol_splits(got, "clean")
    assert clean.watched_name == "validation" and len(clean.watched) == SIZES["train"] // 12


def test_pictures_with_numbers_but_other_counts_are_not_split(folder, capfd):
    splits = tiny_fer2013()
    write_pictures(folder / "fer2013", splits)
    got = data.load(name="fer2013", data_dir=str(folder))
    assert {name: len(split) for name, split in got.splits.items()} == {"train": 16, "test": 17}
    assert "not the canonical FER2013 (" in got.source and "together" not in got.source
    assert "do not tell PublicTest from PrivateTest" in capfd.readouterr().err


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_pictures_named_after_their_usage_are_split(folder, ending):
    splits = tiny_fer2013()
    prefix = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
    write_pictures(folder / "fer2013", splits, lambda name, row, number: f"{prefix[name]}_{row * 97 % 1000}", ending)
    got = data.load(name="fer2013", data_dir=str(folder))
    assert {name: len(split) for name, split in got.splits.items()} == SIZES
    for name, split in splits.items():
        if ending == "png":
            assert as_set(got.splits[name]) == as_set(split)
        assert all(prefix[name] in file for file in got.splits[name].extras["file"])


def test_pictures_named_after_their_row_are_put_in_order_and_get_votes(folder, official):
    votes = tiny_votes(official)
    write_pictures(folder / "fer2013", official, lambda name, row, number: f"{name}_{row:05d}")
    (folder / "fer2013" / "fer2013new.csv").write_text("\n".join(votes_lines(official, votes)))
    got = data.load(name="fer2013", data_dir=str(folder))
    for name, split in official.items():
        np.testing.assert_array_equal(got.splits[name].images, split.images)
        np.testing.assert_array_equal(got.splits[name].labels, split.labels)
        np.testing.assert_array_equal(got.splits[name].extras["votes"], votes[split.extras["row"]])
    assert got.source.split(", ")[1] == "the images and labels of the canonical FER2013"


def test_pictures_without_rows_get_no_votes(folder, official):
    write_pictures(folder / "fer2013", official)
    lines = votes_lines(official, tiny_votes(official))
    (folder / "fer2013" / "fer2013new.csv").write_text("\n".join(lines))
    got = data.load(name="fer2013", data_dir=str(folder))
    assert "votes" not in got.splits["train"].extras and "its FER+ votes unknown" in got.source


def test_moving_a_picture_to_another_class_is_another_data_set(folder, official):
    write_pictures(folder / "fer2013", official)
    first = data.load(name="fer2013", data_dir=str(folder))
    last = max((folder / "fer2013" / "train" / "angry").iterdir())
    last.rename(folder / "fer2013" / "train" / "disgust" / "0.png")
    assert data.load(name="fer2013", data_dir=str(folder)).fingerprint != first.fingerprint


@pytest.mark.parametrize("form", ["csv", "npz", "bom and crlf"])
def test_votes_are_joined_by_row(folder, form):
    splits = tiny_fer2013()
    votes = tiny_votes(splits)
    if form == "npz":
        shutil.rmtree(folder / "fer2013")
        write_compact(folder / "fer2013", splits)
    else:
        (folder / "fer2013" / "fer2013.csv").write_bytes(csv_bytes(splits))
    text = "\n".join(votes_lines(splits, votes)) + "\n"
    content = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode() if form == "bom and crlf" else text.encode()
    (folder / "fer2013" / "fer2013new.csv").write_bytes(content)
    want = {
        name: Split(split.images, split.labels, {**split.extras, "votes": votes[split.extras["row"]]})
        for name, split in splits.items()
    }
    for _ in range(2):
        got = data.load(name="fer2013", data_dir=str(folder))
        assert_same(got, want)
        assert " and fer2013new.csv in " in got.source


def test_adding_votes_makes_another_prepared_copy(folder):
    splits = tiny_fer2013()
    (folder / "fer2013" / "fer2013.csv").write_bytes(csv_bytes(splits))
    assert "votes" not in data.load(name="fer2013", data_dir=str(folder)).splits["train"].extras
    (folder / "fer2013" / "fer2013new.csv").write_text("\n".join(votes_lines(splits, tiny_votes(splits))))
    assert "votes" in data.load(name="fer2013", data_dir=str(folder)).splits["train"].extras
    assert len(copies()) == 2


def test_prepared_copy_with_votes_is_preferred_where_no_source_is_at_hand(folder, monkeypatch):
    monkeypatch.delenv("FER_JAX_DATA", raising=False)
    splits = tiny_fer2013()
    (folder / "fer2013" / "fer2013.csv").write_bytes(csv_bytes(splits))
    plain = data.load(name="fer2013", data_dir=str(folder))
    (folder / "fer2013" / "fer2013new.csv").write_text("\n".join(votes_lines(splits, tiny_votes(splits))))
    voted = data.load(name="fer2013", data_dir=str(folder))
    monkeypatch.setattr(fer2013, "CANONICAL", plain.fingerprint)
    assert data.load(name="fer2013").fingerprint == plain.fingerprint
    monkeypatch.setattr(fer2013, "CANONICAL_WITH_VOTES", voted.fingerprint)
    got = data.load(name="fer2013")
    assert got.fingerprint == voted.fingerprint and got.source.endswith(", the canonical FER2013")


def test_nothing_anywhere_tells_where_to_get_it_and_falls_back(tmp_path, monkeypatch):
    monkeypatch.setenv("FER_JAX_DATA", str(tmp_path))
    monkeypatch.delenv("FER_JAX_OFFLINE")
    with pytest.raises(download.UnavailableError) as caught:
        data.load(name="fer2013")
    for part in (str(tmp_path / "fer2013"), str(download.cache_folder()), "kaggle.com/c/challenges", "--data_dir"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    got = data.load(name="fer2013", fallback="digits")
    assert got.name == "digits" and got.stand_in_for == "fer2013" and "kaggle" in got.source


def test_csv_in_the_cache_is_found(monkeypatch):
    monkeypatch.delenv("FER_JAX_DATA", raising=False)
    cache = download.cache_folder() / "fer2013"
    cache.mkdir(parents=True)
    want = tiny_fer2013()
    (cache / "fer2013.csv").write_bytes(csv_bytes(want))
    assert_same(data.load(name="fer2013"), want)


def test_unfinished_form_in_the_cache_is_an_error(monkeypatch):
    monkeypatch.delenv("FER_JAX_DATA", raising=False)
    cache = download.cache_folder() / "fer2013"
    write_compact(cache, tiny_fer2013())
    (cache / "fer2013_train.npz").unlink()
    with pytest.raises(DataError, match="fer2013 lacks fer2013_train.npz: add what is missing"):
        data.load(name="fer2013", fallback="digits")


@pytest.mark.parametrize("form", ["csv", "npz", "pictures"])
def test_progress_is_drawn_on_a_terminal_only(folder, monkeypatch, capfd, form):
    splits = tiny_fer2013()
    if form == "csv":
        (folder / "fer2013" / "fer2013.csv").write_bytes(csv_bytes(splits))
    elif form == "npz":
        shutil.rmtree(folder / "fer2013")
        write_compact(folder / "fer2013", splits)
    else:
        write_pictures(folder / "fer2013", splits)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    data.load(name="fer2013", data_dir=str(folder))
    assert "fer2013" in capfd.readouterr().err


def test_prepared_copy_keeps_extras_in_several_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(prepared, "_BLOCK", 5)
    splits = tiny_fer2013()
    votes = tiny_votes(splits)
    for name, split in splits.items():
        names = np.array([f"ä {name}/{'x' * row}\n.png" for row in range(len(split))])
        extras = {**split.extras, "votes": votes[split.extras["row"]], "file": names}
        splits[name] = Split(split.images, split.labels, extras)
    prepared.write(DataSet("faces", splits, tuple("abcdefg"), "here"), tmp_path / "copy")
    got = prepared.read(tmp_path / "copy")
    assert_same(got, splits)
    assert got.fingerprint == DataSet("faces", splits, tuple("abcdefg"), "").fingerprint


def test_prepared_copy_has_the_same_extras_in_every_split(tmp_path):
    splits = tiny_fer2013()
    splits["test"] = Split(splits["test"].images, splits["test"].labels)
    with pytest.raises(DataError, match="cannot be written .its splits carry different extras"):
        prepared.write(DataSet("faces", splits, tuple("abcdefg"), ""), tmp_path / "copy")
    assert not list(tmp_path.iterdir())


def test_content_depends_on_pixels_and_labels_but_not_on_order():
    split = tiny_fer2013()["train"]
    want = fer2013_facts.content(split)
    assert fer2013_facts.content(split[::-1]) == want
    assert fer2013_facts.add_contents(*map(fer2013_facts.content, (split[:5], split[5:]))) == want
    assert fer2013_facts.content(split[:-1]) != want
    images, labels = split.images.copy(), split.labels.copy()
    images[3, 0, 0] ^= 1
    labels[3] = (labels[3] + 1) % 7
    assert want not in {
        fer2013_facts.content(Split(images, split.labels)),
        fer2013_facts.content(Split(split.images, labels)),
    }


def test_real_fer2013(real_fer2013, tmp_path):
    got = data.load(name="fer2013", data_dir=str(real_fer2013))
    assert got.fingerprint == fer2013.CANONICAL_WITH_VOTES
    assert ", the canonical FER2013, prepared in " in got.source
    assert not fer2013_facts.count_fault(got)
    assert [(name, len(split)) for name, split in got.splits.items()] == [
        *[("train", 28_709), ("validation", 3_589), ("test", 3_589)]
    ]
    train, validation, test = got.splits.values()
    rows = np.concatenate([split.extras["row"] for split in (train, validation, test)])
    np.testing.assert_array_equal(rows, np.arange(35_887))
    assert round(float(train.images.mean() / 255), 5) == 0.50774
    black = np.concatenate(
        [split.extras["row"][split.images.max(axis=(1, 2, 3)) == 0] for split in got.splits.values()]
    )
    assert len(black) == 12 and black[-1] == 30002
    no_face = [int((split.extras["votes"][:, -1] == 10).sum()) for split in got.splits.values()]
    assert no_face == [150, 10, 16]
    for name, content in fer2013_facts.CONTENTS.items():
        assert fer2013_facts.content(got.splits[name]) == content

    # The original CSV, 301 MB, read by a process of its own: the same rows, in little memory.
    folder = tmp_path / "fer2013"
    folder.mkdir()
    numbers = [str(value) for value in range(256)]
    with (folder / "fer2013.csv").open("w") as file:
        file.write("emotion,pixels,Usage\n")
        for usage, split in zip(("Training", "PublicTest", "PrivateTest"), got.splits.values(), strict=True):
            for image, label in zip(split.images.reshape(len(split), -1), split.labels.tolist(), strict=True):
                file.write(f"{label},{' '.join([numbers[value] for value in image.tolist()])},{usage}\n")
    assert (folder / "fer2013.csv").stat().st_size == 301_072_766
    program = (
        "from fer_jax import data; print(data.load(name='fer2013', data_dir='.').fingerprint);"
        "print(*(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(data.__file__).parents[2])}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    # Linux's own count, for that of getrusage begins with the peak of the process that started this one.
    fingerprint, kilobytes = result.stdout.split()
    assert fingerprint == fer2013.CANONICAL
    assert int(kilobytes) < 600_000
