"""The page for a browser, in a browser: headless Chromium opens it from the disk."""

import contextlib
import io

import jax
import numpy as np
import pytest
from PIL import Image
from untrained_content import untrained_content

from fer_jax.data.download import cache_folder
from fer_jax.data.fit_image import fit_image
from fer_jax.errors import UserError
from fer_jax.export import web, web_runtime
from fer_jax.predict.digits import frame_digit

RUNTIME = cache_folder() / f"{web_runtime.PACKAGE}-{web_runtime.VERSION}"
"""The user's own, taken before a test has another cache."""

CLASSIFY = "async (pixels) => Array.from(await fer_jax.classify(Uint8Array.from(pixels)))"
FRAME = "async (file) => Array.from(fer_jax.framed(await fer_jax.pixelsOf(new Blob([Uint8Array.from(file)]))))"
DRAWN = """() => {
  const { data } = document.getElementById("paper").getContext("2d").getImageData(0, 0, 280, 280);
  return Array.from(data.filter((_, place) => place % 4 === 0));
}"""


sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright, of the extra 'test'")
expect = sync_api.expect


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A page for digits and one for faces, of networks that were not trained, and the networks."""
    for package in ("jax2onnx", "onnxruntime"):
        pytest.importorskip(package, reason="needs the extra 'export'")
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, dataset in (("mnist_10k", "mnist"), ("fer2013_mini", "fer2013")):
        content = untrained_content(name, dataset)
        try:
            web.write(folder / f"{name}.html", content, str(RUNTIME))
        except UserError as error:
            pytest.skip(f"needs the runtime in the user's cache, where the first export to web puts it: {error}")
        found[dataset] = (folder / f"{name}.html", content)
    return found


@pytest.fixture
def opened(browser, files):
    """Opens a page; it must ask for nothing, and fail nowhere."""
    asked, failed, pages = [], [], contextlib.ExitStack()

    def open_page(dataset):
        page = pages.enter_context(contextlib.closing(browser.new_page(viewport={"width": 900, "height": 1200})))
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: failed.append(error))
        page.goto(files[dataset][0].as_uri())
        page.evaluate("fer_jax.ready")
        return page

    with pages:
        yield open_page
    assert not failed
    assert all(url.startswith(("file:", "blob:", "data:")) for url in asked), asked


def probabilities(files, dataset, image):
    _, content = files[dataset]
    return np.asarray(jax.nn.softmax(content.model.apply(content.variables, image[None])))[0]


def png(picture):
    packed = io.BytesIO()
    picture.save(packed, "PNG")
    return packed.getvalue()


@pytest.mark.parametrize("dataset", ["mnist", "fer2013"])
def test_a_page_gives_the_probabilities_of_python(opened, files, dataset):
    page = opened(dataset)
    shape = files[dataset][1].model.image_shape
    for image in np.random.default_rng(0).integers(0, 256, (20, *shape), np.uint8):
        expected = probabilities(files, dataset, image)
        found = np.array(page.evaluate(CLASSIFY, image.ravel().tolist()))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        assert found.argmax() == expected.argmax()


def test_what_is_drawn_is_answered_as_in_python(opened, files):
    page = opened("mnist")
    box = page.locator("#paper").bounding_box()
    page.mouse.move(box["x"] + 80, box["y"] + 60)
    page.mouse.down()
    for x, y in ((200, 60), (130, 240)):
        page.mouse.move(box["x"] + x, box["y"] + y, steps=8)
    page.mouse.up()
    expect(page.locator("#label")).not_to_be_empty()
    drawn = np.array(page.evaluate(DRAWN), np.uint8).reshape(280, 280, 1)
    assert (drawn == 0).sum() > 3000
    expected = probabilities(files, "mnist", frame_digit(drawn).image)
    best = expected.argmax()
    expect(page.locator("#label")).to_have_text(f"<b>{best}: {100 * expected[best]:.1f} %")
    page.click("#clear")
    expect(page.locator("#label")).to_be_empty()


def test_the_keyboard_draws(opened):
    page = opened("mnist")
    page.focus("#paper")
    page.keyboard.press("Space")
    for _ in range(12):
        page.keyboard.press("ArrowDown")
    expect(page.locator("#label")).not_to_be_empty()
    page.keyboard.press("Delete")
    expect(page.locator("#label")).to_be_empty()


@pytest.mark.parametrize("dataset", ["mnist", "fer2013"])
def test_pictures_are_framed_to_the_byte_as_in_python(opened, files, dataset):
    page = opened(dataset)
    rng = np.random.default_rng(1)
    for width, height in ((48, 48), (200, 120), (31, 77), (401, 400)):
        y, x = np.mgrid[:height, :width]
        ring = np.abs(np.hypot((y - height / 2) / (height * 0.3), (x - width / 2) / (width * 0.3)) - 1) < 0.3
        pixels = np.rint(np.clip(np.where(ring, 220, 40) + rng.normal(0, 5, ring.shape), 0, 255)).astype(np.uint8)
        found = page.evaluate(FRAME, list(png(Image.fromarray(pixels))))
        if dataset == "mnist":
            expected = frame_digit(pixels[..., None]).image
        else:
            expected = fit_image(pixels, files[dataset][1].model.image_shape)
        np.testing.assert_array_equal(found, expected.ravel())


def test_a_file_is_opened_and_what_is_no_picture_is_told(opened, files, tmp_path):
    page = opened("fer2013")
    pixels = np.random.default_rng(2).integers(0, 256, (48, 48), np.uint8)
    (tmp_path / "face.png").write_bytes(png(Image.fromarray(pixels)))
    page.set_input_files("#file", tmp_path / "face.png")
    expected = probabilities(files, "fer2013", pixels[..., None])
    expect(page.locator("#label")).to_contain_text(f"<b>{expected.argmax()}:")
    (tmp_path / "text.png").write_text("no picture")
    page.set_input_files("#file", tmp_path / "text.png")
    expect(page.locator("#status")).to_contain_text("no picture")
    assert "is not for" in page.locator("#words").inner_text()
