"""What callers see of archives, and what the routes ask of whoever keeps them."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from pipelines.bulk.result import Outcome
from pipelines.serving.archives.records import ArchiveRequest, ArchiveState
from pipelines.serving.caller import Caller


class Answer(BaseModel):
    """Base of all answers: nothing in them that the OpenAPI document does not name."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())


class SceneCounts(Answer):
    """Scenes by what became of them."""

    total: int = 0
    """Found among the inputs so far."""
    published: int = 0
    """With a product: done and partial."""
    done: int = 0
    """With a whole product."""
    partial: int = 0
    """With a product in which windows are masked that failed."""
    marked: int = 0
    """With a product that is kept apart, since its tiles show."""
    failed: int = 0
    """Without a product."""
    refused: int = 0
    """Cannot be run, e.g. for want of a band."""
    waiting: int = 0
    """Not finished."""


class WindowCounts(Answer):
    """Windows, the pieces of work."""

    total: int = 0
    """Of all scenes that are planned."""
    done: int = 0
    """Computed, or given up."""
    failed: int = 0
    """Masked in their products."""


class ArchiveCounts(Answer):
    """How much there is and how much of it is done."""

    scenes: SceneCounts = SceneCounts()
    """Scenes."""
    windows: WindowCounts = WindowCounts()
    """Windows."""


class ArchiveLinks(Answer):
    """Where more is told, paths below the service."""

    self: str
    """This."""
    items: str
    """Products and failures."""
    report: str
    """The page, once it is there."""


class Archive(Answer):
    """An archive and how it stands."""

    id: str
    """Its name."""
    state: ArchiveState
    """How it stands."""
    created_at: str
    """When it was asked for, UTC."""
    started_at: str | None
    """When it was begun."""
    ended_at: str | None
    """When it ended."""
    model: str
    """Name of the model."""
    model_version: str
    """The version of it that makes the products."""
    scale: float
    """Enlargement of each side."""
    seed: int
    """For models that draw noise."""
    input: list[str]
    """Scenes; empty where they were uploaded."""
    output: str | None
    """Where the products go; null where the service keeps them for download."""
    queue_position: int | None
    """How many are begun before it, and one; null unless it is queued."""
    progress: float = Field(ge=0, le=100)
    """Per cent of its windows."""
    counts: ArchiveCounts
    """Numbers."""
    mpx_per_s: float | None
    """Millions of SR pixels a second as they come now; null unless it runs."""
    eta_s: float | None
    """Seconds until the last window is computed, as far as can be told; null unless it runs."""
    problem: dict[str, Any] | None
    """Why it failed, as a problem document; null otherwise."""
    note: str | None
    """What else is good to know, e.g. that products of a cancelled archive stay; null for nothing."""
    links: ArchiveLinks
    """Where more is told."""


class ArchivePage(Answer):
    """Some of a caller's archives, the newest first."""

    archives: list[Archive]
    """Those of this page."""
    next: str | None
    """Where the next page is; null on the last one."""


class ItemFile(Answer):
    """A file of a product."""

    name: str
    """Key below the output."""
    role: str
    """What it holds: data, uncertainty, consistency, thumbnail, metadata."""
    bytes: int
    """Size."""
    sha256: str
    """Digest of its content."""
    href: str | None
    """Where it is downloaded, a path below the service; null where it lies in the caller's own output."""
    uri: str | None
    """Where it lies; null where the service keeps it."""


class Item(Answer):
    """A scene, and what became of it."""

    name: str
    """Of the scene and its product."""
    state: Outcome
    """done, marked (tiles show), partial (windows failed and are masked), failed, refused (cannot be run), waiting."""
    reason: str | None
    """Why it is not as it should be."""
    seam_score: float | None
    """1 where tiles do not show; null without a product."""
    files: list[ItemFile]
    """Of the product."""


class ItemPage(Answer):
    """Some of an archive's scenes by name."""

    items: list[Item]
    """Those of this page; where a state is asked for there may be few, and more behind `next`."""
    next: str | None
    """Where the next page is; null on the last one."""


@dataclass(frozen=True)
class CreatedArchive:
    """An answer to a new archive.

    Attributes:
        archive: The archive.
        is_replay: Whether it had been made before, with the same Idempotency-Key.
    """

    archive: Archive
    is_replay: bool


@dataclass(frozen=True)
class PageQuery:
    """Which page.

    Attributes:
        state: Only those in it; None for all.
        limit: Entries at most.
        cursor: The last entry of the page before; empty for the first page.
    """

    state: str | None
    limit: int
    cursor: str = ""


@dataclass(frozen=True)
class StoredFile:
    """A file that lies in a store; the routes read it there.

    Attributes:
        location: URI of the store.
        key: Of the object.
        num_bytes: Its size.
        sha256: Its digest.
    """

    location: str
    key: str
    num_bytes: int
    sha256: str


class ArchiveApi(Protocol):
    """Who keeps archives. Every method raises `Problem`: `not-found` for what is not there or another caller's."""

    async def admit(self, caller: Caller, idempotency_key: str) -> None:
        """Refuse at once, before anything is received, where there is no room for one more archive."""

    async def create(self, request: ArchiveRequest) -> CreatedArchive:
        """Take an archive, or tell which one this very request made before."""

    async def show(self, caller: Caller, archive_id: str) -> Archive:
        """How an archive stands."""

    async def list(self, caller: Caller, query: PageQuery) -> ArchivePage:
        """A page of the caller's archives."""

    async def items(self, caller: Caller, archive_id: str, query: PageQuery) -> ItemPage:
        """A page of an archive's scenes."""

    async def file(self, caller: Caller, archive_id: str, path: str) -> StoredFile:
        """A file of a product that the service keeps."""

    async def report(self, caller: Caller, archive_id: str) -> bytes:
        """The page of an archive, HTML."""

    async def cancel(self, caller: Caller, archive_id: str) -> Archive:
        """Let an archive not run, or stop."""


class Places(Protocol):
    """Which places archives may be read from and written to."""

    def check_read(self, uri: str, caller: str) -> None:
        """Raise the problem `forbidden-place` unless a caller may read there."""

    def check_write(self, uri: str) -> None:
        """Raise the problem `forbidden-place` unless products may be written there."""


@dataclass(frozen=True)
class ChosenModel:
    """A model that is served.

    Attributes:
        name: As callers know it.
        source: What `BulkConfig.model` takes: the version that is served now.
        scale: Used where a caller names none.
    """

    name: str
    source: str
    scale: float = 4.0


StateFilter = Literal["queued", "running", "cancelling", "completed", "completed_with_failures", "failed", "cancelled"]
