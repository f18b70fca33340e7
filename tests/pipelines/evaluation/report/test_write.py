import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.evaluation.report import write_report
from pipelines.evaluation.result import EvaluationResult, Failure
from tests.browser import Browser, assert_works
from tests.page_reader import PageReader

Change = Callable[..., EvaluationResult]
HOSTILE = '<script>alert("x")</script>&\'<img src=x>'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture
def page(result: EvaluationResult, folder: Path) -> Path:
    """The report, written once."""
    path = folder / "report.html"
    if not path.exists():
        write_report(result, path)
    return path


def test_the_answer_comes_first_and_everything_follows(page: Path) -> None:
    html = page.read_text()
    read = PageReader(html)
    assert read.texts("h1") == ["Which model for our images?"]
    assert read.texts("h2") == [
        *("Promotion", "Results", "Published figures", "Beside bicubic", "Datasets and classes", "Images", "Trust"),
        *("Quality and time", "What is missing", "How it was made"),
    ]
    assert html.index("ours is best for these images") < html.index("<h2")
    assert "4 methods · 32 images of 2 datasets · scale 4 · 2026-11-29" in read.texts("p")
    assert "Ours is champion in place of old" in read.texts("p")


def test_the_report_works_in_a_browser(page: Path, browser: Browser) -> None:
    assert_works(browser, page)


def test_its_slider_moves_and_shows_any_method(page: Path, browser: Browser) -> None:
    with browser.tab(page) as tab:
        left, top, width, height = tab.box(".slider-view")
        tab.drag((left + width / 2, top + height / 2), (left + width / 4, top + height / 2))
        assert tab.evaluate("+document.querySelector('.slider input').value") == pytest.approx(25, abs=2)
        tab.press("ArrowRight", times=3)
        assert tab.evaluate("document.querySelector('.slider-divider').offsetLeft") == pytest.approx(
            0.31 * width, abs=14
        )
        choices = "document.querySelector('.slider select')"
        tab.evaluate(f"{choices}.value = 5, {choices}.dispatchEvent(new Event('change'))")
        assert tab.evaluate("document.querySelector('.slider-before img').alt").startswith("HR: town/000.png")
        assert tab.complaints == []


def test_it_prints_all_pictures_and_what_is_folded_away(page: Path, browser: Browser) -> None:
    with browser.tab(page) as tab:
        pdf = tab.pdf()
        tab.paper()
        widths = tab.evaluate(
            "[...document.querySelectorAll('.slider img')].map((e) => e.getBoundingClientRect().width)"
        )
    assert len(re.findall(rb"/Type /Page\b", pdf)) >= 4
    assert pdf.count(b"/Subtype /Image") >= 8, "LR, the pictures that differ, their details and maps"
    assert len(widths) == 6 and min(widths) > 100


def test_it_is_readable_by_night(page: Path, browser: Browser) -> None:
    """Ink and paper differ by at least 4.5 : 1 where text stands, as WCAG asks (1.4.3)."""
    lightness = r"""(colour) => colour.match(/[\d.]+/g).slice(0, 3).map((v) => v / 255)
        .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0)"""
    words = "h1, h2, h3, p, td, th, dt, dd, a, figcaption, summary, svg text"
    lightnesses = f"""(() => {{
        const lightness = {lightness};
        const inks = [...document.querySelectorAll('{words}')].map((e) => lightness(getComputedStyle(e).color));
        return [lightness(getComputedStyle(document.body).backgroundColor), Math.min(...inks), Math.max(...inks)];
    }})()"""
    for dark in (False, True):
        with browser.tab(page, dark=dark) as tab:
            paper, darkest, lightest = tab.evaluate(lightnesses)
        nearest = darkest if dark else lightest
        assert (max(paper, nearest) + 0.05) / (min(paper, nearest) + 0.05) > 4.5


def test_every_part_can_be_reached_by_keyboard_and_has_a_name(page: Path, browser: Browser) -> None:
    controls = "[...document.querySelectorAll('a, select, input, summary, [tabindex=\"0\"]')]"
    is_faulty = "(e) => e.tabIndex < 0 || !(e.ariaLabel || e.labels?.length || e.textContent.trim())"
    nameless = f"{controls}.filter({is_faulty}).map((e) => e.outerHTML.slice(0, 80))"
    with browser.tab(page) as tab:
        assert tab.evaluate(nameless) == []
        assert tab.evaluate("[...document.images].filter((e) => !e.alt).length") == 0
        assert tab.evaluate("document.documentElement.lang") == "en"


def test_names_that_would_do_harm_are_shown_as_they_are(change: Change, tmp_path: Path, browser: Browser) -> None:
    usual = change()
    names = {"ours": HOSTILE}
    rows = [replace(row, method=names.get(row.method, row.method), class_name=HOSTILE) for row in usual.rows]
    methods = tuple(replace(own, name=names.get(own.name, own.name), source=HOSTILE) for own in usual.methods)
    failures = [Failure(HOSTILE, HOSTILE, HOSTILE, None, HOSTILE)]
    shown = [
        replace(image, why=HOSTILE, sr={names.get(n, n): sr for n, sr in image.sr.items()}) for image in usual.shown
    ]
    write_report(
        change(
            rows=rows, methods=methods, failures=failures, shown=shown, title=HOSTILE, config=HOSTILE, promotion=HOSTILE
        ),
        tmp_path / "report.html",
    )
    assert len(PageReader((tmp_path / "report.html").read_text()).attributes("script")) == 1
    assert_works(browser, tmp_path / "report.html")


def test_an_evaluation_in_which_everything_failed_says_so(change: Change, tmp_path: Path) -> None:
    write_report(change(rows=[], shown=[], set_values=[], reliability={}, published=()), tmp_path / "report.html")
    read = PageReader((tmp_path / "report.html").read_text())
    assert read.texts("h2") == ["Promotion", "What is missing", "How it was made"]
    assert any(text.startswith("No answer") for text in read.texts("p"))


def test_images_without_hr_and_methods_without_error_bars_have_a_report(change: Change, tmp_path: Path) -> None:
    usual = change()
    rows = [replace(row, metrics={"lr_error": row.metrics["lr_error"]}) for row in usual.rows]
    shown = [replace(image, hr=None, consistency={}, uncertainty={}) for image in usual.shown]
    datasets = tuple(replace(own, has_hr=False) for own in usual.datasets)
    changed = {"rows": rows, "shown": shown, "datasets": datasets, "reliability": {}, "set_values": [], "published": ()}
    write_report(change(**changed, rank_by="lr_error", promotion=""), tmp_path / "report.html")
    read = PageReader((tmp_path / "report.html").read_text())
    assert any(
        text.startswith("ours is best for these images: its Error against LR is 0.50") for text in read.texts("p")
    )
    assert "24, without HR" in read.texts("td")
