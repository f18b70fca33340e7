"""Products of an archive: pages of them, and their files, fetched in part where they were fetched in part before."""

import hashlib
import http.client
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from rssr.client.errors import ServiceError
from rssr.client.transport import Ask, Transport, path_of
from rssr.errors import StorageError

_BLOCK_BYTES = 2**20
_PART = ".part"
_MOST_BREAKS = 5  # in a row, without a byte between them
_PARTIAL = 206


@dataclass(frozen=True)
class ProductFile:
    """A file of a product.

    Attributes:
        name: Below the archive's output, e.g. `town/town.tif`.
        num_bytes: Its size.
        sha256: Of its bytes.
        href: Where the service gives it; None where it lies at a place of the caller's.
        uri: Where it lies.
    """

    name: str
    num_bytes: int
    sha256: str
    href: str | None
    uri: str


@dataclass(frozen=True)
class Item:
    """A scene of an archive, and what became of it.

    Attributes:
        name: Of the scene.
        state: E.g. `done`, `failed`, `waiting`.
        reason: Why it is not as it should be; empty where it is.
        seam_score: How much tiles show; None without a product.
        files: Of its product.
    """

    name: str
    state: str
    reason: str
    seam_score: float | None
    files: tuple[ProductFile, ...]


def read_item(told: Mapping[str, Any]) -> Item:
    """Of the service's document."""
    files = [
        ProductFile(file["name"], int(file["bytes"]), str(file["sha256"]), file.get("href"), str(file.get("uri") or ""))
        for file in told.get("files") or ()
    ]
    return Item(told["name"], told["state"], told.get("reason") or "", told.get("seam_score"), tuple(files))


def iterate(transport: Transport, first: Ask, member: str) -> Iterator[Mapping[str, Any]]:
    """Everything that a listing has, page after page.

    Args:
        transport: To the service.
        first: Asks for the first page.
        member: Of each page, that holds the things.
    """
    ask: Ask | None = first
    while ask is not None:
        page = transport.request(ask).json()
        yield from page[member]
        ask = Ask("GET", path_of(page["next"])) if page.get("next") else None


def fetch(transport: Transport, file: ProductFile, folder: Path) -> Path:
    """Have a file in a folder: kept if it is there, gone on with if a part of it is, and compared with its SHA-256.

    Raises:
        ServiceError: The service does not give it, or other bytes than it says.
        StorageError: It cannot be written, or would lie outside the folder.
    """
    target = _place(folder, file.name)
    if target.is_file() and target.stat().st_size == file.num_bytes and _sha256(target) == file.sha256:
        return target
    if file.href is None:
        raise ServiceError(f"{file.name} is not given by the service.", f"Fetch it from {file.uri}.", status=200)
    part = target.with_name(target.name + _PART)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):  # what another, earlier file has left may be gone on with in vain
            _fill(transport, file, file.href, part)
            if _sha256(part) == file.sha256:
                part.replace(target)
                return target
            part.unlink()
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written: {error}.", "Check the folder, rights and free space."
        ) from error
    raise ServiceError(f"{file.name} came with other bytes than the service says.", "Ask again later.", status=200)


def _fill(transport: Transport, file: ProductFile, href: str, part: Path) -> None:
    breaks = 0
    while True:
        have = part.stat().st_size if part.exists() else 0
        if have == file.num_bytes:
            part.touch()
            return
        if have > file.num_bytes:
            part.unlink()
            continue
        try:
            _append(transport, href, part, have)
            breaks = 0 if part.stat().st_size > have else breaks + 1
            error = ServiceError(f"{file.name} is shorter than the service says.", "Ask again later.", status=200)
        except (OSError, http.client.HTTPException) as broken:
            breaks = 0 if part.exists() and part.stat().st_size > have else breaks + 1
            error = transport.broken(broken)
        if breaks >= _MOST_BREAKS:
            raise error
        time.sleep(0.1 * breaks)


def _append(transport: Transport, href: str, part: Path, have: int) -> None:
    headers = {"Range": f"bytes={have}-"} if have else {}
    with transport.download(Ask("GET", path_of(href), headers=headers)) as response:
        goes_on = response.status == _PARTIAL and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        with part.open("ab" if goes_on else "wb") as stream:
            while block := response.read(_BLOCK_BYTES):
                stream.write(block)


def _place(folder: Path, name: str) -> Path:
    """Where a file lies; the service's names are not trusted to stay inside."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or any(part == ".." or "\\" in part or "\0" in part for part in parts):
        raise StorageError(f"'{name}' is no name of a file inside {folder}.", "Do not use this service.")
    return folder.joinpath(*parts)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
