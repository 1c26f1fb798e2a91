"""`python -m fer_jax.predict`: what it writes in each format, and what it says of bad input."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from commands import assert_refused, call_command
from PIL import Image
from predict_runs import copy_run, network_of
from special_files import KINDS, special
from test_pictures import JPEG, png

from fer_jax import files, provenance
from fer_jax.data import digits as embedded
from fer_jax.errors import DataError
from fer_jax.predict import __main__ as command_line
from fer_jax.predict import draw, frames, output, predictor, sources
from fer_jax.predict.predictor import Answer, Item, Prediction

KEYS = (
    *("file", "frame", "seconds", "face", "box", "label", "probability", "withheld", "probabilities", "inverted"),
    *("centred", "error", "run", "step", "member", "view", "temperature", "stand_in"),
)


@pytest.fixture(scope="module")
def network(small_runs):
    return network_of(small_runs / "stand_in")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of ten digits as pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for place, image in enumerate(embedded.load().splits["test"].images[:10]):
        Image.fromarray(image[..., 0]).save(folder / f"{place}.png")
    return folder


@pytest.fixture
def command(monkeypatch, capsys, tmp_path, tiny):
    """Runs a command in this process, in an empty folder, as `python -m fer_jax.predict` does with these words."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.delenv("FER_JAX_DATA", raising=False)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent / ".jax_cache"))

    def call(*words):
        return call_command(command_line, *words, monkeypatch=monkeypatch, capsys=capsys)

    return call


@pytest.fixture
def opened(command, network, monkeypatch):
    """The same with the network at hand, which saves opening the run."""
    abstain = {}

    def load(**options):
        abstain["at"] = options["abstain"]
        found = predictor.Predictor(network.trained, network._framer, "plain", 64, options["abstain"])
        found._programs, found.calibration = network._programs, network.calibration
        return found

    monkeypatch.setattr(predictor, "load", load)
    return lambda *words: command("--workdir=x", *words)


def lines(result):
    return [json.loads(line) for line in result.out.splitlines()]


def test_a_stand_in_run_predicts_and_says_what_it_is_everywhere(command, small_runs, pictures):
    result = command(f"--workdir={small_runs / 'stand_in'}", str(pictures), "--format=jsonl")
    assert result.code == 0
    found = lines(result)
    assert [Path(one["file"]).name for one in found] == [f"{place}.png" for place in range(10)]
    for one in found:
        assert tuple(one) == KEYS
        assert one["stand_in"].startswith("STAND-IN DATA: MNIST COULD NOT BE HAD.") and one["temperature"] is None
        assert one["label"] == max(one["probabilities"], key=one["probabilities"].get) and not one["error"]
        assert sum(one["probabilities"].values()) == pytest.approx(1)
    assert result.err.count("STAND-IN DATA") == 2
    assert "uncalibrated: a run of protocol 'seed' has no validation split" in result.err
    assert "10 pictures, 10 predictions in " in result.err and "pictures a second" in result.err
    table = command(f"--workdir={small_runs / 'stand_in'}", str(pictures / "3.png"), "--checkpoint=last")
    first, row, last = table.out.splitlines()
    assert first == last and first.startswith("*** STAND-IN DATA") and "3.png" in row and " %" in row


def test_csv_holds_the_same(opened, pictures):
    objects = lines(opened(str(pictures), "--format=jsonl"))
    result = opened(str(pictures), "--format=csv")
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert result.code == 0 and len(rows) == 10
    for row, one in zip(rows, objects, strict=True):
        assert (row["file"], row["label"], row["left"]) == (one["file"], one["label"], "")
        assert float(row["p_3"]) == one["probabilities"]["3"] and row["stand_in"] == one["stand_in"]


def test_withheld_labels_are_no_fault(opened, pictures):
    result = opened(str(pictures), "--format=jsonl", "--abstain=1")
    assert result.code == 0 and {one["label"] for one in lines(result)} == {None}
    assert all(one["withheld"] and one["probabilities"] for one in lines(result))
    assert "10 labels withheld" in result.err
    assert "(withheld)" in opened(str(pictures), "--abstain=1").out


def test_a_file_appears_whole_by_the_format_of_its_name_and_is_not_replaced_unasked(opened, pictures, tmp_path):
    target = tmp_path / "answers.csv"
    first = opened(str(pictures / "1.png"), f"--out={target}")
    assert first.code == 0 and not first.out and target.read_text().startswith("file,frame,")
    before = target.read_bytes()
    assert_refused(opened(str(pictures), f"--out={target}"), f"{target} exists already", "--overwrite")
    assert target.read_bytes() == before
    assert opened(str(pictures), f"--out={target}", "--overwrite").code == 0
    assert target.read_text().count("\n") == 11
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "empty"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_not_replaced(opened, pictures, tmp_path, kind):
    """Nor is it where a link leads to it."""
    target = special(kind, tmp_path / "a.csv")
    (tmp_path / "link.csv").symlink_to(target)
    for out in (target, tmp_path / "link.csv"):
        for flags in ([], ["--overwrite"]):
            result = opened(str(pictures / "1.png"), f"--out={out}", *flags)
            assert_refused(result, f"{out} is a {kind}, and no file: name another")
    assert files.kind(target.stat().st_mode) == kind and (tmp_path / "link.csv").is_symlink()


def test_a_link_stays_and_what_it_leads_to_is_replaced(opened, pictures, tmp_path):
    (tmp_path / "inner").mkdir()
    target, link = tmp_path / "inner" / "a.csv", tmp_path / "link.csv"
    link.symlink_to("inner/a.csv")
    assert opened(str(pictures / "1.png"), f"--out={link}").code == 0
    assert link.is_symlink() and target.read_text().startswith("file,frame,")
    target.write_text("before")
    assert_refused(opened(str(pictures / "1.png"), f"--out={link}"), f"{link} exists already")
    assert opened(str(pictures / "1.png"), f"--out={link}", "--overwrite").code == 0
    assert link.is_symlink() and target.read_text().startswith("file,frame,")
    assert [path.name for path in (tmp_path / "inner").iterdir()] == ["a.csv"]


def test_a_drawing_takes_the_place_of_no_pipe(opened, pictures, tmp_path):
    (tmp_path / "drawn").mkdir()
    special("pipe", tmp_path / "drawn" / "1.png")
    result = opened(str(pictures / "1.png"), f"--draw={tmp_path / 'drawn'}", "--overwrite")
    assert result.code == 2 and "1.png is a pipe, and no file" in result.err
    assert (tmp_path / "drawn" / "1.png").is_fifo()


def test_a_format_that_is_asked_for_goes_into_a_file_of_any_name(opened, pictures, tmp_path):
    for name, flags in (("a.dat", ["--format=csv"]), ("a.txt", []), ("plain", [])):
        assert opened(str(pictures / "1.png"), f"--out={tmp_path / name}", *flags).code == 0
    assert (tmp_path / "a.dat").read_text().startswith("file,frame,")
    assert (tmp_path / "a.txt").read_text() == (tmp_path / "plain").read_text() != ""


def test_what_is_interrupted_leaves_no_file(opened, pictures, tmp_path, monkeypatch):
    real = output.rows

    def interrupted(answer, network):
        if answer.item.name.endswith("5.png"):
            raise KeyboardInterrupt
        return real(answer, network)

    monkeypatch.setattr(output, "rows", interrupted)
    result = opened(str(pictures), f"--out={tmp_path / 'answers.jsonl'}")
    assert result.code == 130 and [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_bad_files_among_good_ones_are_told_and_skipped(opened, pictures, tmp_path):
    folder = tmp_path / "some"
    shutil.copytree(pictures, folder)
    bad = {
        "a\nb.png": (b"no picture", "is not a picture"),
        "empty.png": (b"", "is empty"),
        "short.jpg": (JPEG[: len(JPEG) // 2], "cannot be decoded"),
        "bomb.png": (png(60_000, 60_000), "has more pixels than the 89478485 that are read"),
        "tiny.png": (png(3, 3), "is 3x3 pixels"),
    }
    for name, (content, _) in bad.items():
        (folder / name).write_bytes(content)
    (folder / "gone.png").symlink_to("nowhere")
    (folder / "loop").symlink_to(".")
    (folder / "inner").mkdir()
    (folder / "inner" / "back").symlink_to("..")
    shutil.copy(folder / "0.png", folder / "inner" / "ü.png")
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    result = opened(str(folder), "--format=jsonl")
    assert result.code == 1
    found = {Path(one["file"]).name: one for one in lines(result)}
    assert len(found) == len(lines(result)) == 10 + 1 + len(bad) + 1
    assert sum(one["label"] is not None for one in found.values()) == 11
    assert found["ü.png"]["probabilities"] == found["0.png"]["probabilities"]
    for name, (_, message) in bad.items():
        one = found[name.replace("\n", "\\n")]
        assert message in one["error"] and one["label"] is None and one["probabilities"] is None
        assert one["error"].startswith(one["file"])
    assert "cannot be read: No such file" in found["gone.png"]["error"]
    *_, last = result.err.splitlines()
    assert last == "fer_jax: of 17 pictures 6 could not be read: see above; all others are done"
    assert result.err.count("fer_jax: warning: ") == 6 + 1 + 2  # The stand-in is said twice.
    assert "1 files that do not end as pictures do are passed over" in result.err
    assert all(line.startswith("fer_jax: ") for line in result.err.splitlines())


@pytest.mark.parametrize("kind", ["table", "csv"])
def test_a_name_of_any_letters_is_one_line(opened, pictures, tmp_path, kind):
    name = os.fsdecode(b'x\xff\n\x1b[31m,"y.png')
    shutil.copy(pictures / "0.png", tmp_path / name)
    result = opened(str(tmp_path / name), f"--format={kind}")
    assert result.code == 0 and "\x1b" not in result.out
    assert "x\\udcff\\n\\x1b[31m" in result.out
    assert len(result.out.splitlines()) == {"table": 3, "csv": 2}[kind]


def test_a_picture_on_the_standard_input(opened, pictures, monkeypatch):
    def send(content):
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(content)))
        return opened("-", "--format=jsonl")

    expected = lines(opened(str(pictures / "4.png"), "--format=jsonl"))[0]
    (found,) = lines(send((pictures / "4.png").read_bytes()))
    assert found["file"] == "the standard input" and found["probabilities"] == expected["probabilities"]
    empty = send(b"")
    assert empty.code == 1 and "the standard input is empty: send a picture" in lines(empty)[0]["error"]


def test_a_picture_in_which_nothing_is_found_is_told_and_counts_as_unanswered(opened, pictures, tmp_path):
    Image.new("L", (50, 50), 200).save(tmp_path / "blank.png")
    result = opened(str(tmp_path / "blank.png"), str(pictures / "0.png"))
    assert result.code == 1
    assert "blank.png: no digit found: the picture is blank" in result.err
    assert result.err.endswith("fer_jax: of 2 pictures in 1 nothing was found: see above; all others are done\n")
    assert "no digit found" in result.out and "0.png" in result.out


def test_what_is_doubted_of_an_answer_is_told(opened, pictures, network, monkeypatch):
    crops = network._framer.crops

    def doubted(picture):
        return [crop._replace(doubt="it is doubted") for crop in crops(picture)]

    monkeypatch.setattr(network, "_framer", network._framer._replace(crops=doubted))
    result = opened(str(pictures / "0.png"))
    assert result.code == 0 and f"warning: {pictures / '0.png'}: it is doubted" in result.err
    assert predictor.Predictor(network.trained, network._framer, "plain", 64, 0.0)(pictures / "0.png")[0].doubt


@pytest.mark.parametrize(
    ("words", "sentence", "code"),
    [
        (["--format=xml", "a.png"], "--format=xml: no such format; known: csv, jsonl, table", 2),
        (["--abstain=often", "a.png"], "--abstain=often must be a number", 2),
        (["--camera=front"], "--camera=front must be a whole number", 2),
        (["--wrokdir=x"], "--wrokdir: no such flag; did you mean '--workdir'?", 2),
        (["nowhere.png"], "nowhere.png: there is no such file or folder", 2),
        (["/dev/null"], "/dev/null is a device, and no picture", 2),
        (["-", "-"], "- is given twice", 2),
        ([], "nothing to look at: name pictures, folders, videos or -", 2),
        (["/", "--every=0"], "--every must be at least 1", 2),
        (["a.png", "--camera=0"], "--camera=0 and 'a.png': name one of the two", 2),
        (["a.png", "--out=nowhere/a.csv"], "--out=nowhere/a.csv: there is no folder nowhere", 2),
        (
            ["a.png", "--out=a.xlsx"],
            "--out=a.xlsx: no format goes by '.xlsx': add --format, or end it with .txt (tab",
            2,
        ),
        (["a.png", "--out=.."], ".. is a folder: name a file", 2),
        (["."], ". holds no picture (png, jpg,", 1),
    ],
)
def test_a_wrong_word_is_told_before_anything_is_opened(command, words, sentence, code):
    assert_refused(command("--workdir=x", *words), sentence, code=code)


def test_a_socket_is_called_one(command, tmp_path):
    path = special("socket", tmp_path / "a.png")
    assert_refused(command("--workdir=x", str(path)), f"{path} is a socket, and no picture")


def test_a_folder_that_holds_files_is_not_drawn_into_unasked(opened, pictures):
    assert_refused(opened(str(pictures), f"--draw={pictures}"), f"--draw={pictures} holds files", "--overwrite")
    target = pictures / "0.png"
    assert_refused(opened(str(pictures), f"--draw={target}"), f"--draw={target} is a file: name a folder")


def change(path, **values):
    provenance.write_json(path, {**provenance.read_json(path), **values})


@pytest.mark.parametrize(
    ("damage", "parts", "code"),
    [
        (lambda run: shutil.rmtree(run), ["holds no run (no config.json and run.json in it)"], 2),
        (lambda run: shutil.rmtree(run / "checkpoints"), ["checkpoints does not exist: the run has saved nothing"], 1),
        (lambda run: [shutil.rmtree(path) for path in (run / "checkpoints").iterdir()], ["no checkpoint"], 1),
        (lambda run: change(run / "config.json", flavour=3), ["does not fit this", "flavour: unknown"], 2),
        (lambda run: change(run / "config.json", model={"name": "cnn9"}), ["does not fit this"], 2),
        (lambda run: (run / "run.json").write_text("{"), ["run.json cannot be read as JSON"], 1),
        (lambda run: (run / "run.json").write_text("{}"), ["run.json is damaged"], 1),
    ],
)
def test_a_run_that_cannot_be_opened_is_told(command, small_runs, pictures, tmp_path, damage, parts, code):
    run = copy_run(small_runs / "stand_in", tmp_path / "run")
    damage(run)
    assert_refused(command(f"--workdir={run}", str(pictures / "0.png")), *parts, code=code)


def test_a_damaged_checkpoint_is_told(command, small_runs, pictures, tmp_path, orbax_leftovers):
    run = copy_run(small_runs / "stand_in", tmp_path / "run")
    for path in (run / "checkpoints").rglob("*"):
        if path.is_file() and path.stat().st_size > 1000:
            path.write_bytes(path.read_bytes()[:-500])
    result = command(f"--workdir={run}", str(pictures / "0.png"))
    assert_refused(result, f"the checkpoint {run / 'checkpoints'}", "cannot be read", code=1)


def answer(*predictions, problem="", name="a/b.jpg", **place):
    picture = np.full((120, 160, 3), 200, np.uint8)
    return Answer(Item(name, b"", place), list(predictions), problem, False, picture)


def one(label, box=None):
    return Prediction(0, label, 0.75, {label: 0.75}, box=box)


def test_boxes_and_labels_are_drawn_into_copies_with_names_of_their_own(tmp_path):
    box = predictor.Box(40, 50, 60, 50)
    drawings = draw.Drawings(str(tmp_path / "drawn"))
    for each in (answer(one("happy", box)), answer(one("sad"), name="c/b.jpg"), answer(name="v.mp4", frame=7)):
        drawings.write(each, "STAND-IN DATA")
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["b-2.png", "b.png", "v-000007.png"]
    pixels = np.asarray(Image.open(tmp_path / "drawn" / "b.png"))
    assert pixels.shape[0] > 120 and (pixels[:120, 100:][70] == 200).all()
    plain = (pixels[:120, :160] == 200).all(2)
    rim = [plain[50, 40:100], plain[99, 40:100], plain[50:100, 40], plain[50:100, 99]]
    assert not any(side.any() for side in rim) and plain[60:90, 50:90].all() and plain[110:, :].all()
    without = draw.drawn(answer(one("happy", box)))
    assert without.size == (160, 120)


def video(path, frames_of, shape=(60, 80)):
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, shape[::-1])
    for tone in frames_of:
        writer.write(np.full((*shape, 3), tone, np.uint8))
    writer.release()


def test_each_frame_of_a_video_is_answered_with_its_time(opened, tmp_path):
    video(tmp_path / "a.avi", [200, 100, 200, 100, 200])
    result = opened(str(tmp_path / "a.avi"), "--format=jsonl", "--every=2")
    assert [(found["frame"], found["seconds"]) for found in lines(result)] == [(0, 0.0), (2, 0.2), (4, 0.4)]
    # These frames are blank, and so is every one: that is told once.
    assert result.code == 1 and "in 3 nothing was found" in result.err and "a.avi: no digit" not in result.err
    (tmp_path / "b.mp4").write_bytes(b"no video")
    (tmp_path / "c.mp4").write_bytes(b"")
    result = opened(str(tmp_path / "b.mp4"), str(tmp_path / "c.mp4"), "--format=jsonl")
    assert result.code == 1
    assert [found["error"].partition(".mp4 ")[2][:28] for found in lines(result)] == [
        "cannot be read as a video: i",
        "is empty: get it again, or r",
    ]


def test_a_frame_has_the_colours_of_the_video(tmp_path):
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    writer.write(np.full((48, 64, 3), (30, 90, 220), np.uint8))  # Blue, green, red.
    writer.release()
    (frame,) = frames.open_video(tmp_path / "a.avi")
    assert frame.pixels.shape == (48, 64, 3) and np.abs(frame.pixels.mean((0, 1)) - (220, 90, 30)).max() < 8


def test_no_camera_is_one_sentence(command):
    pytest.importorskip("cv2")
    assert_refused(command("--workdir=x", "--camera=97"), "--camera=97: there is no such camera", code=1)


def test_the_work_with_a_camera_ends_with_ctrl_c(opened, monkeypatch):
    def shown(index):
        yield frames.Frame(np.full((40, 40, 3), 9, np.uint8), {"frame": 0, "seconds": 0.0})
        raise KeyboardInterrupt

    monkeypatch.setattr(frames, "open_camera", shown)
    result = opened("--camera=0", "--format=jsonl")
    (found,) = lines(result)
    assert found["file"] == "camera 0" and found["frame"] == 0 and "1 pictures" in result.err


def test_a_video_without_opencv_is_one_sentence(command, tmp_path, monkeypatch):
    frames.opencv.cache_clear()
    monkeypatch.setitem(sys.modules, "cv2", None)
    (tmp_path / "a.mp4").write_bytes(b"video")
    result = command("--workdir=x", str(tmp_path / "a.mp4"))
    frames.opencv.cache_clear()
    assert_refused(result, "reading a video or a camera needs OpenCV", "pip install 'fer_jax[faces]'", code=1)


def test_the_command_shows_its_flags_and_tells_a_misspelt_one_before_jax_is_imported():
    def python(*words, **environment):
        program = [sys.executable, "-m", "fer_jax.predict", *words]
        environment = {**os.environ, **environment}
        return subprocess.run(program, capture_output=True, text=True, check=False, env=environment)

    shown = python("--help")
    assert shown.returncode == 0 and not shown.stderr
    assert all(word in shown.stdout for word in ("--workdir", "--abstain", "--detect", "--[no]calibrate"))
    result = python("--wrokdir=x", PYTHONPROFILEIMPORTTIME="1")
    assert "did you mean '--workdir'?" in result.stderr and result.returncode == 2
    assert not [line for line in result.stderr.splitlines() if line.endswith(("| jax", "| flax", "| PIL", "| cv2"))]


def test_an_unreadable_folder_inside_is_told(opened, pictures, tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    real = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    shutil.copy(pictures / "0.png", tmp_path / "0.png")
    result = opened(str(tmp_path), "--format=jsonl")
    assert result.code == 1 and [found["label"] is None for found in lines(result)] == [True, False]
    assert "closed cannot be read: Permission denied" in lines(result)[0]["error"]


def test_a_pipe_in_a_folder_is_passed_over(tmp_path, capsys):
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(folder / "a.png")
    (folder / "b.png").touch()
    assert [item.name for item in sources.find([str(folder)]).items] == [str(folder / "b.png")]
    assert "1 files that do not end as pictures do are passed over" in capsys.readouterr().err


def test_a_source_that_is_an_error_is_answered_with_it(network):
    (found,) = network.answers([Item("a.png", DataError("a.png is gone"))])
    assert found.unread and found.problem == "a.png is gone" and not found.predictions
