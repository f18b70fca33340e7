"""The page's reader of zip archives agrees with Python's."""

import base64
import io
import zipfile

from tests.browser import Browser
from tests.pipelines.serving.page.conftest import Served

READ = """(async () => {
    const {readZip} = await import('/page/zip.js');
    const bytes = Uint8Array.from(atob('%s'), (each) => each.charCodeAt(0));
    try {
        return [...readZip(bytes.buffer)].map(([name, data]) => [name, [...data]]);
    } catch (error) {
        return error.message;
    }
})()"""


def test_members_are_those_that_were_stored(browser: Browser, service: Served) -> None:
    members = {"sr.png": b"\x89PNG", "empty": b"", "über/about.json": b'{"low": 1}'}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.comment = b"about it"
    with browser.tab(f"{service.uri}/docs") as tab:
        found = tab.evaluate(READ % base64.b64encode(buffer.getvalue()).decode())
        assert {name: bytes(data) for name, data in found} == members
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("sr.png", bytes(100))
        assert tab.evaluate(READ % base64.b64encode(packed.getvalue()).decode()) == "a compressed member"
        assert tab.evaluate(READ % base64.b64encode(b"no zip at all" * 5).decode()) == "no zip"
