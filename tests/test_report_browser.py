"""The report's pages in a browser: headless Chromium opens them from the disk, sorts, points and presses keys."""

import contextlib

import pytest
from test_report import content_of

from fer_jax.report.chart import Line, chart
from fer_jax.report.html import document, table
from fer_jax.report.page import page as report_page

ROWS = [["b", "9.50 % (9.00 to 10.00)", "word"], ["a", "1,234", "zebra"], ["c", "-", "apple"], ["d", "-3e-5", "mole"]]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A page with a table and a chart, and the page of a report."""
    folder = tmp_path_factory.mktemp("pages")
    lines = [Line("one", [1, 2, 3], [0.5, 0.25, 0.125]), Line("two", [2, 3], [1.0, 2.0])]
    body = table("caption", ["name", "number", "text"], ROWS, words=(2,))
    (folder / "small.html").write_text(document("title", body, chart("loss", lines, x_name="epoch", alt="curves")))
    (folder / "report.html").write_text(report_page(content_of()[0]))
    return folder


@pytest.fixture
def opened(browser, files):
    """Opens a page; it must ask for nothing, and fail nowhere."""
    asked, failed, pages = [], [], contextlib.ExitStack()

    def open_page(name="small.html", **options):
        page = pages.enter_context(contextlib.closing(browser.new_page(**options)))
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: failed.append(error))
        page.goto((files / name).as_uri())
        return page

    with pages:
        yield open_page
    assert not failed
    assert all(url.startswith(("file:", "data:")) for url in asked), asked


def order(page):
    return "".join(page.locator("tbody th").all_inner_texts())


def test_a_click_sorts_numbers_from_the_highest_and_what_is_no_number_comes_last(opened):
    page = opened()
    page.click("thead button >> nth=1")
    assert order(page) == "abdc"
    page.click("thead button >> nth=1")
    assert order(page) == "dbac"
    page.click("thead button >> nth=2")
    assert order(page) == "cdba"
    assert page.locator("thead th").evaluate_all("all => all.map((one) => one.ariaSort)") == [None, None, "ascending"]


def test_the_keyboard_sorts_too(opened):
    page = opened()
    page.focus("thead button >> nth=0")
    page.keyboard.press("Enter")
    assert order(page) == "abcd"
    page.keyboard.press("Space")
    assert order(page) == "dcba"


def test_the_arrow_keys_read_the_curves(opened):
    page = opened()
    page.focus("figure.chart svg")
    for key, told in (
        ("ArrowRight", "epoch 1 \u2014 one: 0.5"),
        ("ArrowRight", "epoch 2 \u2014 one: 0.25; two: 1"),
        ("End", "epoch 3 \u2014 one: 0.125; two: 2"),
        ("ArrowRight", "epoch 3 \u2014 one: 0.125; two: 2"),
        ("ArrowLeft", "epoch 2 \u2014 one: 0.25; two: 1"),
        ("Home", "epoch 1 \u2014 one: 0.5"),
    ):
        page.keyboard.press(key)
        assert page.locator(".readout").inner_text() == told


def test_pointing_reads_the_nearest_place_and_the_legend_hides_lines(opened):
    page = opened()
    box = page.locator("figure.chart svg").bounding_box()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.5 * box["height"])
    readout = page.locator(".readout")
    assert readout.inner_text() == "epoch 3 \u2014 one: 0.125; two: 2"
    first = page.locator(".legend button").first
    first.click()
    assert readout.inner_text() == "epoch 3 \u2014 two: 2" and first.get_attribute("aria-pressed") == "false"
    assert not page.locator("g.line.s0").is_visible() and page.locator("g.line.s1").is_visible()
    page.locator(".legend button").nth(1).click()
    assert readout.inner_text() == "Every line is hidden."
    first.click()
    assert page.locator("g.line.s0").is_visible()


def test_without_javascript_everything_is_there_and_nothing_pretends_to_be_a_button(opened):
    page = opened(java_script_enabled=False)
    assert page.locator("figure.chart svg polyline").count() == 2 and page.locator(".legend li").count() == 2
    assert page.locator("tbody tr").count() == len(ROWS) and page.locator("button").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["small.html", "report.html"])
def test_a_phone_need_not_scroll_sideways(opened, name, scheme):
    page = opened(name, viewport={"width": 390, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert (
        page.evaluate("getComputedStyle(document.body).backgroundColor")
        == {
            "light": "rgb(255, 255, 255)",
            "dark": "rgb(22, 25, 29)",
        }[scheme]
    )
