"""What a data set is asked for: options that mean something to it, and lists of examples to leave out."""

import inspect
import json

import numpy as np
import pytest

from fer_jax import data
from fer_jax.build import build, default_config
from fer_jax.config import defaults
from fer_jax.data import index_lists
from fer_jax.data.fit_image import fit_image
from fer_jax.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def faces():
    return data.load(name="synthetic_faces")


def write_list(path, dataset, exclude, **changed) -> str:
    content = {"data": dataset.name, "fingerprint": dataset.fingerprint, "exclude": exclude, "why": {"blank": 3}}
    path.write_text(json.dumps({**content, **changed}))
    return str(path)


@pytest.mark.parametrize("name", ["digits", "synthetic_faces", "mnist", "facial_expressions"])
@pytest.mark.parametrize(("option", "value"), [("fold", 1), ("split_by", "image"), ("path", "/somewhere")])
def test_an_option_that_means_nothing_is_an_error(name, option, value):
    name = "folder" if name == "facial_expressions" and option != "path" else name
    with pytest.raises(ConfigError) as caught:
        data.load(name=name, **{option: value})
    assert str(caught.value).startswith(
        f"config.data.{option} = {value!r} means nothing to config.data.name = '{name}'"
    )


def test_every_loader_takes_options_of_load_only():
    known = set(inspect.signature(data.load).parameters)
    for name, loader in data.LOADERS.items():
        assert set(inspect.signature(loader).parameters) <= known, name
    assert set(data.EMBEDDED) <= set(data.LOADERS)


def test_shape_and_folder_are_no_config_keys(tiny):
    config = default_config(model=tiny, data_name="digits")
    assert set(config.data) == {"name", "fallback", "limit", "fold", "split_by", "path", "exclude"}
    assert {"image_shape", "data_dir"} == defaults(data.load).keys() - config.data.keys()


def test_pictures_come_in_the_shape_of_the_network(tmp_path, tiny_config):
    from test_folder import fill

    for number in range(10):
        fill(tmp_path / str(number), 4)
    tiny_config.data.update({"name": "folder", "path": str(tmp_path)})
    run = build(tiny_config)
    assert run.dataset.splits["train"].images.shape[1:] == run.model.image_shape == (28, 28, 1)


def test_listed_examples_are_left_out(tmp_path, faces):
    path = write_list(tmp_path / "list.json", faces, {"train": [0, 5, 1999, 5], "test": [3]})
    got = data.load(name="synthetic_faces", exclude=path)
    assert {name: len(split) for name, split in got.splits.items()} == {"train": 1997, "validation": 400, "test": 399}
    rest = np.delete(np.arange(2000), [0, 5, 1999])
    np.testing.assert_array_equal(got.splits["train"].images, faces.splits["train"].images[rest])
    np.testing.assert_array_equal(got.splits["train"].labels, faces.splits["train"].labels[rest])
    np.testing.assert_array_equal(got.splits["validation"].images, faces.splits["validation"].images)
    assert got.source.endswith(f"without the examples that {path} lists (3 of train, 1 of test)")
    assert got.fingerprint != faces.fingerprint


def test_a_list_of_nothing_changes_no_example(tmp_path, faces):
    path = write_list(tmp_path / "list.json", faces, {"train": []})
    assert data.load(name="synthetic_faces", exclude=path).fingerprint == faces.fingerprint


def test_from_a_stand_in_nothing_is_left_out(tmp_path, faces, monkeypatch):
    monkeypatch.delenv("FER_JAX_DATA", raising=False)
    path = write_list(tmp_path / "list.json", faces, {"train": [0]})
    got = data.load(name="mnist", fallback="synthetic_faces", exclude=path)
    assert got.stand_in_for == "mnist" and got.fingerprint == faces.fingerprint


@pytest.mark.parametrize(
    ("exclude", "changed", "message"),
    [
        ({"train": [2000]}, {}, r"split 'train': 2000 is not a position in 0\.\.1999"),
        ({"train": [-1]}, {}, "-1 is not a position"),
        ({"train": [1.0]}, {}, "1.0 is not a position"),
        ({"train": [True]}, {}, "True is not a position"),
        ({"train": ["1"]}, {}, "'1' is not a position"),
        ({"train": 1}, {}, "positions are a list of whole numbers, not 1"),
        ({"tests": [1]}, {}, "'synthetic_faces' has no split 'tests'; did you mean 'test'"),
        ({"test": list(range(400))}, {}, "split 'test': the list leaves no example"),
        (
            {"train": [1]},
            {"fingerprint": "0" * 64},
            r"lists examples of other data \('synthetic_faces', fingerprint 000",
        ),
        ({"train": [1]}, {"data": "mnist"}, r"lists examples of other data \('mnist'"),
        ({"train": [1]}, {"data": None}, "is not a list of examples, which has 'data'"),
        ([1, 2], {}, "is not a list of examples"),
    ],
)
def test_bad_list(tmp_path, faces, exclude, changed, message):
    path = write_list(tmp_path / "list.json", faces, exclude, **changed)
    with pytest.raises(DataError, match=message) as caught:
        index_lists.exclude(faces, path)
    assert path in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not JSON"),
        (b"[1]", "is not a list of examples"),
        (b"\xff\xfe", "is not JSON"),
        (None, "cannot be read"),
    ],
)
def test_bad_list_file(tmp_path, faces, content, message):
    path = tmp_path / "list.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        index_lists.exclude(faces, str(path))


def test_images_of_another_size_go_through_fit_image():
    plain, fitted = data.load(name="digits"), data.load(name="digits", image_shape=(40, 48, 3))
    assert fitted.splits["test"].images.shape == (360, 40, 48, 3)
    expected = fit_image(plain.splits["test"].images[7], (40, 48, 3))
    np.testing.assert_array_equal(fitted.splits["test"].images[7], expected)
    np.testing.assert_array_equal(fitted.splits["test"].labels, plain.splits["test"].labels)
    assert fitted.source == f"{plain.source}, scaled from 28x28 to 48x40 pixels"
    same = data.load(name="digits", image_shape=(28, 28, 1))
    assert (same.source, same.fingerprint) == (plain.source, plain.fingerprint)


def test_a_network_of_other_classes_than_the_data_is_refused():
    config = default_config("fer2013_mini", "digits")
    with pytest.raises(ConfigError, match="7 classes apart.*'digits' has 10.*set config.model.num_classes = 10"):
        build(config)
    config.model.num_classes = 10
    assert build(config).splits.train.images.shape[1:] == (48, 48, 1)
    with pytest.raises(
        ConfigError, match="10 classes apart.*'synthetic_faces' has 7 .angry.*set config.model.num_classes = 7"
    ):
        build(default_config("mnist_15k", "synthetic_faces"))
