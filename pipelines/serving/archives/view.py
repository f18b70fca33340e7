"""Archives as their callers see them."""

import html
import re

from pipelines.serving.archives.api import Archive, ArchiveCounts, ArchiveLinks, SceneCounts, WindowCounts
from pipelines.serving.archives.counts import LiveProgress
from pipelines.serving.archives.records import UPLOADS, ArchiveRecord, Counts
from pipelines.serving.problems import Problem
from pipelines.storage import Store

_ALMOST = 99.0  # per cent of what is computed, but not proven and told yet
_STAYS = "Products that were finished before it was cancelled stay where they are."
_HIDDEN = "..."
_LOCAL_FOLDERS = re.compile(r"(?<![\w:/.])/(?:[^\s/'\"<>]+/)+")


def path_of(archive_id: str) -> str:
    """Where an archive is asked for."""
    return f"/v1/archives/{archive_id}"


def shown(text: str, root: Store) -> str:
    """A text without the service's own place and without folders of this machine; names of files stay."""
    return _LOCAL_FOLDERS.sub("", _without_place(text, root.uri))


def shown_page(page: str, root: Store, model_source: str) -> str:
    """A report without the service's own place, and without the folder that the model lies in."""
    folder = "" if "://" in model_source or "/" not in model_source else model_source
    page = _without_place(page, html.escape(root.uri))
    if models := folder.rpartition("/")[0]:
        page = page.replace(html.escape(models), _HIDDEN)
    return page


def archive_answer(
    record: ArchiveRecord, root: Store, position: int | None = None, live: LiveProgress | None = None
) -> Archive:
    """How an archive stands.

    Args:
        record: What is written down.
        root: The service's own place.
        position: In the queue, from 1; None where it is not queued.
        live: How far its run is; None where it does not run, or has not told.
    """
    request, standing = record.request, record.standing
    path, counts = path_of(record.id), standing.counts if live is None else live.counts
    return Archive(
        id=record.id,
        state=record.state,
        created_at=request.created_at,
        started_at=standing.started_at or None,
        ended_at=standing.ended_at or None,
        model=request.model,
        model_version=_public_name(standing.model_version or request.model_source),
        scale=request.scale,
        seed=request.seed,
        input=list(request.input),
        output=request.output,
        queue_position=position,
        progress=_progress(record, counts),
        counts=_counts(counts),
        mpx_per_s=None if live is None else live.mpx_per_s,
        eta_s=None if live is None else live.eta_s,
        problem=_problem(record, root),
        note=_STAYS if record.state == "cancelled" and standing.started_at else None,
        links=ArchiveLinks(self=path, items=f"{path}/items", report=f"{path}/report"),
    )


def _without_place(text: str, place: str) -> str:
    """Files of an upload go by their name in it: where it lies until its run has ended tells nothing."""
    within_upload = rf"{re.escape(place)}/+{UPLOADS}/[^/\s!]+!/"
    return re.sub(within_upload, "", text).replace(place, _HIDDEN)


def _progress(record: ArchiveRecord, counts: Counts) -> float:
    if record.state in ("completed", "completed_with_failures"):
        return 100.0
    return min(round(100 * counts.share, 1), _ALMOST)


def _counts(counts: Counts) -> ArchiveCounts:
    scenes = {name: counts.scenes.get(name, 0) for name in SceneCounts.model_fields}
    scenes["published"] = scenes["done"] + scenes["partial"]
    windows = {name: counts.windows.get(name, 0) for name in WindowCounts.model_fields}
    return ArchiveCounts(scenes=SceneCounts(**scenes), windows=WindowCounts(**windows))


def _problem(record: ArchiveRecord, root: Store) -> dict[str, object] | None:
    told = record.standing.problem
    if told is None:
        return None
    problem = Problem(told["slug"], shown(told["detail"], root), shown(told["remedy"], root))
    return problem.document(path_of(record.id), record.request.request_id)


def _public_name(source: str) -> str:
    """A model's version; of one in a folder of the server, the folder's name alone."""
    is_registered = source.startswith("models:/")
    return source if is_registered else source.rstrip("/").rpartition("/")[2]
