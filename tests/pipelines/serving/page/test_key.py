"""Keys on the page: asked for, kept as long as the tab, and forgotten."""

from pathlib import Path

from rssr.service_keys import new_key
from tests.browser import Browser
from tests.pipelines.serving.page.conftest import Served
from tests.pipelines.serving.page.steps import await_models, super_resolve, text_of

IS_ASKED = "document.querySelector('#key-dialog').open"


def test_a_key_is_asked_for_and_kept_as_long_as_the_tab(browser: Browser, locked: Served, picture: Path) -> None:
    with browser.tab(f"{locked.uri}/") as tab:
        tab.wait_until(IS_ASKED)
        assert tab.evaluate("document.activeElement.id") == "key-input"
        assert "key" in text_of(tab, "#key-reason")
        tab.write(new_key())
        tab.press("Enter")
        tab.wait_until(f"{IS_ASKED} && document.querySelector('#key-reason').innerText.includes('not one of')")
        tab.write(locked.key)
        tab.press("Enter")
        await_models(tab)
        assert not tab.evaluate(IS_ASKED)
        super_resolve(tab, picture)
        tab.call("Page.reload")
        await_models(tab)
        assert not tab.evaluate(IS_ASKED), "it is kept"
        assert tab.evaluate("[localStorage.length, document.cookie, sessionStorage.length]") == [0, "", 1]
        tab.click("#key-forget")
        assert tab.evaluate("sessionStorage.length") == 0
        assert tab.evaluate("document.querySelector('#key-state').hidden")


def test_whoever_gives_no_key_is_told_and_may_try_again(browser: Browser, locked: Served) -> None:
    with browser.tab(f"{locked.uri}/") as tab:
        tab.wait_until(IS_ASKED)
        tab.press("Escape")
        tab.wait_until("document.querySelector('#image-problem').innerText.includes('No valid key')")
        tab.click("#image-problem button")
        tab.wait_until(IS_ASKED)
        tab.write(locked.key)
        tab.press("Enter")
        await_models(tab)
        assert text_of(tab, "#image-problem") == ""
