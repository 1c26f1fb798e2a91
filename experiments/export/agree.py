"""Do a run and its exports say the same of 1,000 test images, in Python, in every runtime and in a browser?

    python experiments/export/agree.py --workdir=runs/mnist_15k --exports=exports/mnist_15k

`--exports` is a folder that `python -m fer_jax.export` wrote with `--format=all` and `--format=web`. Every file runs in
a fresh process, the page in headless Chromium (with `playwright`, of the extra 'test', and the system's own
`chromium`). The images' labels are not looked at. Prints the rows of a table for README.md: of each file the size, the
milliseconds for one image, the largest difference of a probability, and how many labels are others.
"""

import io
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
from absl import app, flags, logging
from PIL import Image

from fer_jax.data.fit_image import fit_image
from fer_jax.evaluate import prepare, split_logits
from fer_jax.export.formats import FORMATS
from fer_jax.export.verify import run_file
from fer_jax.open_run import open_run
from fer_jax.predict.digits import frame_digit

WORKDIR = flags.DEFINE_string("workdir", "", "The folder of the run.")
EXPORTS = flags.DEFINE_string("exports", "", "The folder with its exports.")
SCREENSHOT = flags.DEFINE_string("screenshot", "", "A PNG of the page with a drawn digit.")
IMAGES, PICTURES = 1000, 100
CLASSIFY = "async (pixels) => Array.from(await fer_jax.classify(Uint8Array.from(pixels)))"
TIME = """async (pixels) => {
  const image = Uint8Array.from(pixels), times = [];
  for (let call = 0; call < 200; call++) {
    const began = performance.now();
    await fer_jax.classify(image);
    times.push(performance.now() - began);
  }
  return times.sort((a, b) => a - b)[100];
}"""
FRAME = "async (file) => Array.from(fer_jax.framed(await fer_jax.pixelsOf(new Blob([Uint8Array.from(file)]))))"
HEADER = ("form", "bytes", "ms an image", "largest difference", "other labels")


def main(words):
    del words
    logging.set_verbosity(logging.WARNING)
    images, expected = answers(WORKDIR.value)
    folder = Path(EXPORTS.value)
    print("| " + " | ".join(HEADER) + " |\n|" + "---|" * len(HEADER))
    for name, form in FORMATS.items():
        file = folder / f"model{form.suffix}"
        if file.exists() and name != "web":
            ran = run_file(name, file, images)
            row(f"{name} ({ran.runtime})", file, 1000 * ran.seconds, ran.probabilities, expected)
    page = folder / "model.html"
    if page.exists():
        in_browser(page, images, expected)


def answers(workdir):
    """The first test images of a run, uint8 [N, H, W, C], and its probabilities of them."""
    opened = open_run(workdir, split="test")
    few = opened.examples[np.arange(min(IMAGES, len(opened.examples)))]
    logits = split_logits(opened.run.programs, opened.restored.arrays["state"], prepare(few, opened.run.mesh))
    return few.images, np.asarray(jax.nn.softmax(opened.run.members.unpack(logits)[0].astype(np.float64)))


def row(name, file, milliseconds, found, expected):
    worst, other = np.abs(found - expected).max(), int((found.argmax(1) != expected.argmax(1)).sum())
    print(f"| {name} | {file.stat().st_size:,} | {milliseconds:.2f} | {worst:.1e} | {other} of {len(expected):,} |")


def in_browser(file, images, expected):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.on("pageerror", lambda error: sys.exit(f"the page failed: {error}"))
        page.goto(file.absolute().as_uri())
        page.evaluate("fer_jax.ready")
        facts = page.evaluate("fer_jax.facts")
        found = [page.evaluate(CLASSIFY, image.ravel().tolist()) for image in images]
        milliseconds = page.evaluate(TIME, images[0].ravel().tolist())
        row(f"web (Chromium {browser.version})", file, milliseconds, np.array(found), expected)
        opened_in(page, images[:PICTURES], facts["framing"])
        if SCREENSHOT.value:
            draw_two(page)
            page.screenshot(path=SCREENSHOT.value, full_page=True)
        browser.close()


def opened_in(page, images, framing):
    """Says how often a page makes of a PNG file of another size what Python makes of it."""
    rng = np.random.default_rng(0)
    same, labels = 0, 0
    for image in images:
        side = int(rng.integers(image.shape[0] // 2 + 1, 6 * image.shape[0]))
        picture = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).resize((side, side))
        packed = io.BytesIO()
        picture.save(packed, "PNG")
        found = page.evaluate(FRAME, list(packed.getvalue()))
        pixels = np.asarray(picture).reshape(side, side, -1)
        framed = frame_digit(pixels).image if framing == "digits" else fit_image(pixels, image.shape)
        same += found == framed.ravel().tolist()
        one, other = (np.argmax(page.evaluate(CLASSIFY, pixels)) for pixels in (found, framed.ravel().tolist()))
        labels += one == other
    print(
        f"\nOf {len(images)} test images opened in the page as PNG files of other sizes {same} give the network the "
        f"bytes that they give it in Python, and {labels} the same label."
    )


def draw_two(page):
    """A 2, drawn with the mouse."""
    box = page.locator("#paper").bounding_box()
    points = [
        (0.3, 0.32),
        (0.4, 0.2),
        (0.55, 0.17),
        (0.68, 0.27),
        (0.66, 0.42),
        (0.5, 0.6),
        (0.3, 0.8),
        (0.5, 0.79),
        (0.72, 0.8),
    ]
    for place, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=6)
        if place == 0:
            page.mouse.down()
    page.mouse.up()
    page.wait_for_timeout(2500)


if __name__ == "__main__":
    app.run(main)
