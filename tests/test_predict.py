"""Predictions are those of evaluation, whatever the batches; pictures are framed as the training pictures were."""

import io
import sys
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from predict_runs import copy_run, network_of
from tiny_runs import change_record

from fer_jax import data, predict, provenance, scores
from fer_jax.data import digits as embedded
from fer_jax.data.dataset import DataSet
from fer_jax.errors import CheckpointError, ConfigError, DataError, UserError
from fer_jax.evaluate import prepare, split_logits
from fer_jax.open_run import open_run
from fer_jax.open_trained import open_trained
from fer_jax.predict import calibration, framing, opencv, predictor
from fer_jax.predict.digits import _grounds, _is_framed, frame_digit, otsu
from fer_jax.predict.faces import Box, cut_out, make_detector
from fer_jax.predict.framing import Framer, make_framer


@pytest.fixture(scope="module")
def runs(small_runs):
    return small_runs


@pytest.fixture(scope="module")
def network(runs):
    return network_of(runs / "clean", calibrate=False)


@pytest.fixture(scope="module")
def test_images():
    return embedded.load().splits["test"].images[:100]


@pytest.fixture
def tiny_run(runs, tiny):
    """The runs, where the test itself calls what makes their network."""
    return runs


def test_predictions_are_those_of_evaluation(tiny_run, tmp_path, test_images):
    workdir = str(tiny_run / "clean")
    opened = open_run(workdir, split="test", checkpoint="last")
    prepared = prepare(opened.examples, opened.run.mesh)
    expected = split_logits(opened.run.programs, opened.restored.arrays["state"], prepared)
    paths = []
    for place, image in enumerate(test_images):
        paths.append(tmp_path / f"{place}.png")
        Image.fromarray(image[..., 0]).save(paths[-1])
    found = predict.load(workdir, checkpoint="last", calibrate=False)(paths)
    assert [one.label for one in found] == [str(label) for label in expected.argmax(1)]
    np.testing.assert_allclose([one.logits for one in found], expected, atol=1e-5, rtol=0)
    probabilities = [list(one.probabilities.values()) for one in found]
    np.testing.assert_allclose(probabilities, np.exp(scores.log_probabilities(expected)), atol=1e-6)
    assert [one.image for one in found] == list(range(100))


def test_augmented_at_test_time_it_is_the_mean_over_the_copies(runs, network, test_images):
    flipped = network_of(runs / "clean", calibrate=False, tta="flip")
    both = [network.logits(images) for images in (test_images[:8], test_images[:8, :, ::-1])]
    expected = np.mean([np.exp(scores.log_probabilities(logits)) for logits in both], axis=0)
    found = [list(one.probabilities.values()) for one in flipped(test_images[:8])]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_batches_change_no_number_and_compile_once(runs, test_images, monkeypatch):
    traced = []
    real = predictor.predict_view

    def counting(state, images, view, *, model):
        traced.append(len(images))
        return real(state, images, view, model=model)

    monkeypatch.setattr(predictor, "predict_view", counting)
    network = network_of(runs / "clean", batch_size=16, calibrate=False)
    traced.clear()
    whole = network.logits(test_images, width=100)
    in_parts = [one.logits for one in network(list(test_images))]
    assert traced == [100, 16]  # 100 pictures are six batches of 16 and one of 4.
    np.testing.assert_allclose(in_parts, whole, atol=1e-5, rtol=0)
    alone = [network(image)[0].logits for image in test_images[:3]]
    assert traced == [100, 16, 8]
    np.testing.assert_allclose(alone, whole[:3], atol=1e-5, rtol=0)


def test_one_picture_in_every_form_has_one_answer(network, tmp_path, test_images):
    image = test_images[0]
    path = tmp_path / "a.png"
    Image.fromarray(image[..., 0]).save(path)
    forms = [path, str(path), path.read_bytes(), Image.open(path), image, image[..., 0], image.repeat(3, 2)]
    assert len({network(form)[0].probability for form in forms}) == 1
    assert [one.label for one in network(forms)] == [network(path)[0].label] * len(forms)
    assert len(network(test_images[:5])) == 5 and network([]) == []
    for wrong in (image.astype(np.float32), np.zeros((3, 28, 28), np.uint8), np.zeros((0, 28), np.uint8)):
        with pytest.raises(DataError, match=r"picture 0 is \w+ \[.*\]: pixels must be uint8"):
            network(wrong)
    with pytest.raises(DataError, match="picture 1 is not a picture"):
        network([image, b"no picture"])


def test_other_forms_of_pixels_and_bytes_have_the_same_answer(network, tmp_path, test_images):
    images, path = test_images[:3], tmp_path / "a.png"
    Image.fromarray(images[0, ..., 0]).save(path)
    content, expected = path.read_bytes(), network(images)
    with path.open("rb") as file:
        ones = [jnp.asarray(images[0]), images[0].tolist(), images[0, ..., 0].tolist(), bytearray(content)]
        ones += [memoryview(content), io.BytesIO(content), file]
        assert [network(one) for one in ones] == [expected[:1]] * len(ones)
        file.seek(0)
        found = network([*ones[:-2], io.BytesIO(content), file])
        assert [one.probabilities for one in found] == [expected[0].probabilities] * len(ones)
    for several in (jnp.asarray(images), list(jnp.asarray(images)), images.tolist(), images[..., 0].tolist()):
        assert network(several) == expected


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (None, "picture 0 is of type NoneType: a picture is the path of its file, the bytes of one, a file opened in"),
        (5, "picture 0 is of type int: a picture is"),
        (io.BytesIO(), "picture 0 is empty"),
        ([b"", {}], "picture 1 is of type dict: a picture is"),
        ([np.zeros((28, 28), np.uint8), None], "picture 1 is of type NoneType: a picture is"),
        ([["a.png"]], "picture 0 is of type list: a picture is"),
        ([[0, 1], [2]], "picture 0 is uint8 [2]: pixels must be uint8, 0 to 255, [height, width]"),
        ([[0.5] * 28] * 28, "picture 0 is float64 [28, 28]: pixels must be uint8, 0 to 255, [height, width] or"),
        ([[-1] * 28] * 28, "picture 0 is int64 [28, 28]: pixels must be uint8"),
        (jnp.zeros((28, 28)), "picture 0 is float32 [28, 28]: pixels must be uint8"),
        (np.float32(3), "picture 0 is float32 []: pixels must be uint8"),
        (io.StringIO("text"), "picture 0 is a file opened as text: open it in binary"),
    ],
)
def test_what_is_no_picture_is_refused_by_what_it_is(network, given, sentence):
    with pytest.raises(DataError) as refused:
        network(given)
    assert sentence in str(refused.value)


def test_a_label_below_the_threshold_is_withheld(runs, test_images):
    network = network_of(runs / "clean", calibrate=False, abstain=0.5)
    found = network(test_images)
    assert {one.withheld for one in found} == {False, True}
    for one in found:
        assert one.withheld == (one.probability < 0.5) == (one.label is None)
        assert one.probability == max(one.probabilities.values())


def test_a_step_is_a_number_or_its_digits(runs):
    step = network_of(runs / "clean", calibrate=False).trained.step
    for checkpoint in (step, str(step)):
        assert network_of(runs / "clean", calibrate=False, checkpoint=checkpoint).trained.step == step


def test_a_member_predicts_as_it_does_among_the_others(tiny_run, test_images):
    workdir = str(tiny_run / "many")
    opened = open_run(workdir, split="test", checkpoint="best")
    prepared = prepare(opened.examples, opened.run.mesh)
    expected = split_logits(opened.run.programs, opened.restored.arrays["state"], prepared)
    for member in (None, 1):
        network = predict.load(workdir, member=member, calibrate=False)
        own = expected[member or 0]
        np.testing.assert_allclose(network.logits(test_images)[: len(own)], own, atol=1e-5, rtol=0)
        assert network.trained.record["best"]["step"] == network.trained.step


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"member": 2}, "--member=2: the run has the members 0 to 1"),
        ({"member": -1}, "--member=-1: the run has the members 0 to 1"),
        ({"checkpoint": "lats"}, "--checkpoint: no such choice as 'lats'; did you mean 'last'?"),
        ({"tta": "tencrop"}, "--tta: no such choice as 'tencrop'; did you mean 'ten_crop'?"),
        ({"detect": "face"}, "--detect: no such choice as 'face'; did you mean 'faces'?"),
        ({"abstain": 1.5}, "--abstain must be at most 1, not 1.5"),
        ({"abstain": float("nan")}, "--abstain must be at least 0"),
        ({"batch_size": 0}, "--batch_size must be at least 1"),
        ({"batch_size": 2.5}, "--batch_size must be a whole number, not 2.5"),
        ({"abstain": "0.6"}, "--abstain must be a number, not '0.6'"),
        ({"abstain": None}, "--abstain must be a number, not None"),
        ({"member": "1"}, "--member must be a whole number, not '1'"),
        ({"checkpoint": None}, "--checkpoint: no such choice as 'None'"),
        ({"tta": 5}, "--tta: no such choice as '5'"),
    ],
)
def test_an_option_that_the_run_does_not_have_is_told(tiny_run, options, sentence):
    with pytest.raises(ConfigError) as refused:
        predict.load(str(tiny_run / "many"), **options)
    assert sentence in str(refused.value)


def test_an_old_record_without_class_names_and_one_that_has_no_scores_either(tiny_run, tmp_path):
    folder = copy_run(tiny_run / "clean", tmp_path / "run")
    record = provenance.read_json(folder / "run.json")
    names = [str(digit) for digit in range(10)]
    assert record["data"].pop("class_names") == names
    provenance.write_json(folder / "run.json", record)
    assert list(open_trained(str(folder)).dataset.class_names) == names
    del record["scores"]
    provenance.write_json(folder / "run.json", record)
    assert list(open_trained(str(folder)).dataset.class_names) == names
    del record["data"]["train_examples"]
    provenance.write_json(folder / "run.json", record)
    with pytest.raises(ConfigError, match=r"run\.json is damaged \(its 'data'\)"):
        open_trained(str(folder))


def test_a_network_that_computes_something_else_is_refused_and_a_rounding_is_not(tiny_run, tmp_path):
    folder = copy_run(tiny_run / "clean", tmp_path / "run")
    step = provenance.read_json(folder / "run.json")["best"]["step"]

    def change(by):
        def changed(record):
            record["logits"][0][0] += by

        return changed

    change_record(folder, step, change(1e-6))
    assert predict.load(str(folder), calibrate=False).trained.step == step
    change_record(folder, step, change(1))
    with pytest.raises(CheckpointError, match="is not what was recorded"):
        predict.load(str(folder), calibrate=False)


def test_the_temperature_is_that_of_the_least_loss():
    random = np.random.RandomState(0)
    true = random.normal(size=(4000, 5)) * 2
    probabilities = np.exp(scores.log_probabilities(true))
    labels = np.array([random.choice(5, p=row) for row in probabilities])
    found = calibration.fit(true * 3, labels)
    assert found["temperature"] == pytest.approx(3, rel=0.05) and found["examples"] == 4000
    assert found["nll"]["after"] < found["nll"]["before"] - 0.1
    assert found["calibration_error"]["after"] < 0.05 < 0.1 < found["calibration_error"]["before"]
    for near in (0.99, 1.01):
        assert scores.mean_loss(true * 3 / (found["temperature"] * near), labels) > found["nll"]["after"]


def test_a_calibration_is_fitted_on_validation_once_and_changes_no_label(tiny_run, tmp_path, test_images, monkeypatch):
    folder = copy_run(tiny_run / "clean", tmp_path / "run")
    reads = provenance.read_json(folder / "run.json")["test_reads"]
    first = network_of(folder)
    (entry,) = provenance.read_json(folder / "calibration.json")["calibrations"]
    opened = open_run(str(folder), split="validation", checkpoint="best")
    logits = first.logits(opened.examples.images)
    assert entry["split"] == "validation" and entry["examples"] == len(logits)
    assert entry["step"] == first.trained.step and entry["view"] == "plain"
    expected = calibration.fit(logits, opened.examples.labels)
    assert entry["temperature"] == pytest.approx(expected["temperature"])
    assert entry["nll"]["after"] <= entry["nll"]["before"]
    assert provenance.read_json(folder / "run.json")["test_reads"] == reads

    def unread(**options):
        raise AssertionError("the data were read again")

    monkeypatch.setattr(calibration.data, "load", unread)
    again = network_of(folder)
    assert again.calibration == first.calibration and again.calibration.temperature == entry["temperature"]
    plain = network_of(folder, calibrate=False)
    assert [one.label for one in again(test_images)] == [one.label for one in plain(test_images)]
    one = again(test_images[0])[0]
    divided = scores.log_probabilities(one.logits[None] / entry["temperature"])[0]
    assert one.probability == pytest.approx(np.exp(divided.max()))
    # Another view's logits are others.
    monkeypatch.setattr(calibration.data, "load", lambda **options: embedded.load())
    network_of(folder, tta="flip")
    assert len(provenance.read_json(folder / "calibration.json")["calibrations"]) == 2
    (folder / "calibration.json").write_text('{"calibrations": [{"step": 3}]}')
    with pytest.raises(UserError, match=r"calibration\.json is damaged: delete it"):
        network_of(folder)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), 1e9, "1.0", True, None])
def test_a_temperature_that_is_none_is_told(tiny_run, tmp_path, value):
    folder = copy_run(tiny_run / "clean", tmp_path / "run")
    network_of(folder)
    kept = provenance.read_json(folder / "calibration.json")
    kept["calibrations"][0]["temperature"] = value
    provenance.write_json(folder / "calibration.json", kept)
    with pytest.raises(UserError, match=r"calibration\.json is damaged: delete it"):
        network_of(folder)


def test_without_its_validation_images_a_network_is_uncalibrated_and_says_why(tiny_run, tmp_path, monkeypatch):
    folder = copy_run(tiny_run / "clean", tmp_path / "run")

    def missing(**options):
        raise DataError("they are gone")

    monkeypatch.setattr(calibration.data, "load", missing)
    found = network_of(folder).calibration
    assert found.temperature is None and "cannot be had (they are gone)" in found.about
    assert not (folder / "calibration.json").exists()


@pytest.mark.parametrize("protocol", ["seed", "full"])
def test_a_run_that_holds_no_images_back_is_uncalibrated(tiny_run, tmp_path, protocol):
    folder = copy_run(tiny_run / "clean", tmp_path / "run")
    config = provenance.read_json(folder / "config.json")
    provenance.write_json(folder / "config.json", {**config, "protocol": protocol})
    found = network_of(folder).calibration
    assert found.temperature is None and f"protocol '{protocol}' has no validation split" in found.about


def test_a_folder_that_cannot_be_written_keeps_no_calibration(tiny_run, tmp_path, monkeypatch, capsys):
    folder = copy_run(tiny_run / "clean", tmp_path / "run")

    def refused(path, content):
        raise UserError(f"{path} cannot be written: Read-only file system")

    monkeypatch.setattr(calibration.provenance, "write_json", refused)
    assert network_of(folder).calibration.temperature is not None
    assert "Read-only file system, so the temperature is fitted again each time" in capsys.readouterr().err


def ink(height=200, width=150, top=60, left=40):
    """A picture of a thick '7', light on dark, float 0 to 1."""
    picture = np.zeros((height, width))
    picture[top : top + 12, left : left + 60] = 1
    for row in range(12, 90):
        start = left + 48 - row // 3
        picture[top + row, start : start + 12] = 1
    return picture


def as_picture(values):
    return np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)[..., None]


def test_a_digit_is_cut_out_scaled_to_twenty_pixels_and_centred_by_mass():
    found = frame_digit(as_picture(ink()))
    assert found.centred and not found.inverted
    rows, columns = (np.flatnonzero(found.image[..., 0].max(axis) > 100) for axis in (1, 0))
    assert rows[-1] - rows[0] + 1 == 20 and columns[-1] - columns[0] + 1 < 20
    grid = np.arange(28)
    mass = found.image[..., 0] / found.image.sum()
    assert abs((mass.sum(1) * grid).sum() - 14) < 0.6 and abs((mass.sum(0) * grid).sum() - 14) < 0.6


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: 1 - picture,
        lambda picture: 0.85 - 0.5 * picture,
        lambda picture: 0.2 + 0.3 * picture,
        lambda picture: np.pad(picture, ((30, 5), (0, 80))),
        lambda picture: 1 - np.pad(picture, ((100, 0), (7, 0))).repeat(2, 0).repeat(2, 1),
        lambda picture: 0.8 - 0.6 * picture + np.linspace(0, 0.05, 200)[:, None],
        lambda picture: 0.9 - 0.7 * np.maximum(picture, np.arange(picture.size).reshape(picture.shape) == 2000),
    ],
    ids=["paper", "gray paper", "weak", "margins", "margins and size", "shade", "a speck"],
)
def test_paper_margins_size_and_light_do_not_change_what_the_network_is_shown(change):
    plain = frame_digit(as_picture(ink())).image.astype(int)
    found = frame_digit(as_picture(change(ink())))
    assert np.abs(found.image.astype(int) - plain).mean() < 3
    assert found.inverted == (change(ink())[-1, -1] > 0.5)


def test_a_framed_picture_keeps_its_bytes_and_is_inverted_if_it_is_dark_on_light():
    image = frame_digit(as_picture(ink())).image
    kept, inverted = frame_digit(image), frame_digit(255 - image)
    assert np.array_equal(kept.image, image) and not kept.inverted and not kept.centred
    assert np.array_equal(inverted.image, image) and inverted.inverted and not inverted.centred
    shifted = frame_digit(np.roll(image, (2, -3), (0, 1)))
    assert shifted.centred and _is_framed(shifted.image[..., 0]) and abs(shifted.image.mean() - image.mean()) < 5


def test_every_image_of_mnist_keeps_its_bytes(real_data):
    for split in data.load(name="mnist", data_dir=str(real_data)).splits.values():
        assert all(_is_framed(image[..., 0]) for image in split.images[::20])
        assert np.array_equal(frame_digit(split.images[0]).image, split.images[0])


def falling_light(kind, least):
    """From 1 to a least share over [320, 270]."""
    y, x = np.linspace(0, 1, 320)[:, None], np.linspace(0, 1, 270)
    fall = {
        "down": y + 0 * x,
        "left": 1 - x + 0 * y,
        "corner": (x + y) / 2,
        "corners": 2 * ((x - 0.5) ** 2 + (y - 0.5) ** 2),
        "far": (x**2 + y**2) / 2,
    }
    return 1 - (1 - least) * fall[kind]


@pytest.mark.parametrize("least", [0.7, 0.5, 0.3])
@pytest.mark.parametrize("kind", ["down", "left", "corner", "corners", "far"])
def test_light_that_falls_off_across_a_page_changes_little_of_what_the_network_is_shown(least, kind):
    paper, light = 1 - np.pad(ink(), 60), falling_light(kind, least)
    plain = frame_digit(as_picture(paper)).image.astype(int)
    found = frame_digit(as_picture(paper * light))
    assert found.inverted and found.centred and np.abs(found.image.astype(int) - plain).mean() < 3
    if kind in ("down", "left", "corner"):
        assert frame_digit(as_picture(light)) is None


@pytest.mark.parametrize("change", [lambda cut: cut, lambda cut: 1 - cut, lambda cut: np.pad(cut, 3, mode="edge")])
def test_strokes_along_a_side_are_no_falling_light(change):
    cut = ink()[60:150, 40:100]
    assert not list(_grounds(as_picture(change(cut))[..., 0]))
    assert np.abs(frame_digit(as_picture(cut)).image.astype(int) - frame_digit(as_picture(ink())).image).mean() < 3


def framed_by(width):
    """The picture in a black frame, which lies on its rim or within it."""
    paper = np.pad(1 - ink(), 20, constant_values=1)
    inner = np.pad(np.ones([size - 2 * width for size in paper.shape]), width)
    return np.minimum(paper, inner)


def on_a_grid():
    paper = 1 - ink()
    paper[::20], paper[:, ::20] = np.minimum(paper[::20], 0.5), np.minimum(paper[:, ::20], 0.5)
    return paper


@pytest.mark.parametrize(
    ("picture", "doubt"),
    [
        (np.hstack([ink(), ink()]), "several parts stand side by side"),
        (1 - np.hstack([ink(), ink(), ink()]), "several parts stand side by side"),
        (framed_by(6), "ink is all round"),
        (np.pad(framed_by(4), 30, constant_values=1), "ink is all round"),
        (on_a_grid(), "ink is all round"),
        (ink(), ""),
        (1 - ink()[58:152, 38:102], ""),
    ],
    ids=["two", "three", "rim", "frame", "grid", "one", "cut tight"],
)
def test_what_may_not_be_one_digit_is_doubted(picture, doubt):
    found = frame_digit(as_picture(picture))
    assert found.centred and found.doubt.startswith(doubt) and bool(found.doubt) == bool(doubt)


@pytest.mark.parametrize("tone", [0, 128, 255])
def test_a_blank_picture_shows_no_digit(tone, network):
    assert frame_digit(np.full((60, 60, 1), tone, np.uint8)) is None
    (one,) = network(np.full((60, 60, 1), tone, np.uint8))
    assert (
        one.label is None
        and not one.probabilities
        and one.problem.startswith("no digit found: the picture is blank, or ink and ground are less than 32 of")
    )


def test_otsu_parts_two_classes():
    random = np.random.RandomState(0)
    values = np.concatenate([random.normal(60, 10, 5000), random.normal(190, 10, 300)])
    assert 90 < otsu(np.clip(values, 0, 255).astype(np.uint8)) < 160
    assert otsu(np.array([[0, 255]], np.uint8)) == 127


def with_faces(network, boxes):
    """The network, shown what a detector that finds these boxes makes of a picture."""
    crops = partial(framing._faces, find=lambda picture: boxes, scale=1.0, image_shape=(28, 28, 1))
    found = predictor.Predictor(network.trained, Framer(crops, "no face found", ""), "plain", 64, 0.0)
    found._programs = network._programs
    return found


def test_every_face_of_a_picture_has_a_prediction_in_the_order_of_the_detector(network, test_images):
    picture = np.zeros((200, 300, 1), np.uint8)
    boxes = [Box(10, 20, 56, 56), Box(200, 100, 28, 28)]
    picture[20:76, 10:66] = test_images[0].repeat(2, 0).repeat(2, 1)
    picture[100:128, 200:228] = test_images[1]
    found = with_faces(network, boxes)([picture, test_images[1]])
    assert [(one.image, one.box) for one in found] == [(0, boxes[0]), (0, boxes[1]), (1, None)]
    # The second face is the third picture, pixel for pixel; a picture that small is a face cut out before.
    np.testing.assert_allclose(found[1].logits, found[2].logits, atol=1e-6)
    (nothing,) = with_faces(network, [])(picture)
    assert nothing.problem == "no face found" and nothing.label is None


@pytest.mark.parametrize("box", [Box(0, 0, 20, 30), Box(80, 70, 20, 30), Box(40, 0, 10, 12), Box(0, 0, 100, 90)])
def test_a_face_is_cut_out_square_and_inside_the_picture(box):
    rows, columns = np.indices((100, 100)).astype(np.uint8)
    picture = np.stack([rows, columns, np.zeros_like(rows)], 2)
    found = cut_out(picture, box, 1.2, (24, 24, 3)).astype(int)
    side = min(round(1.2 * max(box.width, box.height)), 100)
    assert found[..., 0].max() - found[..., 0].min() == pytest.approx(side - side / 24, abs=2)
    middle = [box.top + box.height / 2, box.left + box.width / 2]
    expected = np.clip(middle, side / 2, 100 - side / 2)
    np.testing.assert_allclose(found[..., :2].mean((0, 1)), expected, atol=1.5)


def test_what_is_framed_how_goes_by_what_the_network_was_trained_on(monkeypatch):
    def about(name, stand_in_for="", shape=(48, 48, 1)):
        monkeypatch.setattr("fer_jax.predict.framing.make_detector", lambda file: None)
        return make_framer(DataSet(name, {}, (), "", stand_in_for), shape, "auto").about

    assert about("fer2013") == about("facial_expressions") == "faces found by the Haar cascade"
    assert about("synthetic_faces", "fer2013") == "faces found by the Haar cascade"
    assert about("folder") == about("synthetic_faces") == "whole pictures"
    assert about("mnist", shape=(28, 28, 1)) == "digits framed as MNIST's"
    assert about("digits", "mnist", (28, 28, 1)) == "digits made white on black"
    monkeypatch.undo()
    own = DataSet("folder", {}, (), "")
    with pytest.raises(ConfigError, match="28x28 gray pixels"):
        make_framer(own, (48, 48, 3), "digits")
    with pytest.raises(ConfigError, match="--detector=a.onnx looks for faces, and --detect is 'none' here"):
        make_framer(own, (48, 48, 1), "auto", "a.onnx")
    with pytest.raises(ConfigError, match="--detector=a.onnx: there is no such file"):
        make_framer(own, (48, 48, 1), "faces", "a.onnx")


def test_without_opencv_one_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    opencv.opencv.cache_clear()
    with pytest.raises(UserError, match=r"pip install 'fer_jax\[faces\]'; without it, --detect=none"):
        make_detector()
    opencv.opencv.cache_clear()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_cascade_finds_no_face_where_there_is_none(channels):
    pytest.importorskip("cv2")
    picture = np.random.RandomState(0).randint(0, 256, (1200, 300, channels)).astype(np.uint8)
    assert make_detector()(picture) == []


def test_a_file_that_is_no_model_of_faces_is_told(tmp_path):
    pytest.importorskip("cv2")
    (tmp_path / "a.onnx").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"a\.onnx cannot be used by OpenCV's FaceDetectorYN: name a YuNet model"):
        make_detector(str(tmp_path / "a.onnx"))
