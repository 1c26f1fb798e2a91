"""What stopped a run is replayed and told; a loss that explodes is warned of; a folder has one run at a time."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from fer_jax import models, train
from fer_jax.diagnose import diagnose
from fer_jax.errors import ConfigError, DivergedError, UserError
from fer_jax.lock import only_one
from fer_jax.models.layers import Dense
from fer_jax.models.trace import apply_with_outputs, trace


def diverge(config, workdir):
    config.optim.name, config.optim.learning_rate = "sgd", 1e30
    with pytest.raises(DivergedError) as told:
        train.train(config, workdir=str(workdir))
    return str(told.value)


def test_the_step_is_found_and_its_layers_are_told(tiny_config, tmp_path, capsys):
    told = diverge(tiny_config, tmp_path)
    step = json.loads((tmp_path / "run.json").read_text())["diverged"]["step"]
    assert f"at step {step} is not a finite number (what is not finite then: " in told
    assert f"--mode=diagnose --workdir={tmp_path}" in told
    before = sorted(tmp_path.rglob("*"))
    capsys.readouterr()
    assert diagnose(str(tmp_path))
    out = capsys.readouterr().out
    assert f"Replaying steps 1 to {step}" in out and f"\nStep {step}, on 16 images (rows " in out
    assert "Conv_0/kernel" in out and "not finite" in out and "logits" in out
    assert sorted(tmp_path.rglob("*")) == before


def test_layers_are_told_in_the_order_in_which_they_run(tiny_config, tmp_path, capsys):
    diverge(tiny_config, tmp_path)
    capsys.readouterr()
    assert diagnose(str(tmp_path))
    out = capsys.readouterr().out
    table = out.partition("layer ")[2].partition("parameter or statistic")[0]
    rows = [line.split(maxsplit=1) for line in table.splitlines()[2:] if line]
    model = models.create(name=tiny_config.model.name)
    assert [name for name, _ in rows] == [*(call.name for call in trace(model, model.image_shape)), "logits"]
    first = next(name for name, found in rows if "not finite" in found)
    assert f"The first output that is not finite is that of {first}." in out


def test_outputs_keep_their_order_through_jit():
    class Block(nn.Module):
        @nn.compact
        def __call__(self, x):
            twice = Dense(3, name="z")
            return Dense(3, name="a")(twice(twice(x)))

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return Dense(2, name="b")(Block(name="c")(x))

    images = jnp.ones((1, 3))
    variables = Net().init(jax.random.key(0), images)
    logits, outputs = jax.jit(lambda variables: apply_with_outputs(Net(), variables, images))(variables)
    assert outputs.names == ("c/z", "c/z", "c/a", "c", "b")
    assert [output.shape for output in outputs.arrays] == [(1, 3)] * 4 + [(1, 2)]
    assert jnp.array_equal(outputs.arrays[-1], logits) and not jnp.array_equal(*outputs.arrays[:2])


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        (True, "diverged"),
        ({"step": "x", "member": 0}, "diverged.step"),
        ({"step": 1}, "diverged.member"),
        ({"step": 0, "member": 0}, "diverged.step"),
        ({"step": 10**12, "member": 0}, "diverged.step"),
        ({"step": 1, "member": 1}, "diverged.member"),
    ],
)
def test_a_record_that_does_not_say_which_step_is_told(tiny_config, tmp_path, entry, place):
    diverge(tiny_config, tmp_path)
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "diverged": entry}))
    with pytest.raises(UserError, match=rf"{path} is damaged \({place}\): restore it"):
        diagnose(str(tmp_path))


def test_a_parameter_is_named_before_a_loss_shows_it(tiny_config, tmp_path):
    """Weights of 1e38 overflow in the update; the loss of that step was still that of the weights before."""
    tiny_config.optim.weight_decay = 0.0
    tiny_config.optim.name, tiny_config.optim.learning_rate = "sgd", 3e38
    tiny_config.optim.schedule = "constant"
    with pytest.raises(
        DivergedError, match=r"(a parameter or statistic|the loss) at step [123] is not a finite number"
    ):
        train.train(tiny_config, workdir=str(tmp_path))


def test_it_begins_at_the_newest_checkpoint_and_says_if_no_step_was_bad(tiny_config, tmp_path, capsys, poisoned):
    tiny_config.steps_per_call = 1
    with poisoned(epoch=1), pytest.raises(DivergedError, match="step 8"):
        train.train(tiny_config, workdir=str(tmp_path))
    capsys.readouterr()
    assert not diagnose(str(tmp_path))
    out = capsys.readouterr().out
    assert "Replaying steps 8 to 8" in out and "No step was bad" in out
    train.train(tiny_config, workdir=str(tmp_path))
    with pytest.raises(ConfigError, match="tells of no step that went wrong"):
        diagnose(str(tmp_path))


def test_of_several_members_one_is_to_be_trained_alone(tiny_config, tmp_path):
    tiny_config.num_seeds = 2
    told = diverge(tiny_config, tmp_path)
    assert "the loss of seed 0 at step" in told or "the loss of seed 1 at step" in told
    with pytest.raises(ConfigError, match=r"train seed [01] alone"):
        diagnose(str(tmp_path))


def test_an_exploding_loss_is_warned_of_once(tiny_config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train, "EXPLODED", 1e-3)
    tiny_config.epochs = 3
    train.train(tiny_config, workdir=str(tmp_path))
    assert capsys.readouterr().err.count("the run is likely to diverge") == 1


def test_no_warning_without_an_explosion(tiny_config, tmp_path, capsys):
    train.train(tiny_config, workdir=str(tmp_path))
    assert "diverge" not in capsys.readouterr().err


def test_a_second_run_in_a_folder_is_refused_and_the_first_not_disturbed(tiny_config, tmp_path):
    with only_one(tmp_path):
        with pytest.raises(UserError, match=f"another process is training in {tmp_path}"):
            train.train(tiny_config, workdir=str(tmp_path))
        assert not list(tmp_path.iterdir())
    assert train.train(tiny_config, workdir=str(tmp_path))["finished"]
