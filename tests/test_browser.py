"""What is said of pages can be wrong, and is found."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser import Browser, assert_works

PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs="


@pytest.fixture
def page(tmp_path: Path) -> Callable[[str], Path]:
    def write(body: str) -> Path:
        path = tmp_path / "page.html"
        path.write_text(f'<!doctype html><meta name="viewport" content="width=device-width"><title>t</title>{body}')
        return path

    return write


def test_a_sound_page_works(browser: Browser, page: Callable[[str], Path]) -> None:
    assert_works(browser, page(f'<p>Text</p><img alt="a" src="{PIXEL}">'))


@pytest.mark.parametrize(
    "body",
    [
        "<script>throw new Error('no')</script>",
        "<script>console.error('no')</script>",
        '<img alt="a" src="data:image/png;base64,AAAA">',
        '<img alt="a" src="missing.png">',
        "<script>fetch('http://127.0.0.1:9/x').catch(() => {})</script>",
        '<div style="width: 500px">wide</div>',
    ],
)
def test_a_page_with_a_fault_does_not(browser: Browser, page: Callable[[str], Path], body: str) -> None:
    with pytest.raises(AssertionError):
        assert_works(browser, page(body))
