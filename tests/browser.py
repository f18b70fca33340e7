"""A real browser for pages: headless Chromium, spoken to over a pipe in its DevTools protocol."""

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import F_DUPFD_CLOEXEC, fcntl
from pathlib import Path
from typing import Any

import pytest

PHONE = (360, 740)
DESKTOP = (1280, 900)
HOW_TO_GET = "no Chromium here to look at pages with: apt-get install chromium"

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    *("--no-first-run", "--no-default-browser-check", "--remote-debugging-pipe"),
)
_PATIENCE_S = 120.0
_KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "ArrowDown": 40, "ArrowUp": 38, "Home": 36, "End": 35, "Tab": 9}
_KEYS |= {"Enter": 13, "Escape": 27, " ": 32, "+": 187, "-": 189, "0": 48}
_TEXTS = {"Enter": "\r", " ": " ", "+": "+", "-": "-", "0": "0"}  # of keys that write something
_SHIFT = 8
_Message = dict[str, Any]


class Browser:
    """Headless Chromium; use as a context, after which it is gone.

    Args:
        executable: The browser.
        profile: Folder for all that it writes.
    """

    def __init__(self, executable: str, profile: Path) -> None:
        theirs, self._to = (fcntl(end, F_DUPFD_CLOEXEC, 10) for end in os.pipe())  # 3 and 4 are what it listens to
        self._from, its = (fcntl(end, F_DUPFD_CLOEXEC, 10) for end in os.pipe())
        errors = os.open(profile / "stderr.txt", os.O_CREAT | os.O_WRONLY, 0o600)
        self._pid = os.posix_spawn(
            executable,
            [executable, *_OPTIONS, f"--user-data-dir={profile / 'profile'}", "about:blank"],
            {**os.environ, "HOME": str(profile)},
            file_actions=[(os.POSIX_SPAWN_DUP2, end, number) for end, number in ((errors, 2), (theirs, 3), (its, 4))],
            setpgroup=0,
        )
        for end in (theirs, its, errors):
            os.close(end)
        self._unread = b""
        self._last_id = 0
        self.events: dict[str, list[_Message]] = {}

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._to)
        os.close(self._from)

    def call(self, method: str, session: str = "", **parameters: object) -> _Message:
        """Ask for something and wait until it is done."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._last_id:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])
            self.events.setdefault(answer.get("sessionId", ""), []).append(answer)

    def wait_for(self, session: str, event: str, **parameters: object) -> _Message:
        """Wait until something has happened in a tab, with these parameters among its own, and give all of them."""
        while True:
            for message in self.events.get(session, []):
                if message.get("method") == event and parameters.items() <= message["params"].items():
                    return dict(message["params"])
            message = self._next()
            self.events.setdefault(message.get("sessionId", ""), []).append(message)

    def _next(self) -> _Message:
        deadline = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"the browser said nothing for {_PATIENCE_S:g} s"
            piece = os.read(self._from, 1 << 20)
            assert piece, "the browser ended"
            self._unread += piece
        message, _, self._unread = self._unread.partition(b"\0")
        return dict(json.loads(message))

    @contextmanager
    def tab(self, page: Path | str, size: tuple[int, int] = DESKTOP, *, dark: bool = False) -> Iterator["Tab"]:
        """Show a page until it has loaded, as somebody new to it: nothing is kept from other tabs.

        Args:
            page: Its file, or its address on a server.
            size: Of the window, CSS pixels; one as narrow as a phone's is one.
            dark: Whether its owner prefers dark pages.
        """
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session, context)
        try:
            for domain in ("Page", "Runtime", "Log", "Network"):
                tab.call(f"{domain}.enable")
            tab.resize(size)
            tab.call(
                "Emulation.setEmulatedMedia",
                features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
            )
            tab.call("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
            self.wait_for(session, "Page.loadEventFired")
            yield tab
        finally:
            self.call("Target.disposeBrowserContext", browserContextId=context)
            self.events.pop(session, None)


@dataclass
class Tab:
    """One page as it is shown.

    Attributes:
        browser: Which shows it.
        session: Its name to the browser.
        context: Name of what it alone keeps: cookies, storage, downloads.
    """

    browser: Browser
    session: str
    context: str

    def call(self, method: str, **parameters: object) -> _Message:
        """Ask the browser for something that concerns this page."""
        return self.browser.call(method, self.session, **parameters)

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    @property
    def complaints(self) -> list[str]:
        """Uncaught errors, errors and warnings on the console, and whatever the browser itself logs."""
        found = []
        for event in self.browser.events.get(self.session, []):
            said = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(str(said["exceptionDetails"]))
            if event.get("method") == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert"):
                found.append(str(said["args"]))
            if event.get("method") == "Log.entryAdded":
                found.append(str(said["entry"]["text"]))
        return found

    @property
    def requests(self) -> list[str]:
        """Addresses of everything that was asked for, but for what lies in the page itself or was made by it."""
        events = self.browser.events.get(self.session, [])
        asked = [event["params"]["request"] for event in events if event.get("method") == "Network.requestWillBeSent"]
        return [request["url"] for request in asked if not request["url"].startswith(("data:", "blob:"))]

    def resize(self, size: tuple[int, int]) -> None:
        """Give the window another size."""
        is_phone = size[0] <= PHONE[0]
        self.call(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=is_phone
        )

    def press(self, key: str, times: int = 1, *, has_shift: bool = False) -> None:
        """Press a key on whatever has the focus."""
        text = {"text": _TEXTS[key]} if key in _TEXTS else {}
        for _ in range(times):
            for kind, written in (("keyDown" if text else "rawKeyDown", text), ("keyUp", {})):
                self.call(
                    "Input.dispatchKeyEvent",
                    type=kind,
                    key=key,
                    code=key,
                    windowsVirtualKeyCode=_KEYS[key],
                    modifiers=_SHIFT if has_shift else 0,
                    **written,
                )

    def write(self, text: str) -> None:
        """Write into whatever has the focus."""
        self.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Press the mouse's left button in the middle of the first such element."""
        left, top, width, height = self.box(selector)
        assert width and height, f"{selector} is not seen"
        self.drag((left + width / 2, top + height / 2), (left + width / 2, top + height / 2))

    def turn_wheel(self, point: tuple[float, float], delta: float) -> None:
        """Turn the mouse's wheel at a point of the window; below 0 is away from oneself."""
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=point[0], y=point[1], deltaX=0, deltaY=delta)

    def choose_files(self, selector: str, *paths: Path) -> None:
        """Choose files of this machine in an input, as its dialog does."""
        found = self.call("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")
        self.call("DOM.setFileInputFiles", files=[str(path) for path in paths], objectId=found["result"]["objectId"])

    def wait_until(self, expression: str) -> None:
        """Wait until a JavaScript expression holds."""
        deadline = time.monotonic() + _PATIENCE_S
        while not self.evaluate(expression):
            assert time.monotonic() < deadline, f"it never came true: {expression}"
            time.sleep(0.02)

    def download(self, folder: Path, start: Callable[[], None]) -> Path:
        """The file that comes of what is done, once all of it is there."""
        self.browser.events.pop("", None)
        self.browser.call(
            "Browser.setDownloadBehavior",
            behavior="allow",
            browserContextId=self.context,
            downloadPath=str(folder),
            eventsEnabled=True,
        )
        start()
        begun = self.browser.wait_for("", "Browser.downloadWillBegin")
        self.browser.wait_for("", "Browser.downloadProgress", guid=begun["guid"], state="completed")
        return folder / str(begun["suggestedFilename"])

    def screenshot(self) -> bytes:
        """PNG of the window."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse's left button at one point of the window, and let it go at another."""
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        for kind, (x, y) in (
            ("mouseMoved", start),
            ("mousePressed", start),
            ("mouseMoved", middle),
            ("mouseMoved", end),
            ("mouseReleased", end),
        ):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, width and height of the first such element in the window, once it is scrolled into it."""
        left, top, width, height = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center', behavior: 'instant'}); "
            "const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()"
        )
        return left, top, width, height

    def paper(self) -> None:
        """Show the page as it is printed."""
        self.call("Emulation.setEmulatedMedia", media="print")

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=False, preferCSSPageSize=True)["data"])


def start_browser(folder: Path) -> Browser:
    """The browser of this machine; where there is none, the test that asks for it is left out."""
    found = next((path for path in map(shutil.which, _NAMES) if path), None)
    if found is None:
        pytest.skip(HOW_TO_GET)
    return Browser(found, folder)


def assert_works(browser: Browser, path: Path) -> None:
    """A page shows all of its pictures, asks nobody for anything, complains of nothing, and fits a phone."""
    with browser.tab(path) as tab:
        states = tab.evaluate("[...document.images].map((each) => [each.alt, each.complete && each.naturalWidth > 0])")
        assert [alt for alt, is_loaded in states if not is_loaded] == []
        assert tab.requests == [path.resolve().as_uri()]
        for size in (DESKTOP, PHONE):
            tab.resize(size)
            width = tab.evaluate("document.documentElement.scrollWidth")
            assert width <= size[0], f"the page is {width} pixels wide in a window of {size[0]}"
        assert tab.complaints == []
