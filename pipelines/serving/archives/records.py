"""What is known of archives: what was asked for, and how it stands. Plain values, as they lie in the state store.

Layout below the service's own place:

    archive-records/requests/ID.json    what was asked for; there is an archive once this is there; never changes
    archive-records/states/ID.json      how it stands; written by the one runner that leads
    archive-records/keys/DIGEST.json    which archive an Idempotency-Key stands for
    archive-records/leader/...          flags of the runners, see `pipelines.leases.flags`
    archive-uploads/ID.zip              an uploaded archive, until its run has ended
    archives/ID/products/...            output of the run, where the caller named no other

All of an archive is removed some time after its end, see `history`; its standing is marked first and goes last.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal, Self, TypeVar

ArchiveState = Literal["queued", "running", "cancelling", "completed", "completed_with_failures", "failed", "cancelled"]

ENDED: frozenset[ArchiveState] = frozenset(("completed", "completed_with_failures", "failed", "cancelled"))
"""States that are final."""

REQUESTS, STATES, KEYS, LEADER, UPLOADS, KEPT = (
    "archive-records/requests",
    "archive-records/states",
    "archive-records/keys",
    "archive-records/leader",
    "archive-uploads",
    "archives",
)
_ENDING = ".json"


@dataclass(frozen=True)
class ArchiveOptions:
    """What is made beside the products' pixels, see `pipelines.bulk.config.ProductsConfig`."""

    uncertainty: bool = False
    consistency: bool = True
    project: bool = False
    other_bands: bool = False
    licence: str = "proprietary"


@dataclass(frozen=True)
class ArchiveRequest:
    """What was asked for.

    Attributes:
        id: Of the archive.
        caller: Name of whose it is.
        input: URIs of the scenes; empty where they were uploaded.
        output: URI of the products; None keeps them in the service's own place.
        model: Name, as callers know it.
        model_source: What `BulkConfig.model` takes: the version that was served when this was asked for.
        scale: Enlargement of each side.
        seed: For models that draw noise.
        options: What else is made.
        upload: Key of the uploaded archive below the service's own place; empty where nothing was uploaded.
        digest: SHA-256 of all that the caller sent: tells whether an Idempotency-Key is used for something else.
        idempotency_key: As it was sent; empty for none.
        request_id: Of the request, so that logs can be searched.
        created_at: When, e.g. `2026-11-29T04:25:00Z`.
    """

    id: str
    caller: str
    input: tuple[str, ...]
    output: str | None
    model: str
    model_source: str
    scale: float
    seed: int = 0
    options: ArchiveOptions = ArchiveOptions()
    upload: str = ""
    digest: str = ""
    idempotency_key: str = ""
    request_id: str = ""
    created_at: str = ""

    @property
    def products(self) -> str | None:
        """Key of the products below the service's own place; None where the caller named another output."""
        return None if self.output is not None else f"{KEPT}/{self.id}/products"

    def to_json(self) -> bytes:
        """As it is stored."""
        return _to_json(self)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """What `to_json` wrote.

        Raises:
            ValueError: It is something else.
        """
        values = _values(data)
        told = {
            **values,
            "input": tuple(values.get("input", ())),
            "options": _made(ArchiveOptions, values.get("options")),
        }
        return _made(cls, told)


@dataclass(frozen=True)
class Counts:
    """Numbers of a run.

    Attributes:
        scenes: By outcome, see `pipelines.bulk.result.OUTCOMES`, and `total`.
        windows: `total`, `done` and `failed`.
    """

    scenes: Mapping[str, int] = field(default_factory=dict)
    windows: Mapping[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Of the windows, how many are done, from 0 to 1; 0 where none is known."""
        total = self.windows.get("total", 0)
        return min(self.windows.get("done", 0) / total, 1.0) if total else 0.0


@dataclass(frozen=True)
class Standing:
    """How an archive stands.

    Attributes:
        state: One of the names that callers see.
        started_at: When its first process began; empty before.
        ended_at: When it ended; empty before.
        num_attempts: Processes of it that have ended, other than with their runner.
        model_version: What the run in its output was planned with, e.g. `models:/ldcsr/3`; empty where unknown.
        counts: Of its run, as last known.
        problem: Slug, detail and remedy of why it failed; None otherwise.
        removal_began_at: When it was given up to be removed; empty before. From then on there is no such archive.
    """

    state: ArchiveState = "queued"
    started_at: str = ""
    ended_at: str = ""
    num_attempts: int = 0
    model_version: str = ""
    counts: Counts = Counts()
    problem: Mapping[str, str] | None = None
    removal_began_at: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether nothing changes any more."""
        return self.state in ENDED

    @property
    def ended_ago_s(self) -> float | None:
        """How long ago it ended, seconds; None where it has not."""
        if not (self.has_ended and self.ended_at):
            return None
        return (datetime.now(UTC) - datetime.fromisoformat(self.ended_at)).total_seconds()

    def to_json(self) -> bytes:
        """As it is stored."""
        return _to_json(self)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """What `to_json` wrote.

        Raises:
            ValueError: It is something else.
        """
        values = _values(data)
        return _made(cls, {**values, "counts": _made(Counts, values.get("counts"))})


@dataclass(frozen=True)
class ArchiveRecord:
    """An archive.

    Attributes:
        request: What was asked for.
        standing: How it stands.
    """

    request: ArchiveRequest
    standing: Standing = Standing()

    @property
    def id(self) -> str:
        """Its name."""
        return self.request.id

    @property
    def caller(self) -> str:
        """Whose it is."""
        return self.request.caller

    @property
    def state(self) -> ArchiveState:
        """How it stands, in a word."""
        return self.standing.state


def request_key(archive_id: str) -> str:
    """Where a request lies."""
    return f"{REQUESTS}/{archive_id}{_ENDING}"


def standing_key(archive_id: str) -> str:
    """Where its standing lies."""
    return f"{STATES}/{archive_id}{_ENDING}"


def id_of_key(key: str) -> str:
    """Which archive an object of these folders is about."""
    return key.rpartition("/")[2].partition(".")[0]


RecordT = TypeVar("RecordT")


def _to_json(record: Any) -> bytes:  # noqa: ANN401  # any of the dataclasses above
    return json.dumps(asdict(record), sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"


def _values(data: bytes) -> dict[str, Any]:
    values = json.loads(data)
    if not isinstance(values, dict):
        raise ValueError("no mapping")
    return values


def _made(kind: type[RecordT], values: Any) -> RecordT:  # noqa: ANN401  # whatever JSON holds
    """A record of the fields that it has: another version of the service may have written fewer or more of them."""
    if not isinstance(values, dict):
        raise ValueError(f"no {kind.__name__}")
    names = {part.name for part in fields(kind)}  # type: ignore[arg-type]  # one of the dataclasses above
    try:
        return kind(**{name: value for name, value in values.items() if name in names})
    except TypeError as error:
        raise ValueError(str(error)) from None
