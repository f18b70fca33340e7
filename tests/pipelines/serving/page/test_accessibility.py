"""Whoever cannot see the page, or uses no mouse, on all of it."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.browser import DESKTOP, PHONE, Tab
from tests.pipelines.serving.page.conftest import MODEL, Visit
from tests.pipelines.serving.page.steps import DONE, await_models, choose_image, size_words, super_resolve, text_of

CONTROLS = {"button", "link", "textbox", "spinbutton", "combobox", "checkbox", "radio", "slider", "progressbar"}
CONTROLS |= {"application", "dialog", "image", "list", "group"}
FOCUSED = "document.activeElement.id || document.activeElement.innerText"
HAS_OUTLINE = """(() => {
    const seen = (e, pseudo) => getComputedStyle(e, pseudo).outlineStyle !== 'none';
    const focused = document.activeElement;
    if (focused.id === 'divider') return seen(document.querySelector('#divider-handle'), '::after');
    return seen(focused) || seen(focused.closest('.drop') ?? focused);
})()"""
# Text and what is behind it, as custom properties of the style sheet; large parts such as borders need 3.
PAIRS = [
    *(("--ink", paper, 4.5) for paper in ("--paper", "--raised")),
    *(("--muted", paper, 4.5) for paper in ("--paper", "--raised")),
    *(("--accent", paper, 4.5) for paper in ("--paper", "--raised")),
    *(("--warning", paper, 4.5) for paper in ("--paper", "--raised")),
    ("--paper", "--accent", 4.5),
    *((f"--state-{state}", "--paper", 1.0) for state in ("done", "failed")),
]


def named(tab: Tab) -> list[tuple[str, str]]:
    """Roles and names of all controls, as screen readers are told them."""
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    found = []
    for node in nodes:
        role = _value(node, "role").lower()
        if not node.get("ignored") and role in CONTROLS:
            found.append((role, _value(node, "name")))
    return found


def _value(node: dict[str, Any], part: str) -> str:
    return str(node.get(part, {}).get("value", ""))


def test_every_control_has_a_name(visit: Visit, picture: Path) -> None:
    with visit() as tab:
        choose_image(tab, picture)
        tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        tab.evaluate("document.querySelector('#image-uncertainty').checked = true")
        super_resolve(tab, picture, MODEL, "2")
        controls = named(tab)
        assert [role for role, name in controls if not name.strip() and role not in ("list", "group")] == []
        roles = {role for role, _ in controls}
        assert {"button", "slider", "combobox", "spinbutton", "checkbox", "radio", "textbox", "application"} <= roles
        assert ("slider", f"Divider between LR {size_words(64, 48)} and SR {size_words(128, 96)}") in controls
        assert tab.evaluate("[document.documentElement.lang, document.querySelectorAll('h1').length]") == ["en", 1]
        levels = tab.evaluate("[...document.querySelectorAll('main h2, main h3')].map((each) => +each.tagName[1])")
        assert levels[0] == 2 and all(after - before <= 1 for before, after in pairwise(levels))
        lives = tab.evaluate("[...document.querySelectorAll('[role=status], [role=alert]')].map((each) => each.id)")
        assert {"image-status", "image-problem", "archive-status", "archive-news"} <= set(lives)


def test_all_of_it_works_with_the_keyboard_alone(visit: Visit, picture: Path, tmp_path: Path) -> None:
    with visit() as tab:
        await_models(tab)
        visited = _walk(tab, "image-file")
        assert visited[0].startswith("Skip to")
        tab.choose_files("#image-file", picture)  # the dialog that Enter opens belongs to the browser
        tab.wait_until("document.querySelectorAll('.picture').length === 1")
        _walk(tab, "image-send")
        tab.press("Enter")
        tab.wait_until(DONE)
        tab.evaluate("document.querySelector('#image-send').focus()")  # it was disabled meanwhile
        _walk(tab, "stage")
        tab.press("+", times=2)
        assert text_of(tab, "#zoom-level") != "100 %"
        _walk(tab, "divider")
        tab.press("ArrowLeft", times=5)
        assert tab.evaluate("document.activeElement.getAttribute('aria-valuetext')").startswith("40 %")
        _walk(tab, "squares")
        tab.press(" ")
        assert tab.evaluate("document.querySelector('#stage').classList.contains('squares')")
        tab.press("Tab")
        assert tab.evaluate(FOCUSED).startswith("Download PNG")
        path = tab.download(tmp_path, lambda: tab.press("Enter"))
        assert path.read_bytes().startswith(b"\x89PNG")
        _walk(tab, "archive-by-address")
        tab.press("ArrowRight")
        assert tab.evaluate(FOCUSED) == "archive-by-upload"
        _walk(tab, "archive-send")


def _walk(tab: Tab, target: str) -> list[str]:
    """Press Tab until something has the focus; everything on the way shows that it has it."""
    visited = []
    for _ in range(40):
        tab.press("Tab")
        visited.append(tab.evaluate(FOCUSED))
        assert tab.evaluate(HAS_OUTLINE), f"{visited[-1]} does not show that it has the focus"
        if visited[-1] == target:
            return visited
    raise AssertionError(f"{target} is not reached by Tab: {visited}")


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out(visit: Visit, dark: bool) -> None:
    with visit(dark=dark) as tab:
        for front, back, least in PAIRS:
            colours = tab.evaluate(
                f"['{front}', '{back}'].map((name) => getComputedStyle(document.body).getPropertyValue(name))"
            )
            assert _contrast(*colours) >= least, f"{front} on {back}"
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == _css(
            tab.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--paper')")
        )


def _contrast(front: str, back: str) -> float:
    """As in WCAG 2.2, 1.4.3."""
    lighter, darker = sorted((_luminance(front), _luminance(back)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    shares = [channel / 255 for channel in _channels(colour)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(colour: str) -> list[int]:
    digits = colour.strip().removeprefix("#")
    digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    return [int(digits[i : i + 2], 16) for i in (0, 2, 4)]


def _css(colour: str) -> str:
    return f"rgb({', '.join(map(str, _channels(colour)))})"


def test_it_fits_a_phone_with_all_that_it_shows(visit: Visit, picture: Path) -> None:
    with visit(size=PHONE) as tab:
        choose_image(tab, picture)
        tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        tab.evaluate("document.querySelector('#image-uncertainty').checked = true")
        super_resolve(tab, picture, MODEL, "2")
        for size in (PHONE, (600, 800), DESKTOP):
            tab.resize(size)
            assert tab.evaluate("document.documentElement.scrollWidth") <= size[0]
        tab.resize(PHONE)
        small = tab.evaluate(
            "[...document.querySelectorAll('button, select, summary, .button')].filter((e) => e.checkVisibility())"
            ".map((e) => [e.id || e.innerText, e.getBoundingClientRect().height]).filter(([, height]) => height < 24)"
        )
        assert small == [], "fingers need room (WCAG 2.2, 2.5.8)"


def test_nothing_moves_for_whoever_wants_that(visit: Visit) -> None:
    with visit() as tab:
        tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
        moving = tab.evaluate(
            "[...document.querySelectorAll('*')].filter((e) => { const s = getComputedStyle(e); "
            "return s.transitionDuration !== '0s' || s.animationName !== 'none'; }).length"
        )
        assert moving == 0
        assert tab.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_without_scripts_the_page_says_that_it_needs_them(visit: Visit) -> None:
    with visit() as tab:
        tab.call("Emulation.setScriptExecutionDisabled", value=True)
        tab.browser.events[tab.session].clear()
        tab.call("Page.reload")
        tab.browser.wait_for(tab.session, "Page.loadEventFired")
        names = [_value(node, "name") for node in tab.call("Accessibility.getFullAXTree")["nodes"]]
    assert any("needs JavaScript" in name for name in names)
