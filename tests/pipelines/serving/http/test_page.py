"""The page's files over HTTP."""

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from pipelines.serving.http.errors import install_errors
from pipelines.serving.http.guard import Guard
from pipelines.serving.http.page import CONTENT_POLICY, page_files, page_routes
from pipelines.serving.security.config import LimitsConfig
from pipelines.serving.security.keys import Keys
from rssr.service_keys import key_line, new_key
from tests.page_reader import PageReader
from tests.pipelines.serving.http.live import Live, live

MOST_BYTES = 100_000
LATER = ("docs.html", "docs.js", "tiff.js", "zstd.js")  # only where the API is read, or a TIFF is shown


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    """The routes behind the guard, which asks for keys."""
    app = FastAPI(docs_url=None, redoc_url=None)
    app.include_router(page_routes())
    install_errors(app)
    with live(Guard(app, Keys(lines=key_line("anna", new_key())), LimitsConfig())) as server:
        yield server


@pytest.mark.parametrize("path", ["/", "/docs", *(f"/page/{name}" for name in page_files())])
def test_files_are_kept_by_browsers_and_asked_for_again(server: Live, path: str) -> None:
    answer = server.ask("GET", path)
    assert answer.status == 200 and answer.body
    assert answer.headers["content-security-policy"] == CONTENT_POLICY
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-cache", "nosniff")
    kinds = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
    ending = path.rpartition(".")[2] if "." in path else "html"
    assert answer.headers["content-type"] == f"{kinds[ending]}; charset=utf-8"
    tag = answer.headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        again = server.ask("GET", path, if_none_match=known)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert server.ask("GET", path, if_none_match='"other"').status == 200
    head = server.ask("HEAD", path)
    assert (head.status, head.body, head.headers["etag"]) == (200, b"", tag)


@pytest.mark.parametrize("path", ["/page/none.js", "/page/..%2Fconfig.py", "/page/", "/page/../config.py"])
def test_nothing_else_is_given_away(server: Live, path: str) -> None:
    answer = server.ask("GET", path)
    assert answer.slug == "not-found"


def test_scripts_and_styles_are_files_of_their_own() -> None:
    """Nothing in the page that its own policy would refuse, and nothing from elsewhere."""
    for name, file in page_files().items():
        text = file.body.decode()
        addresses = re.findall(r"https?://[^\s\"'`)]+", text)
        assert addresses == [], name
        if not name.endswith(".html"):
            continue
        page = PageReader(text)
        assert all("src" in script for script in page.attributes("script"))
        assert page.attributes("style") == []
        named = {key for _, attributes, _ in page.elements for key in attributes}
        assert not any(key == "style" or key.startswith("on") for key in named)
        told = [each.get("src") or each["href"] for tag in ("script", "link", "img") for each in page.attributes(tag)]
        assert all(address.startswith(("/page/", "data:,")) for address in told)
        ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))


def test_scripts_make_no_markup_of_texts() -> None:
    """What the service or a file says is shown as text."""
    for name, file in page_files().items():
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", file.body.decode()
        ), name


def test_scripts_look_for_nothing_that_is_not_in_the_page() -> None:
    files = page_files()
    ids = {name: set(re.findall(r'\bid="([^"]+)"', files[name].body.decode())) for name in ("index.html", "docs.html")}
    for name, file in files.items():
        if name.endswith(".js"):
            wanted = set(re.findall(r'\bfind\("([^"]+)"\)', file.body.decode()))
            assert wanted <= (ids["docs.html"] if name == "docs.js" else ids["index.html"]), name


def test_the_page_loads_quickly() -> None:
    sizes = {name: len(file.body) for name, file in page_files().items() if name not in LATER}
    assert sum(sizes.values()) < MOST_BYTES, sizes
