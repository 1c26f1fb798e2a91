"""Files of a run that were damaged, changed or lost: told of and survived, or refused; never passed over."""

import json
import shutil

import pytest

from fer_jax import train
from fer_jax.checkpoint import record_digest
from fer_jax.errors import CheckpointError, ConfigError, UserError
from fer_jax.writers import read_metrics

CLOCK = ("seconds", "images_per_second")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Where the run that this file damages copies of is, once one of its tests has trained it."""
    return tmp_path_factory.mktemp("made") / "run"


@pytest.fixture
def ended(tiny_config, made, tmp_path):
    """The folder of a run of two epochs, of which the first (step 7) is the best, and its config for three."""
    # So high a rate that every epoch is as bad, and the first of equals is the best.
    tiny_config.optim.learning_rate = 1.0
    if not made.exists():
        train.train(tiny_config, workdir=str(made))
    shutil.copytree(made, tmp_path / "run")
    tiny_config.epochs = 3
    return tmp_path / "run", tiny_config


def go_on(ended):
    folder, config = ended
    return train.train(config, workdir=str(folder))


def numbers(folder):
    return [{key: value for key, value in line.items() if key not in CLOCK} for line in read_metrics(folder)]


def record_of(folder, step):
    """The file of a checkpoint's record."""
    (path,) = (path for path in (folder / "checkpoints" / str(step)).glob("record/*") if b"sha256" in path.read_bytes())
    return path


def test_the_first_epoch_is_the_best(ended):
    assert json.loads((ended[0] / "run.json").read_text())["best"]["step"] == 7


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["standing"]["best"].update(test_accuracy=0.99),
        lambda record: record["standing"].update(best=None),
        lambda record: record.pop("standing"),
        lambda record: record.update(scores={"split": "test"}),
        lambda record: record["lines"].clear(),
    ],
)
def test_a_record_that_is_not_the_one_saved_is_not_believed(ended, change, capsys, orbax_leftovers):
    folder, _ = ended
    record = json.loads(record_of(folder, 14).read_text())
    change(record)
    record_of(folder, 14).write_text(json.dumps(record))
    ended_record = go_on(ended)
    assert "checkpoints/14 is damaged: its record is not the one saved; going on from" in capsys.readouterr().err
    assert ended_record["best"]["step"] == 7 and len(read_metrics(folder)) == 3
    assert (folder / "checkpoints-damaged" / "14").is_dir()


def test_a_checkpoint_under_another_name_is_not_taken_for_a_later_one(ended, capsys, orbax_leftovers):
    folder, _ = ended
    shutil.copytree(folder / "checkpoints" / "14", folder / "checkpoints" / "20")
    assert go_on(ended)["step"] == 21
    assert "checkpoints/20 is that of step 14 under another name" in capsys.readouterr().err


def test_a_record_without_a_digest_of_itself_is_that_of_an_older_run(ended):
    folder, _ = ended
    old = json.loads(record_of(folder, 14).read_text())
    assert old["record_sha256"] == record_digest(old)
    for name in ("record_sha256", "lines"):
        del old[name]
    record_of(folder, 14).write_text(json.dumps(old))
    go_on(ended)
    assert [line["epoch"] for line in read_metrics(folder)] == [1, 2, 3]


@pytest.mark.parametrize("damage", ["torn", "first line", "deleted", "doubled", "changed"])
def test_metrics_jsonl_is_made_again_from_the_checkpoint(ended, damage):
    folder, _ = ended
    path, before = folder / "metrics.jsonl", numbers(folder)
    first, second = path.read_text().splitlines(keepends=True)
    changed = second.replace('"epoch": 2', '"epoch": 1')
    texts = {
        **{"torn": first + second[:40], "first line": "garbage\n" + second, "doubled": first + second + second},
        "changed": first + changed,
    }
    path.write_text(texts.get(damage, ""))
    if damage == "deleted":
        path.unlink()
    go_on(ended)
    assert numbers(folder)[:2] == before and [line["epoch"] for line in read_metrics(folder)] == [1, 2, 3]


@pytest.mark.parametrize("name", ["config.json", "run.json"])
@pytest.mark.parametrize("content", [None, "null", "[]", '{"epochs": 2}'])
def test_without_what_tells_which_run_it_is_nothing_goes_on(ended, name, content):
    folder, config = ended
    if (name, content) == ("config.json", '{"epochs": 2}'):
        content = '{"epochs": "2"}'
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    config.optim.learning_rate = 0.5
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(UserError, match=f"no {name}, without which" if content is None else f"{name} is damaged"):
        go_on(ended)
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seconds_compiling": "x"}, "damaged .seconds_compiling"),
        ({"seconds_training": None}, "damaged .seconds_training"),
        ({"test_reads": -5}, "test_reads is -5"),
        ({"epoch": 10**30}, "the run has 2"),
        ({"last": None}, "a finished run without its scores"),
    ],
)
def test_a_record_that_cannot_be_is_refused(ended, change, message):
    folder, config = ended
    path = folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    config.epochs = 2
    with pytest.raises(UserError, match=message):
        go_on(ended)


def damage_arrays(folder):
    for path in (folder / "checkpoints" / "7" / "arrays").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")


def delete(folder):
    shutil.rmtree(folder / "checkpoints" / "7")


def empty_rank(folder):
    (folder / "checkpoints" / "7" / "metrics" / "metrics").write_text("")


def other_rank(folder):
    (folder / "checkpoints" / "7" / "metrics" / "metrics").write_text('{"rank": "x"}')


def delete_rank(folder):
    shutil.rmtree(folder / "checkpoints" / "7" / "metrics")


@pytest.mark.parametrize("damage", [damage_arrays, delete, empty_rank, other_rank, delete_rank])
def test_a_best_state_that_is_lost_is_told_before_training_and_selected_anew(ended, damage, capsys, orbax_leftovers):
    folder, _ = ended
    damage(folder)
    record = go_on(ended)
    assert "the state of epoch 1, the best until then, is lost, and the best of" in capsys.readouterr().err
    assert record["finished"] and record["best"]["epoch"] == 3 and record["lost_best"]["epoch"] == 1
    assert go_on(ended)["lost_best"]["epoch"] == 1


def test_a_best_state_that_is_lost_when_all_is_trained_is_the_last(ended, orbax_leftovers, capsys):
    folder, config = ended
    config.epochs = 2
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "finished": False}))
    damage_arrays(folder)
    record = go_on(ended)
    assert "the last state stands in its place" in capsys.readouterr().err
    assert record["finished"] and record["best"]["epoch"] == record["last"]["epoch"] == 2


def test_a_rank_that_cannot_be_read_costs_its_own_checkpoint_only(ended, capsys):
    folder, _ = ended
    (folder / "checkpoints" / "14" / "metrics" / "metrics").write_text('{"rank": "x"}')
    record = go_on(ended)
    assert "checkpoints/14 is damaged: what it is ranked by cannot be read" in capsys.readouterr().err
    assert record["finished"] and record["best"]["step"] == 7 and (folder / "checkpoints-damaged" / "14").is_dir()


@pytest.mark.parametrize(
    ("steps", "left"), [((14,), "the newest checkpoint is of step 7"), ((7, 14), "there is no checkpoint")]
)
def test_checkpoints_that_are_gone_are_told(ended, steps, left, capsys):
    folder, _ = ended
    for step in steps:
        shutil.rmtree(folder / "checkpoints" / str(step))
    assert go_on(ended)["epoch"] == 3
    assert f"run.json tells of step 14, and {left}" in capsys.readouterr().err
    assert [line["epoch"] for line in read_metrics(folder)] == [1, 2, 3]


def test_a_start_that_was_refused_can_be_corrected(tiny_config, tmp_path):
    tiny_config.init_from = "mnist_15"
    with pytest.raises(UserError):
        train.train(tiny_config, workdir=str(tmp_path / "run"))
    tiny_config.init_from, tiny_config.optim.learning_rate = "", 0.02
    assert train.train(tiny_config, workdir=str(tmp_path / "run"))["finished"]
    tiny_config.optim.learning_rate = 0.01
    with pytest.raises(ConfigError, match="holds a run with another value of config.optim.learning_rate"):
        train.train(tiny_config, workdir=str(tmp_path / "run"))


def test_a_checkpoint_that_cannot_be_written_for_another_reason_asks_for_no_space(tiny_config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").write_text("a file\n")
    with pytest.raises(CheckpointError) as raised:
        train.train(tiny_config, workdir=str(tmp_path / "run"))
    assert "space" not in str(raised.value) and str(tmp_path / "run" / "checkpoints") in str(raised.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("epochs", 10**9, "config.epochs must be at most"), ("learning_rate", 1e39, "learning_rate must be at most")],
)
def test_numbers_that_no_machine_takes_are_refused(tiny_config, tmp_path, key, value, message):
    (tiny_config if key == "epochs" else tiny_config.optim)[key] = value
    with pytest.raises(ConfigError, match=message):
        train.train(tiny_config, workdir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
