"""The model card: every run leaves one, and it says what such a network is not for and what it scored."""

import json
import re
import shutil
from dataclasses import replace
from functools import partial

import pytest
from conftest import TINY_TABLE

from fer_jax import card, models, provenance, train
from fer_jax.build import build, default_config, resolve
from fer_jax.card_facts import DIGITS, FACTS, facts_of
from fer_jax.data import LOADERS
from fer_jax.models import mnist
from fer_jax.run_words import percent, selection, with_interval
from fer_jax.writers import times


def config_of(protocol="clean"):
    config = default_config(model="tiny", data_name="digits")
    config.protocol = protocol
    config.epochs = 2
    config.batch_size = 16
    config.data.limit = 100
    config.optim.learning_rate = 0.01
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.MODELS, "tiny", partial(mnist.MnistNet, table=TINY_TABLE))
        train.train(config_of(), workdir=str(folder))
    return folder


@pytest.fixture
def run(tiny):
    return build(resolve(config_of()))


@pytest.fixture
def record(finished):
    return provenance.read_json(finished / "run.json")


def text_of(run, record, **dataset):
    """The card of the run as if its data set were another, in one line."""
    run = run._replace(dataset=replace(run.dataset, **dataset))
    return " ".join(card.card("name", run, json.loads(config_of().to_json()), record).split())


def test_a_run_leaves_a_card_with_its_final_record(finished, record):
    text = (finished / "model_card.md").read_text()
    assert text.startswith("# Model card: one\n")
    official = record["scores"]["best"]["test"]["plain"]["official"]
    assert record["finished"] and record["ended"] in text
    assert f"{100 * official['accuracy']:.2f} [" in text and f"read {times(record['test_reads'])} up to" in text
    for name, found in official["per_class"].items():
        low, high = found["recall_interval"]
        assert re.search(rf"official +{name} +{found['examples']} .*\[{100 * low:.2f}, {100 * high:.2f}\]", text)
    assert text.count("\n## ") == 6 and "STAND-IN" not in text
    assert record["data"]["fingerprint"] in text and record["versions"]["jax"] in text
    assert all(words in text for words in ("learning_rate = 0.01", "batch_size = 16", "name = 'tiny'", "limit = 100"))
    assert "| train | 100 |" in text and "| test | 100 |" in text and "| validation | 100 |" in text


def test_a_finished_run_keeps_its_card(finished, tiny, tmp_path):
    shutil.copytree(finished, tmp_path / "one")
    (tmp_path / "one" / "model_card.md").write_text("edited")
    train.train(config_of(), workdir=str(tmp_path / "one"))
    assert (tmp_path / "one" / "model_card.md").read_text() == "edited"


def test_every_data_set_has_a_card_of_its_own_or_one_that_says_what_is_unknown(run, record):
    for name in LOADERS:
        assert all(sentence in text_of(run, record, name=name) for sentence in facts_of(name).origin)
    for name in DIGITS:
        text = text_of(run, record, name=name)
        assert "that shows one digit" in text and "Letters, several digits" in text and "apparent" not in text
        assert "EU AI Act" not in text and "feeling" not in text
    assert "Nothing is known here of where these pictures are from" in text_of(run, record, name="of_a_fork")
    for name in ("of_a_fork", "folder"):
        text = text_of(run, record, name=name)
        assert "What the pictures show is **not known here**" in text and "that shows one" not in text


def test_digits_that_stand_in_say_so_first_and_last(run, record):
    text = text_of(run, record, stand_in_for="mnist")
    notice = "STAND-IN DATA: MNIST COULD NOT BE HAD. THIS RUN IS ON DIGITS INSTEAD."
    assert text.count(notice) == 2 and text.index(notice) < 60


@pytest.mark.parametrize("name", sorted(FACTS))
def test_every_card_says_what_the_classes_are_and_what_the_law_forbids(run, record, name):
    text = text_of(run, record, name=name)
    for words in (
        "**apparent expressions**",
        "**not what the person felt**",
        "What it is for",
        "What it is not for",
        "Article 5(1)(f)",
        "at the workplace and in education institutions",
        "except for medical or safety reasons",
        "how the network differs between groups of people is unknown",
        "Calibration: ",
        "95 % Wilson intervals",
        "What is wrong with them",
    ):
        assert words in text
    for sentence in (*FACTS[name].origin, *FACTS[name].faults, *FACTS[name].biases):
        assert sentence in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "fer2013",
            ("288 PrivateTest images", "57 groups", "65 ± 5 %", "web image search", "1.5 % are disgust", "2,720"),
        ),
        ("facial_expressions", ("single opinions", "9 of contempt", "same person", "macro-F1", "Indian films")),
        ("synthetic_faces", ("They show nobody", "No number on them says anything about faces of people")),
        ("folder", ("Unknown", "fer_jax.audit")),
    ],
)
def test_a_card_names_the_faults_of_its_data(run, record, name, words):
    text = text_of(run, record, name=name)
    assert all(word in text for word in words)


def test_a_stand_in_is_said_first_and_last(run, record):
    text = text_of(run, record, name="synthetic_faces", stand_in_for="fer2013")
    notice = "STAND-IN DATA: FER2013 COULD NOT BE HAD. THIS RUN IS ON SYNTHETIC_FACES INSTEAD."
    assert text.count(notice) == 2
    assert text.index(notice) < 60 and "belong in no table of results" in text[-300:]


def test_a_run_without_test_scores_says_so(run, record):
    for which in ("best", "last"):
        del record["scores"][which]["test"]
    text = text_of(run, {**record, "test_reads": 0}, name="fer2013")
    assert "No test scores were taken in this run" in text and "read 0 times" in text
    assert "Validation split in per cent" in text and "it flatters" in text
    del record["scores"]
    text = text_of(run, record, name="fer2013")
    assert "No test scores were taken in this run" in text and "in per cent; [" not in text


def test_scores_of_the_test_split_stand_three_ways_with_each_view(run, record):
    for which in ("best", "last"):
        official = record["scores"][which]["test"]["plain"]["official"]
        ways = {name: official for name in ("official", "twin_free", "fer_plus")}
        record["scores"][which]["test"] = {"plain": ways, "flip": ways, "ten_crop": ways}
    text = text_of(run, record, name="fer2013")
    for words in ("selected plain official", "selected flip twin-free", "selected ten_crop FER+ majority"):
        assert words in text
    record["last"] = {**record["last"], "step": record["best"]["step"] + 1}
    assert "last ten_crop FER+ majority" in text_of(run, record, name="fer2013")
    assert "twin-free: without the images that have a pixel-identical twin" in text
    assert "FER+ majority: the images on which more than 5 of 10" in text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            {"split_by": "person", "fold": 3},
            "The splits are those of fold 3 of 5, by person: nobody is in two of them.",
        ),
        ({"split_by": "image"}, "by picture: the same people are in several of them, which flatters"),
        ({"exclude": "twins.json"}, "Left out: the pictures listed in twins.json."),
        ({"limit": 1000}, "the first 1,000 pictures of each split only"),
    ],
)
def test_what_a_run_chose_of_its_data_is_said(run, record, data, words):
    config = json.loads(config_of().to_json())
    config["data"] |= {"limit": 0, **data}
    run = run._replace(dataset=replace(run.dataset, name="facial_expressions"))
    assert words in card.card("name", run, config, record)


STANDING = {"best": {"step": 20}, "selected_by": "validation", "select_by": "macro_f1"}


@pytest.mark.parametrize(
    ("record", "split", "step", "words", "flatters"),
    [
        (STANDING, "test", 20, "the highest macro-F1 on the validation split", False),
        (STANDING, "validation", 20, "the highest macro-F1 on the validation split", True),
        ({**STANDING, "select_by": "accuracy"}, "test", 20, "the highest accuracy on the validation split", False),
        ({**STANDING, "selected_by": "test"}, "test", 20, "on the test split", True),
        (STANDING, "validation", 30, "No score selected this checkpoint", False),
        ({**STANDING, "best": None}, "test", 20, "No score selected this checkpoint", False),
    ],
)
def test_how_a_checkpoint_was_selected(record, split, step, words, flatters):
    text = selection(record, split, step)
    assert words in text and ("flatters" in text) == flatters


def test_numbers_in_words():
    assert percent(0.68931) == "68.93 %" and percent(None) == "-"
    assert with_interval(0.5, [0.25, 0.75]) == "50.00 % (25.00 to 75.00)"
    assert with_interval(None, None) == "-"
