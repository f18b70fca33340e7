"""Archives of a service: submitted, watched, listed, cancelled and fetched."""

import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, Unpack
from urllib.parse import quote

from rssr.client.bodies import Body, FormBody, file_body
from rssr.client.errors import ServiceError
from rssr.client.items import Item, fetch, iterate, read_item
from rssr.client.transport import Ask, Transport, json_body
from rssr.errors import DataError

ENDED = ("completed", "completed_with_failures", "failed", "cancelled")
"""States that do not change any more."""

_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.25, 10.0


class ArchiveOptions(TypedDict, total=False):
    """What else can be asked of an archive; the service's defaults hold for what is left out.

    Attributes:
        uncertainty: Write how far each pixel may be off.
        consistency: Write how far products agree with their scenes.
        project: Make products agree with their scenes.
        other_bands: Enlarge bands that the model does not know, too.
        licence: Of the scenes.
    """

    uncertainty: bool
    consistency: bool
    project: bool
    other_bands: bool
    licence: str


@dataclass(frozen=True)
class Counts:
    """How far an archive has come.

    Attributes:
        scenes: Number of scenes by what became of them, and `total`.
        windows: Number of windows by what became of them, and `total`.
    """

    scenes: Mapping[str, int]
    windows: Mapping[str, int]


@dataclass(frozen=True)
class Archive:
    """An archive as it was when it was looked at.

    Attributes:
        id: Its name at the service.
        state: `queued`, `running`, `cancelling` or one of `ENDED`.
        progress: 0 to 100.
        output: Where its products lie.
        queue_position: 1 for the next; None where it does not wait.
        counts: Scenes and windows.
        eta_s: Seconds that it will take yet; None where unknown.
        problem: Why it failed; None where it has not.
        document: All that the service tells.
    """

    id: str
    state: str
    progress: float
    output: str
    queue_position: int | None
    counts: Counts
    eta_s: float | None
    problem: Mapping[str, Any] | None
    document: Mapping[str, Any] = field(repr=False)

    @property
    def has_ended(self) -> bool:
        """Whether nothing changes any more."""
        return self.state in ENDED


class Archives:
    """See `Client.archives`. Wherever an archive is asked for, its id will do."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def submit(
        self,
        input: str | Sequence[str],
        output: str | None = None,
        *,
        model: str | None = None,
        scale: float | None = None,
        seed: int = 0,
        idempotency_key: str | None = None,
        **options: Unpack[ArchiveOptions],
    ) -> Archive:
        """Let the service super-resolve scenes that it can read.

        Args:
            input: A prefix, a STAC collection or item, or a list of these and of scenes, as URIs.
            output: URI below which products are written, where it may write; None keeps them at the service, see
                `download`.
            model: By name; None is the service's default.
            scale: None is the model's own.
            seed: Of models that draw.
            idempotency_key: The same key never makes a second archive; None takes a new one, so that a repeated
                attempt of this call does not.
            **options: See `ArchiveOptions`.

        Raises:
            ServiceError: It was refused, e.g. as a place that may not be used.
        """
        asked: dict[str, Any] = {"input": input if isinstance(input, str) else list(input)}
        further = {"output": output, "model": model, "scale": scale, "seed": seed or None}
        asked |= {name: value for name, value in further.items() if value is not None}
        return self._post(json_body(asked | ({"options": dict(options)} if options else {})), idempotency_key)

    def upload(
        self,
        images: str | Path | Sequence[str | Path],
        *,
        model: str | None = None,
        scale: float | None = None,
        output: str | None = None,
        idempotency_key: str | None = None,
    ) -> Archive:
        """Send images to be super-resolved.

        Args:
            images: A zip, tar or tar.gz; or a folder, or a list of files, which are packed here.
            model: By name; None is the service's default.
            scale: None is the model's own.
            output: URI below which products are written; None keeps them at the service, see `download`.
            idempotency_key: See `submit`.

        Raises:
            DataError: There are no such files.
            ServiceError: It was refused.
        """
        fields = {"model": model, "scale": None if scale is None else f"{scale:g}", "output": output}
        given = {name: value for name, value in fields.items() if value is not None}
        with _packed(images) as path:
            return self._post(FormBody(given, "archive", path), idempotency_key)

    def get(self, archive: str | Archive) -> Archive:
        """Look at it."""
        return _read(self._transport.request(Ask("GET", _path(archive))).json())

    def all(self, state: str | None = None) -> Iterator[Archive]:
        """All archives of this key, or those in a state."""
        return map(_read, iterate(self._transport, Ask("GET", "/v1/archives", {"state": state}), "archives"))

    def wait(
        self,
        archive: str | Archive,
        progress: Callable[[Archive], object] = lambda archive: None,
        *,
        timeout_s: float | None = None,
        patience_s: float = 600.0,
    ) -> Archive:
        """Wait until it has ended.

        Args:
            archive: Which.
            progress: Called with the archive whenever it was looked at.
            timeout_s: Longest wait; None is for ever.
            patience_s: How long the service may be away, as while its cluster restarts.

        Returns:
            The archive, in one of the states `ENDED`: look which.

        Raises:
            ServiceError: It is gone, or the service stays away.
            TimeoutError: It has not ended in time; it goes on.
        """
        began_s = heard_s = time.monotonic()
        pause_s = _FIRST_LOOK_S
        while True:
            try:
                now = self.get(archive)
                heard_s = time.monotonic()
                progress(now)
                if now.has_ended:
                    return now
            except ServiceError as error:
                if not error.is_temporary or time.monotonic() - heard_s > patience_s:
                    raise
            if timeout_s is not None and time.monotonic() - began_s > timeout_s:
                raise TimeoutError(f"The archive has not ended after {timeout_s:g} s.")
            time.sleep(pause_s)
            pause_s = min(1.5 * pause_s, _LONGEST_LOOK_S)

    def items(self, archive: str | Archive, state: str | None = None) -> Iterator[Item]:
        """Its scenes and their products, or those in a state, page by page as they are needed."""
        ask = Ask("GET", f"{_path(archive)}/items", {"state": state})
        return map(read_item, iterate(self._transport, ask, "items"))

    def download(self, archive: str | Archive, folder: str | Path) -> list[Path]:
        """Fetch all files of all products that the service keeps.

        What is there already is not fetched again, and what was fetched in part is gone on with. Files are compared
        with the SHA-256 that the service tells.

        Returns:
            Where the files are.

        Raises:
            ServiceError: One cannot be had, or products lie at a place of the caller's own.
            StorageError: One cannot be written.
        """
        return [fetch(self._transport, file, Path(folder)) for item in self.items(archive) for file in item.files]

    def report(self, archive: str | Archive) -> bytes:
        """Its report, one file of HTML.

        Raises:
            ServiceError: There is none yet.
        """
        return self._transport.request(Ask("GET", f"{_path(archive)}/report")).content

    def cancel(self, archive: str | Archive) -> Archive:
        """End it early; finished products stay. Again is no error.

        Raises:
            ServiceError: It has ended already.
        """
        return _read(self._transport.request(Ask("DELETE", _path(archive))).json())

    def _post(self, body: Body, idempotency_key: str | None) -> Archive:
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return _read(self._transport.request(Ask("POST", "/v1/archives", headers=headers, body=body)).json())


def _path(archive: str | Archive) -> str:
    return f"/v1/archives/{quote(archive if isinstance(archive, str) else archive.id, safe='')}"


def _read(told: Mapping[str, Any]) -> Archive:
    counts = told.get("counts") or {}
    return Archive(
        id=told["id"],
        state=told["state"],
        progress=float(told.get("progress") or 0),
        output=str(told.get("output") or ""),
        queue_position=told.get("queue_position"),
        counts=Counts(counts.get("scenes") or {}, counts.get("windows") or {}),
        eta_s=told.get("eta_s"),
        problem=told.get("problem"),
        document=told,
    )


@contextmanager
def _packed(images: str | Path | Sequence[str | Path]) -> Iterator[Path]:
    """The archive's file, made here where files or a folder were given."""
    if isinstance(images, str | Path) and not Path(images).is_dir():
        yield file_body(Path(images)).path
        return
    with tempfile.TemporaryDirectory(prefix="rssr-upload-") as folder:
        path = Path(folder) / "images.zip"
        _pack(_named(images), path)
        yield path


def _named(images: str | Path | Sequence[str | Path]) -> dict[str, Path]:
    """Files by their names in the archive."""
    if isinstance(images, str | Path):
        root = Path(images)
        named = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
    else:
        paths = [Path(image) for image in images]
        named = {path.name: path for path in paths}
        if len(named) < len(paths):
            raise DataError("Two images have the same name.", "Put them into folders, and give the folder above.")
    if not named:
        raise DataError(f"There are no images in {images}.", "Check the path.")
    return named


def _pack(named: Mapping[str, Path], target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:  # images are compressed already
        for name, path in named.items():
            archive.write(file_body(path).path, name)
