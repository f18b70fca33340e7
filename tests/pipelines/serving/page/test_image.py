"""One image on the page: sent, shown beside its result, and downloaded."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.faults import Answer, Client, FaultProxy
from tests.pipelines.bulk.imagery import tif
from tests.pipelines.serving.page.conftest import MODEL, Served, Visit
from tests.pipelines.serving.page.steps import DONE, await_models, choose_image, size_words, super_resolve, text_of

SHOWN = """[...document.querySelectorAll('.picture')].map((each) => [
    each.alt ?? '',
    each.getAttribute('aria-label') ?? '',
    each.naturalWidth ?? each.width,
    each.naturalHeight ?? each.height,
])"""
LINK = "#image-downloads li:nth-child({}) a"


NOTE_STATUS = """(() => {
    window.said = [];
    const status = document.querySelector('#image-status');
    const note = () => window.said.push(status.innerText);
    new MutationObserver(note).observe(status, {childList: true, characterData: true, subtree: true});
})()"""


class Busy:
    """A service that has as much as it can take."""

    def answer(self, client: Client, forward: object) -> None:
        document = {"title": "The service is busy", "status": 503, "detail": "All replicas are at work."}
        body = json.dumps(document).encode()
        headers = (("Content-Type", "application/problem+json"), ("Retry-After", "1"))
        client.send(Answer(503, headers, body, len(body)))


def test_an_image_and_its_result_lie_over_one_another(visit: Visit, service: Served, picture: Path) -> None:
    with visit() as tab:
        super_resolve(tab, picture)
        assert sorted(tab.evaluate(SHOWN)) == [
            [f"LR {size_words(64, 48)}", "", 64, 48],
            [f"SR {size_words(256, 192)}", "", 256, 192],
        ]
        boxes = tab.evaluate(
            "[...document.querySelectorAll('.picture')].map((each) => JSON.stringify(each.getBoundingClientRect()))"
        )
        assert boxes[0] == boxes[1]
        assert text_of(tab, "#image-status").startswith("Done in")
        assert "interpolated" in text_of(tab, "#image-facts")
        assert tab.complaints == []
        assert all(request.startswith(service.uri) for request in tab.requests)


@pytest.mark.parametrize("wanted", ["", "png", "jpeg", "tiff"])
def test_what_is_downloaded_is_what_the_service_answers(
    visit: Visit, service: Served, picture: Path, tmp_path: Path, wanted: str
) -> None:
    form = f"&format={wanted}" if wanted else ""
    answer = service.ask("POST", f"/v1/super-resolve?model=bicubic&scale=4{form}", picture.read_bytes())
    assert answer.status == 200
    with visit() as tab:
        await_models(tab)
        tab.evaluate(f"document.querySelector('#image-format').value = '{wanted}'")
        super_resolve(tab, picture)
        assert len(tab.evaluate(SHOWN)) == 2, "browsers show no TIFF, but this page does"
        path = tab.download(tmp_path, lambda: tab.click(LINK.format(1)))
        ending = {"": "png", "png": "png", "jpeg": "jpg", "tiff": "tif"}[wanted]
        assert path.name == f"suburb_x4.{ending}"
        assert path.read_bytes() == answer.body


def test_a_geotiff_of_16_bits_is_shown_and_comes_back_whole(visit: Visit, service: Served, tmp_path: Path) -> None:
    source = tmp_path / "scene.tif"
    source.write_bytes(tif(size=(40, 28), dtype="uint16", nodata=0))
    with visit() as tab:
        super_resolve(tab, source, scale="2")
        shown = tab.evaluate(SHOWN)
        assert sorted(each[1] for each in shown) == [f"LR {size_words(28, 40)}", f"SR {size_words(56, 80)}"]
        assert "stretched alike" in text_of(tab, "#viewer-caption")
        colours = tab.evaluate(
            "new Set(document.querySelector('.layer-after canvas').getContext('2d')"
            ".getImageData(0, 0, 56, 80).data).size"
        )
        assert colours > 100, "a picture, not an empty canvas"
        path = tab.download(tmp_path, lambda: tab.click(LINK.format(1)))
        assert path.name == "scene_x2.tif"
        answer = service.ask("POST", "/v1/super-resolve?model=bicubic&scale=2", source.read_bytes())
        assert path.read_bytes() == answer.body
        assert tab.complaints == []


def test_uncertainty_lies_over_the_result_with_its_scale_and_unit(
    visit: Visit, service: Served, picture: Path, tmp_path: Path
) -> None:
    asked = f"/v1/super-resolve?model={MODEL}&scale=2&uncertainty=true"
    answer = service.ask("POST", asked, picture.read_bytes())
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    about = json.loads(members["about.json"])
    with visit() as tab:
        choose_image(tab, picture)
        tab.evaluate("document.querySelector('#image-uncertainty').checked = true")
        super_resolve(tab, picture, MODEL, "2")
        words = text_of(tab, "#overlay-scale")
        assert about["unit"] in words and words.count("±") == 2
        overlay = "document.querySelector('.layer-after .overlay')"
        assert tab.evaluate(f"[{overlay}.naturalWidth, {overlay}.naturalHeight]") == [128, 96]
        assert tab.evaluate(f"getComputedStyle({overlay}).opacity") == "0.7"
        tab.evaluate("document.querySelector('#overlay-opacity').focus()")
        tab.press("Home")
        assert tab.evaluate(f"getComputedStyle({overlay}).opacity") == "0"
        tab.click("#overlay-shown")
        assert tab.evaluate(f"getComputedStyle({overlay}).visibility") == "hidden"
        names = ("suburb_x2.png", "suburb_x2_uncertainty.tif", "suburb_x2.zip")
        for number, (name, data) in enumerate(
            zip(names, (members["sr.png"], members["uncertainty.tif"], answer.body), strict=True), start=1
        ):
            path = tab.download(tmp_path, lambda number=number: tab.click(LINK.format(number)))
            assert (path.name, path.read_bytes()) == (name, data)
        assert "generated, not measured" in text_of(tab, "#image-facts")
        assert tab.complaints == []


def test_the_colours_of_the_scale_are_those_of_the_picture(visit: Visit) -> None:
    from pipelines.serving.models.uncertainty import _COLOURS

    with visit() as tab:
        style = tab.evaluate("getComputedStyle(document.querySelector('.scale-bar.uncertain')).backgroundImage")
    assert (
        style == f"linear-gradient(to right, {', '.join('rgb({:.0f}, {:.0f}, {:.0f})'.format(*c) for c in _COLOURS)})"
    )


def test_a_failure_says_what_is_wrong_and_what_to_do(visit: Visit, service: Served, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    problem = service.ask("POST", "/v1/super-resolve?model=bicubic&scale=4", damaged.read_bytes()).document
    with visit() as tab:
        super_resolve(tab, damaged)
        said = text_of(tab, "#image-problem")
        assert all(problem[part] in said for part in ("title", "detail", "remedy"))
        asked = next(url for url in reversed(tab.requests) if "/v1/super-resolve" in url)
        assert asked and "Request " in said
        assert "cannot show this file" in text_of(tab, "#image-note")
        assert tab.evaluate("document.querySelector('#image-problem').getAttribute('role')") == "alert"
        assert tab.evaluate("document.querySelector('#image-send').disabled") is False


def test_a_busy_service_is_waited_for_and_asked_again(visit: Visit, troubled: FaultProxy, picture: Path) -> None:
    troubled.inject(Busy(), "/v1/super-resolve", method="POST", times=2)
    with visit(str(troubled.settings.endpoint_url)) as tab:
        choose_image(tab, picture)
        tab.evaluate(NOTE_STATUS)
        tab.click("#image-send")
        tab.wait_until(DONE)
        said = tab.evaluate("window.said")
        assert "The service is busy: try 2 in 1 s." in said and "The service is busy: try 3 in 1 s." in said
    assert len(troubled.asked("/v1/super-resolve", "POST")) == 3


def test_a_service_that_stays_busy_is_given_up(visit: Visit, troubled: FaultProxy, picture: Path) -> None:
    troubled.inject(Busy(), "/v1/super-resolve", method="POST", times=None)
    with visit(str(troubled.settings.endpoint_url)) as tab:
        super_resolve(tab, picture)
        assert "All replicas are at work." in text_of(tab, "#image-problem")
    assert len(troubled.asked("/v1/super-resolve", "POST")) == 6


def test_waiting_can_be_stopped(visit: Visit, troubled: FaultProxy, picture: Path) -> None:
    troubled.inject(Busy(), "/v1/super-resolve", method="POST", times=None)
    with visit(str(troubled.settings.endpoint_url)) as tab:
        choose_image(tab, picture)
        tab.click("#image-send")
        tab.wait_until("document.querySelector('#image-status').innerText.includes('busy')")
        tab.click("#image-stop")
        tab.wait_until("document.querySelector('#image-status').innerText === 'Stopped.'")
        assert text_of(tab, "#image-problem") == ""
        assert tab.evaluate("document.querySelector('#image-send').disabled") is False


def test_an_image_may_be_dropped_anywhere(visit: Visit, picture: Path) -> None:
    with visit() as tab:
        await_models(tab)
        data = {"items": [], "files": [str(picture)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            tab.call("Input.dispatchDragEvent", type=kind, x=900, y=500, data=data)
        tab.wait_until("document.querySelectorAll('.picture').length === 1")
        tab.click("#image-send")
        tab.wait_until(DONE)
        assert tab.complaints == []


def test_another_image_takes_the_place_of_the_first(visit: Visit, picture: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.tif"
    other.write_bytes(tif(size=(10, 30)))
    with visit() as tab:
        super_resolve(tab, picture)
        choose_image(tab, other)
        tab.wait_until(
            f"document.querySelector('.picture')?.getAttribute('aria-label') === 'other.tif, {size_words(30, 10)}'"
        )
        assert len(tab.evaluate(SHOWN)) == 1
        assert tab.evaluate("document.querySelector('#image-result').hidden")


def test_what_is_transparent_stays_so(visit: Visit, tmp_path: Path) -> None:
    """A hole shows the page, not the other picture."""
    import rasterio

    source = tmp_path / "hole.tif"
    source.write_bytes(tif(size=(16, 16), nodata=0))
    with rasterio.open(source, "r+") as dataset:
        pixels = dataset.read()
        pixels[:, :8] = 0
        dataset.write(pixels)
    with visit() as tab:
        super_resolve(tab, source)
        alpha = tab.evaluate(
            "[...document.querySelectorAll('.picture')].map((each) => { const x = each.getContext('2d'); "
            "return [x.getImageData(2, 2, 1, 1).data[3], x.getImageData(2, each.height - 2, 1, 1).data[3]]; })"
        )
        assert np.array_equal(alpha, [[0, 255], [0, 255]])
