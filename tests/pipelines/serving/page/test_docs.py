"""The API's description as a page to read."""

from tests.browser import DESKTOP, PHONE, Browser
from tests.pipelines.serving.page.conftest import Served


def test_every_operation_is_described(browser: Browser, service: Served) -> None:
    described = service.ask("GET", "/openapi.json").document
    operations = [f"{method.upper()} {path}" for path, methods in described["paths"].items() for method in methods]
    with browser.tab(f"{service.uri}/docs") as tab:
        tab.wait_until("document.querySelectorAll('section').length > 0")
        assert tab.evaluate("[...document.querySelectorAll('section h2')].map((each) => each.innerText)") == operations
        text = tab.evaluate("document.querySelector('#post-v1-super-resolve').textContent")
        assert all(word in text for word in ("uncertainty", "scale", "seed", "image/tiff", "curl"))
        assert all(request.startswith(service.uri) for request in tab.requests)
        for size in (DESKTOP, PHONE):
            tab.resize(size)
            assert tab.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert tab.complaints == []


def test_a_key_is_asked_for(browser: Browser, locked: Served) -> None:
    with browser.tab(f"{locked.uri}/docs") as tab:
        tab.wait_until("document.querySelector('#key-dialog').open")
        tab.write(locked.key)
        tab.press("Enter")
        tab.wait_until("document.querySelectorAll('section').length > 0")
