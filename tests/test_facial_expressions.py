"""The muxspace images: what is wrong with their files is said, and nobody is on two sides of a split."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_data import tree

from fer_jax import data
from fer_jax.data import facial_expressions, folds
from fer_jax.data.download import cache_folder
from fer_jax.errors import ConfigError, DataError

CLASSES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
SPLITS = ("train", "validation", "test")


def picture(path: Path, seed: int, size: tuple[int, int] = (12, 12), mode: str = "L") -> None:
    noise = np.random.RandomState(seed).randint(0, 256, (*size, 3)).astype(np.uint8)
    Image.fromarray(noise).convert(mode).save(path, "jpeg" if path.suffix == ".jpg" else path.suffix[1:])


def write_set(folder: Path, persons: int = 6) -> list[str]:
    """Writes a small set into `folder`: six persons of each class with two images; returns the rows of its legend."""
    root = folder / "facial_expressions"
    (root / "data").mkdir(parents=True)
    (root / "images").mkdir()
    rows = []
    for label, emotion in enumerate(CLASSES):
        for person in range(persons):
            for number in (1, 2):
                name = f"{emotion.capitalize()}_{'abcdefghijkl'[person]}_{number:04d}.jpg"
                picture(root / "images" / name, seed=1000 * label + 10 * person + number)
                rows.append(f"302,{name},{emotion}")
    write_legend(folder, rows)
    return rows


def write_legend(folder: Path, rows: list[str], header: str = "user.id,image,emotion", end: str = "\n") -> None:
    path = folder / "facial_expressions" / "data" / "legend.csv"
    path.write_bytes("".join(line + end for line in [header, *rows]).encode())


def load(folder: Path, **options) -> data.DataSet:
    return data.load(name="facial_expressions", image_shape=(12, 12, 1), data_dir=str(folder), **options)


def everything(dataset: data.DataSet) -> dict[str, tuple[str, str, bytes]]:
    """By file: class, person and pixels."""
    return {
        str(file): (dataset.class_names[label], str(person), image.tobytes())
        for split in dataset.splits.values()
        for file, label, person, image in zip(
            split.extras["file"], split.labels, split.extras["person"], split.images, strict=True
        )
    }


def test_every_image_is_read_once_with_its_label(tmp_path, capsys):
    rows = write_set(tmp_path)
    before = tree(tmp_path)
    got = load(tmp_path)
    assert got.class_names == CLASSES and set(got.splits) == set(SPLITS)
    found = everything(got)
    assert len(found) == sum(map(len, got.splits.values())) == len(rows)
    for row in rows:
        _, name, emotion = row.split(",")
        with Image.open(tmp_path / "facial_expressions" / "images" / name) as image:
            assert found[name] == (emotion, name[:-9], image.tobytes())
    for split in got.splits.values():
        assert split.images.dtype == np.uint8 and split.labels.dtype == np.int32
        assert split.images.shape == (len(split), 12, 12, 1)
    assert "96 rows, 96 images of 48 persons" in got.source and "fold 0 of 5 by person" in got.source
    assert tree(tmp_path) == before and capsys.readouterr() == ("", "")


def test_prepared_copy_is_read_until_a_file_or_the_size_changes(tmp_path, monkeypatch):
    rows = write_set(tmp_path)
    reads = []
    monkeypatch.setattr(
        facial_expressions, "_read", lambda *given, read=facial_expressions._read: reads.append(0) or read(*given)
    )
    first, second = load(tmp_path), load(tmp_path)
    assert len(reads) == 1 and first.source == second.source and first.fingerprint == second.fingerprint
    load(tmp_path, fold=3, split_by="image")
    assert len(reads) == 1, "folds are made of the same copy"
    wide = data.load(name="facial_expressions", image_shape=(8, 10, 3), data_dir=str(tmp_path))
    assert len(reads) == 2 and wide.splits["train"].images.shape[1:] == (8, 10, 3)
    picture(tmp_path / "facial_expressions" / "images" / "Fear_a_0001.jpg", seed=77777)
    assert load(tmp_path).fingerprint != first.fingerprint and len(reads) == 3
    write_legend(tmp_path, [rows[0].replace("neutral", "anger"), *rows[1:]])
    assert load(tmp_path).fingerprint != first.fingerprint and len(reads) == 4
    copies = [path.name for path in (cache_folder() / "facial_expressions").iterdir()]
    assert len(copies) == 4 and all(name.startswith("prepared-") for name in copies)


def test_faults_are_said_once_and_stay_in_the_source(tmp_path, capsys):
    rows = write_set(tmp_path)
    images = tmp_path / "facial_expressions" / "images"
    rows[0] = rows[0].replace("neutral", "NEUTRAL")
    rows += [rows[1], rows[2].replace("302", "dwdii").replace("neutral", "Neutral"), rows[3].replace("neutral", "fear")]
    picture(images / "Un_Named_0001.jpg", seed=5)
    shutil.copy(images / "Fear_a_0001.jpg", images / "Quite_Other_0001.jpg")
    rows.append("302,Quite_Other_0001.jpg,fear")
    write_legend(tmp_path, rows)
    faults = [
        "labels in upper case are taken in lower case: 2",
        "images with several equal rows are taken once: 2 (Neutral_a_0002.jpg, Neutral_b_0001.jpg)",
        "images with rows that contradict each other are left out: 1 (Neutral_b_0002.jpg)",
        "images without a row are left out: 1 (Un_Named_0001.jpg)",
        "groups of identical images under several names are kept, each group as one person: 1 "
        "(Fear_a_0001.jpg = Quite_Other_0001.jpg)",
    ]
    got = load(tmp_path)
    said = capsys.readouterr().err
    assert said.splitlines() == [f"fer_jax: warning: {tmp_path / 'facial_expressions'}: {fault}" for fault in faults]
    again = load(tmp_path)
    assert capsys.readouterr().err == ""
    for fault in faults:
        assert fault in got.source and fault in again.source
    found = everything(again)
    assert found["Neutral_a_0001.jpg"][0] == "neutral" and "Neutral_a_0002.jpg" in found
    assert not {"Neutral_b_0002.jpg", "Un_Named_0001.jpg"} & set(found)
    assert {found[name][1] for name in ("Fear_a_0001.jpg", "Fear_a_0002.jpg", "Quite_Other_0001.jpg")} == {"Fear_a"}


def test_long_lists_of_faults_are_cut(tmp_path, capsys):
    write_set(tmp_path)
    for number in range(5):
        picture(tmp_path / "facial_expressions" / "images" / f"Un_Named_{number:04d}.jpg", seed=number)
    load(tmp_path)
    assert "left out: 5 (Un_Named_0000.jpg, Un_Named_0001.jpg, Un_Named_0002.jpg, 2 more)" in capsys.readouterr().err


def test_mixed_sizes_and_colour(tmp_path):
    rows = write_set(tmp_path)
    images = tmp_path / "facial_expressions" / "images"
    picture(images / "New_Person_0001.jpg", 1, size=(40, 90), mode="RGB")
    picture(images / "New_Person_0002.jpg", 2, size=(200, 20), mode="CMYK")
    Image.fromarray(np.full((30, 30), 9, np.uint8)).save(images / "New_Person_0003.jpg", "webp", lossless=True)
    write_legend(tmp_path, [*rows, *[f"1,New_Person_{number:04d}.jpg,fear" for number in (1, 2, 3)]])
    assert everything(load(tmp_path))["New_Person_0003.jpg"][2] == bytes([9] * 144)


@pytest.mark.parametrize(
    ("file", "person"),
    [
        ("George_W_Bush_0001.jpg", "George_W_Bush"),
        ("Avinash_30.jpg", "Avinash"),
        ("Lin_Yi-fu_0001.jpg", "Lin_Yi-fu"),
        ("facial-expressions_2868588k.jpg", "facial-expressions"),
        ("Anna.jpg", "Anna"),
        ("0001.jpg", "0001"),
        ("Elizabeth_2nd_0003.jpg", "Elizabeth_2nd"),
    ],
)
def test_person_of_a_file(file, person):
    assert facial_expressions._person(file) == person


def test_a_name_written_in_two_ways_is_one_person(tmp_path):
    rows = write_set(tmp_path)
    for number, name in enumerate(("Hrithik_Roshan_0001", "HrithikRoshan_7", "hrithik-roshan_0002")):
        picture(tmp_path / "facial_expressions" / "images" / f"{name}.jpg", seed=90_000 + number)
        rows.append(f"1,{name}.jpg,anger")
    write_legend(tmp_path, rows)
    found = everything(load(tmp_path))
    assert {person for file, (_, person, _) in found.items() if file.lower().startswith("hrithik")} == {"HrithikRoshan"}


@pytest.mark.parametrize("split_by", ["person", "image"])
def test_folds_go_round_and_cover_everything(tmp_path, split_by):
    rows = write_set(tmp_path)
    loaded = [load(tmp_path, fold=fold, split_by=split_by) for fold in range(5)]
    tests = [set(got.splits["test"].extras["file"]) for got in loaded]
    assert sum(map(len, tests)) == len(set.union(*tests)) == len(rows)
    for fold, got in enumerate(loaded):
        parts = [set(got.splits[name].extras["file"]) for name in SPLITS]
        assert parts[2] == tests[fold] and parts[1] == tests[(fold + 1) % 5]
        assert parts[0] == set.union(*tests) - parts[1] - parts[2]
        assert f"fold {fold} of 5 by {split_by}" in got.source
        assert len(set(got.splits["test"].labels)) == 8
        if split_by == "person":
            people = [set(got.splits[name].extras["person"]) for name in SPLITS]
            assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])


def test_leak_of_the_split_by_image_is_said(tmp_path, capsys):
    write_set(tmp_path)
    got = load(tmp_path, split_by="image")
    train, test = got.splits["train"], got.splits["test"]
    seen = sum(person in set(train.extras["person"]) for person in test.extras["person"])
    assert 0 < seen < len(test)
    words = f"{seen} of {len(test)} test images show a person who is also trained on"
    assert words in got.source and words in capsys.readouterr().err
    load(tmp_path)
    assert capsys.readouterr().err == ""


def test_person_folds_are_even_where_one_person_has_half_a_class():
    random = np.random.RandomState(0)
    persons = np.array([f"p{number}" for number in random.randint(0, 400, 2000)] + ["big"] * 60)
    labels = np.concatenate([random.choice(3, 2000, p=[0.7, 0.27, 0.03]), np.full(60, 2)]).astype(np.int32)
    fold = folds.person_folds(labels, persons, 5)
    for person in np.unique(persons):
        assert len(set(fold[persons == person])) == 1
    counts = np.array([np.bincount(labels[fold == k], minlength=3) for k in range(5)])
    assert np.ptp(counts[:, 0]) <= 4 and np.ptp(counts[:, 1]) <= 4
    big = fold[persons == "big"][0]
    assert big != 0 and np.ptp(np.delete(counts[:, 2], big)) <= 2
    shuffled = random.permutation(len(labels))
    np.testing.assert_array_equal(folds.person_folds(labels[shuffled], persons[shuffled], 5), fold[shuffled])


def test_image_folds_are_even_in_every_class():
    labels = np.random.RandomState(1).choice(4, 203, p=[0.6, 0.3, 0.08, 0.02])
    fold = folds.image_folds(labels, 5)
    for label in range(4):
        assert np.ptp(np.bincount(fold[labels == label], minlength=5)) <= 1
    assert np.ptp(np.bincount(fold, minlength=5)) <= 1


def test_every_stretch_of_a_stratified_order_has_the_mix():
    labels = np.repeat([0, 1, 2], [600, 300, 60])
    order = folds.stratified_order(labels)
    assert sorted(order) == list(range(960)) and not np.array_equal(order, np.sort(order))
    for start in range(0, 960, 160):
        counts = np.bincount(labels[order[start : start + 160]], minlength=3)
        assert np.abs(counts - [100, 50, 10]).max() <= 1


def test_links_join_through_others():
    names = ["d", "c", "b", "a", "e"]
    assert folds.united(names, [1, 1, 2, 3, 4], [5, 6, 6, 7, 8]) == ["b", "b", "b", "a", "e"]
    assert folds.united(["x", "x"], [1, 2]) == ["x", "x"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,Nobody_0001.jpg,fear", r"line 98: there is no .*images/Nobody_0001.jpg \(1 images are missing\)"),
        ("1,Fear_a_0001.jpg,fearr", r"line 98: unknown emotion 'fearr'; did you mean 'fear'\?"),
        ("1,Fear_a_0001.jpg,", "line 98: unknown emotion ''"),
        ("1,../../secret.jpg,fear", r"line 98: '\.\./\.\./secret\.jpg' is not the bare name of a file in images/"),
        ("1,/etc/passwd,fear", "line 98: '/etc/passwd' is not the bare name"),
        ("1,..\\secret.jpg,fear", "line 98: .* is not the bare name"),
        ("1,..,fear", "line 98: '..' is not the bare name"),
        ("1,,fear", "line 98: '' is not the bare name"),
        ("1,Fear_a_0001.jpg", "line 98: 2 values under 3 columns"),
        ("1,Fear_a_0001.jpg,fear,", "line 98: 4 values under 3 columns"),
        (f"1,{'a' * 200_000},fear", "line 98: field larger than field limit"),
    ],
)
def test_bad_row(tmp_path, line, message):
    rows = write_set(tmp_path)
    (tmp_path / "secret.jpg").write_bytes(b"never to be read")
    write_legend(tmp_path, [*rows, line])
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value) and "legend.csv" in str(caught.value)
    assert not list(cache_folder().rglob("prepared-*")), "nothing half-prepared is left"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"user.id,image\n1,Fear_a_0001.jpg\n", "has no column 'emotion', only user.id, image"),
        (b"user.id,file,emotion\n", "has no column 'image'"),
        (b"", "has no column 'image', only nothing"),
        (b"user.id,image,emotion\n", "has no rows"),
        (b"user.id,image,emotion\n1,\xff\xfe.jpg,fear\n", r"is not text in UTF-8 \(byte 24\)"),
    ],
)
def test_bad_legend(tmp_path, content, message):
    write_set(tmp_path)
    (tmp_path / "facial_expressions" / "data" / "legend.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_byte_order_mark_windows_line_ends_and_blank_lines_do_no_harm(tmp_path):
    rows = write_set(tmp_path)
    want = load(tmp_path).fingerprint
    write_legend(tmp_path, [*rows, "", ""], header="\ufeffuser.id, image, emotion", end="\r\n")
    assert load(tmp_path).fingerprint == want


def test_one_class_without_an_example(tmp_path):
    rows = write_set(tmp_path)
    write_legend(tmp_path, [row for row in rows if not row.endswith("contempt")])
    with pytest.raises(DataError, match="has no example of 'contempt'"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"this is text", b""])
def test_image_that_is_none(tmp_path, content):
    write_set(tmp_path)
    path = tmp_path / "facial_expressions" / "images" / "Fear_b_0002.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path} is (not a picture|empty)"):
        load(tmp_path)
    assert not list(cache_folder().rglob("prepared-*"))


@pytest.mark.parametrize(("gone", "message"), [("images", "lacks images"), ("data", "lacks data/legend.csv")])
def test_half_of_the_folder(tmp_path, gone, message):
    write_set(tmp_path)
    shutil.rmtree(tmp_path / "facial_expressions" / gone)
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_nothing_there(tmp_path, monkeypatch):
    (tmp_path / "facial_expressions").mkdir()
    with pytest.raises(
        DataError, match=r"has nothing of facial_expressions: it should hold data/legend\.csv and images/"
    ):
        load(tmp_path)
    monkeypatch.delenv("FER_JAX_DATA", raising=False)
    with pytest.raises(DataError, match="clone github.com/muxspace/facial_expressions"):
        data.load(name="facial_expressions")
    got = data.load(name="facial_expressions", fallback="synthetic_faces", fold=2)
    assert got.name == "synthetic_faces" and got.stand_in_for == "facial_expressions"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 5}, r"config\.data\.fold must be at most 4, not 5"),
        ({"fold": -1}, r"config\.data\.fold must be at least 0, not -1"),
        ({"split_by": "persons"}, r"config\.data\.split_by: .*did you mean 'person'\?"),
    ],
)
def test_bad_options(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, **options)


TWINS = ("Bart_Hendricks_0001.jpg", "Ricky_Ray_0001.jpg", "Carlos_Beltran_0001.jpg", "Raul_Ibanez_0001.jpg")
TEST_COUNTS = [1373, 1139, 74, 53, 51, 18, 4, 2]


def test_real_data(real_facial_expressions, capsys):
    root = real_facial_expressions / "facial_expressions"
    by_person = data.load(name="facial_expressions", data_dir=str(real_facial_expressions))
    said = capsys.readouterr().err
    assert "13,690 rows, 13,681 images of 5,612 persons" in by_person.source
    for words in (
        "lower case: 921",
        "taken once: 7",
        "left out: 1 (Avinash_30.jpg)",
        "left out: 36 (",
        "one person: 2 (",
    ):
        assert words in said and words in by_person.source
    splits = [by_person.splits[name] for name in SPLITS]
    labels = np.concatenate([split.labels for split in splits])
    assert np.bincount(labels).tolist() == [6864, 5693, 367, 267, 252, 208, 21, 9]
    people = [set(split.extras["person"]) for split in splits]
    assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])
    assert np.bincount(splits[2].labels).tolist() == TEST_COUNTS
    fold = folds.person_folds(labels, np.concatenate([split.extras["person"] for split in splits]), 5)
    assert set(np.flatnonzero(fold == 0)) == set(range(len(labels) - len(splits[2]), len(labels)))
    for number in range(5):
        counts = np.bincount(labels[fold == number], minlength=8)
        # Disgust is four persons' for the most part, one of whom has 104 of the 208 images.
        assert np.abs(np.delete(counts - np.bincount(labels) / 5, 5)).max() < 1.5 and counts[5] >= 17
    files = {name: hashlib.sha256((root / "images" / name).read_bytes()).hexdigest() for name in TWINS}
    everyone = {file: person for file, (_, person, _) in everything(by_person).items()}
    for one, other in (TWINS[:2], TWINS[2:]):
        assert files[one] == files[other] and everyone[one] == everyone[other]
    by_image = data.load(name="facial_expressions", split_by="image", data_dir=str(real_facial_expressions))
    assert "1,772 of 2,737 test images show a person who is also trained on" in by_image.source
