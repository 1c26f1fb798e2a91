"""Exports of a run: every file is the run in another runtime, says where it comes from, or is not there."""

import contextlib
import dataclasses
import io
import json
import os
import re
import shutil
import signal
import sys
import zipfile
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import keras_networks  # noqa: F401, settings of Keras before its first import
import numpy as np
import pytest
from commands import assert_refused, call_command
from flax.traverse_util import flatten_dict
from special_files import special

from fer_jax import models, provenance, releases, train
from fer_jax.build import default_config
from fer_jax.data import LOADERS, digits
from fer_jax.errors import CheckpointError, ConfigError, UserError
from fer_jax.export import __main__ as command_line
from fer_jax.export import formats, int8, safetensors, write
from fer_jax.export.content import Content
from fer_jax.export.metadata import metadata
from fer_jax.export.runtime import batches
from fer_jax.export.write import export
from fer_jax.models import keras_weights
from fer_jax.models.chain import chain
from fer_jax.models.layers import Conv, Flatten, scale_pixels

LIGHT = ["stablehlo", "safetensors", "keras"]
TEXTS = {"stand_in", "model_card"}
KEYS = {"labels", "input", "output", "config", "data", "checkpoint", "trained_with", "exported_with", *TEXTS}


@pytest.fixture(autouse=True)
def rank_promotion():
    """Keras's Dense adds a vector to a matrix."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run of the clean protocol, on digits that stand in for MNIST."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.delenv("FER_JAX_DATA", raising=False)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("FER_JAX_OFFLINE", "1")
        # The network is one that a fresh process knows.
        config = default_config(model="mnist_best_1k", data_name="mnist")
        config.data.fallback = "digits"
        config.protocol = "clean"
        config.epochs = 1
        config.batch_size = 16
        config.data.limit = 60
        train.train(config, workdir=str(folder / "first"))
    return folder / "first"


@pytest.fixture
def workdir(trained, tmp_path, monkeypatch):
    """A copy of that run, for a test to change."""
    monkeypatch.delenv("FER_JAX_DATA", raising=False)
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def opened_once(trained):
    """That run as an export opens it, which takes longer than a file that fails."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.delenv("FER_JAX_DATA", raising=False)
        patch.setenv("XDG_CACHE_HOME", str(trained.parent / "cache"))
        patch.setenv("FER_JAX_OFFLINE", "1")
        return write._choose(str(trained), "", "best", None, "", ensemble=False)


@pytest.fixture
def opened(opened_once, workdir, monkeypatch):
    """An export opens `workdir` as that."""
    own = opened_once._replace(opened=opened_once.opened._replace(folder=workdir))
    monkeypatch.setattr(write, "_choose", lambda *arguments: own)


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs the command in an empty folder; what it changes in JAX is put back."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    yield partial(call_command, command_line, monkeypatch=monkeypatch, capsys=capsys)
    for name, value in before.items():
        jax.config.update(name, value)


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if "checkpoints/" not in str(path))


def loaded(name, path):
    return formats.room(name).open_file(Path(path))


def noise(shape, count=5):
    return np.random.RandomState(1).randint(0, 256, (count, *shape)).astype(np.uint8)


@pytest.mark.parametrize("name", [*LIGHT, "onnx"])
def test_a_file_is_the_run_and_says_where_it_comes_from(command, workdir, name):
    if name == "onnx":
        pytest.importorskip("jax2onnx")
    before, record = files_in(workdir), (workdir / "run.json").read_bytes()
    result = command(f"--workdir={workdir}", f"--format={name}")
    assert result.code == 0 and not result.err and not list(Path().iterdir())
    file = workdir / "export" / f"model{formats.FORMATS[name].suffix}"
    assert files_in(workdir) == sorted([*before, "export", f"export/{file.name}"])
    # The comparison is on training images.
    assert (workdir / "run.json").read_bytes() == record
    row = re.search(rf"^{name} +([\d,]+) +(\d\.\de-\d\d) +([\d.]+) ms  \w", result.out, re.MULTILINE)
    assert int(row[1].replace(",", "")) == file.stat().st_size and float(row[2]) <= 1e-5
    assert "run in a fresh process on 60 training images" in result.out and str(file) in result.out
    assert result.out.count("STAND-IN DATA: MNIST COULD NOT BE HAD") == 2
    found, run = loaded(name, file), provenance.read_json(workdir / "run.json")
    assert set(found.metadata) == KEYS
    assert "STAND-IN DATA: MNIST COULD NOT BE HAD" in found.metadata["stand_in"]
    assert found.metadata["model_card"] == (workdir / "model_card.md").read_text()
    read = {key: json.loads(found.metadata[key]) for key in KEYS - TEXTS}
    assert read["labels"] == [str(digit) for digit in range(10)] and read["input"]["shape"] == ["N", 28, 28, 1]
    assert read["config"] == provenance.read_json(workdir / "config.json")
    assert read["data"]["fingerprint"] == run["data"]["fingerprint"]
    assert read["checkpoint"]["step"] == run["best"]["step"] and read["checkpoint"]["scores"] == run["best"]
    assert read["trained_with"]["git"] == run["git"] and "jax" in read["exported_with"]["versions"]
    assert found.predict(noise((28, 28, 1), 3)).sum(1) == pytest.approx(1, abs=1e-6)
    _has_nothing_of_training(name, file)


def test_a_run_that_left_no_card_has_one_in_its_export(workdir, opened_once):
    own = opened_once.opened._replace(folder=workdir, card=workdir / "model_card.md")
    expected = own.card.read_text().replace("# Model card: first", "# Model card: run")
    own.card.unlink()
    assert metadata(own, "best", 0, ())["model_card"] == expected
    assert "STAND-IN DATA: MNIST COULD NOT BE HAD" in expected and not own.card.exists()
    record = {key: value for key, value in own.record.items() if key not in ("scores", "ended")}
    text = metadata(own._replace(record={**record, "ended": None, "finished": False}), "best", 0, ())["model_card"]
    assert "**The run has not ended: this is how far it had come.**" in text
    assert "No test scores were taken in this run" in text


def _has_nothing_of_training(name, file):
    if name == "safetensors":
        _, variables, _ = formats.room(name).load(file)
        assert set(variables) == {"params", "batch_stats"}
    elif name == "keras":
        layers = json.loads(zipfile.ZipFile(file).read("config.json"))["config"]["layers"]
        assert not {layer["class_name"] for layer in layers} & {"Dropout", "GaussianNoise", "RandomFlip"}
    elif name == "stablehlo":
        archive = zipfile.ZipFile(file)
        assert archive.read("labels.txt").decode().split() == [str(digit) for digit in range(10)]
        program = jax.export.deserialize(bytearray(archive.read("model.jax_export")))
        assert not re.search("rng|threefry|random", program.mlir_module())
        assert program.platforms == ("cpu", "cuda", "rocm", "tpu") and not program.has_vjp()
    else:
        import onnx

        nodes = {node.op_type for node in onnx.load(file).graph.node}
        assert {"Conv", "MaxPool", "Softmax"} <= nodes and not {name for name in nodes if "Random" in name}


def test_eight_bits_cost_what_is_said_and_the_look_at_the_test_split_is_counted(command, workdir):
    pytest.importorskip("jax2onnx")
    before = provenance.read_json(workdir / "run.json")
    result = command(f"--workdir={workdir}", "--format=onnx", "--int8", "--checkpoint=last")
    assert result.code == 0 and not result.err
    assert [path.name for path in (workdir / "export").iterdir()] == ["model.int8.onnx"]
    assert provenance.read_json(workdir / "run.json") == {**before, "test_reads": before["test_reads"] + 2}
    told = re.search(r"cost (\S+) points of accuracy: (\S+) % of the 60 test images instead of (\S+) %;", result.out)
    found = loaded(formats.INT8, workdir / "export" / "model.int8.onnx")
    measured = json.loads(found.metadata["int8"])
    assert float(told[1]) == pytest.approx(float(told[3]) - float(told[2]), abs=0.011)
    assert float(told[3]) == pytest.approx(100 * before["last"]["test_accuracy"], abs=0.006)
    assert float(told[2]) == pytest.approx(100 * measured["int8_accuracy"], abs=0.006)
    assert measured["calibrated_on"] == 60 and set(found.metadata) == KEYS | {"int8"}
    import onnx

    stored = {tensor.data_type for tensor in onnx.load(workdir / "export" / "model.int8.onnx").graph.initializer}
    assert onnx.TensorProto.INT8 in stored


def test_the_cost_of_eight_bits_is_counted():
    floats, eights = np.eye(4)[[0, 1, 2, 3]], np.eye(4)[[0, 1, 3, 2]]
    found = int8.on_test_split(floats, eights, np.array([0, 1, 2, 0]))
    assert found == (4, 0.75, 0.5, 2) and found.cost == 25


@pytest.mark.parametrize(("name", "overwrite"), [("stablehlo", False), ("safetensors", True)])
def test_a_file_that_is_not_the_run_is_not_kept(workdir, opened, monkeypatch, name, overwrite):
    target = workdir / "export" / f"model{formats.FORMATS[name].suffix}"
    if overwrite:
        target.parent.mkdir()
        target.write_text("the one before")
    before = files_in(workdir)

    def perturbed(chosen, *arguments):
        content = real(chosen, *arguments)
        return content._replace(variables=jax.tree.map(lambda value: np.float32(1.01) * value, content.variables))

    real = write._content
    monkeypatch.setattr(write, "_content", perturbed)
    with pytest.raises(UserError, match=f"the export to {name} was not kept: .* differ from the run's by up to 0.0"):
        export(str(workdir), name=name, overwrite=overwrite)
    assert files_in(workdir) == before
    assert not overwrite or target.read_text() == "the one before"


def test_a_file_that_its_runtime_cannot_read_or_that_has_lost_its_labels_is_not_kept(workdir, opened, monkeypatch):
    room = formats.room("safetensors")
    before, real = files_in(workdir), room.write
    monkeypatch.setattr(room, "write", lambda path, content: path.write_bytes(b"nothing"))
    with pytest.raises(UserError, match="the export to safetensors cannot be run, so it was not kept: "):
        export(str(workdir), name="safetensors")
    monkeypatch.setattr(
        room, "write", lambda path, content: real(path, content._replace(metadata=content.metadata | {"labels": "[]"}))
    )
    with pytest.raises(UserError, match="its metadata are read back with another labels$"):
        export(str(workdir), name="safetensors")
    assert files_in(workdir) == before


def test_a_signal_leaves_nothing(command, workdir, opened, monkeypatch):
    before = files_in(workdir)
    room = formats.room("safetensors")
    monkeypatch.setattr(room, "write", lambda path, content: path.touch() or os.kill(os.getpid(), signal.SIGTERM))
    result = command(f"--workdir={workdir}", "--format=safetensors")
    assert_refused(result, "stopped by a signal: no file was written", code=143)
    assert files_in(workdir) == before and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def _run_without(what):
    def change(workdir):
        shutil.rmtree(workdir / what) if (workdir / what).is_dir() else (workdir / what).unlink()

    return change


def _config_with(**changes):
    def change(workdir):
        config = provenance.read_json(workdir / "config.json")
        provenance.write_json(workdir / "config.json", config | changes)

    return change


def _torn(workdir):
    (workdir / "config.json").write_text('{"epochs": 3')


def _exported(workdir):
    (workdir / "export").mkdir()
    (workdir / "export" / "model.keras").write_text("mine")


@pytest.mark.parametrize(
    ("change", "words", "parts", "code"),
    [
        (None, ("--workdir=",), ("--workdir=RUN and --model=NAME are missing",), 2),
        (None, ("--model=mnist_15k",), ("--workdir=RUN and --model=NAME are both given",), 2),
        (None, ("--format=",), ("--format",), 2),
        (None, ("--format=onxn",), ("--format=onxn: no such format", "did you mean 'onnx'"), 2),
        (None, ("--workdir=runs/none",), ("--workdir=runs/none holds no run",), 2),
        (None, ("--checkpoint=bset",), ("--checkpoint", "did you mean 'best'"), 2),
        (None, ("--checkpoint=7",), ("has no checkpoint of step 7; it has: 4",), 1),
        (None, ("--member=1",), ("--member=1: the run has one member",), 2),
        (None, ("--ensemble",), ("--ensemble takes all members, with --format=stablehlo or onnx or web",), 2),
        (None, ("--int8",), ("--int8 goes with --format=onnx or --format=all, not with --format=keras",), 2),
        (None, ("--out=none/a.keras",), ("--out=none/a.keras: there is no folder none: create it first",), 2),
        (None, ("--out=a.h5",), ("--out=a.h5: the name of such a file ends with .keras",), 2),
        (None, ("--format=web", "--runtime=none"), ("--runtime=none: there is no such folder",), 2),
        (None, ("--format=all", "--out=none"), ("needs", "not installed"), 1),
        (_run_without("checkpoints"), (), ("checkpoints does not exist: the run has saved nothing yet",), 1),
        (_run_without("run.json"), (), ("holds no run",), 2),
        (
            _config_with(epohcs=3),
            (),
            ("config.json is damaged, or does not fit this version", "did you mean 'epochs'"),
            2,
        ),
        (_torn, (), ("config.json cannot be read as JSON", "restore it"), 1),
        (_exported, (), ("model.keras exists already: add --overwrite to replace it, or name another with --out",), 2),
    ],
)
def test_bad_input_is_told(command, workdir, monkeypatch, change, words, parts, code):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    if change:
        change(workdir)
    before = files_in(workdir)
    result = command(f"--workdir={workdir}", "--format=keras", *words)
    assert_refused(result, *parts, code=code)
    assert files_in(workdir) == before


def test_a_stand_in_whose_real_data_are_found_now_is_told_how_to_be_had(command, workdir, monkeypatch):
    def found_now(data_dir=""):
        found = digits.load()
        splits = {**found.splits, "test": found.splits["test"][1:]}
        return dataclasses.replace(found, name="mnist", splits=splits, source="words " * 80)

    monkeypatch.setitem(LOADERS, "mnist", found_now)
    result = command(f"--workdir={workdir}", "--format=safetensors")
    assert_refused(
        result,
        "was trained on digits, which stood in for mnist, and mnist is found now",
        "FER_JAX_DATA= FER_JAX_OFFLINE=1 XDG_CACHE_HOME=EMPTY",
    )
    assert "words" not in result.err and "delete it" not in result.err


@pytest.mark.parametrize(
    ("words", "message"), [((), "has one member, and takes no mean"), (("--member=0",), "leave out --member=0")]
)
def test_several_as_one_are_several(command, workdir, words, message):
    result = command(f"--workdir={workdir}", "--format=stablehlo", "--ensemble", *words)
    assert_refused(result, message)


def test_what_is_no_file_is_not_replaced_and_a_link_is_followed(workdir, opened, tmp_path):
    path = special("pipe", tmp_path / "a.safetensors")
    with pytest.raises(ConfigError, match=f"{path} is a pipe, and no file: name another"):
        export(str(workdir), name="safetensors", out=str(path), overwrite=True)
    (tmp_path / "inner").mkdir()
    link = tmp_path / "link.safetensors"
    link.symlink_to("inner/b.safetensors")
    for overwrite in (False, True):
        assert export(str(workdir), name="safetensors", out=str(link), overwrite=overwrite) == [link]
        assert link.is_symlink() and loaded("safetensors", tmp_path / "inner" / "b.safetensors").metadata
    assert path.is_fifo() and os.listdir(tmp_path / "inner") == ["b.safetensors"]


def test_a_folder_that_cannot_be_written_is_told_by_the_target(workdir, opened, monkeypatch):
    def refused(prefix, dir):
        raise PermissionError(13, "Permission denied", f"{dir}/{prefix}x")

    monkeypatch.setattr(write.tempfile, "TemporaryDirectory", refused)
    with pytest.raises(UserError, match=r"export/model\.safetensors cannot be written: Permission denied$"):
        export(str(workdir), name="safetensors")


def test_several_formats_need_a_folder(workdir, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "check_installed", lambda names: None)
    (tmp_path / "file").touch()
    for out in (tmp_path / "none" / "none", tmp_path / "file"):
        with pytest.raises(UserError, match="is no folder and cannot become one, and several formats need one"):
            export(str(workdir), name="all", out=str(out))


def test_another_type_of_numbers_is_refused(workdir, monkeypatch):
    def opened(*arguments, **options):
        found = real(*arguments, **options)
        return found._replace(config={**found.config, "model": {**found.config["model"], "dtype": "bfloat16"}})

    real = write.open_run
    monkeypatch.setattr(write, "open_run", opened)
    with pytest.raises(UserError, match="was trained with config.model.dtype = 'bfloat16': only float32 is exported"):
        export(str(workdir), name="stablehlo")
    assert not (workdir / "export").exists()


@pytest.mark.parametrize("name", [name for name, one in formats.FORMATS.items() if one.packages])
def test_a_missing_package_is_told_before_anything_is_read(monkeypatch, name):
    for package in formats.FORMATS[name].packages:
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r"needs .*, which is not installed: pip install 'fer_jax\[export\]'$"):
        export("runs/none", name="onnx" if name == formats.INT8 else name, int8=name == formats.INT8)


def test_one_image_many_and_the_rest_are_run():
    assert [len(batch) for batch in batches(np.zeros((600, 1)))] == [1, 256, 256, 87]
    assert [len(batch) for batch in batches(np.zeros((1, 1)))] == [1]


NETWORKS = {
    "mnist_nobias": {},
    "facial_expressions": {"image_side": 22},
    "fer2013_vgg": {"image_side": 6},
    "fer2013_mini": {"image_side": 8},
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    """A network with values in which no layer is trivial, pictures, and its probabilities."""
    model = models.create(name=request.param, **NETWORKS[request.param])
    images, random = noise(model.image_shape), np.random.RandomState(2)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), images))
    variables = jax.tree.map(
        lambda leaf: (np.abs if leaf.ndim == 1 else np.asarray)(
            random.normal(size=leaf.shape) * (2 / max(1, np.prod(leaf.shape[:-1]))) ** 0.5
        ).astype(np.float32),
        shapes,
    )
    texts = {"labels": '["a"]', "config": json.dumps({"model": {"name": request.param, **NETWORKS[request.param]}})}
    return Content(model, variables, texts), images, np.asarray(jax.nn.softmax(jax.jit(model.apply)(variables, images)))


@pytest.mark.parametrize("name", [*LIGHT, "onnx"])
def test_every_kind_of_network_can_be_written(network, tmp_path, name):
    if name == "onnx":
        pytest.importorskip("jax2onnx")
    content, images, expected = network
    assert np.abs(expected - 1 / expected.shape[1]).max() > 0.05
    file = tmp_path / f"model{formats.FORMATS[name].suffix}"
    formats.room(name).write(file, content)
    found = loaded(name, file)
    assert found.metadata == content.metadata
    for count in (1, 5):
        assert np.abs(found.predict(images[:count]) - expected[:count]).max() < 1e-5
    if name == "keras":
        # Its weights come back by the way that any Keras file comes.
        read = keras_weights.load(file, content.model, content.variables)
        assert all(map(np.array_equal, jax.tree.leaves(read), jax.tree.leaves(content.variables)))


def test_what_is_no_chain_is_refused():
    class Fork(models.Network):
        image_shape = (4, 4, 1)
        num_classes = 16
        dtype: str = "float32"
        layout: str = "NHWC"

        @nn.compact
        def __call__(self, images, *, train=False, mask=None):
            x = Conv(1, padding="SAME")(scale_pixels(images, "float32"))
            return Flatten()(x + Conv(1, padding="SAME")(nn.relu(x)))

    images = noise((4, 4, 1))
    variables = Fork().init(jax.random.key(0), images)
    with pytest.raises(UserError, match="between Conv_1 and Flatten_0 the network does something that no layer"):
        chain(Fork(), variables, images)


@pytest.fixture
def weights(tmp_path):
    """A safetensors file of a small network, to be written again with other tensors or another config."""
    from safetensors.numpy import save

    model = models.create(name="mnist_best_1k")
    shapes = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *model.image_shape), np.uint8))
    whole = {name: np.ones(leaf.shape, leaf.dtype) for name, leaf in flatten_dict(dict(shapes), sep="/").items()}

    def write(change=lambda tensors: None, config='{"model": {"name": "mnist_best_1k"}}'):
        tensors = dict(whole)
        change(tensors)
        (tmp_path / "model.safetensors").write_bytes(save(tensors, metadata={"config": config}))
        return tmp_path / "model.safetensors"

    return write


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.popitem(), "is missing, and the network's float32"),
        (lambda tensors: tensors.update(x=np.ones(1)), "tensor 'x' is float64 .1,., and the network's missing"),
        (lambda tensors: tensors.update({"params": np.ones(1)}), "tensor 'params' is float64"),
        (lambda tensors: tensors.update({name: value[:1] for name, value in tensors.items()}), "and the network's"),
        (lambda tensors: tensors.update({name: value * np.nan for name, value in tensors.items()}), "not finite"),
    ],
)
def test_tensors_that_are_not_the_networks_are_refused(weights, change, message):
    assert safetensors.load(weights())[0].num_classes == 10
    with pytest.raises(CheckpointError, match=message):
        safetensors.load(weights(change))


def test_a_safetensors_file_that_is_no_export_says_what_it_is(tmp_path):
    from safetensors.numpy import save

    name = releases.names()[0]
    with pytest.raises(
        CheckpointError, match=rf"a network that comes with fer_jax, .* fer_jax.predict --model={name},"
    ):
        safetensors.load(releases.FOLDER / f"{name}{releases.SUFFIX}")
    (tmp_path / "other.safetensors").write_bytes(save({"x": np.ones(1, np.float32)}))
    with pytest.raises(CheckpointError, match="is no export of a run: its header holds no 'config'"):
        safetensors.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    "config", ["[]", "3", '{"model": []}', '{"model": {"name": []}}', "[" * 100_000, '{"model": 1}']
)
def test_a_config_that_names_no_network_is_refused(weights, config):
    with pytest.raises(CheckpointError, match="is no export of a run"):
        safetensors.load(weights(config=config))


@pytest.mark.parametrize("name", ["stablehlo", "safetensors", "keras", "onnx", "web"])
def test_a_damaged_export_is_told_in_a_sentence(tmp_path, name):
    if name in ("onnx", "web"):
        pytest.importorskip("onnxruntime", reason="needs the extra 'export'")
    path = tmp_path / f"model{formats.FORMATS[name].suffix}"
    for content in (b"", b"PK\x03\x04", b"no export", b"<script>"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"{path.name}'? is no"):
            formats.open_file(name, path)


def test_an_archive_that_leads_out_or_unpacks_to_too_much_is_not_opened(tmp_path):
    path = tmp_path / "model.stablehlo.zip"
    for name, content, message in (("../x", b"", "points out of"), ("labels.txt", bytes(17 << 20), "unpack to more")):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)
        with pytest.raises(UserError, match=message):
            formats.open_file("stablehlo", path)
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("lambda.py", "")
    with pytest.raises(UserError, match=r"is no Keras model: it holds 'lambda\.py'"):
        formats.open_file("keras", tmp_path / "model.keras")
