import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.bulk.records import SceneRecord
from pipelines.bulk.report import write_report
from pipelines.bulk.result import BulkResult
from tests.browser import PHONE, Browser, assert_works
from tests.page_reader import PageReader
from tests.pipelines.bulk.made_runs import card, config, good_run, identity, make, mixed_run, record, scene, thumbnail

HOSTILE = '<script>alert("x")</script>&\'<img src=x>'
Written = Callable[[BulkResult], Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(result: BulkResult) -> Path:
        write_report(result, tmp_path / "report.html")
        return tmp_path / "report.html"

    return write


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run in which all has happened, written once."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(mixed_run(), path)
    return path


def test_what_came_of_it_comes_first_and_everything_follows(page: Path) -> None:
    html = page.read_text()
    read = PageReader(html)
    assert read.texts("h2") == [
        *("Map", "Scenes", "Windows that failed", "Pictures", "Seams and consistency", "Throughput"),
        *("How to go on", "How it was made"),
    ]
    verdict = (
        "8 of 13 scenes are super-resolved; 1 shows its tiles and is kept aside, 1 lacks windows, 1 failed, 1 cannot "
        "be run and 1 waits."
    )
    assert verdict in read.texts("p") and html.index(verdict) < html.index("<h2")
    assert "13 scenes · models:/ldcsr/3 at scale 4 · planned 2026-11-29" in read.texts("p")


def test_the_report_works_in_a_browser(page: Path, browser: Browser) -> None:
    assert_works(browser, page)


def test_the_map_has_each_scene_in_its_colour(page: Path, browser: Browser) -> None:
    states = "['done', 'marked', 'partial', 'failed', 'waiting']"
    drawn = "(state) => document.querySelectorAll('.map-frame .footprint.state-' + state).length"
    strokes = "(state) => getComputedStyle(document.querySelector('.map-frame .state-' + state)).stroke"
    with browser.tab(page) as tab:
        assert tab.evaluate(f"{states}.map({drawn})") == [7, 1, 1, 2, 1], "one of thirteen has no place"
        assert tab.evaluate("document.querySelectorAll('.map-frame .footprint').length") == 12
        assert len(set(tab.evaluate(f"{states}.map({strokes})"))) == 5
        assert tab.complaints == []


def test_each_footprint_leads_to_the_row_of_its_scene(page: Path, browser: Browser) -> None:
    """Rows that are folded away are unfolded."""
    pairs = """[...document.querySelectorAll('.map-frame a')].map((link) => [
        link.querySelector('title').textContent.split(': ')[0],
        document.querySelector(link.getAttribute('href')).querySelector('th').textContent,
    ])"""
    with browser.tab(page) as tab:
        found = tab.evaluate(pairs)
        assert len(found) == 12 and all(scene == row for scene, row in found)
        x, y, width, height = tab.box(".map-frame .state-waiting")
        tab.drag((x + width / 2, y + height / 2), (x + width / 2, y + height / 2))
        assert tab.evaluate("document.querySelector(':target').checkVisibility()")
        assert tab.evaluate("document.querySelector(':target th').textContent") == "2026/T32TS10"


def test_the_worst_scenes_come_first_with_their_reasons(page: Path) -> None:
    read = PageReader(page.read_text())
    names = [name for name in read.texts("th") if name.startswith(("2026/", "photo"))]
    assert names[:4] == ["2026/T32TT03", "2026/T32TQ04", "2026/T32TR05", "2026/T32TR01"]
    assert any("it ends too early" in text for text in read.texts("td"))
    assert any("has 1 (band_1)" in text for text in read.texts("td"))
    assert "1 of 4" in read.texts("td"), "windows of the partial scene"
    assert "The model gave values that are no numbers." in read.texts("td")
    assert "2,048 to 4,391" in read.texts("td")


def test_it_prints_with_its_map_and_what_is_folded_away(page: Path, browser: Browser) -> None:
    with browser.tab(page) as tab:
        pdf = tab.pdf()
        tab.paper()
        assert tab.box(".map-frame")[3] > 150
        assert tab.evaluate("getComputedStyle(document.querySelector('.map-frame .state-failed')).stroke") == (
            "rgb(201, 52, 28)"
        )
    assert len(re.findall(rb"/Type /Page\b", pdf)) >= 3
    assert pdf.count(b"/Subtype /Image") >= 6, "the thumbnails"


def test_it_is_readable_on_a_phone_and_by_night(page: Path, browser: Browser) -> None:
    with browser.tab(page, PHONE, dark=True) as tab:
        left, _, width, height = tab.box(".map-frame")
        assert left >= 0 and left + width <= PHONE[0] and height > 100
        labels = "[...document.querySelectorAll('.map-label')].map((e) => e.getBoundingClientRect())"
        sizes = tab.evaluate(f"{labels}.map((box) => box.height)")
        assert len(sizes) >= 4 and min(sizes) >= 10, "words of the map do not shrink with it"
        assert tab.evaluate("getComputedStyle(document.querySelector('.map-frame .state-done')).stroke") == (
            "rgb(74, 163, 224)"
        )


def test_every_part_can_be_reached_by_keyboard_and_has_a_name(page: Path, browser: Browser) -> None:
    """The map's links are for the mouse; the tables say the same."""
    controls = "[...document.querySelectorAll(':not(svg) > a, summary, [tabindex=\"0\"]')]"
    nameless = f"{controls}.filter((e) => e.tabIndex < 0 || !(e.ariaLabel || e.textContent.trim()))"
    with browser.tab(page) as tab:
        assert tab.evaluate(f"{nameless}.map((e) => e.outerHTML.slice(0, 80))") == []
        assert tab.evaluate("document.querySelector('.map-frame').ariaHidden") == "true"
        assert tab.evaluate("[...document.images].filter((e) => !e.alt).length") == 0


def test_names_and_reasons_that_would_do_harm_are_shown_as_they_are(written: Written, browser: Browser) -> None:
    odd = scene(HOSTILE)
    bad = replace(record(odd, "partial"), reason=HOSTILE)
    lost = replace(record(scene("b"), "failed"), reason=HOSTILE)
    model = replace(identity(), model=HOSTILE, software={HOSTILE: HOSTILE})
    path = written(make([odd, scene("b")], [bad, lost], identity=model, verification=[HOSTILE], hardware=HOSTILE))
    read = PageReader(path.read_text())
    assert len(read.attributes("script")) == 1 and "alert(" not in read.texts("script")[0]
    assert all(image["src"].startswith("data:image/") for image in read.attributes("img"))
    assert_works(browser, path)


def test_a_good_run_is_told_as_one(written: Written, browser: Browser) -> None:
    path = written(good_run())
    read = PageReader(path.read_text())
    assert "All 3 scenes are super-resolved." in read.texts("p")
    assert any(text.startswith("Good: Verified: every scene") for text in read.texts("li"))
    assert any(text.startswith("Good: No scene and no window failed") for text in read.texts("li"))
    assert "Windows that failed" not in read.texts("h2") and "Without a product" not in read.texts("caption")
    assert_works(browser, path)


@pytest.mark.parametrize(
    "kind", ["nothing planned", "nothing run", "all failed", "no places", "no pictures", "bicubic"]
)
def test_whatever_is_missing_is_told_or_left_out(kind: str, written: Written, browser: Browser) -> None:
    lost = [scene("a"), scene("b")]
    nowhere = scene("a", bounds=None)
    path = written(
        {
            "nothing planned": make([], [], verification=None, started_at="", ended_at="", hardware=""),
            "nothing run": make(lost, [], verification=None),
            "all failed": make(lost, [record(own, "failed") for own in lost]),
            "no places": make([nowhere], [record(nowhere)]),
            "no pictures": good_run(thumbnails=lambda found: b"no picture"),
            "bicubic": good_run(1, identity=identity("bicubic"), card=None, config=config(model="bicubic")),
        }[kind]
    )
    texts = PageReader(path.read_text()).texts("p") + PageReader(path.read_text()).texts("li")
    expected = {
        "nothing planned": "There was no scene to super-resolve.",
        "nothing run": "0 of 2 scenes are super-resolved; 2 wait.",
        "all failed": "0 of 2 scenes are super-resolved; 2 failed.",
        "no places": "Where they lie is unknown: no scene has a coordinate reference system.",
        "no pictures": "All 3 scenes are super-resolved.",
        "bicubic": "Note: Interpolated: products have more pixels than the scenes, and no more detail.",
    }
    assert expected[kind] in texts
    assert ("Pictures" in PageReader(path.read_text()).texts("h2")) == (kind in ("no places", "bicubic"))
    assert_works(browser, path)


def test_thousands_of_scenes_stay_a_page(written: Written) -> None:
    planned = [
        scene(f"s{number}", (number % 300 - 170.0, number // 300, number % 300 - 169.0, number // 300 + 1.0))
        for number in range(3000)
    ]
    records = [
        record(own, "failed" if number % 100 == 0 else "done", number=number) for number, own in enumerate(planned)
    ]
    path = written(make(planned, records))
    html = path.read_text()
    assert len(html) < 3_000_000
    assert "2,000 of 3,000 scenes are shown; all are in" in html
    ids = re.findall(r'<tr id="(scene-\d+)"', html)
    assert len(ids) == len(set(ids)) == 2000


def test_it_says_how_to_go_on_and_what_was_used(page: Path) -> None:
    read = PageReader(page.read_text())
    [commands] = [text for text in read.texts("pre") if "jobs/bulk.py" in text]
    assert "# go on where it stopped" in commands
    assert commands.count("python jobs/bulk.py input=s3://in/2026/ output=s3://out/sr") == 3
    assert "retry_failed=true" in commands and "verify_only=true" in commands
    told = dict(zip(read.texts("dt"), read.texts("dd"), strict=True))
    assert told["licence of the weights"].startswith("CC-BY-4.0") and told["licence"] == "proprietary"
    assert told["torch"] == "2.9.1" and told["hardware"] == "AMD EPYC, 2 cores, 24 GiB"
    assert told["learnt from"] == "900 images of s3://data/m.parquet (train)"
    assert told["errors within one error bar"] == "69.0%, where 68.3% should be"


def test_credentials_are_not_shown(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret-key")
    path = written(good_run(config=config(output="s3://out/very-secret-key/", input="https://me:word@host/in/")))
    html = path.read_text()
    assert "very-secret" not in html and "me:word" not in html


def test_few_thumbnails_are_read_of_many_products(written: Written) -> None:
    asked: list[str] = []
    planned = [scene(f"s{number:02d}") for number in range(40)]
    seams = {own.name: 1 + number / 1000 for number, own in enumerate(planned)}

    def read(found: SceneRecord) -> bytes | None:
        asked.append(found.name)
        return thumbnail(found)

    records = {own.name: record(own, seams=seams[own.name]) for own in planned}
    written(make(planned, records.values(), thumbnails=read, card=card()))
    assert asked[:3] == ["s39", "s38", "s37"] and asked[-1] == "s00" and len(asked) == 6
