"""`--mode=evaluate`: the numbers are those of metrics.jsonl, and what does not fit the run is refused."""

import json
import shutil
from functools import partial

import pytest
from conftest import TINY_TABLE
from tiny_runs import change_record

from fer_jax import models, provenance, train
from fer_jax.build import default_config
from fer_jax.errors import CheckpointError, ConfigError, UserError
from fer_jax.evaluate_run import evaluate_run
from fer_jax.models import mnist
from fer_jax.writers import read_metrics


def config_of(protocol):
    config = default_config(model="tiny", data_name="digits")
    config.protocol = protocol
    config.epochs = 4
    config.batch_size = 16
    config.data.limit = 100
    config.optim.learning_rate = 0.01
    return config


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The workdirs of two finished runs, one of each protocol."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.MODELS, "tiny", partial(mnist.MnistNet, table=TINY_TABLE))
        for protocol in ("seed", "clean"):
            train.train(config_of(protocol), workdir=str(folder / protocol))
    return folder


@pytest.fixture
def copy(runs, tiny, tmp_path):
    """Copies of them, for a test to change."""
    shutil.copytree(runs, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.mark.parametrize("checkpoint", ["last", "best", "14"])
@pytest.mark.parametrize("protocol", ["seed", "clean"])
def test_the_numbers_are_those_logged_to_the_last_digit(copy, capsys, protocol, checkpoint):
    record = provenance.read_json(copy / protocol / "run.json")
    steps = {"last": record["last"]["step"], "best": record["best"]["step"]}
    workdir = copy / protocol
    if checkpoint not in steps and not (workdir / "checkpoints" / checkpoint).is_dir():
        checkpoint = str(record["last"]["step"] - 7)
    step = steps.get(checkpoint) or int(checkpoint)
    scores = evaluate_run(str(workdir), checkpoint=checkpoint)
    (line,) = [line for line in read_metrics(workdir) if line["step"] == step]
    logged, name = ("test", "test") if protocol == "seed" else ("val", "validation")
    assert (scores.loss, scores.accuracy) == (line[f"{logged}_loss"], line[f"{logged}_accuracy"])
    printed = f"step {step}: {name}_loss: {line[f'{logged}_loss']!r} - {name}_accuracy: {scores.accuracy!r}\n"
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("name", ["last", "best"])
def test_the_clean_test_score_is_the_one_in_the_record(copy, name):
    record = provenance.read_json(copy / "clean" / "run.json")
    scores = evaluate_run(str(copy / "clean"), split="test", checkpoint=name)
    assert (scores.loss, scores.accuracy) == (record[name]["test_loss"], record[name]["test_accuracy"])


@pytest.mark.parametrize(
    ("protocol", "split", "reads"),
    [("seed", "test", 1), ("seed", "", 1), ("seed", "train", 0), ("clean", "test", 1), ("clean", "", 0)],
)
def test_a_look_at_the_test_split_is_counted(copy, protocol, split, reads):
    before = provenance.read_json(copy / protocol / "run.json")
    evaluate_run(str(copy / protocol), split=split)
    after = provenance.read_json(copy / protocol / "run.json")
    assert after == {**before, "test_reads": before["test_reads"] + reads}


def test_a_score_on_the_training_split_counts_every_example(copy):
    scores = evaluate_run(str(copy / "seed"), split="train")
    assert scores.accuracy == pytest.approx(round(scores.accuracy * 100) / 100, abs=1e-12)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"split": "foo"}, "--split: no such choice as 'foo'; known: seen, test, train, validation"),
        ({"split": "tets"}, "--split: no such choice as 'tets'; did you mean 'test'?"),
        ({"split": "validation"}, "a run of protocol 'seed' has the splits test, train"),
        ({"checkpoint": "lats"}, "--checkpoint: no such choice as 'lats'; did you mean 'last'?"),
        ({"tta": "tencrop"}, "--tta: no such choice as 'tencrop'; did you mean 'ten_crop'?"),
        ({"tta": "plain"}, "--tta: no such choice as 'plain'; known: flip, ten_crop"),
        ({"checkpoint": "-7"}, "--checkpoint: no such choice as '-7'; known: best, last, the number of a step"),
    ],
)
def test_a_choice_that_the_run_does_not_have_is_told(copy, options, sentence):
    with pytest.raises(ConfigError) as refused:
        evaluate_run(str(copy / "seed"), **options)
    assert sentence in str(refused.value)


def test_a_checkpoint_that_is_not_there_is_told_with_those_that_are(copy):
    steps = ", ".join(sorted((path.name for path in (copy / "seed" / "checkpoints").iterdir()), key=int))
    with pytest.raises(CheckpointError, match=f"has no checkpoint of step 5; it has: {steps}$"):
        evaluate_run(str(copy / "seed"), checkpoint="5")
    shutil.rmtree(copy / "seed" / "checkpoints")
    with pytest.raises(CheckpointError, match="the run has saved nothing yet"):
        evaluate_run(str(copy / "seed"))
    assert not (copy / "seed" / "checkpoints").exists()
    (copy / "seed" / "checkpoints").mkdir()
    for name in ("last", "best"):
        with pytest.raises(CheckpointError, match=r"saved no checkpoint yet|it has: none"):
            evaluate_run(str(copy / "seed"), checkpoint=name)


def test_a_folder_without_a_run_is_told_with_a_neighbour_that_has_one(copy, tmp_path):
    with pytest.raises(ConfigError, match=r"holds no run .*; did you mean '.*runs/seed'\?"):
        evaluate_run(str(copy / "sede"))
    with pytest.raises(ConfigError, match="holds no run .*: name the folder of a trained run"):
        evaluate_run(str(tmp_path / "none" / "run"))
    with pytest.raises(ConfigError, match="holds no run"):
        evaluate_run(str(copy / "seed" / "run.json"))
    assert not (copy / "sede").exists() and not (tmp_path / "none").exists()


def test_a_run_killed_before_its_first_checkpoint_is_told(copy):
    (copy / "seed" / "run.json").unlink()
    with pytest.raises(ConfigError, match="holds no run"):
        evaluate_run(str(copy / "seed"))


def test_a_config_given_beside_the_workdir_must_be_that_of_the_run(copy):
    evaluate_run(str(copy / "seed"), config=config_of("seed"))
    other = config_of("seed")
    other.model.dropout = 0.3
    with pytest.raises(ConfigError, match=r"holds a run with another value of config.model.dropout"):
        evaluate_run(str(copy / "seed"), config=other)


def test_data_that_have_changed_are_told(copy):
    record = provenance.read_json(copy / "seed" / "run.json")
    record["data"]["fingerprint"] = "0" * 16
    provenance.write_json(copy / "seed" / "run.json", record)
    with pytest.raises(ConfigError, match="holds a run on other data"):
        evaluate_run(str(copy / "seed"))
    assert provenance.read_json(copy / "seed" / "run.json") == record


@pytest.mark.parametrize("changed", ["loss", "accuracy"])
def test_a_tampered_score_is_told(copy, changed):
    workdir = copy / "seed"
    step = provenance.read_json(workdir / "run.json")["last"]["step"]

    def change(record):
        record["scores"][changed] += 1e-9

    change_record(workdir, step, change)
    with pytest.raises(CheckpointError, match=f"test {changed} of the checkpoint of step {step} is not what"):
        evaluate_run(str(workdir))
    evaluate_run(str(workdir), split="train")


def test_tampered_logits_are_told(copy):
    workdir = copy / "clean"
    step = provenance.read_json(workdir / "run.json")["last"]["step"]

    def change(record):
        record["logits"][3][2] += 1e-6

    change_record(workdir, step, change)
    before = (workdir / "run.json").read_bytes()
    with pytest.raises(CheckpointError, match=f"the checkpoint of step {step} is not what was recorded"):
        evaluate_run(str(workdir), split="test")
    assert (workdir / "run.json").read_bytes() == before


def test_a_record_on_another_layout_is_held_to_a_tolerance(copy):
    workdir = copy / "seed"
    step = provenance.read_json(workdir / "run.json")["last"]["step"]

    def change(by):
        def changed(record):
            record["layout"]["device"] = "another"
            record["logits"][3][2] += by

        return changed

    change_record(workdir, step, change(1e-6))
    evaluate_run(str(workdir))
    change_record(workdir, step, change(1e-1))
    with pytest.raises(CheckpointError, match="logits"):
        evaluate_run(str(workdir))


@pytest.mark.parametrize("name", ["config.json", "run.json"])
def test_a_damaged_run_is_told(copy, name):
    (copy / "seed" / name).write_text("{}")
    with pytest.raises(UserError, match=f"{name} is damaged"):
        evaluate_run(str(copy / "seed"))


@pytest.mark.parametrize(
    ("key", "value"), [("data", []), ("last", {"epoch": 1}), ("last", [None]), ("test_reads", "1"), ("epoch", True)]
)
def test_a_value_of_another_type_in_a_record_is_told_by_its_key(copy, key, value):
    path = copy / "seed" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        evaluate_run(str(copy / "seed"))


def test_json_without_end_is_told(copy):
    (copy / "seed" / "run.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="cannot be read as JSON"):
        evaluate_run(str(copy / "seed"))
