"""Archives on the page: submitted, watched until they end, and their products fetched."""

import zipfile
from pathlib import Path

import pytest

from tests.browser import PHONE, Browser, Tab
from tests.pipelines.bulk.imagery import png, tif
from tests.pipelines.serving.page.conftest import Served, Visit
from tests.pipelines.serving.page.steps import await_models, choose_option, fill_in, text_of

STATE = "document.querySelector('.archive .state')?.innerText"
ENDED = f"{STATE}?.startsWith('completed')"


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    """A zip of two images and one that cannot be read."""
    path = tmp_path / "two scenes.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.tif", tif(size=(24, 20)))
        archive.writestr("b.png", png((24, 20)))
        archive.writestr("broken.png", b"\x89PNG\r\n\x1a\n" + bytes(40))
    return path


def submit(tab: Tab) -> str:
    """Send the form; returns the id of the archive that comes of it."""
    tab.evaluate("document.querySelector('#archive-send').focus()")
    tab.press("Enter")
    said = "['archive-status', 'archive-problem'].map((id) => document.getElementById(id).innerText)"
    tab.wait_until(f"{said}.join('').startsWith('Submitted.') || {said}[1] !== ''")
    assert text_of(tab, "#archive-problem") == ""
    return str(tab.evaluate("document.querySelector('.archive').dataset.id"))


def choose_upload(tab: Tab, path: Path) -> None:
    await_models(tab)
    tab.click("#archive-by-upload")
    tab.choose_files("#archive-file", path)
    choose_option(tab, "#archive-model", "bicubic")
    fill_in(tab, "#archive-scale", "2")


def test_an_upload_is_watched_until_it_ends_and_its_products_are_fetched(
    visit: Visit, service: Served, sent: Path, tmp_path: Path
) -> None:
    with visit() as tab:
        choose_upload(tab, sent)
        found = submit(tab)
        tab.wait_until(ENDED)
        assert tab.evaluate(STATE) == "completed, with failures"
        assert text_of(tab, ".archive .share") == "100 %"
        line = text_of(tab, ".archive > .caption")
        assert "3 scenes" in line and "2 done" in line
        assert "completed" in text_of(tab, "#archive-news"), "it is read out"
        tab.evaluate("document.querySelector('.archive details').open = true")
        tab.wait_until("document.querySelectorAll('.items .item-name').length === 3")
        items = service.ask("GET", f"/v1/archives/{found}/items").document["items"]
        told = text_of(tab, ".items")
        assert all(item["name"] in told and (item["reason"] or "") in told for item in items)
        (file,) = [file for item in items for file in item["files"] if file["name"].endswith("a.tif")]
        path = tab.download(tmp_path, lambda: tab.click(f".files a[href='{file['href']}']"))
        assert path.read_bytes() == service.ask("GET", file["href"]).body
        assert tab.complaints == []
        assert all(request.startswith(service.uri) for request in tab.requests)


def test_places_are_named_by_address(visit: Visit, folder: Path) -> None:
    (folder / "in" / "one").mkdir()
    (folder / "in" / "one" / "scene.tif").write_bytes(tif(size=(24, 20)))
    output = folder / "out" / "one"
    with visit() as tab:
        await_models(tab)
        tab.evaluate("document.querySelector('#archive-input').focus()")
        tab.write(f"{folder}/in/one\n")
        fill_in(tab, "#archive-output", str(output))
        fill_in(tab, "#archive-scale", "2")
        submit(tab)
        tab.wait_until(ENDED)
        assert tab.evaluate(STATE) == "completed"
        tab.evaluate("document.querySelector('.archive details').open = true")
        tab.wait_until("document.querySelector('.items')?.innerText.includes('scene')")
        tab.resize(PHONE)
        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE[0], "long addresses are broken"
    assert [path.name for path in output.rglob("scene*.tif")]


def test_a_place_that_may_not_be_used_is_refused_in_plain_words(visit: Visit) -> None:
    with visit() as tab:
        await_models(tab)
        tab.evaluate("document.querySelector('#archive-input').focus()")
        tab.write("/etc")
        fill_in(tab, "#archive-output", "/tmp/elsewhere")
        tab.click("#archive-send")
        tab.wait_until("document.querySelector('#archive-problem').innerText !== ''")
        assert "This place may not be used" in text_of(tab, "#archive-problem")


def test_an_archive_is_cancelled_once_that_is_confirmed(visit: Visit, service: Served, tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(60):
            archive.writestr(f"{number}.tif", tif(size=(256, 256)))
    with visit() as tab:
        choose_upload(tab, path)
        fill_in(tab, "#archive-scale", "8")
        found = submit(tab)
        tab.evaluate("document.querySelector('.archive .actions button').focus()")
        tab.press("Enter")
        assert tab.evaluate("document.querySelector('#sure-dialog').open")
        assert tab.evaluate("document.activeElement.id") == "sure-no", "nothing is lost by Enter"
        tab.press("Escape")
        assert service.ask("GET", f"/v1/archives/{found}").document["state"] in ("queued", "running")
        tab.evaluate("document.querySelector('.archive .actions button').focus()")
        tab.press("Enter")
        tab.click("#sure-yes")
        tab.wait_until(f"{STATE} === 'cancelled'")
        assert tab.complaints == []


def test_earlier_archives_and_the_report_are_there_for_whoever_comes_later(
    browser: Browser, locked: Served, sent: Path, tmp_path: Path
) -> None:
    """With a key of one's own, which no link carries, the report is saved as a file."""
    with browser.tab(f"{locked.uri}/") as tab:
        tab.wait_until("document.querySelector('#key-dialog').open")
        tab.write(locked.key)
        tab.press("Enter")
        choose_upload(tab, sent)
        found = submit(tab)
        tab.wait_until(ENDED)
        tab.call("Page.reload")
        tab.wait_until(f"document.querySelector('.archive')?.dataset.id === '{found}'")
        path = tab.download(tmp_path, lambda: tab.click(".archive .actions a"))
        assert path.read_bytes() == locked.ask("GET", f"/v1/archives/{found}/report").body
        tab.evaluate("document.querySelector('.archive details').open = true")
        tab.wait_until("document.querySelectorAll('.files a').length > 0")
        href = tab.evaluate("document.querySelector('.files a').getAttribute('href')")
        path = tab.download(tmp_path, lambda: tab.click(".files a"))
        assert path.read_bytes() == locked.ask("GET", href).body


def test_a_submission_is_one_archive_however_often_it_is_sent(visit: Visit, service: Served, sent: Path) -> None:
    """Each submission has a key of its own, so that a try that is repeated makes no second archive."""
    keys = []
    with visit() as tab:
        for _ in range(2):
            choose_upload(tab, sent)
            submit(tab)
        events = tab.browser.events[tab.session]
        for event in events:
            request = event["params"].get("request", {}) if event["method"] == "Network.requestWillBeSent" else {}
            if request.get("method") == "POST" and request["url"].endswith("/v1/archives"):
                keys.append(request["headers"]["Idempotency-Key"])
    assert len(keys) == len(set(keys)) == 2
    assert all(len(key) == 32 for key in keys)
