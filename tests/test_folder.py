"""A user's own folder of pictures: its classes and splits, and what is said where it is not as it should be."""

import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_data import tree

from fer_jax import data
from fer_jax.data import folder
from fer_jax.data.download import cache_folder
from fer_jax.errors import ConfigError, DataError

SHAPE = (10, 10, 1)


def fill(place: Path, count: int, suffix: str = ".png", first: int = 0) -> None:
    """Writes pictures of 10x10 pixels, no two alike, into a folder."""
    place.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        seed = zlib.crc32(f"{place.name} {number}".encode())
        pixels = np.random.RandomState(seed).randint(0, 256, (10, 10)).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{number:03d}{suffix}")


def load(path: Path, shape: tuple[int, int, int] = SHAPE) -> data.DataSet:
    return data.load(name="folder", path=str(path), image_shape=shape)


def counts(dataset: data.DataSet) -> dict[str, list[int]]:
    return {name: np.bincount(split.labels).tolist() for name, split in dataset.splits.items()}


@pytest.fixture
def plain(tmp_path) -> Path:
    """Three classes without split folders."""
    for name, count in (("smile", 40), ("frown", 20), ("wink", 3)):
        fill(tmp_path / "faces" / name, count)
    return tmp_path / "faces"


def test_folders_are_classes_and_every_picture_is_in_one_split(plain, capsys):
    before = tree(plain)
    got = load(plain)
    assert got.name == "folder" and got.class_names == ("frown", "smile", "wink")
    assert counts(got) == {"test": [3, 6, 1], "train": [14, 28, 1], "validation": [3, 6, 1]}
    seen = []
    for split in got.splits.values():
        assert split.images.dtype == np.uint8 and split.images.shape[1:] == SHAPE and split.labels.dtype == np.int32
        for file, label, image in zip(split.extras["file"], split.labels, split.images, strict=True):
            with Image.open(plain / str(file)) as picture:
                np.testing.assert_array_equal(image[..., 0], np.asarray(picture))
            assert str(file).startswith(got.class_names[label] + "/")
            seen.append(str(file))
    assert sorted(seen) == sorted(before)
    assert tree(plain) == before and capsys.readouterr() == ("", "")
    for words in (f"pictures in {plain}", "63 pictures of 3 classes", "split by the program"):
        assert words in got.source


def test_the_drawn_split_depends_on_the_names_alone(plain, tmp_path):
    one = load(plain)
    os.rename(plain, tmp_path / "moved")
    for path in (tmp_path / "moved").rglob("*.png"):
        os.utime(path, (1, 1))
    other = load(tmp_path / "moved")
    assert one.fingerprint == other.fingerprint
    assert list(one.splits["train"].extras["file"]) == list(other.splits["train"].extras["file"])


def test_every_stretch_of_a_split_holds_every_large_class(plain):
    labels = load(plain).splits["train"].labels
    for start in range(0, len(labels) - 7, 7):
        assert {0, 1} <= set(labels[start : start + 7])


@pytest.mark.parametrize("validation", ["val", "validation", ""])
def test_split_folders(tmp_path, validation):
    sizes = {"train": (6, 5), validation: (2, 1), "test": (3, 4)}
    sizes.pop("", None)
    for number, (split, of_class) in enumerate(sizes.items()):
        for name, count in zip(("no", "yes"), of_class, strict=True):
            fill(tmp_path / split / name, count, first=100 * number)
    got = load(tmp_path)
    want = {("validation" if split == validation else split): list(of_class) for split, of_class in sizes.items()}
    assert counts(got) == want and "split as its folders are" in got.source
    for name, split in got.splits.items():
        place = validation if name == "validation" else name
        assert {str(file).split("/")[0] for file in split.extras["file"]} == {place}


def test_clean_protocol_without_validation_folder_watches_every_class(tmp_path):
    for name in ("a", "b"):
        fill(tmp_path / "train" / name, 48)
        fill(tmp_path / "test" / name, 2, first=100)
    watched = data.protocol_splits(load(tmp_path), "clean").watched
    assert np.bincount(watched.labels).tolist() == [4, 4]


def test_a_class_may_be_called_train(tmp_path):
    for name in ("train", "plane"):
        fill(tmp_path / name, 4)
    assert load(tmp_path).class_names == ("plane", "train")


def test_all_kinds_of_pictures_of_any_size(tmp_path):
    for name in ("a", "b"):
        for number, suffix in enumerate((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".PNG")):
            fill(tmp_path / name, 1, suffix, first=number)
        Image.new("CMYK", (90, 30)).save(tmp_path / name / "large.JPG", "jpeg")
    got = load(tmp_path, shape=(6, 8, 3))
    assert sum(map(len, got.splits.values())) == 14 and got.splits["train"].images.shape[1:] == (6, 8, 3)


def test_prepared_copy_is_read_until_something_changes(plain, monkeypatch):
    reads = []
    monkeypatch.setattr(folder, "_read", lambda *given, read=folder._read: reads.append(0) or read(*given))
    first, second = load(plain), load(plain)
    assert len(reads) == 1 and first.fingerprint == second.fingerprint and first.source == second.source
    load(plain, shape=(8, 8, 1))
    fill(plain / "wink", 1, first=50)
    assert len(load(plain).splits["train"]) == 44 and len(reads) == 3
    os.utime(plain / "wink" / "050.png", (1, 1))
    load(plain)
    assert len(reads) == 4
    os.rename(plain / "wink", plain / "blink")
    assert load(plain).class_names == ("blink", "frown", "smile") and len(reads) == 5


def test_what_is_passed_over_is_said_once(plain, capsys):
    (plain / "smile" / ".hidden.png").write_bytes(b"a Mac's")
    (plain / ".DS_Store").write_bytes(b"a Mac's")
    (plain / "README.txt").write_text("mine")
    (plain / "smile" / "notes.txt").write_text("mine")
    fill(plain / "smile" / "more", 2)
    (plain / "smile" / "gone.png").symlink_to(plain / "nowhere.png")
    left = "2 hidden, 1 outside every class, 2 of another kind, 1 folders inside a class"
    got = load(plain)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.endswith(f": {left}\n") and str(plain) in said
    assert left in got.source and counts(got)["train"] == [14, 28, 1]
    assert left in load(plain).source and capsys.readouterr().err == ""


def test_names_that_are_no_text(plain):
    try:
        os.rename(plain / "wink" / "000.png", os.fsencode(plain / "wink") + b"/\xff.png")
    except OSError:
        pytest.skip("this file system takes text only")
    for _ in range(2):
        files = np.concatenate([split.extras["file"] for split in load(plain).splits.values()])
        assert "wink/\ufffd.png" in files


def test_pictures_on_both_sides_are_said(tmp_path, capsys):
    splits(tmp_path)
    for name in ("val", "test"):
        fill(tmp_path / name / "a", 6, first=2)
    got = load(tmp_path)
    words = "1 of 6 validation pictures and 6 of 11 test pictures are also in train"
    assert words in got.source and words in capsys.readouterr().err


def one_class(root):
    fill(root / "a", 5)


def empty_class(root):
    fill(root / "a", 5)
    (root / "b").mkdir()


def class_of_two(root):
    fill(root / "a", 5)
    fill(root / "b", 2)


def class_of_text(root):
    fill(root / "a", 5)
    (root / "b").mkdir()
    for number in range(5):
        (root / "b" / f"{number}.txt").write_text("no picture")


def pictures_without_classes(root):
    fill(root, 5)


def empty(root):
    root.mkdir()


def no_test(root):
    fill(root / "train" / "a", 5)
    fill(root / "train" / "b", 5)


def no_train(root):
    fill(root / "test" / "a", 5)
    fill(root / "test" / "b", 5)


def splits(root):
    for split in ("train", "test"):
        for name in ("a", "b"):
            fill(root / split / name, 3)


def class_beside_splits(root):
    splits(root)
    fill(root / "c", 3)


def two_validations(root):
    splits(root)
    fill(root / "val" / "a", 3)
    fill(root / "validation" / "a", 3)


def class_only_in_test(root):
    splits(root)
    fill(root / "test" / "c", 3)


def class_empty_in_train(root):
    splits(root)
    fill(root / "test" / "c", 3)
    (root / "train" / "c").mkdir()


def empty_validation(root):
    splits(root)
    (root / "val" / "a").mkdir(parents=True)


def text_picture(root):
    splits(root)
    (root / "train" / "a" / "000.png").write_text("no picture")


def empty_picture(root):
    splits(root)
    (root / "train" / "a" / "000.png").write_bytes(b"")


def nothing(root):
    pass


def a_file(root):
    root.write_text("no folder")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (one_class, "{root} needs a folder for each of two classes or more, and holds only a"),
        (empty, "{root} needs a folder for each of two classes or more, and holds none"),
        (pictures_without_classes, "{root} needs a folder for each of two classes or more, and holds none"),
        (empty_class, "{root}/b holds 0 pictures (png, jpg, jpeg, webp, bmp), and each class needs 3"),
        (class_of_two, "{root}/b holds 2 pictures (png, jpg, jpeg, webp, bmp), and each class needs 3"),
        (class_of_text, "{root}/b holds 0 pictures"),
        (no_test, "{root} holds train, but no test"),
        (no_train, "{root} holds test, but no train"),
        (class_beside_splits, "{root} holds the splits test, train, but also c"),
        (two_validations, "{root} holds both val and validation"),
        (class_only_in_test, "{root}/train/c holds no picture"),
        (class_empty_in_train, "{root}/train/c holds no picture"),
        (empty_validation, "the validation split of {root} holds no picture"),
        (text_picture, "{root}/train/a/000.png is not a picture"),
        (empty_picture, "{root}/train/a/000.png is empty"),
        (nothing, "{root} cannot be read: No such file or directory"),
        (a_file, "{root} cannot be read: Not a directory"),
    ],
)
def test_bad_folder(tmp_path, make, message):
    root = tmp_path / "faces"
    make(root)
    with pytest.raises(DataError) as caught:
        load(root)
    assert str(caught.value).startswith(message.format(root=root)) and "\n" not in str(caught.value)
    assert not list(cache_folder().rglob("prepared-*"))


def test_class_that_a_held_out_split_lacks_is_said(tmp_path, capsys):
    splits(tmp_path / "faces")
    fill(tmp_path / "faces" / "train" / "c", 3)
    got = load(tmp_path / "faces")
    assert got.class_names == ("a", "b", "c")
    assert "no example of 'c' in its test split" in capsys.readouterr().err


def test_no_path():
    with pytest.raises(ConfigError, match=r"config\.data\.path is empty"):
        data.load(name="folder")
