"""Archives that were sent."""

import gzip
import io
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.serving.archives.ids import new_archive_id
from pipelines.serving.archives.records import ArchiveState
from pipelines.serving.archives.uploads import archive_ending, sweep_uploads, upload_key
from pipelines.serving.problems import Problem
from pipelines.timestamps import timestamp
from tests.pipelines.bulk.imagery import Place, png, zipped
from tests.pipelines.serving.archives.made_archives import ANN, record


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.png"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        (zipped({"a.png": png()}), ".zip"),
        (zipped({}), ".zip"),
        (tarred(), ".tar"),
        (gzip.compress(tarred()), ".tar.gz"),
    ],
    ids=["zip", "empty zip", "tar", "tar.gz"],
)
def test_archives_are_known_by_their_content(tmp_path: Path, content: bytes, ending: str) -> None:
    (tmp_path / "sent").write_bytes(content)
    assert archive_ending(tmp_path / "sent") == ending


@pytest.mark.parametrize("content", [b"", png(), b"ustar", b"Rar!\x1a\x07"], ids=["nothing", "png", "ustar", "rar"])
def test_anything_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sent").write_bytes(content)
    with pytest.raises(Problem) as caught:
        archive_ending(tmp_path / "sent")
    assert caught.value.slug == "unsupported-media-type"


def test_only_uploads_that_nobody_needs_are_deleted(local: Place) -> None:
    def sent(state: ArchiveState, ended_at: str = "") -> tuple[str, object]:
        archive = record(ANN, state)
        local.output.write_bytes(upload_key(archive.id, ".zip"), b"")
        return archive.id, replace(archive, standing=replace(archive.standing, ended_at=ended_at))

    queued, running, ended = sent("queued"), sent("running"), sent("completed", timestamp())
    long_ended = sent("failed", "2026-01-01T00:00:00Z")
    abandoned, coming = new_archive_id(time.time() - 7200), new_archive_id()
    for archive_id in (abandoned, coming):
        local.output.write_bytes(upload_key(archive_id, ".tar.gz"), b"")
    records = [archive for _, archive in (queued, running, ended, long_ended)]
    assert sweep_uploads(local.output, records, keep_s=60) == 2  # type: ignore[arg-type]  # they are records
    kept = {queued[0], running[0], ended[0], coming}
    assert {entry.key for entry in local.output.list()} == {
        upload_key(name, ".tar.gz" if name == coming else ".zip") for name in kept
    }
    assert sweep_uploads(local.output, records, keep_s=0) == 1  # type: ignore[arg-type]  # they are records
