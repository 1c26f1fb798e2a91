"""The page for a browser: what is in the file, and its programs against their Python originals, under Node."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from untrained_content import untrained_content

from fer_jax import card_facts
from fer_jax.data.fit_image import fit_image
from fer_jax.errors import UserError
from fer_jax.export import web, web_runtime
from fer_jax.predict.digits import _grounds, frame_digit

PAGE = Path(web.__file__).parent / "page"

DRIVER = """
const lines = require("fs").readFileSync(0, "utf8").trim().split("\\n").map(JSON.parse);
for (const { width, height, rgba, shape } of lines) {
  const image = { width, height, data: Uint8ClampedArray.from(Buffer.from(rgba, "base64")) };
  const found = shape ? fitImage(image, shape) : frameDigit(image)?.pixels ?? null;
  console.log(JSON.stringify(found && Buffer.from(found).toString("base64")));
}
"""


def in_node(pictures, shape=None):
    """What the page's programs make of pictures uint8 [H, W, 4]: the bytes of each, or None."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js, to run the page's programs outside a browser")
    import base64

    lines = [
        json.dumps(
            {
                "width": rgba.shape[1],
                "height": rgba.shape[0],
                "rgba": base64.b64encode(rgba.tobytes()).decode(),
                "shape": shape,
            }
        )
        for rgba in pictures
    ]
    program = "\n".join((PAGE / name).read_text() for name in ("pictures.js", "digits.js")) + DRIVER
    done = subprocess.run([node, "-e", program], input="\n".join(lines), capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [one and np.frombuffer(base64.b64decode(one), np.uint8) for one in found]


def opaque(rgb):
    rgb = np.broadcast_to(rgb, (*rgb.shape[:2], 3))
    return np.concatenate([rgb, np.full((*rgb.shape[:2], 1), 255, np.uint8)], axis=2)


SIZES = [(48, 48), (28, 28), (100, 80), (37, 203), (500, 400), (9, 9), (20, 31)]


@pytest.mark.parametrize("shape", [(48, 48, 1), (28, 28, 1), (32, 24, 3)])
def test_a_page_scales_pictures_as_python_does(shape):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (height, width, 3), np.uint8) for height, width in SIZES]
    found = in_node([opaque(one) for one in pictures], shape)
    for one, bytes_ in zip(pictures, found, strict=True):
        np.testing.assert_array_equal(bytes_, fit_image(one, shape).ravel())


def test_what_is_transparent_shows_white_behind_it():
    rgba = np.random.default_rng(1).integers(0, 256, (60, 50, 4), np.uint8)
    (found,) = in_node([rgba], (28, 28, 1))
    expected = fit_image(Image.fromarray(rgba), (28, 28, 1)).ravel()
    assert np.abs(found.astype(int) - expected).max() <= 1


def digits():
    """Drawn digits of many sizes, dark on light and light on dark, with dirt and uneven light."""
    rng = np.random.default_rng(2)
    for place in range(12):
        height, width = rng.integers(40, 400, 2)
        y, x = np.mgrid[:height, :width]
        ring = np.abs(np.hypot((y - height * 0.5) / (height * 0.3), (x - width * 0.45) / (width * 0.2)) - 1) < 0.3
        stroke = (np.abs(x - width * 0.6) < width * 0.06) & (y > height * 0.15) & (y < height * 0.9)
        light = (
            np.where(ring if place % 2 else stroke, 200.0, 30.0) + 15 * x / width + rng.normal(0, 4, (height, width))
        )
        light[2:4, 2:4] = 220
        light = 255 - light if place % 3 else light
        yield np.rint(np.clip(light, 0, 255)).astype(np.uint8)[..., None]


def test_a_page_frames_digits_as_python_does():
    pictures = list(digits())
    found = in_node([opaque(one) for one in pictures])
    for one, bytes_ in zip(pictures, found, strict=True):
        np.testing.assert_array_equal(bytes_, frame_digit(one).image.ravel())


def in_falling_light(pictures):
    """The same where light falls to a part along the rows, the columns or both, and on the bare paper too."""
    for place, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        down, across = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)
        fall = (down + 0 * across, across + 0 * down, (down + across) / 2)[place % 3]
        fall = 1 - (0.5, 0.7, 0.9)[place % 3] * (fall if place % 2 else fall[::-1, ::-1])
        yield np.rint(picture[..., 0] * fall).astype(np.uint8)[..., None]
    yield np.rint(np.full((60, 70), 230) * np.linspace(1, 0.4, 70)).astype(np.uint8)[..., None]


def test_a_page_evens_the_light_as_python_does():
    pictures = list(in_falling_light(digits()))
    found = in_node([opaque(one) for one in pictures])
    for one, bytes_ in zip(pictures[:-1], found[:-1], strict=True):
        np.testing.assert_array_equal(bytes_, frame_digit(one).image.ravel())
    assert sum(bool(list(_grounds(one[..., 0]))) for one in pictures) > 6
    assert found[-1] is None and frame_digit(pictures[-1]) is None


def test_a_page_leaves_a_framed_digit_as_it_is_and_a_blank_picture_alone():
    framed = np.zeros((28, 28, 1), np.uint8)
    framed[6:22, 13:16] = 250
    shifted = np.roll(framed, (3, -4), (0, 1))
    dirty = np.random.default_rng(3).integers(20, 60, (28, 28, 1), np.uint8) + shifted // 2
    pictures = [framed, 255 - framed, shifted, 255 - shifted, dirty]
    found = in_node([opaque(one) for one in [*pictures, np.full((90, 70, 1), 128, np.uint8)]])
    for one, bytes_ in zip(pictures, found[:-1], strict=True):
        np.testing.assert_array_equal(bytes_, frame_digit(one).image.ravel())
    assert [frame_digit(one).centred for one in pictures] == [False, False, True, True, True]
    for place in (0, 1):
        np.testing.assert_array_equal(found[place], framed.ravel())
    assert found[-1] is None


@pytest.fixture
def runtime(monkeypatch):
    """Stands in for ONNX Runtime Web, which these tests do not run."""
    files = {web_runtime.PROGRAM: b"export default 1;", web_runtime.WASM: b"\0asm"}
    monkeypatch.setattr(web, "runtime_files", lambda folder: files)
    return files


def test_a_page_holds_the_network_and_its_words(runtime, tmp_path):
    pytest.importorskip("jax2onnx", reason="needs the extra 'export'")
    pytest.importorskip("onnxruntime", reason="needs the extra 'export'")
    content = untrained_content("mnist_10k", "mnist", stand_in="</script><script>alert(1)</script>")
    web.write(tmp_path / "page.html", content)
    text = (tmp_path / "page.html").read_text()
    assert "@" + "FACTS@" not in text and text.count("<script>alert") == 0
    assert "default-src 'none'" in text and "http" + "s://" not in text.replace("http-equiv", "")
    opened = web.open_file(tmp_path / "page.html")
    assert opened.metadata == content.metadata
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)
    np.testing.assert_allclose(opened.predict(images).sum(1), 1, atol=1e-5)


def test_a_page_for_faces_says_what_it_is_not_for():
    content = untrained_content("fer2013_mini", "fer2013")
    facts = web.facts_of(content)
    words = dict(facts["words"])
    assert facts["framing"] == "whole" and words["What the classes are"] == [card_facts.APPARENT.replace("**", "")]
    assert any("Article 5(1)(f)" in sentence for sentence in words["What it is not for"])
    assert web.facts_of(untrained_content("mnist_10k", "digits"))["framing"] == "digits"
    assert web.facts_of(untrained_content("mnist_10k", "folder"))["framing"] == "whole"


@pytest.fixture
def own_runtime(monkeypatch):
    """A runtime of two words with the checksums that it has."""
    files = {web_runtime.PROGRAM: b"program", web_runtime.WASM: b"wasm"}
    monkeypatch.setattr(
        web_runtime, "FILES", {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    )
    monkeypatch.delenv("FER_JAX_OFFLINE", raising=False)
    return files


@pytest.mark.parametrize("inside", [".", "dist", "package/dist"])
def test_the_runtime_is_read_from_a_folder(own_runtime, tmp_path, inside):
    (tmp_path / inside).mkdir(parents=True, exist_ok=True)
    for name, content in own_runtime.items():
        (tmp_path / inside / name).write_bytes(content)
    assert web_runtime.runtime_files(str(tmp_path)) == own_runtime
    (tmp_path / inside / web_runtime.WASM).write_bytes(b"other")
    with pytest.raises(UserError, match="its SHA-256 differs"):
        web_runtime.runtime_files(str(tmp_path))


def test_a_folder_without_the_runtime_is_told(own_runtime, tmp_path):
    with pytest.raises(UserError, match=r"does not hold .*: unpack the npm package onnxruntime-web"):
        web_runtime.runtime_files(str(tmp_path))


def archive_of(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def fake_npm(monkeypatch, archive, code=0, stderr=""):
    def run(command, **options):
        if archive is not None:
            (Path(options["cwd"]) / "package.tgz").write_bytes(archive)
        return subprocess.CompletedProcess(command, code, "", stderr)

    monkeypatch.setattr(web_runtime.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(web_runtime.subprocess, "run", run)


def test_the_runtime_comes_from_npm_once(own_runtime, monkeypatch):
    archive = archive_of({f"package/dist/{name}": content for name, content in own_runtime.items()})
    monkeypatch.setattr(web_runtime, "ARCHIVE", hashlib.sha256(archive).hexdigest())
    fake_npm(monkeypatch, archive)
    assert web_runtime.runtime_files() == own_runtime
    fake_npm(monkeypatch, None, code=1)
    assert web_runtime.runtime_files() == own_runtime


@pytest.mark.parametrize(
    ("archive", "code", "sentence"),
    [
        (None, 1, "npm could not fetch onnxruntime-web .* (no such version)"),
        (archive_of({f"package/dist/{web_runtime.PROGRAM}": b"bad"}), 0, "what npm fetched is not onnxruntime-web"),
        (b"no archive", 0, "(its SHA-256 differs)"),
    ],
)
def test_what_npm_does_wrong_is_told(own_runtime, monkeypatch, archive, code, sentence):
    fake_npm(monkeypatch, archive, code, "npm error\nno such version")
    with pytest.raises(UserError, match=sentence.replace("(", r"\(").replace(")", r"\)")):
        web_runtime.runtime_files()


def test_without_npm_or_network_the_folder_is_asked_for(own_runtime, monkeypatch):
    monkeypatch.setattr(web_runtime.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="npm is not installed: unpack"):
        web_runtime.runtime_files()
    monkeypatch.setenv("FER_JAX_OFFLINE", "1")
    with pytest.raises(UserError, match="FER_JAX_OFFLINE forbids"):
        web_runtime.runtime_files()
