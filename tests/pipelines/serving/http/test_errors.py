"""Whatever goes wrong, the caller gets a problem document that says what to do and nothing of the machine."""

import logging
from collections.abc import Iterator
from typing import Annotated

import pytest
from fastapi import Body, FastAPI
from pydantic import BaseModel

from pipelines.serving.http.errors import install_errors, without_paths
from pipelines.serving.http.guard import Guard
from pipelines.serving.problems import KINDS, Problem
from pipelines.serving.security.config import LimitsConfig
from pipelines.serving.security.keys import Keys
from pipelines.storage import StoreUnavailable
from rssr.errors import CheckpointError, DataError, ImageError, ModelError, RasterError
from tests.pipelines.serving.http.live import Live, live


class Wanted(BaseModel):
    """A body."""

    scale: float
    names: list[int]


RAISED: dict[str, Exception] = {
    "problem": Problem("busy", "All are busy.", headers={"Retry-After": "7"}),
    "image": ImageError("/tmp/rssr-upload-x1/a.png is damaged: cut off.", "Fetch it again."),
    "raster": RasterError("'/srv/secret place/a.tif' cannot be opened."),
    "model": ModelError("It has 3 bands."),
    "data": DataError("The input file:///srv/data/in/a.txt is empty; s3://bucket/in/a.txt is not."),
    "store": StoreUnavailable("s3://bucket failed with 503."),
    "ours": CheckpointError("/srv/checkpoints/7 is damaged."),
    "unforeseen": ZeroDivisionError("/srv/secret"),
    "late": TimeoutError(),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    app = FastAPI()

    @app.get("/raise/{name}")
    async def raise_it(name: str) -> None:
        raise RAISED[name]

    @app.get("/numbers")
    async def numbers(scale: float = 1, seed: int = 0) -> float:
        return scale + seed

    @app.post("/bodies")
    async def bodies(wanted: Annotated[Wanted, Body()]) -> int:
        return len(wanted.names)

    @app.delete("/bodies")
    async def forget() -> None:
        return None

    install_errors(app)
    app.add_middleware(Guard, keys=Keys(), limits=LimitsConfig())
    with live(app) as server:
        yield server


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("problem", "busy"),
        ("image", "unreadable-image"),
        ("raster", "unreadable-image"),
        ("model", "model-mismatch"),
        ("data", "invalid-request"),
        ("store", "busy"),
        ("ours", "internal"),
        ("unforeseen", "internal"),
        ("late", "timed-out"),
    ],
)
def test_every_error_is_a_problem_without_paths(server: Live, name: str, slug: str) -> None:
    answer = server.ask("GET", f"/raise/{name}")
    assert answer.slug == slug
    assert answer.status == KINDS[slug].status
    assert b"/srv" not in answer.body and b"/tmp" not in answer.body
    assert (answer.status == 503) == ("retry-after" in answer.headers)


def test_what_is_our_fault_is_logged_with_its_traceback(server: Live, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        server.ask("GET", "/raise/unforeseen")
    assert "raise RAISED[name]" in caplog.text


def test_what_others_may_know_of_an_error_stays_in_it(server: Live) -> None:
    document = server.ask("GET", "/raise/image").document
    assert document["detail"] == "a.png is damaged: cut off."
    assert document["remedy"] == "Fetch it again."
    assert "s3://bucket/in/a.txt is not" in server.ask("GET", "/raise/data").document["detail"]


def test_paths_of_this_machine_are_taken_out() -> None:
    assert without_paths("/tmp/a/b.tif is bad") == "b.tif is bad"
    assert without_paths("('/tmp/a/b.tif', x=/etc/passwd)") == "('b.tif', x=passwd)"
    assert without_paths("file:///data/in/a.tif") == "a.tif"
    for harmless in ("s3://bucket/in/a.tif", "https://host:80/a/b", "a/b is 3/4 of it", "/"):
        assert without_paths(harmless) == harmless


def test_unknown_paths_and_methods_are_problems(server: Live) -> None:
    assert server.ask("GET", "/nothing").slug == "not-found"
    answer = server.ask("DELETE", "/numbers")
    assert answer.slug == "method-not-allowed"
    assert answer.headers["allow"] == "GET, HEAD"
    several = server.ask("OPTIONS", "/bodies")
    assert several.headers["allow"] == "DELETE, POST"
    assert "DELETE, POST" in several.document["detail"]


def test_faulty_parameters_are_named_and_never_repeated(server: Live) -> None:
    answer = server.ask("GET", "/numbers?scale=SECRET&seed=x")
    assert answer.slug == "invalid-request"
    assert "query parameter 'scale'" in answer.document["detail"]
    assert "query parameter 'seed'" in answer.document["detail"]
    assert b"SECRET" not in answer.body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b'{"scale": ' + b"9" * 10_000 + b"}",
        b'{"scale": "\\ud800", "names": [1]}',
        b'{"scale": 1, "names": ["x", "y", "z", "a", "b", "c", "d"]}',
        b"\xff\xfe",
    ],
)
def test_bodies_that_make_no_sense_are_the_callers_fault(server: Live, body: bytes) -> None:
    answer = server.ask("POST", "/bodies", body, content_type="application/json")
    assert answer.slug == "invalid-request"
    assert len(answer.body) < 3000


def test_every_kind_has_a_page_and_a_document(server: Live) -> None:
    for slug, kind in KINDS.items():
        page = server.ask("GET", f"/problems/{slug}", accept="text/html,*/*")
        assert kind.title in page.body.decode()
        assert page.headers["content-security-policy"]
        assert server.ask("GET", f"/problems/{slug}").document["title"] == kind.title
    assert server.ask("GET", "/problems/none").slug == "not-found"


def test_the_description_tells_of_problems(server: Live) -> None:
    document = server.ask("GET", "/openapi.json").document
    assert "HTTPValidationError" not in document["components"]["schemas"]
    kinds = document["paths"]["/problems/{slug}"]["get"]
    assert (kinds["summary"], "Args:" in kinds["description"]) == ("A kind of problem", False)
    told = document["paths"]["/numbers"]["get"]["responses"]
    assert "422" not in told
    assert told["4XX"]["content"].keys() == told["5XX"]["content"].keys() == {"application/problem+json"}
    problem = server.ask("GET", "/nothing").document
    assert problem.keys() == set(document["components"]["schemas"]["Problem"]["required"])
