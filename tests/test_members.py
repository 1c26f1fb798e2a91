"""Several members trained at once: each ends like the same seed and values trained alone."""

import dataclasses
import json
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import TINY_TABLE

from fer_jax import card, member_programs, models, sharding, train
from fer_jax.build import build, default_config, resolve
from fer_jax.checkpoint import Checkpoints
from fer_jax.errors import ConfigError, DivergedError
from fer_jax.evaluate import on_device
from fer_jax.evaluate_run import evaluate_run
from fer_jax.members import make_members
from fer_jax.metrics import means
from fer_jax.models import mnist
from fer_jax.resume import best_of, template
from fer_jax.scores import t_interval
from fer_jax.writers import read_metrics

BOTH_ENDS = (0, -1)
"""The first member, whose values are 0 where they can be, and the last."""


@pytest.fixture(autouse=True)
def quick_compilation(request):
    """Compiling is nearly all of the time here; where bits are compared, it is as users have it."""
    quick = not ("bit_identical" in request.node.name or "finished" in request.fixturenames)
    jax.config.update("jax_disable_most_optimizations", quick)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def run(config, workdir):
    return train.train(config, workdir=str(workdir))


def numbers(workdir):
    """metrics.jsonl without what depends on the clock."""
    return [
        {k: v for k, v in line.items() if k not in ("seconds", "images_per_second")} for line in read_metrics(workdir)
    ]


def arrays(config, workdir):
    """The arrays of a run's newest checkpoint, as NumPy, and how `build` names the run."""
    built = build(resolve(config))
    checkpoints = Checkpoints(workdir)
    restored = checkpoints.restore(checkpoints.steps()[-1], template(built))
    checkpoints.close()
    key = jax.random.key(0).dtype
    found = jax.tree.map(lambda x: np.asarray(jax.random.key_data(x) if x.dtype == key else x), restored.arrays)
    return found, built


def alone(config, member):
    """The config of a run of one that trains the same as a member."""
    config = resolve({**config.to_dict(), "seed": member.seed, "num_seeds": 1, "vary": None})
    config.update_from_flattened_dict(member.values)
    return config


@pytest.fixture
def float64():
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def assert_like_alone(config, folder, places, tolerance):
    """Trains the members and those at `places` alone, and compares every epoch and the last weights."""
    run(config, folder / "many")
    together, built = arrays(config, folder / "many")
    for place in places:
        member = built.members.each[place]
        own = alone(config, member)
        run(own, folder / "alone" / str(place))
        found, _ = arrays(own, folder / "alone" / str(place))
        # The sums of an epoch are kept in float32, whatever is trained.
        loose = {"train_loss": 1e-5}
        for line, expected in zip(numbers(folder / "many"), numbers(folder / "alone" / str(place)), strict=True):
            line = built.members.line_of(line, place)
            assert line.keys() == expected.keys()
            for name, value in expected.items():
                assert line[name] == pytest.approx(value, rel=0, abs=loose.get(name, tolerance)), (name, place)
        for part in ("params", "batch_stats", *(["ema"] if own.ema_decay else [])):
            jax.tree.map(
                lambda many, one, place=place: np.testing.assert_allclose(many[place], one, rtol=0, atol=tolerance),
                getattr(together["state"], part),
                getattr(found["state"], part),
            )
    return built


@pytest.mark.usefixtures("float64")
def test_each_seed_ends_as_it_does_alone(tiny_config, tmp_path):
    """56 steps in float64 with BatchNorm, dropout, augmentation, an average and a schedule, on two pairs of devices."""
    tiny_config.epochs, tiny_config.num_seeds, tiny_config.seed = 8, 2, 3
    tiny_config.model.dtype = "float64"
    tiny_config.ema_decay = 0.9
    tiny_config.augment.shift, tiny_config.augment.mixup = 0.1, 0.4
    tiny_config.optim.schedule, tiny_config.optim.decay_rate = "inverse_time", 0.3
    built = assert_like_alone(tiny_config, tmp_path, (0, 1), 1e-9)
    assert dict(built.mesh.shape) == {"member": 2, "batch": 2}
    assert [member.seed for member in built.members.each] == [3, 4]


VARIED = {
    "plateau": {
        "optim": {"schedule": "plateau", "patience": 1},
        "vary": {"model.dropout": (0.0, 0.2), "loss.label_smoothing": (0.0, 0.1)},
    },
    "cosine": {
        "optim": {"schedule": "cosine", "name": "adamw", "warmup_epochs": 1.0},
        "vary": {"optim.learning_rate": (0.002, 0.01), "optim.weight_decay": (0.0, 0.1), "ema_decay": (0.8, 0.9)},
    },
    "inverse_time": {
        "optim": {"schedule": "inverse_time", "name": "sgd"},
        "vary": {"optim.decay_rate": (0.0, 0.5), "optim.momentum": (0.0, 0.8), "optim.clip_norm": (0.0, 0.5)},
    },
}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", VARIED)
def test_each_value_ends_as_it_does_alone(tiny_config, tmp_path, name):
    """56 steps in float64; of every value that varies 0, where it can be, and another one."""
    tiny_config.epochs = 8
    tiny_config.model.dtype = "float64"
    tiny_config.optim.update(VARIED[name]["optim"])
    tiny_config.vary = VARIED[name]["vary"]
    built = assert_like_alone(tiny_config, tmp_path, BOTH_ENDS, 1e-9)
    if name == "plateau":
        assert len(set(map(str, json.loads((tmp_path / "many" / "run.json").read_text())["rate_reduced_after"]))) > 1
    assert len(built.members) == 2 ** len(VARIED[name]["vary"])


def first_losses(config):
    """The loss of each member in each of the first three steps, [steps, members]."""
    built = build(resolve(config))
    start, found = template(built), []
    state, examples = start["state"], on_device(built.splits.train, built.mesh)
    order = built.programs.order(state, np.int32(0))
    for step in range(3):
        state, progress = built.programs.train(state, start["progress"], examples, order, np.int32(step + 1))
        found.append([means(own.metrics)[0] for own in built.members.unpack_tree(progress)])
    return np.array(found), built


@pytest.fixture
def accelerator(monkeypatch):
    """Members are computed side by side, as on a GPU."""
    monkeypatch.setattr(member_programs, "_side_by_side", lambda: True)


@pytest.mark.parametrize("how", ["on_cpu", "accelerator"])
@pytest.mark.parametrize("seeds", [3, 4])
def test_the_first_losses_are_those_alone(tiny_config, request, how, seeds):
    """In float32; three members share four devices, four have one each."""
    if how != "on_cpu":
        request.getfixturevalue(how)
    tiny_config.num_seeds = seeds
    found, built = first_losses(tiny_config)
    expected = [first_losses(alone(tiny_config, member))[0][:, 0] for member in built.members.each]
    np.testing.assert_allclose(found, np.transpose(expected), rtol=0, atol=1e-5)
    assert len(np.unique(found)) == found.size
    assert {len(image.devices()) for image in jax.tree.leaves(on_device(built.splits.train, built.mesh).images)} == {4}


def test_several_members_on_a_device(tiny_config, tmp_path, monkeypatch):
    """Six members on two devices, three on each."""
    monkeypatch.setattr(sharding.jax, "devices", lambda *_: jax.local_devices()[:2])
    tiny_config.epochs, tiny_config.num_seeds = 1, 3
    tiny_config.vary = {"model.dropout": (0.0, 0.3)}
    built = assert_like_alone(tiny_config, tmp_path, (1, 5), 2e-3)
    assert dict(built.mesh.shape) == {"member": 2, "batch": 1}


@pytest.mark.parametrize(
    ("members", "devices", "shape"), [(1, 4, (1, 4)), (6, 4, (2, 2)), (8, 4, (4, 1)), (3, 2, (1, 2))]
)
def test_members_lie_on_as_many_devices_as_divide_them(members, devices, shape):
    assert tuple(sharding.make_member_mesh(members, device_count=devices).shape.values()) == shape


@pytest.mark.parametrize(("kill_at", "every_steps"), [((2, 2), 0), ((1, 5), 2)])
def test_a_killed_run_ends_bit_identical(tiny_config, tmp_path, kill, kill_at, every_steps):
    tiny_config.epochs, tiny_config.num_seeds, tiny_config.steps_per_call = 3, 2, 1
    tiny_config.optim.schedule, tiny_config.optim.patience = "plateau", 1
    # Far too fast, so that the members are best at different epochs.
    tiny_config.vary = {"optim.learning_rate": (0.001, 0.3)}
    straight = run(tiny_config, tmp_path / "straight")
    tiny_config.checkpoint.every_steps = every_steps
    kill(kill_at, lambda: run(tiny_config, tmp_path / "killed"))
    record = run(tiny_config, tmp_path / "killed")
    assert numbers(tmp_path / "killed") == numbers(tmp_path / "straight")
    found, expected = (arrays(tiny_config, tmp_path / name)[0] for name in ("killed", "straight"))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    for key in ("best", "last", "over_seeds", "rate_reduced_after", "members"):
        assert record[key] == straight[key]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of two seeds with two learning rates, under the clean protocol: its folder and its record."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.MODELS, "tiny", partial(mnist.MnistNet, table=TINY_TABLE))
        config = default_config(model="tiny", data_name="digits")
        config.epochs, config.batch_size, config.data.limit, config.protocol = 4, 16, 100, "clean"
        config.num_seeds = 2
        config.vary = {"optim.learning_rate": (0.003, 0.1)}
        folder = tmp_path_factory.mktemp("members")
        return folder, train.train(config, workdir=str(folder))


def test_the_files_hold_a_list_for_what_each_has_of_its_own(finished):
    folder, record = finished
    assert json.loads((folder / "run.json").read_text()) == record
    rates = [0.003, 0.003, 0.1, 0.1]
    assert record["members"] == [
        {"seed": seed, "optim.learning_rate": rate} for rate, seed in zip(rates, (0, 1, 0, 1), strict=True)
    ]
    for line in read_metrics(folder):
        for name, value in line.items():
            is_own = name not in ("epoch", "step", "seconds", "images_per_second")
            assert isinstance(value, list) == is_own and (not is_own or len(value) == 4), name
    assert read_metrics(folder)[-1]["learning_rate"] == rates
    assert len(record["last"]) == len(record["best"]) == len(record["scores"]["best"]) == 4
    for last, best, scores in zip(record["last"], record["best"], record["scores"]["best"], strict=True):
        assert last["epoch"] == 4 and best["val_accuracy"] >= last["val_accuracy"]
        assert scores["test"]["plain"]["official"]["accuracy"] == best["test_accuracy"]
    # One look for each member's last state, and for each best one that is another.
    others = sum(best["epoch"] != 4 for best in record["best"])
    assert others and record["test_reads"] == 4 + others


def test_the_means_over_seeds_are_of_each_combination(finished):
    _, record = finished
    slow, fast = record["over_seeds"]
    assert (slow["values"], fast["values"]) == ({"optim.learning_rate": 0.003}, {"optim.learning_rate": 0.1})
    assert slow["seeds"] == fast["seeds"] == [0, 1] and slow["n"] == 2 and "95 % interval" in slow["interval"]
    for which in ("last", "best"):
        mean, half_width = t_interval([entry["test_accuracy"] for entry in record[which][2:]])
        assert fast[which]["test_accuracy"] == {"mean": mean, "half_width": half_width}


@pytest.mark.usefixtures("tiny")
def test_the_best_state_of_each_is_carried(finished, capsys):
    folder, record = finished
    # The seeds of the second epoch's checkpoint are gone, and with them every best state that is not carried.
    found = evaluate_run(str(folder), checkpoint="best")
    assert [(one.loss, one.accuracy) for one in found] == [
        (entry["val_loss"], entry["val_accuracy"]) for entry in record["best"]
    ]
    out = capsys.readouterr().out
    for place, entry in enumerate(record["best"]):
        rate = record["members"][place]["optim.learning_rate"]
        assert f"seed {place % 2}, optim.learning_rate = {rate:g}, step {entry['step']}: val" in out
    last = evaluate_run(str(folder))
    assert [one.loss for one in last] == [entry["val_loss"] for entry in record["last"]]


@pytest.mark.usefixtures("tiny")
def test_a_best_state_that_computes_something_else_is_told(finished):
    folder, _ = finished
    built = build(resolve(json.loads((folder / "config.json").read_text())))
    checkpoints = Checkpoints(folder)
    restored = checkpoints.restore(checkpoints.steps()[-1], template(built))
    checkpoints.close()
    best = best_of(restored)
    assert best.record["logits"] == restored.record["best"]["logits"] != restored.record["logits"]
    assert best.record["scores"]["loss"] == [entry["val_loss"] for entry in finished[1]["best"]]


def test_a_report_is_of_one_member(finished, tiny, capsys):
    pytest.importorskip("matplotlib")
    from fer_jax.report.write import report

    folder, record = finished
    page = report(str(folder)).read_text()
    assert "4 members; this is of the first (seed 0, optim.learning_rate = 0.003)" in capsys.readouterr().out
    assert "0 of 4" in page
    page = report(str(folder), member=3).read_text()
    assert "3 of 4: seed 1, optim.learning_rate = 0.1" in page and "of the first" not in capsys.readouterr().out
    assert f"{100 * record['best'][3]['val_accuracy']:.2f}\N{NO-BREAK SPACE}%" in page
    for member in (4, -1):
        with pytest.raises(ConfigError, match=rf"--member={member}: the run has the members 0 to 3"):
            report(str(folder), member=member)


def test_the_end_of_a_run_is_a_table_of_means(finished, tiny, capsys):
    folder, record = finished
    config = json.loads((folder / "config.json").read_text())
    assert run(config, folder) == record
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith("optim.learning_rate = 0.1 "))
    for which in ("last", "best"):
        found = record["over_seeds"][1][which]["test_accuracy"]
        assert f"{100 * found['mean']:.2f} ± {100 * found['half_width']:.2f}" in row
    assert "95 % interval of the mean over the seeds" in out


@pytest.mark.usefixtures("orbax_leftovers")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine:RuntimeWarning")
def test_a_torn_newest_checkpoint_falls_back(tiny_config, tmp_path, capsys):
    tiny_config.num_seeds, tiny_config.epochs = 2, 3
    run(tiny_config, tmp_path / "straight")
    tiny_config.epochs = 2
    run(tiny_config, tmp_path / "torn")
    for path in (tmp_path / "torn" / "checkpoints" / "14" / "arrays").rglob("*"):
        if path.is_file() and path.stat().st_size > 200:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    tiny_config.epochs = 3
    run(tiny_config, tmp_path / "torn")
    assert "Going on from step 7" in capsys.readouterr().out
    assert numbers(tmp_path / "torn") == numbers(tmp_path / "straight")


def test_divergence_names_the_member(tiny_config, tmp_path):
    tiny_config.num_seeds, tiny_config.optim.name = 2, "sgd"
    tiny_config.vary = {"optim.learning_rate": (0.01, 1e30)}
    with pytest.raises(DivergedError, match=r"the loss of seed 0, optim.learning_rate = 1e\+30 at step \d is not"):
        run(tiny_config, tmp_path)
    assert not list((tmp_path / "checkpoints").glob("[0-9]*"))


def test_other_members_are_another_run(tiny_config, tmp_path):
    tiny_config.epochs, tiny_config.vary = 1, {"model.dropout": (0.0, 0.1)}
    run(tiny_config, tmp_path)
    tiny_config.vary = {"model.dropout": (0.0, 0.2)}
    with pytest.raises(ConfigError, match=r"another value of config.vary.model.dropout"):
        run(tiny_config, tmp_path)
    tiny_config.vary, tiny_config.num_seeds = {"model.dropout": [0.0, 0.1]}, 2
    with pytest.raises(ConfigError, match=r"another value of config.num_seeds"):
        run(tiny_config, tmp_path)
    assert not list(Path(tmp_path).glob("checkpoints-damaged"))


def test_a_card_tells_the_means_of_all_members(finished, tiny):
    folder, record = finished
    config = json.loads((folder / "config.json").read_text())
    built = build(resolve(config))
    built = built._replace(dataset=dataclasses.replace(built.dataset, name="folder"))
    text = card.card("name", built, config, record)
    found = record["over_seeds"][1]["best"]["test_accuracy"]
    assert f"{100 * found['mean']:.2f} ± {100 * found['half_width']:.2f}" in text
    assert "4 networks were trained at once" in text and "Wilson" not in text
    assert "'optim.learning_rate' = [0.003, 0.1]" in text or "optim.learning_rate = [0.003, 0.1]" in text


def test_combinations_are_paired_by_seed():
    members = make_members(5, 2, {"a": (0.0, 1.0), "b": (2.0, 3.0)})
    assert [str(member) for member in members.each[:3]] == [
        "seed 5, a = 0, b = 2",
        "seed 6, a = 0, b = 2",
        "seed 5, a = 0, b = 3",
    ]
    assert [places for _, places in members.combinations()] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert not make_members(0, 1, {}).many and make_members(0, 1, {"a": (1.0,)}).many
