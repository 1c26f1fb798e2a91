"""The report of a run: what it shows is what the run scored, it needs no other file, and what it lacks is told."""

import base64
import contextlib
import io
import re
import shutil
import struct
import sys
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import jax
import numpy as np
import pytest
from commands import assert_refused, call_command
from conftest import TINY_TABLE

from fer_jax import models, provenance, scores, train
from fer_jax.build import default_config
from fer_jax.data.dataset import Split
from fer_jax.errors import CheckpointError, ConfigError, UserError
from fer_jax.models import mnist
from fer_jax.report import __main__ as command_line
from fer_jax.report import figures
from fer_jax.report.curves import Curve
from fer_jax.report.findings import most_confident_mistakes, reliability
from fer_jax.report.html import Picture
from fer_jax.report.page import Content, page
from fer_jax.report.write import report
from fer_jax.writers import read_metrics

PNG = b"\x89PNG\r\n\x1a\n"
NAMES = ("angry", "disgust", "happy")


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A finished run of the clean protocol, on digits that stand in for MNIST, its report, and what that printed."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.MODELS, "tiny", partial(mnist.MnistNet, table=TINY_TABLE))
        patch.delenv("FER_JAX_DATA", raising=False)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("FER_JAX_OFFLINE", "1")
        config = default_config(model="tiny", data_name="mnist")
        config.data.fallback = "digits"
        config.protocol = "clean"
        config.epochs = 3
        config.batch_size = 16
        config.data.limit = 100
        config.optim.learning_rate = 0.01
        train.train(config, workdir=str(folder / "first"))
        before = (folder / "first" / "run.json").read_bytes()
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert report(str(folder / "first")) == folder / "first" / "report.html"
        assert (folder / "first" / "run.json").read_bytes() == before
    return folder / "first", printed.getvalue()


@pytest.fixture
def workdir(reported, tiny, tmp_path, monkeypatch):
    """A copy of that run without its report, for a test to change."""
    monkeypatch.delenv("FER_JAX_DATA", raising=False)
    shutil.copytree(reported[0], tmp_path / "run", ignore=shutil.ignore_patterns("*.png", "*.svg", "*.html"))
    return tmp_path / "run"


class Page(HTMLParser):
    """What the tests look at: the elements with their attributes, the text, and whether every element is closed."""

    VOID = ("meta", "img", "source", "br", "link", "input", "hr")

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if self.open[-1:] not in (["style"], ["script"]):
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def size_of(png):
    assert png[:8] == PNG
    return struct.unpack(">II", png[16:24])


def test_a_report_is_a_page_and_pictures_of_the_selected_state(reported):
    workdir, printed = reported
    found = Page((workdir / "report.html").read_text())
    assert (workdir / "model_card.md").is_file() and "apparent expressions" not in found.text
    best = provenance.read_json(workdir / "run.json")["best"]
    assert f"{100 * best['val_accuracy']:.2f} %" in found.text and f"{best['val_loss']:.4f}" in found.text
    assert f"step {best['step']}: validation_accuracy: {best['val_accuracy']!r}" in printed
    headings = ("Scores", "Curves", "Confusion", "Classes", "Calibration", "Most confident mistakes", "Provenance")
    assert all(heading in found.text for heading in headings)
    assert "highest accuracy on the validation split" in found.text and "it flatters" in found.text
    assert "95 % Wilson interval" in found.text
    assert all(re.search(rf" {digit} \d+ [\d-]", found.text) for digit in range(10))
    for name in ("confusion", "confusion_counts", "curves", "calibration", "looks", "kernels", "maps", "mistakes"):
        assert min(size_of((workdir / f"{name}.png").read_bytes())) > 300
        assert ElementTree.parse(workdir / f"{name}.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert not list(workdir.glob("*.partial"))


def test_the_page_needs_no_other_file_and_can_be_read_by_everyone(reported):
    text = (reported[0] / "report.html").read_text()
    found = Page(text)
    links = [element[key] for _, element in found.elements for key in ("src", "srcset", "href") if key in element]
    assert links and all(re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/=]+", link) for link in links)
    assert base64.b64decode(links[0].partition(",")[2]).startswith(PNG)
    rest = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", rest)
    assert found.all("script") == [{}] and not found.all("link")
    assert found.all("html")[0]["lang"] == "en" and found.all("title")
    assert {"viewport", "color-scheme"} <= {meta.get("name") for meta in found.all("meta")}
    assert "prefers-color-scheme:dark" in text and len(found.all("source")) == 6
    assert all(image["alt"] for image in found.all("img")) and all(one["aria-label"] for one in found.all("svg"))
    assert len(found.all("svg")) == 3
    assert len(found.all("caption")) == len(found.all("table")) == 3
    assert {cell["scope"] for cell in found.all("th")} == {"row", "col"}
    ids = {element["id"] for _, element in found.elements if "id" in element}
    assert {section["aria-labelledby"] for section in found.all("section")} == ids


def test_a_stand_in_is_said_on_the_page_on_every_picture_and_in_the_terminal(reported):
    workdir, printed = reported
    found = Page((workdir / "report.html").read_text())
    assert found.text.startswith("STAND-IN DATA: ")
    assert found.text.count("STAND-IN DATA: MNIST COULD NOT BE HAD. THIS RUN IS ON DIGITS INSTEAD.") == 2
    assert len([element for element in found.all("div") if element.get("role") == "alert"]) == 2
    pictures = [image["alt"] for image in found.all("img") if "taken for" not in image["alt"]]
    pictures += [chart["aria-label"] for chart in found.all("svg")]
    assert len(pictures) == 9 and all(alt.startswith("STAND-IN DATA: DIGITS, NOT MNIST") for alt in pictures)
    assert printed.count("STAND-IN DATA: MNIST COULD NOT BE HAD") == 2


def test_a_warning_on_a_picture_is_drawn_above_it():
    draw = partial(figures.mistakes_figure, images=np.zeros((2, 4, 4, 1), np.uint8), captions=["a", "b"], title="t")
    plain, warned = (figures.png(draw, figures.LIGHT, warning) for warning in ("", "STAND-IN DATA: A, NOT B"))
    assert size_of(warned)[1] > size_of(plain)[1] + 20


def test_the_newest_report_leaves_nothing_of_an_older_one_and_a_look_at_training_images_is_no_test_read(workdir):
    before = (workdir / "run.json").read_bytes()
    (workdir / "metrics.jsonl").unlink()
    for name in ("curves.png", "curves.svg"):
        (workdir / name).write_bytes(b"old")
    report(str(workdir), split="train", checkpoint="last")
    text = (workdir / "report.html").read_text()
    assert not list(workdir.glob("curves.*")) and "No epoch has ended yet." in text
    assert "train split" in text
    assert (workdir / "run.json").read_bytes() == before


def logits_of(probabilities):
    return np.log(np.array(probabilities, float))


def examples_of(labels, **extras):
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    return Split(images, np.array(labels, np.int32), extras)


def test_the_most_confident_mistakes_come_in_their_order():
    logits = logits_of([[0.9, 0.1, 1e-9], [0.3, 0.6, 0.1], [0.9, 0.05, 0.05], [0.2, 0.1, 0.7], [0.6, 0.3, 0.1]])
    examples = examples_of([1, 0, 0, 2, 2], row=np.array([10, 11, 12, 13, 32_298], np.int32))
    found = most_confident_mistakes(logits, examples, "test", NAMES, most=10)
    assert [int(one.image[0, 0, 0]) for one in found] == [0, 1, 4]
    assert [(one.true, one.predicted) for one in found] == [
        ("disgust", "angry"),
        ("angry", "disgust"),
        ("happy", "angry"),
    ]
    assert [one.probability for one in found] == pytest.approx([0.9, 0.6, 0.6])
    assert [one.true_probability for one in found] == pytest.approx([0.1, 0.3, 0.1])
    assert [one.known for one in found] == [["row 10"], ["row 11"], ["row 32,298"]]
    assert len(most_confident_mistakes(logits, examples, "test", NAMES, most=2)) == 2


def test_a_mistake_is_found_again_by_its_file_or_its_place_and_with_the_votes():
    logits = logits_of([[0.8, 0.1, 0.1]])
    file = examples_of([1], file=np.array(["disgust/7.png"]))
    assert most_confident_mistakes(logits, file, "test", NAMES, 1)[0].known == ["disgust/7.png"]
    assert most_confident_mistakes(logits, examples_of([1]), "test", NAMES, 1)[0].known == ["test image 0"]
    votes = examples_of([1], votes=np.array([[0, 1, 0, 0, 7, 1, 0, 0, 1, 0]], np.uint8))
    assert most_confident_mistakes(logits, votes, "test", NAMES, 1)[0].known[1] == "FER+: anger, 7 of 10"


def test_reliability_is_what_the_calibration_error_sums_up():
    random = np.random.RandomState(0)
    logits, labels = random.normal(size=(500, 3)) * 2, random.randint(0, 3, 500)
    found = reliability(logits, labels)
    assert found.examples.sum() == 500
    error = (abs(found.accuracy - found.confidence) * found.examples).sum() / 500
    assert error == pytest.approx(scores.calibration_error(logits, labels), abs=1e-12)
    one = reliability(logits_of([[0.62, 0.38], [0.65, 0.35]]), np.array([0, 1]))
    (filled,) = np.flatnonzero(one.examples)
    assert filled == 9 and one.accuracy[9] == 0.5 and one.confidence[9] == pytest.approx(0.635)


CONFUSION = np.array([[8, 1, 1], [0, 0, 0], [2, 0, 38]])


@pytest.mark.parametrize(
    ("normalised", "cells"),
    [
        (False, ["8", "1", "1", "0", "0", "0", "2", "0", "38"]),
        (True, ["80.0", "10.0", "10.0", "-", "-", "-", "5.0", "0.0", "95.0"]),
    ],
)
def test_a_confusion_matrix_shows_each_number_at_its_place(normalised, cells):
    figure = figures.confusion_figure(
        figures.LIGHT, confusion=CONFUSION, class_names=NAMES, normalised=normalised, title="t"
    )
    (axes,) = figure.axes
    placed = {text.get_position(): text.get_text() for text in axes.texts}
    # Matplotlib's x is the column, the predicted class.
    assert [placed[predicted, true] for true in range(3) for predicted in range(3)] == cells
    assert [label.get_text() for label in axes.get_yticklabels()] == list(NAMES)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")


def test_the_curves_are_the_lines_of_the_metrics_file(reported):
    workdir, _ = reported
    epochs = read_metrics(workdir)
    best = provenance.read_json(workdir / "run.json")["best"]
    figure = figures.curves_figure(figures.LIGHT, epochs=epochs, watched="val", marked=best, title="t")
    loss, accuracy, rate = figure.axes
    train_line, val_line, *_ = accuracy.lines
    assert list(train_line.get_ydata()) == [100 * line["train_accuracy"] for line in epochs]
    assert list(val_line.get_ydata()) == [100 * line["val_accuracy"] for line in epochs]
    assert list(loss.lines[1].get_ydata()) == [line["val_loss"] for line in epochs]
    assert list(rate.lines[0].get_ydata()) == [line["learning_rate"] for line in epochs]
    assert list(rate.lines[0].get_xdata()) == [1, 2, 3]
    assert f"selected: epoch {best['epoch']}" in accuracy.get_legend_handles_labels()[1]


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
def test_strange_class_names_are_drawn_without_a_warning(theme):
    names = ("a$b$", "喜", "<i>" * 5)
    draw = partial(figures.confusion_figure, confusion=CONFUSION, class_names=names, normalised=True, title="t")
    assert size_of(figures.png(draw, theme))


def test_many_classes_are_drawn_without_numbers_in_the_cells():
    number = figures.MOST_ANNOTATED_CLASSES + 1
    names = [f"class {index}" for index in range(number)]
    figure = figures.confusion_figure(
        figures.LIGHT, confusion=np.eye(number), class_names=names, normalised=False, title="t"
    )
    assert not figure.axes[0].texts


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
def test_colours_can_be_told_from_the_background(theme):
    def luminance(colour):
        channels = np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])
        return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4) @ (
            0.2126,
            0.7152,
            0.0722,
        )

    for colour in (theme.ink, theme.first, theme.second, theme.alarm):
        light, dark = sorted((luminance(colour), luminance(theme.background)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


@pytest.mark.parametrize("channels", [1, 3])
def test_a_thumbnail_is_the_image_pixel_for_pixel(channels):
    image = np.random.RandomState(0).randint(0, 256, (5, 4, channels)).astype(np.uint8)
    read = figures.matplotlib_image.imread(io.BytesIO(figures.thumbnail(image)))
    assert np.array_equal(np.round(255 * read[..., :channels]), image)


def content_of(names=NAMES, **changes):
    random = np.random.RandomState(0)
    labels = random.randint(0, len(names), 60)
    found = scores.score(random.normal(size=(60, len(names))), labels, names)
    picture = Picture(PNG, PNG, "a picture", b"<svg/>")
    content = Content(
        title="run, test split",
        stand_in=[],
        has_card=False,
        summary=[("network", "tiny")],
        selection="chosen",
        split="test",
        scores={"plain": {"official": found}},
        pictures=dict.fromkeys(("confusion", "confusion_counts", "calibration"), picture),
        curve=Curve("run", [], "test"),
        chosen=None,
        mistakes=[],
        provenance=[("commit", "abc")],
        config={"seed": 0},
    )
    return content._replace(**changes), found


def test_a_page_on_what_the_config_names_has_no_notice():
    content, _ = content_of()
    text = page(content)
    assert "alert" not in text and "STAND-IN" not in text and "apparent expression" not in text.lower()
    assert "There are none: every image is classified as its label says." in text


def test_a_page_on_faces_says_what_the_classes_are_and_points_to_the_card():
    found = Page(page(content_of(has_card=True)[0]))
    assert "apparent expressions" in found.text and "not what anybody felt" in found.text
    assert "model_card.md" in found.text


def test_scores_stand_three_ways_and_each_view_in_its_own_column():
    content, found = content_of()
    subsets = {
        name: {**found, "examples": 3000 + number} for number, name in enumerate(("fer_plus", "official", "twin_free"))
    }
    views = {view: {name: {**of, "accuracy": accuracy} for name, of in subsets.items()}
             for view, accuracy in (("ten_crop", 0.7031), ("plain", 0.6601), ("flip", 0.6812))}  # fmt: skip
    found = Page(page(content._replace(scores=views)))
    row = re.search(r"counted images accuracy accuracy, flip accuracy, ten-crop top-2 (.*?) Intervals are", found.text)
    order = [row[1].index(words) for words in ("official 3,001", "twin-free 3,002", "FER+ majority 3,000")]
    assert order == sorted(order)
    shown = [row[1].index(words) for words in ("66.01 %", "68.12 %", "70.31 %")]
    assert shown == sorted(shown)
    assert "pixel-identical twin" in found.text and "mirror" in found.text


def test_class_names_and_paths_cannot_write_into_the_page():
    evil = '<script>alert("x")</script>'
    content, _ = content_of(names=(evil, "b&b", "c'"), title=evil, summary=[(evil, evil)], stand_in=[evil])
    found = Page(page(content))
    assert found.all("script") == [{}] and found.text.count(evil) > 5 and "b&b" in found.text


def test_an_undefined_share_is_a_dash():
    labels, logits = np.array([0, 0, 2]), np.array([[2.0, 0, 0], [2.0, 0, 0], [2.0, 0, 0]])
    content, _ = content_of(scores={"plain": {"official": scores.score(logits, labels, NAMES)}})
    found = Page(page(content))
    assert re.search(r"disgust 0 - - - -", found.text)
    assert re.search(r"happy 1 0.00 % \(0.00 to 79.35\) - 0.00 % angry \(1\)", found.text)


def test_missing_matplotlib_is_told_before_anything_is_read(workdir, monkeypatch):
    before = (workdir / "run.json").read_bytes()
    monkeypatch.delitem(sys.modules, "fer_jax.report.figures")
    monkeypatch.delattr("fer_jax.report.figures")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"needs matplotlib, which is not installed: pip install 'fer_jax\[report\]'$"):
        report(str(workdir), split="test")
    assert (workdir / "run.json").read_bytes() == before and not (workdir / "report.html").exists()


def test_a_run_without_a_checkpoint_is_told(workdir):
    shutil.rmtree(workdir / "checkpoints")
    with pytest.raises(CheckpointError, match="the run has saved nothing yet"):
        report(str(workdir))
    assert not (workdir / "report.html").exists()


def test_a_split_that_the_run_does_not_have_is_told(workdir):
    with pytest.raises(ConfigError, match="--split: no such choice as 'tets'; did you mean 'test'"):
        report(str(workdir), split="tets")


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs the command in an empty folder."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    return partial(call_command, command_line, monkeypatch=monkeypatch, capsys=capsys)


@pytest.fixture
def settings():
    """What the command changes in JAX is put back."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ((), ("--workdir=RUN is missing",)),
        (("--workdri=x",), ("--workdri", "--workdir")),
        (("--workdir=runs/none",), ("--workdir=runs/none holds no run", "name the folder of a trained run")),
        (("--workdir=x", "--checkpoint=bset"), ("--checkpoint", "did you mean 'best'")),
    ],
)
def test_bad_words_are_told(command, settings, words, parts):
    assert_refused(command(*words), *parts)


def test_the_command_writes_the_report_and_a_look_at_the_test_split_is_counted(command, settings, workdir):
    before = provenance.read_json(workdir / "run.json")
    result = command(f"--workdir={workdir}", "--checkpoint=last", "--split=test")
    assert result.code == 0 and not result.err and not list(Path().iterdir())
    after = provenance.read_json(workdir / "run.json")
    assert after == {**before, "test_reads": before["test_reads"] + 1}
    found = Page((workdir / "report.html").read_text())
    assert f"{100 * before['last']['test_accuracy']:.2f} %" in found.text
    assert f"{after['test_reads']} evaluations" in found.text
    assert f"the report is {workdir / 'report.html'}" in result.out
