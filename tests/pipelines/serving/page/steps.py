"""What people do on the page, step by step."""

import json
from pathlib import Path

from tests.browser import Tab

DONE = "!document.querySelector('#image-result').hidden"
FAILED = "document.querySelector('#image-problem').innerText !== ''"


def size_words(width: int, height: int) -> str:
    """A size as the page tells it."""
    return f"{width} \N{MULTIPLICATION SIGN} {height}"


def text_of(tab: Tab, selector: str) -> str:
    """What people read in the first such element."""
    return str(tab.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))


def await_models(tab: Tab) -> None:
    """Wait until there are models to choose from."""
    tab.wait_until("(document.querySelector('#image-model')?.value ?? '') !== ''")


def choose_option(tab: Tab, selector: str, value: str) -> None:
    """Choose in a list."""
    tab.evaluate(
        f"(() => {{ const list = document.querySelector({json.dumps(selector)}); list.value = {json.dumps(value)}; "
        "list.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )


def fill_in(tab: Tab, selector: str, text: str) -> None:
    """Write into a field instead of what it holds."""
    tab.evaluate(f"document.querySelector({json.dumps(selector)}).select()")
    tab.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
    tab.write(text)


def choose_image(tab: Tab, path: Path) -> None:
    """Choose a file and wait until it is looked at."""
    await_models(tab)
    tab.choose_files("#image-file", path)
    name = json.dumps(path.name)
    tab.wait_until(f"document.querySelector('#image-name').innerText.startsWith({name})")


def super_resolve(tab: Tab, path: Path, model: str = "bicubic", scale: str = "4") -> None:
    """Choose and send an image, and wait for what comes of it."""
    choose_image(tab, path)
    choose_option(tab, "#image-model", model)
    if not tab.evaluate("document.querySelector('#image-scale').readOnly"):
        fill_in(tab, "#image-scale", scale)
    tab.click("#image-send")
    tab.wait_until(f"({DONE} || {FAILED}) && !document.querySelector('#image-send').disabled")
