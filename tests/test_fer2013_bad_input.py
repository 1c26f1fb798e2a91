"""FER2013 that is damaged: one sentence that names the file and the row, and nothing prepared."""

import gzip
import io
import lzma
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fer2013_files import (
    compact_arrays,
    csv_bytes,
    csv_lines,
    tar_bytes,
    tiny_fer2013,
    tiny_votes,
    votes_lines,
    write_compact,
    write_pictures,
    zip_bytes,
)

from fer_jax import data
from fer_jax.data import download, prepared
from fer_jax.data.dataset import DataSet
from fer_jax.errors import DataError


@pytest.fixture
def folder(tmp_path) -> Path:
    """An empty fer2013/ in a data folder."""
    (tmp_path / "fer2013").mkdir()
    return tmp_path / "fer2013"


def refused(folder: Path) -> str:
    """The sentence with which the data folder is refused."""
    with pytest.raises(DataError) as caught:
        data.load(name="fer2013", fallback="digits", data_dir=str(folder.parent))
    assert not isinstance(caught.value, download.UnavailableError)
    assert not (download.cache_folder() / "fer2013").exists(), "nothing is half-prepared"
    message = str(caught.value)
    assert message and "\n" not in message and message.isprintable() and len(message) < 600
    return message


def changed(line: int, change) -> bytes:
    """The CSV with a line (from 1) changed; `change` takes its fields."""
    lines = csv_lines(tiny_fer2013())
    lines[line - 1] = ",".join(change(*lines[line - 1].split(",")))
    return "\n".join(lines).encode()


def with_pixel(word: str):
    """Puts `word` in place of pixel 7."""
    return lambda emotion, pixels, usage: (emotion, " ".join([*pixels.split()[:7], word, *pixels.split()[8:]]), usage)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\r\n\r\n", "is empty or begins with an empty line"),
        (b"emotion,pixels,Usage\n", "holds a header and no row"),
        (b"emotion,pixels,Usage\n\n\n", "holds a header and no row"),
        (
            b"emotion,pixels\n0,1 2",
            "line 1: a header with the columns emotion, pixels, Usage is expected, 'Usage' once",
        ),
        (b"pixels\n1 2", "'emotion' once"),
        (b"emotion,image,Usage\n", "'pixels' once; this one is 'emotion,image,Usage'"),
        (b"emotion,pixels,Usage,pixels\n", "'pixels' once"),
        (b"<html>\x1b[31m not found</html>\n", "this one is '<html>?[31m not found</html>'"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "line 1: a header"),
        (b"x" * 100_000, "line 1: it is longer than any row"),
        (changed(5, lambda e, p, u: (e, f"{p} 1", u)), "line 5: it has 2,305 pixels in place of 2,304 (48x48)"),
        (changed(5, lambda e, p, u: (e, p[: p.rindex(" ")], u)), "line 5: it has 2,303 pixels in place of"),
        (changed(5, lambda e, p, u: (e, "", u)), "line 5: it has 0 pixels in place of"),
        (changed(2, with_pixel("256")), "line 2: pixel 7 is 256, outside 0..255"),
        (changed(2, with_pixel("-1")), "line 2: pixel 7 is -1, outside 0..255"),
        (changed(2, with_pixel("9" * 50)), "line 2: pixel 7 is 9999"),
        (changed(34, with_pixel("x")), "line 34: pixel 7 is 'x', which is no whole number"),
        (changed(34, with_pixel("1.5")), "line 34: pixel 7 is '1.5', which is no whole number"),
        (changed(34, with_pixel("nan")), "line 34: pixel 7 is 'nan', which is no whole number"),
        (changed(34, with_pixel("\u0661")), "line 34: pixel 7 is '\u0661', which is no whole number"),
        (changed(34, with_pixel("12\x00")), "line 34: pixel 7 is '12?', which is no whole number"),
        (changed(9, lambda e, p, u: ("happy", p, u)), "line 9: its emotion is 'happy', which is no whole number"),
        (changed(9, lambda e, p, u: ("", p, u)), "line 9: its emotion is '', which is no whole number"),
        (changed(9, lambda e, p, u: ("-1", p, u)), "line 9: its emotion is '-1', which is no whole number"),
        (changed(9, lambda e, p, u: ("9", p, u)), "line 9: its emotion is 9, and the last is 6"),
        (changed(9, lambda e, p, u: ("7" * 5000, p, u)), "line 9: its emotion is 7777"),
        (changed(3, lambda e, p, u: (e, p, "Testing")), "line 3: its Usage is 'Testing', which is none of Training, P"),
        (changed(3, lambda e, p, u: (e, p, "")), "line 3: its Usage is '', which is none of"),
        (changed(3, lambda e, p, u: (e, p)), "line 3: 3 fields are expected and 2 found"),
        (changed(3, lambda e, p, u: (e, p.replace(" ", ","), u)), "line 3: 3 fields are expected and 2306 found"),
        (csv_bytes(tiny_fer2013())[:-5000], "line 34: 3 fields are expected and 2 found, as where a file is cut off"),
        (changed(4, lambda e, p, u: (e, p + " 1" * 40_000, u)), "line 4: it is longer than any row"),
    ],
)
def test_damaged_csv(folder, content, message):
    (folder / "fer2013.csv").write_bytes(content)
    said = refused(folder)
    assert said.startswith(str(folder / "fer2013.csv")) and message in said


@pytest.mark.parametrize("usage", ["Training", "PublicTest", "PrivateTest"])
def test_missing_split(folder, usage):
    lines = [line for line in csv_lines(tiny_fer2013()) if not line.endswith(usage)]
    (folder / "fer2013.csv").write_text("\n".join(lines))
    assert f"fer2013.csv has no row whose Usage is {usage}, so there is no" in refused(folder)


def test_line_number_counts_empty_lines(folder):
    content = changed(9, lambda e, p, u: ("9", p, u)).replace(b"\n", b"\n\n", 3)
    (folder / "fer2013.csv").write_bytes(content)
    assert "line 12: its emotion is 9" in refused(folder)


def test_damage_late_in_the_file_leaves_nothing(folder):
    (folder / "fer2013.csv").write_bytes(changed(34, with_pixel("256")))
    assert "line 34" in refused(folder)
    (folder / "fer2013.csv").write_bytes(csv_bytes(tiny_fer2013()))
    assert len(data.load(name="fer2013", data_dir=str(folder.parent)).splits["test"]) == 8


PLAIN = csv_bytes(tiny_fer2013())
PACKED = {
    "fer2013.csv.gz": gzip.compress(PLAIN),
    "fer2013.csv.xz": lzma.compress(PLAIN),
    "fer2013.csv.zip": zip_bytes({"fer2013.csv": PLAIN}),
    "fer2013.tar.gz": tar_bytes({"fer2013/fer2013.csv": PLAIN, "fer2013/README": b"x" * 5000}),
}


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("damage", ["half", "last bytes", "first byte", "flipped", "empty", "plain"])
def test_damaged_archive(folder, name, damage):
    content = PACKED[name]
    middle = len(content) // 2
    content = {
        "half": content[:middle],
        "last bytes": content[:-3],
        "first byte": content[:1],
        "flipped": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
        "empty": b"",
        "plain": PLAIN,
    }[damage]
    (folder / name).write_bytes(content)
    said = refused(folder)
    assert said.startswith(str(folder / name))
    if damage in ("half", "first byte", "plain") or (damage == "last bytes" and not name.endswith("zip")):
        assert "is a damaged or truncated archive" in said


def test_archive_that_is_damaged_behind_the_csv(folder):
    content = tar_bytes({"fer2013.csv": PLAIN, "notes": bytes(range(256)) * 100})
    for end in (-8, -4, -1):
        (folder / "fer2013.tar.gz").write_bytes(content[:end])
        assert "is a damaged or truncated archive" in refused(folder)
    (folder / "fer2013.tar.gz").write_bytes(content[:-8] + b"\0\0\0\0" + content[-4:])
    assert "is a damaged or truncated archive (CRC check failed" in refused(folder)


ESCAPES = ["../fer2013.csv", "/etc/fer2013.csv", "a/../../fer2013.csv", "..\\fer2013.csv", "C:\\fer2013.csv"]


@pytest.mark.parametrize("member", ESCAPES)
@pytest.mark.parametrize("packing", ["zip", "tar.gz"])
@pytest.mark.parametrize("place", ["before", "the csv", "behind"])
def test_path_that_escapes_the_archive(folder, member, packing, place):
    members = {
        "before": {member.replace("fer2013.csv", "notes"): b"", "fer2013.csv": PLAIN},
        "the csv": {member: PLAIN},
        "behind": {"fer2013.csv": PLAIN, member.replace("fer2013.csv", "notes"): b""},
    }[place]
    pack = zip_bytes if packing == "zip" else tar_bytes
    (folder / f"fer2013.{packing}").write_bytes(pack(members))
    said = refused(folder)
    assert "leads out of the archive, so nothing of it is read" in said
    assert sorted(path.name for path in folder.parent.rglob("*")) == ["fer2013", f"fer2013.{packing}"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_member_that_is_no_file(folder, kind):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("fer2013.csv")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    (folder / "fer2013.tar.gz").write_bytes(buffer.getvalue())
    assert "fer2013.tar.gz holds no fer2013.csv or icml_face_data.csv" in refused(folder)


@pytest.mark.parametrize(("name", "pack"), [("fer2013.zip", zip_bytes), ("fer2013.tar.gz", tar_bytes)])
def test_archive_without_the_csv(folder, name, pack):
    (folder / name).write_bytes(pack({"train/angry/im0.png": b"", "fer2013.csv.txt": PLAIN}))
    assert f"{name} holds no fer2013.csv or icml_face_data.csv: unpack it" in refused(folder)


def test_encrypted_zip(folder):
    content = bytearray(zip_bytes({"fer2013.csv": PLAIN}))
    content[6] |= 1  # The flag for encryption, of the member and in the directory.
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (folder / "fer2013.zip").write_bytes(content)
    assert "is encrypted, password required for extraction): unpack it yourself" in refused(folder)


@pytest.mark.parametrize("name", ["fer2013.csv.gz", "fer2013.csv.xz", "fer2013.csv.zip", "fer2013.tar.gz"])
def test_a_bomb_is_not_unpacked(folder, name):
    content = b"emotion,pixels,Usage\n" + (b"0," + b"0 " * 2304 + b",Training\n") * 4000
    pack = {"gz": gzip.compress, "xz": lzma.compress, "zip": lambda content: zip_bytes({"fer2013.csv": content})}
    archive = tar_bytes({"fer2013.csv": content}) if name.endswith("tar.gz") else pack[name[-3:].strip(".")](content)
    (folder / name).write_bytes(archive)
    assert "unpacks to more than 16,777,216 bytes, which is no data set of its size" in refused(folder)


def test_a_member_without_a_name(folder):
    nameless = zipfile.ZipInfo("x")
    nameless.filename = ""
    with zipfile.ZipFile(folder / "fer2013.zip", "w") as archive:
        archive.writestr(nameless, b"")
        archive.writestr("fer2013.csv", PLAIN)
    assert "its member '' leads out of the archive" in refused(folder)


def test_csv_that_is_a_folder(folder):
    (folder / "fer2013.csv").mkdir()
    assert "has nothing of FER2013: it should hold fer2013.csv or icml_face_data.csv" in refused(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no whole .npz file"),
        (b"no archive", "is no whole .npz file"),
        (b"PK\x03\x04 nor this", "is no whole .npz file"),
        ("half", "is no whole .npz file"),
        ("array", "is no whole .npz file"),
        ({"residual": None}, "residual is not a file in the archive"),
        ({"index": None}, "index is not a file in the archive"),
        ({"emotion": None}, "emotion is not a file in the archive"),
        ({"residual": np.zeros((3, 48, 47), np.uint8)}, "arrays residual uint8 (3, 48, 47)"),
        ({"residual": np.zeros((16, 48, 48), np.int64)}, "arrays residual int64"),
        ({"index": np.zeros(15, np.uint16)}, "are no compact FER2013"),
        ("bytes", "are no compact FER2013"),
        ({"residual": np.zeros((8000, 48, 48), np.uint8)}, "unpacks to more than 16,777,216 bytes"),
        (
            {"index": np.zeros(8000, np.uint16), "emotion": np.zeros(8000, np.uint8)},
            "repeats its images up to more than",
        ),
        ({"index": np.zeros(0, np.uint16), "emotion": np.zeros(0, np.uint8)}, "holds no image"),
        ({"index": np.arange(16).astype(np.uint16)}, "row 15 (from 0): its image is 15, and the last is 14"),
        ({"emotion": np.full(16, 9, np.uint8)}, "row 0 (from 0): its emotion is 9, and the last is 6"),
        ({"emotion": np.array([None] * 16)}, "is no whole .npz file (Object arrays cannot be loaded"),
    ],
)
def test_damaged_compact_file(folder, content, message):
    shutil.rmtree(folder)
    splits = tiny_fer2013()
    write_compact(folder, splits)
    path = folder / "fer2013_train.npz"
    if content == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif content == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif content == "bytes":
        path.write_bytes(zip_bytes({f"{name}.npy": b"no array" for name in ("residual", "index", "emotion")}))
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        arrays = {**compact_arrays(splits["train"]), **content}
        np.savez_compressed(path, **{name: array for name, array in arrays.items() if array is not None})
    said = refused(folder)
    assert said.startswith(str(path)) and message in said


def test_missing_compact_file(folder):
    shutil.rmtree(folder)
    write_compact(folder, tiny_fer2013())
    (folder / "fer2013_public_test.npz").unlink()
    assert refused(folder) == f"{folder} lacks fer2013_public_test.npz: add what is missing"


def votes_with(line: int, old: str, new: str) -> str:
    """The votes with a word of a line (from 1) changed."""
    splits = tiny_fer2013()
    lines = votes_lines(splits, tiny_votes(splits))
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: FER+ has a column 'Usage', once"),
        (votes_with(1, "contempt", "scorn"), "line 1: FER+ has a column 'contempt', once"),
        (votes_with(1, "Usage", "usage"), "a column 'Usage', once"),
        ("\n".join(votes_with(1, "NF", "NF").split("\n")[:-1]), "has votes for 32 rows and FER2013 beside it has 33"),
        (votes_with(1, "NF", "NF").split("\n")[0], "has votes for 0 rows and FER2013 beside it has 33"),
        (votes_with(1, "NF", "NF") + "\n" + votes_with(1, "NF", "NF").split("\n")[-1], "has votes for 34 rows"),
        (
            votes_with(17, "Training", "PublicTest"),
            "line 17: its Usage is PublicTest, and that of row 15 of FER2013 is T",
        ),
        (votes_with(5, ".png,", ".png,x"), "line 5: 'x"),
        (votes_with(5, ".png,", ".png,-"), "is no number of votes"),
        (votes_with(5, ".png,", ".png,1"), "line 5: its votes add up to"),
        (
            "\n".join([*votes_with(1, "NF", "NF").split("\n")[:4], "Training,x" + 10 * ",0"]),
            "add up to 0, of 10 taggers",
        ),
        (votes_with(5, ".png,", ".png,0,"), "line 5: 12 fields are expected and 13 found"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "npz"])
def test_damaged_votes(folder, form, content, message):
    if form == "csv":
        (folder / "fer2013.csv").write_bytes(PLAIN)
    else:
        shutil.rmtree(folder)
        write_compact(folder, tiny_fer2013())
    (folder / "fer2013new.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    said = refused(folder)
    assert said.startswith(str(folder / "fer2013new.csv")) and message in said


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no test", "lacks test/: add"),
        ("no class", "lacks pictures in train/disgust: add what is missing"),
        ("empty class", "lacks pictures in test/happy: add what is missing"),
        ("unknown class", "'angri' is no class of FER2013; did you mean 'angry'?"),
        ("another file", "notes.txt is no picture by its name (.png, .jpg, .jpeg)"),
        ("text", "im0.png is not a picture"),
        ("empty", "im0.png is empty"),
        ("truncated", "im0.png cannot be decoded"),
        ("dangling", "im0.png cannot be read: No such file"),
        ("pipe", "im0.png is no file: move it away"),
    ],
)
def test_damaged_pictures(folder, damage, message):
    write_pictures(folder, tiny_fer2013())
    picture = folder / "train" / "sad" / "im0.png"
    if damage == "no test":
        shutil.rmtree(folder / "test")
    elif damage == "no class":
        shutil.rmtree(folder / "train" / "disgust")
    elif damage == "empty class":
        for path in (folder / "test" / "happy").iterdir():
            path.unlink()
    elif damage == "unknown class":
        (folder / "train" / "angry").rename(folder / "train" / "angri")
    elif damage == "another file":
        (folder / "test" / "fear" / "notes.txt").touch()
    elif damage == "pipe":
        picture.unlink()
        os.mkfifo(picture)
    elif damage == "dangling":
        picture.unlink()
        picture.symlink_to("nowhere")
    else:
        content = {"text": b"hello", "empty": b"", "truncated": picture.read_bytes()[:900]}[damage]
        picture.write_bytes(content)
    said = refused(folder)
    assert said.startswith(str(folder)) and message in said


def test_prepared_copy_of_something_else(folder):
    prepared.write(DataSet("mnist", tiny_fer2013(), tuple("abcdefg"), ""), folder / "1.0.0")
    assert "is a prepared copy of 'mnist' with train, validation, test, not of FER2013" in refused(folder)


@pytest.mark.parametrize("column", ["votes", "row"])
def test_prepared_copy_whose_extras_were_changed(folder, capfd, column):
    splits = tiny_fer2013()
    (folder / "fer2013.csv").write_bytes(csv_bytes(splits))
    (folder / "fer2013new.csv").write_text("\n".join(votes_lines(splits, tiny_votes(splits))))
    want = data.load(name="fer2013", data_dir=str(folder.parent))
    copy = Path(want.source.rpartition(" in ")[2])
    changed_splits = dict(want.splits)
    changed_splits["test"].extras[column][0] = 1
    other = copy.parent / "other"
    prepared.write(DataSet("fer2013", changed_splits, want.class_names, ""), other)
    for path in copy.glob("*array_record*"):
        shutil.copy(next(other.glob(path.name)), path)
    shutil.rmtree(other)
    again = data.load(name="fer2013", data_dir=str(folder.parent))
    assert "the examples are not those that were prepared" in capfd.readouterr().err
    assert again.splits["test"].extras["row"][0] == 25
