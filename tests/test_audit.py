"""The audit: every figure of small data sets made by hand, the published ones of FER2013, and what it writes."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from commands import assert_refused, call_command
from PIL import Image

from fer_jax import audit, data, main
from fer_jax.data import faults, twins
from fer_jax.data.dataset import DataSet, Split


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Runs the command in this process, in an empty folder."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.delenv("FER_JAX_DATA", raising=False)
    return lambda *words: call_command(audit, *words, monkeypatch=monkeypatch, capsys=capsys)


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (count, 6, 6, 1)).astype(np.uint8)


@pytest.fixture
def flawed() -> DataSet:
    """Twelve examples of eight images: a, a again, b three times, two blanks, and e with a brighter copy."""
    a, b, d, e, f, g = pictures(6) // 2
    blank, brighter = np.full_like(a, 7), e + 40
    brighter[0, 0] += 9
    train = Split(np.stack([a, a, b, blank, d, e]), np.array([0, 1, 0, 2, 1, 1], np.int32))
    validation = Split(np.stack([b, f]), np.array([0, 2], np.int32))
    test = Split(np.stack([b, brighter, blank, g]), np.array([1, 1, 2, 0], np.int32))
    splits = {"train": train, "validation": validation, "test": test}
    return DataSet("flawed", splits, ("angry", "disgust", "fear"), "made by hand")


def with_extras(dataset: DataSet, **extras) -> DataSet:
    splits = {
        name: Split(split.images, split.labels, {key: values[name] for key, values in extras.items()})
        for name, split in dataset.splits.items()
    }
    return DataSet(dataset.name, splits, dataset.class_names, dataset.source)


def test_every_figure_of_a_data_set_made_by_hand(flawed):
    figures = faults.examine(flawed).figures
    assert figures["classes"] == {
        "train": {"angry": 2, "disgust": 3, "fear": 1},
        "validation": {"angry": 1, "disgust": 0, "fear": 1},
        "test": {"angry": 1, "disgust": 2, "fear": 1},
    }
    keys = ("examples", "distinct", "surplus", "groups", "in_groups", "largest_group")
    keys += ("conflicting_groups", "in_conflicting_groups")
    assert {name: tuple(found[key] for key in keys) for name, found in figures["twins"].items()} == {
        "train": (6, 5, 1, 1, 2, 2, 1, 2),
        "validation": (2, 2, 0, 0, 0, 0, 0, 0),
        "test": (4, 4, 0, 0, 0, 0, 0, 0),
        "all": (12, 8, 4, 3, 7, 3, 2, 5),
    }
    assert figures["shared"] == [
        {"first": "train", "second": "validation", "distinct": 1, "in_first": 1, "in_second": 1, "labels_differ": 0},
        {"first": "train", "second": "test", "distinct": 2, "in_first": 2, "in_second": 2, "labels_differ": 1},
        {"first": "validation", "second": "test", "distinct": 1, "in_first": 1, "in_second": 1, "labels_differ": 1},
    ]
    assert figures["blank"] == {"train": 1, "validation": 0, "test": 1}
    near = figures["near"]
    assert (near["above"], near["pairs"], near["labels_differ"]) == (0.95, 1, 0)
    (closest,) = near["closest"]
    assert closest["first"] == ["train", 5] and closest["second"] == ["test", 1] and 0.95 < closest["cosine"] < 1
    assert [pair for pair in near["between"] if pair["in_first"] or pair["in_second"]] == [
        {
            **{"first": "train", "second": "test", "in_first": 1, "in_second": 1},
            **{"in_first_or_same": 3, "in_second_or_same": 3},
        }
    ]
    assert "fer_plus" not in figures and "people" not in figures


def test_every_list_of_a_data_set_made_by_hand(flawed):
    assert faults.examine(flawed).lists == {
        "train_twins": {"train": [2, 3]},
        "near_twins": {"train": [5]},
        "conflicts": {"train": [0, 1, 2], "validation": [0], "test": [0]},
        "blank": {"train": [3], "test": [2]},
        "test_twins": {"validation": [0], "test": [0, 2]},
        "test_near_twins": {"test": [1]},
        "recommended": {"train": [0, 1, 2, 3, 5]},
    }


def test_a_data_set_without_faults_has_no_lists(flawed):
    images = pictures(8, seed=1)
    labels = np.arange(4, dtype=np.int32) % 2
    clean = DataSet("clean", {"train": Split(images[:4], labels), "test": Split(images[4:], labels)}, ("x", "y"), "")
    found = faults.examine(clean)
    assert not found.lists and found.figures["near"]["pairs"] == 0 and found.figures["near"]["closest"] == []
    assert found.figures["twins"]["all"]["largest_group"] == 0


def test_an_empty_split_is_no_fault(flawed):
    splits = {**flawed.splits, "validation": flawed.splits["validation"][:0]}
    found = faults.examine(DataSet("flawed", splits, flawed.class_names, "")).figures
    assert found["twins"]["validation"]["examples"] == found["blank"]["validation"] == 0
    assert found["shared"][0]["distinct"] == 0 and found["shared"][1]["distinct"] == 2


def test_images_that_only_differ_in_brightness_and_contrast_are_near():
    (image,) = pictures(1) // 4
    images = np.stack([image, image * 3 + 20, 200 - image])
    member = np.array([[True, False], [False, True], [True, False]])
    found = twins.find_near(images, np.array([0, 1, 0]), member, 0.999)
    assert found.pairs == found.labels_differ == 1 and found.closest.tolist() == [[0, 1]]
    assert found.seen.tolist() == [[False, True], [True, False], [False, False]]


def test_a_pair_counts_only_above_the_bound():
    images = np.zeros((2, 2, 2, 1), np.uint8)
    images[0, ..., 0], images[1, ..., 0] = [[11, 9], [10, 10]], [[11, 10], [9, 10]]  # (1, -1, 0, 0) and (1, 0, -1, 0)
    assert [twins.find_near(images, np.zeros(2), np.ones((2, 1), bool), near).pairs for near in (0.49, 0.51)] == [1, 0]


def test_the_bound_is_held_to_the_last_digit_of_float64():
    """In float32 the cosines of these pairs are now on one side of it and now on the other."""
    for seed in range(20):
        images = pictures(2, seed)
        images[1] = images[0] // 2 + images[1] // 2
        (cosine,) = twins._exact(images, np.array([0]), np.array([1]))
        for near, pairs in ((cosine, 0), (np.nextafter(cosine, 0), 1)):
            assert twins.find_near(images, np.zeros(2), np.ones((2, 1), bool), near).pairs == pairs


def by_force(images: np.ndarray, labels: np.ndarray, member: np.ndarray, near: float):
    """What `find_near` finds, one pair after the other."""
    vectors = images.reshape(len(images), -1).astype(np.float64)
    vectors -= vectors.mean(axis=1, keepdims=True)
    seen, pairs, differ = np.zeros_like(member), [], 0
    for i in range(len(images)):
        for j in range(i + 1, len(images)):
            length = np.sqrt((vectors[i] ** 2).sum() * (vectors[j] ** 2).sum())
            if length and vectors[i] @ vectors[j] / length > near:
                pairs.append((i, j))
                differ += labels[i] != labels[j] or labels[i] < 0
                seen[i] |= member[j]
                seen[j] |= member[i]
    return pairs, differ, seen


@pytest.mark.parametrize("tile", [1, 3, 7, 40, 2048])
def test_near_twins_are_the_same_however_the_work_is_cut(monkeypatch, tile):
    monkeypatch.setattr(twins, "_TILE", tile)
    random = np.random.RandomState(2)
    images = np.concatenate([pictures(10, 3)] * 4)
    images[10:] = np.clip(images[10:] + random.randint(-60, 61, images[10:].shape), 0, 255)
    images[17] = 9
    labels, member = random.randint(-1, 3, 40), random.rand(40, 3) < 0.5
    found = twins.find_near(images, labels, member, 0.9)
    pairs, differ, seen = by_force(images, labels, member, 0.9)
    assert len(pairs) > 10 and (found.pairs, found.labels_differ) == (len(pairs), differ)
    assert (found.seen == seen).all()
    assert sorted(map(tuple, found.closest.tolist())) == pairs and (np.diff(found.cosines) <= 0).all()
    monkeypatch.setattr(twins, "_KEPT", 3)
    few = twins.find_near(images, labels, member, 0.9)
    assert few.pairs == len(pairs) and few.closest.tolist() == found.closest[:3].tolist()


def test_blank_images_are_of_one_value():
    images = np.stack([np.full((2, 2, 3), value, np.uint8) for value in (0, 255, 7, 7)])
    images[3, 1, 1, 2] = 8
    assert twins.is_blank(images).tolist() == [True, True, True, False]
    assert twins.is_blank(images[:0]).tolist() == []


def test_votes_are_held_against_the_labels(flawed):
    votes = {name: np.zeros((len(split), 10), np.uint8) for name, split in flawed.splits.items()}
    votes["train"][0, 4] = 10  # anger, which is the label
    votes["train"][1, 4] = 6  # anger for disgust
    votes["train"][2, 6] = 5  # no majority
    votes["train"][4, 9] = 10  # not a face
    votes["train"][5, 9] = 9
    votes["test"][2, 7] = 10  # contempt is none of the seven
    votes["test"][3, 9] = 10
    found = faults.examine(with_extras(flawed, votes=votes), near=1)
    assert found.figures["fer_plus"]["train"] == {
        "not_a_face": 1,
        "with_majority": 2,
        "labels_differ": 1,
        "classes": {
            "angry": {"with_majority": 1, "labels_differ": 0},
            "disgust": {"with_majority": 1, "labels_differ": 1},
            "fear": {"with_majority": 0, "labels_differ": 0},
        },
    }
    assert found.figures["fer_plus"]["test"]["not_a_face"] == 1
    assert found.figures["fer_plus"]["test"]["with_majority"] == 0
    assert found.lists["not_a_face"] == {"train": [4], "test": [3]}
    assert found.lists["recommended"] == {"train": [0, 1, 2, 3, 4]}
    assert "near" not in found.figures and "near_twins" not in found.lists


def test_people_in_two_splits_are_counted(flawed):
    person = {"train": np.array(list("aabbcc")), "validation": np.array(["d", "b"]), "test": np.array(list("ccad"))}
    found = faults.examine(with_extras(flawed, person=person), near=1).figures["people"]
    assert found["in"] == {"train": 3, "validation": 2, "test": 3}
    assert found["shared"] == [
        {"first": "train", "second": "validation", "people": 1, "in_first": 2, "in_second": 1},
        {"first": "train", "second": "test", "people": 2, "in_first": 4, "in_second": 3},
        {"first": "validation", "second": "test", "people": 1, "in_first": 1, "in_second": 1},
    ]


@pytest.fixture
def made(monkeypatch, flawed):
    """--data=NAME of the data set made by hand."""
    monkeypatch.setitem(data.LOADERS, "flawed", lambda: flawed)
    return "--data=flawed"


def test_the_report_is_printed_and_written(command, made, flawed):
    result = command(made)
    folder = Path("audits/flawed")
    assert result.code == 0 and not result.err
    text = (folder / "audit.md").read_text()
    assert text in result.out
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in (
        "| disgust | 3 (50.0 %) | 0 (0.0 %) | 2 (50.0 %) |",
        "Classes without an example: disgust in validation.",
        "| train | 6 | 5 | 1 | 1 | 2 | 2 | 1 | 2 | 1 |",
        "| all | 12 | 8 | 4 | 3 | 7 | 3 | 2 | 5 | 2 |",
        "| train and test | 2 | 2 (33.3 %) | 2 (50.0 %) | 1 |",
        "| train and test | 1 (16.7 %) | 1 (25.0 %) | 3 (50.0 %) | 3 (75.0 %) |",
        "| exclude_conflicts.json | examples of an image that carries more than one label | 3 | 1 | 1 |",
    ):
        assert line in lines
    assert "`--config.data.exclude=audits/flawed/exclude_recommended.json`" in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 6 and all(len({len(line) for line in table}) == 1 for table in tables)
    report = json.loads((folder / "audit.json").read_text())
    found = faults.examine(flawed)
    assert report["fingerprint"] == flawed.fingerprint and report["command"][1:] == ["-m", "fer_jax.audit", made]
    assert {key: report[key] for key in found.figures} == json.loads(json.dumps(found.figures))
    assert report["lists"]["conflicts"] == {"file": "exclude_conflicts.json", "train": 3, "validation": 1, "test": 1}
    assert {path.name for path in folder.glob("exclude_*")} == {f"exclude_{key}.json" for key in found.lists}


def test_training_can_leave_out_what_a_list_names(command, made, flawed):
    assert command(made, "--out=here").code == 0
    rest = data.load(name="flawed", exclude="here/exclude_recommended.json")
    assert rest.splits["train"].images.tolist() == flawed.splits["train"].images[[4]].tolist()
    assert len(rest.splits["test"]) == 4
    rest = data.load(name="flawed", exclude="here/exclude_test_twins.json")
    assert {name: len(split) for name, split in rest.splits.items()} == {"train": 6, "validation": 1, "test": 2}


def test_a_list_that_is_now_empty_is_taken_away(command, made):
    assert command(made).code == 0
    assert (Path("audits/flawed") / "exclude_near_twins.json").is_file()
    (Path("audits/flawed") / "exclude_mine.json").write_text("mine")
    assert command(made, "--near=1").code == 0
    left = {path.name for path in Path("audits/flawed").glob("exclude_*")}
    assert "exclude_near_twins.json" not in left and {"exclude_train_twins.json", "exclude_mine.json"} <= left
    assert json.loads(Path("audits/flawed/exclude_recommended.json").read_text()) == {
        "data": "flawed",
        "fingerprint": data.load(name="flawed").fingerprint,
        "why": {key: faults.LISTS[key] for key in ("train_twins", "conflicts", "blank")},
        "exclude": {"train": [0, 1, 2, 3]},
    }


def test_a_folder_of_pictures_is_examined(command, tmp_path):
    for name in ("glad", "so | so"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for number in range(10):
            image = np.random.RandomState(number).randint(0, 256, (48, 48)).astype(np.uint8)
            Image.fromarray(image).save(tmp_path / "mine" / name / f"{number}.png")
    result = command(f"--data={tmp_path / 'mine'}")
    assert result.code == 0 and "| so \\| so |" in result.out
    found = json.loads(Path("audits/mine/audit.json").read_text())
    assert found["data"] == "folder"
    assert (found["twins"]["all"]["distinct"], found["twins"]["all"]["conflicting_groups"]) == (10, 10)


def test_the_embedded_digits_are_examined_in_the_same_process_as_main(command):
    assert "data_dir" in main.FLAGS and "data_dir" in audit.FLAGS
    assert command("--data=digits", "--near=0.99").code == 0
    found = json.loads(Path("audits/digits/audit.json").read_text())
    assert found["twins"]["all"]["surplus"] == 0 and 0 < found["near"]["pairs"] < 100


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "--data=NAME is missing, for example --data=fer2013"),
        (["--data=digit"], "--data=digit: no such data set, and no such folder; did you mean 'digits'?"),
        (["--data=none/here"], "--data=none/here: no such data set, and no such folder; known: "),
        (["--data=folder"], "--data=folder: no such data set, and no such folder; "),
        (["--data=digits", "--near=0"], "--near must be above 0 and at most 1, not 0.0"),
        (["--data=digits", "--near=1.01"], "--near must be above 0 and at most 1, not 1.01"),
        (["--data=digits", "--near=nan"], "--near must be above 0 and at most 1, not nan"),
        (["--data=digits", "--near=high"], "--near=high must be a number"),
        (["--data=digits", "--fold=1"], "config.data.fold = 1 means nothing to config.data.name = 'digits'"),
        (["--data=facial_expressions", "--split_by=hair"], "config.data.split_by: no such choice as 'hair'"),
        (["--dta=digits"], "--dta: no such flag; did you mean '--data'?"),
        (["digits"], "'digits' is no flag; a flag is written --name=value"),
    ],
)
def test_a_wrong_word_is_told(command, words, sentence):
    assert_refused(command(*words), sentence)


def test_data_that_are_not_there_are_told(command, tmp_path):
    result = command("--data=facial_expressions", f"--data_dir={tmp_path / 'empty'}")
    assert_refused(result, str(tmp_path / "empty" / "facial_expressions"), code=1)


def test_a_folder_without_pictures_is_told(command, tmp_path):
    (tmp_path / "bare").mkdir()
    assert_refused(command(f"--data={tmp_path / 'bare'}"), str(tmp_path / "bare"), code=1)


def test_a_data_set_without_examples_is_told(command, monkeypatch):
    none = Split(np.zeros((0, 4, 4, 1), np.uint8), np.zeros(0, np.int32))
    hollow = DataSet("hollow", {"train": none, "test": none}, ("x", "y"), "nowhere")
    monkeypatch.setitem(data.LOADERS, "hollow", lambda: hollow)
    assert_refused(command("--data=hollow"), "'hollow' has no examples (nowhere): there is nothing to", code=1)


def test_an_out_folder_that_cannot_be_made_is_told(command, made, tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder, reason in ((tmp_path / "file", "File exists"), (tmp_path / "file" / "x", "Not a directory")):
        assert_refused(command(made, f"--out={folder}"), f"--out {folder} cannot be written: {reason}", code=1)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder in which nobody can write")
def test_an_out_folder_that_nobody_can_write_is_told(command, made):
    assert_refused(command(made, "--out=/proc/self"), "--out /proc/self cannot be written: ", code=1)


def test_ctrl_c_is_told(command, made, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(twins, "find_near", stop)
    result = command(made)
    assert (result.code, result.err) == (130, "fer_jax: interrupted; nothing new was saved\n")
    assert not list(Path("audits/flawed").iterdir())


def test_a_full_disk_is_told(command, made, monkeypatch):
    def full_disk(path, *arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_text", full_disk)
    result = command(made)
    assert result.code == 1 and result.err.count("\n") == 1
    assert "cannot be written: No space left on device" in result.err and not list(Path("audits/flawed").iterdir())


@pytest.fixture(scope="module")
def fer2013(real_fer2013, tmp_path_factory) -> DataSet:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("fer2013")))
        return data.load(name="fer2013", data_dir=str(real_fer2013))


def test_the_figures_of_fer2013_are_the_published_ones(fer2013):
    found = faults.examine(fer2013, near=1)
    keys = ("examples", "distinct", "surplus", "groups", "in_groups", "largest_group")
    keys += ("conflicting_groups", "in_conflicting_groups")
    assert {name: tuple(each[key] for key in keys) for name, each in found.figures["twins"].items()} == {
        "train": (28709, 27473, 1236, 1035, 2271, 11, 39, 107),
        "validation": (3589, 3563, 26, 26, 52, 2, 1, 2),
        "test": (3589, 3572, 17, 16, 33, 3, 2, 4),
        "all": (35887, 34034, 1853, 1516, 3369, 12, 57, 160),
    }
    keys = ("distinct", "in_first", "in_second", "labels_differ")
    assert {(pair["first"], pair["second"]): tuple(pair[key] for key in keys) for pair in found.figures["shared"]} == {
        ("train", "validation"): (270, 351, 280, 13),
        ("train", "test"): (278, 387, 288, 14),
        ("validation", "test"): (43, 46, 44, 2),
    }
    assert found.figures["blank"] == {"train": 11, "validation": 1, "test": 0}
    rows = {name: split.extras["row"] for name, split in fer2013.splits.items()}
    blank = np.concatenate([rows[name][positions] for name, positions in found.lists["blank"].items()])
    assert sorted(blank.tolist()) == [
        *(6458, 7629, 10423, 11286, 13148, 13402, 13988, 15894, 22198, 22927, 28601, 30002)
    ]
    assert {name: len(positions) for name, positions in found.lists["test_twins"].items()} == {
        "validation": 3589 - 3309,
        "test": 3589 - 3301,
    }


def test_what_fer_plus_says_of_fer2013(fer2013):
    """173 rows have no image name in fer2013new.csv, all with ten votes for 'not a face'; three more have the votes."""
    found = faults.examine(fer2013, near=1)
    counts = {name: (each["not_a_face"], each["with_majority"]) for name, each in found.figures["fer_plus"].items()}
    assert counts == {"train": (150, 21733), "validation": (10, 2854), "test": (16, 2720)}
    rows = {name: fer2013.splits[name].extras["row"][rows].tolist() for name, rows in found.lists["not_a_face"].items()}
    assert {10657, 13839} <= set(rows["train"]) and 34334 in rows["test"]


def test_near_twins_of_fer2013_are_those_of_a_plain_product(fer2013):
    train, test = fer2013.splits["train"][:3000], fer2013.splits["test"]
    few = DataSet("fer2013", {"train": train, "test": test}, fer2013.class_names, "")
    between = {(pair["first"], pair["second"]): pair for pair in faults.examine(few).figures["near"]["between"]}

    def unit(split):
        vectors = split.images.reshape(len(split), -1).astype(np.float64)
        vectors -= vectors.mean(axis=1, keepdims=True)
        return vectors / np.maximum(np.sqrt((vectors**2).sum(axis=1, keepdims=True)), 1e-9)

    near_or_same = unit(train) @ unit(test).T > 0.95
    pair = between["train", "test"]
    assert pair["in_second_or_same"] == near_or_same.any(axis=0).sum() > 30
    assert pair["in_first_or_same"] == near_or_same.any(axis=1).sum() > 30
