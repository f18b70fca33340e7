import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.report import (
    Axis,
    Bubble,
    Column,
    DotRow,
    Estimate,
    Footprint,
    KeyFigure,
    Page,
    before_after,
    bubbles,
    checks,
    curve,
    dots,
    facts,
    folded,
    footprints,
    heading,
    histogram,
    key_figures,
    listing,
    notice,
    panels,
    prose,
    side_by_side,
    table,
)
from rssr.errors import StorageError
from tests.browser import Browser, assert_works

HOSTILE = '<script>alert("x")</script>&\'<img src=x>'


@pytest.fixture
def full_page(picture: NDArray[np.uint8]) -> Page:
    """Every part, with text that would do harm where it is not escaped."""
    page = Page(HOSTILE, HOSTILE, HOSTILE)
    page.lead(key_figures([KeyFigure(HOSTILE, HOSTILE, HOSTILE)]), notice(HOSTILE))
    page.section(HOSTILE, prose(HOSTILE), facts({HOSTILE: HOSTILE}), listing(HOSTILE, HOSTILE), listing(HOSTILE))
    page.section(
        "Numbers",
        table([Column("a", HOSTILE, "highest"), Column("b", "b")], [{"a": HOSTILE, "b": 1}], HOSTILE),
        table([Column("a", HOSTILE), Column("b", "b")], [{"a": "a", "b": Estimate(1, 0, 2, HOSTILE)}]),
        heading(HOSTILE),
        checks([("good", HOSTILE)]),
        folded(HOSTILE, prose(HOSTILE)),
        dots([DotRow(HOSTILE, {HOSTILE: Estimate(1, 0, 2), "b": Estimate(2)}, HOSTILE)], HOSTILE, HOSTILE),
        bubbles([Bubble(HOSTILE, 1, 2, 3)], HOSTILE, Axis(HOSTILE), Axis(HOSTILE), HOSTILE),
        histogram([1, 2, 3], HOSTILE, HOSTILE, HOSTILE, (1.5, HOSTILE, HOSTILE)),
        footprints([Footprint(HOSTILE, "failed", (1.0, 2.0, 3.0, 4.0), HOSTILE)], HOSTILE, {"failed": HOSTILE}),
    )
    page.section(
        "Pictures",
        before_after(picture, picture, (HOSTILE, HOSTILE), HOSTILE),
        side_by_side({HOSTILE: picture, "b": picture, "c": picture}, (HOSTILE, "c"), HOSTILE),
        panels([(HOSTILE, {HOSTILE: picture})], HOSTILE),
        curve({HOSTILE: ([1, 2], [1, 2]), "b": ([1, 2], [2, 1])}, HOSTILE, HOSTILE, HOSTILE),
        curve({"b": ([1, 2], [2, 1])}, "log", "step", "loss", log_scale=True),
    )
    return page


def test_every_string_is_escaped(full_page: Page, read: Callable[[str], Any]) -> None:
    page = read(full_page.to_html())
    assert len(page.attributes("script")) == 1  # the page's own
    assert "alert(" not in page.texts("script")[0]
    assert all(image["src"].startswith("data:image/") for image in page.attributes("img"))
    assert page.texts("h1") == [" ".join(HOSTILE.split())]


def test_page_refers_to_nothing_outside_itself(full_page: Page, read: Callable[[str], Any]) -> None:
    html = full_page.to_html()
    assert not re.search(r"https?:|//[a-z]|@import|\burl\((?!#)", re.sub(r"data:image/\w+;base64,[\w+/=]+", "", html))
    for tag in ("link", "img", "a", "use", "script"):
        for attributes in read(html).attributes(tag):
            for name in ("src", "href"):
                assert attributes.get(name, "#").startswith(("#", "data:"))


def test_navigation_leads_to_every_section(full_page: Page, read: Callable[[str], Any]) -> None:
    page = read(full_page.to_html())
    anchors = [attributes["href"].removeprefix("#") for attributes in page.attributes("a")]
    assert anchors == [attributes["id"] for attributes in page.attributes("section")]
    assert len(anchors) == 3


def test_ids_are_unique(full_page: Page, read: Callable[[str], Any]) -> None:
    ids = [attributes["id"] for _, attributes, _ in read(full_page.to_html()).elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_sections_of_equal_name_get_different_anchors(read: Callable[[str], Any]) -> None:
    page = Page("t").section("Phase", prose("a")).section("Phase", prose("b"))
    assert len({attributes["id"] for attributes in read(page.to_html()).attributes("section")}) == 2


def test_every_picture_has_words_and_every_control_a_label(full_page: Page, read: Callable[[str], Any]) -> None:
    page = read(full_page.to_html())
    assert all(image["alt"] for image in page.attributes("img"))
    assert all(control["aria-label"] for control in page.attributes("input"))


def test_every_part_works_in_a_browser(full_page: Page, browser: Browser, tmp_path: Path) -> None:
    full_page.write(tmp_path / "page.html")
    assert_works(browser, tmp_path / "page.html")


def test_pages_are_dark_where_that_is_preferred_and_white_on_paper(browser: Browser, tmp_path: Path) -> None:
    Page("t").section("s", prose("p")).write(tmp_path / "page.html")
    colours = "['backgroundColor', 'color'].map((name) => getComputedStyle(document.body)[name])"
    with browser.tab(tmp_path / "page.html", dark=True) as tab:
        assert tab.evaluate(colours) == ["rgb(18, 22, 26)", "rgb(230, 233, 236)"]
        tab.paper()
        assert tab.evaluate(colours) == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
    with browser.tab(tmp_path / "page.html") as tab:
        assert tab.evaluate(colours) == ["rgb(255, 255, 255)", "rgb(28, 33, 38)"]


def test_what_is_folded_away_is_printed(browser: Browser, tmp_path: Path) -> None:
    long = "\n".join(f"line {number}" for number in range(300))
    Page("t").section("s", listing(long, "More")).write(tmp_path / "page.html")
    with browser.tab(tmp_path / "page.html") as tab:
        assert len(re.findall(rb"/Type /Page\b", tab.pdf())) > 3
        assert tab.evaluate("document.querySelector('details').open") is False, "on the screen it is folded again"


def test_footer_tells_when_and_with_what_by_default(read: Callable[[str], Any]) -> None:
    (footer,) = read(Page("t").to_html()).texts("footer")
    assert re.fullmatch(r"Written \d{4}-\d\d-\d\d \d\d:\d\d UTC by rssr \S+\.", footer)
    assert read(Page("t", footer="").to_html()).texts("footer") == []


def test_writing_replaces_the_file_and_leaves_nothing_else(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    path = tmp_path / "reports" / "report.html"
    Page("first").write(path)
    Page("second é").write(path)
    assert "second é" in path.read_text(encoding="utf-8")
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_a_failed_write_says_where_and_keeps_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(StorageError, match=r"report\.html"):
        Page("t").write(tmp_path / "file" / "report.html")
    assert (tmp_path / "file").read_text() == "old"


def test_a_page_with_many_pictures_stays_small() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    page = Page("t").section("s", panels([(str(i), {"a": noise, "b": noise}) for i in range(20)]))
    assert len(page.to_html()) < 1_000_000
