"""The page at `/`, its files, and the readable form of the API's description at `/docs`."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response

from pipelines.serving.problems import Problem

# Scripts and styles of this service alone; pictures that the page makes itself.
CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

_HERE = Path(__file__).resolve()
_FOLDER = _HERE.parents[1] / "page"
_REPORT_STYLE = _HERE.parents[2] / "report" / "templates" / "style.css"  # pages of one house look alike
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}
_METHODS = ["GET", "HEAD"]


@dataclass(frozen=True)
class PageFile:
    """One file of the page.

    Attributes:
        body: What it holds.
        media_type: Of it.
        etag: Changes with the body alone, so that all replicas tell the same.
    """

    body: bytes
    media_type: str
    etag: str

    @classmethod
    def read(cls, path: Path) -> "PageFile":
        """Read a file of the package."""
        body = path.read_bytes()
        return cls(body, _MEDIA_TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def page_files() -> dict[str, PageFile]:
    """All files of the page by the names they have below `/page/`."""
    paths = [path for path in _FOLDER.iterdir() if path.suffix in _MEDIA_TYPES]
    return {"report.css": PageFile.read(_REPORT_STYLE)} | {path.name: PageFile.read(path) for path in sorted(paths)}


def page_routes() -> APIRouter:
    """Routes of the page: `/`, `/docs` and `/page/NAME`. They need no key and no model."""
    files = page_files()
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=_METHODS)
    async def index(request: Request) -> Response:
        return _answer(files["index.html"], request)

    @router.api_route("/docs", methods=_METHODS)
    async def docs(request: Request) -> Response:
        return _answer(files["docs.html"], request)

    @router.api_route("/page/{name}", methods=_METHODS)
    async def page_file(name: str, request: Request) -> Response:
        if name not in files:
            raise Problem("not-found", "The page has no such file.")
        return _answer(files[name], request)

    return router


def _answer(file: PageFile, request: Request) -> Response:
    """The file, or that the browser's copy of it is still good."""
    headers = {
        "ETag": file.etag,
        "Cache-Control": "no-cache",  # kept, and asked for again: a new version shows at once
        "Content-Security-Policy": CONTENT_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    if _is_known(file.etag, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(file.body, media_type=file.media_type, headers=headers)


def _is_known(etag: str, known: str) -> bool:
    """Whether a header If-None-Match names a tag; weak forms, which proxies make, are as good."""
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in known.split(","))
