"""The gallery shows what a network will see, and says how it was made."""

import base64
import hashlib
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.ingest import IngestConfig, run_ingest
from rssr.degradation import DegradationConfig, degrade
from rssr.seeds import derive_seed
from tests.browser import Browser, assert_works
from tests.pipelines.ingest.conftest import picture, write_image

Configure = Callable[..., IngestConfig]


class Pictures(HTMLParser):
    """Pictures of a page with what stands under them, and everything that leads elsewhere."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.captions: list[str] = []
        self.headings: list[str] = []
        self._tag = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        if tag == "img":
            self.sources.append(str(dict(attrs)["src"]))
        assert tag != "iframe"
        assert not [value for name, value in attrs if name in ("src", "href") and value and value.startswith("http")]

    def handle_data(self, data: str) -> None:
        if self._tag == "figcaption" and data.strip():
            self.captions.append(data.strip())
        if self._tag == "h2" and data.strip():
            self.headings.append(data.strip())


def pixels_of(source: str) -> np.ndarray:
    kind, _, data = source.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def gallery(folder: Path) -> Pictures:
    return Pictures((folder / "gallery.html").read_text())


def test_each_class_shows_pairs_with_their_draws(configure: Configure, tmp_path: Path) -> None:
    run_ingest(configure(gallery=True, scale=2, gallery_settings={"images_per_class": 2, "size": 32}))
    page = gallery(tmp_path / "shards")
    assert page.headings[:3] == ["farm", "harbour", "river"]
    assert len(page.sources) == len(page.captions) == 2 * 2 * 3
    for hr, lr, hr_caption, lr_caption in zip(
        page.sources[::2], page.sources[1::2], page.captions[::2], page.captions[1::2], strict=True
    ):
        assert pixels_of(hr).shape == (32, 32, 3)
        assert pixels_of(lr).shape == (16, 16, 3)
        assert hr_caption == "HR"
        assert re.match(r"LR x2: .*(gaussian|poisson)", lr_caption)
    text = (tmp_path / "shards" / "gallery.html").read_text()
    assert len(re.findall(r", 64 by \d+ pixels, of which the middle 32 by 32", text)) >= 2 * 3


def test_the_pairs_are_those_of_the_degradation(configure: Configure, tmp_path: Path, raw: Path) -> None:
    run_ingest(configure(gallery=True, scale=4, seed=5, gallery_settings={"images_per_class": 9, "size": 4000}))
    page = gallery(tmp_path / "shards")
    config = DegradationConfig.model_validate("slimdiffsr")
    digest = hashlib.sha256((raw / "harbour" / "1.png").read_bytes()).hexdigest()
    hr = np.asarray(Image.open(raw / "harbour" / "1.png"))
    lr = degrade(hr, 4, config, derive_seed(5, "gallery degradation", digest))
    shown = [pixels_of(source) for source in page.sources]
    place = next(number for number, pixels in enumerate(shown) if np.array_equal(pixels, hr))
    assert np.array_equal(shown[place + 1], lr)


def test_it_is_made_once_for_the_same_question(configure: Configure, tmp_path: Path) -> None:
    run_ingest(configure(gallery=True))
    path = tmp_path / "shards" / "gallery.html"
    first = path.stat().st_mtime_ns
    run_ingest(configure(gallery=True))
    assert path.stat().st_mtime_ns == first
    run_ingest(configure(gallery=True, degradation="bicubic"))
    assert "bicubic, antialiased" in path.read_text()


def test_names_are_escaped_and_images_too_small_are_left_out(configure: Configure, tmp_path: Path, raw: Path) -> None:
    write_image(raw / "<script>alert(1)<" / "a&b.png", picture("odd"))
    write_image(raw / "river" / "speck.png", picture("speck", height=5, width=5))
    run_ingest(configure(gallery=True, gallery_settings={"images_per_class": 99}))
    text = (tmp_path / "shards" / "gallery.html").read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;" in text
    assert "speck" not in text


def test_near_duplicates_are_shown_side_by_side(configure: Configure, tmp_path: Path, raw: Path) -> None:
    pixels = picture("twin", height=100, width=100)
    write_image(raw / "farm" / "twin.png", pixels)
    write_image(raw / "farm" / "twin.jpg", np.ascontiguousarray(pixels[:, ::-1]))
    run_ingest(configure(gallery=True))
    page = gallery(tmp_path / "shards")
    assert page.headings[-1] == "Near-duplicates"
    assert page.captions[-2:] == ["farm/twin.jpg", "farm/twin.png"]


def test_the_gallery_works_in_a_browser(configure: Configure, tmp_path: Path, browser: Browser) -> None:
    run_ingest(configure(gallery=True, scale=2, gallery_settings={"images_per_class": 2, "size": 32}))
    assert_works(browser, tmp_path / "shards" / "gallery.html")
