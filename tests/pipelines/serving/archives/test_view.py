"""Archives as their callers see them."""

import pytest

from pipelines.serving.archives.counts import LiveProgress
from pipelines.serving.archives.records import ArchiveRecord, Counts, Standing
from pipelines.serving.archives.view import archive_answer, shown, shown_page
from pipelines.storage import open_store
from tests.pipelines.serving.archives.made_archives import asked

ROOT = open_store("/srv/state")
HALF = Counts({"total": 4, "done": 1, "partial": 1, "waiting": 2}, {"total": 10, "done": 5, "failed": 1})


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("/srv/state/archive-uploads/ar.zip!/a.png is bad.", "a.png is bad."),
        ("/srv/state/archive-uploads/ar.tar.gz!/in/a b.png is bad.", "in/a b.png is bad."),
        ("/srv/state/archive-uploads/ar.zip is damaged.", ".../archive-uploads/ar.zip is damaged."),
        ("The file /home/ann/in/a b.tif is bad", "The file a b.tif is bad"),
        (
            "There is no s3://bucket/in/a.tif (see 1/2 and and/or).",
            "There is no s3://bucket/in/a.tif (see 1/2 and and/or).",
        ),
        ("https://host/x/y and '/opt/models/ldcsr'", "https://host/x/y and 'ldcsr'"),
    ],
)
def test_callers_see_names_of_files_and_no_folders_of_the_server(text: str, seen: str) -> None:
    assert shown(text, ROOT) == seen


def test_reports_are_shown_without_the_services_folders() -> None:
    page = "<p>/srv/state/x, model=/opt/models/ldcsr, s3://bucket/in</p>"
    member = "<td>/srv/state/archive-uploads/ar.zip!/in/a.png</td>"
    assert shown_page(page, ROOT, "/opt/models/ldcsr") == "<p>.../x, model=.../ldcsr, s3://bucket/in</p>"
    assert shown_page(member, ROOT, "bicubic") == "<td>in/a.png</td>"
    assert shown_page(page, ROOT, "models:/ldcsr/3") == "<p>.../x, model=/opt/models/ldcsr, s3://bucket/in</p>"


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("models:/ldcsr/3", "models:/ldcsr/3"),
        ("/opt/models/ldcsr", "ldcsr"),
        ("bicubic", "bicubic"),
        ("s3://b/m/", "m"),
    ],
)
def test_a_models_version_is_told_without_its_folder(source: str, seen: str) -> None:
    assert archive_answer(ArchiveRecord(asked(model_source=source)), ROOT).model_version == seen


def test_progress_is_per_cent_of_windows_and_full_only_at_the_end() -> None:
    request, live = asked(), LiveProgress(HALF, 1.5, 20.0)
    running = archive_answer(ArchiveRecord(request, Standing("running")), ROOT, live=live)
    assert (running.progress, running.mpx_per_s, running.eta_s) == (50, 1.5, 20)
    assert running.counts.scenes.published == 2 and running.counts.windows.failed == 1
    almost = LiveProgress(Counts({}, {"total": 10, "done": 10}))
    assert archive_answer(ArchiveRecord(request, Standing("running")), ROOT, live=almost).progress == 99
    done = archive_answer(ArchiveRecord(request, Standing("completed", counts=HALF)), ROOT)
    assert (done.progress, done.mpx_per_s, done.eta_s) == (100, None, None)


def test_a_problem_is_a_document_without_folders_of_the_server() -> None:
    why = {"slug": "invalid-request", "detail": "/srv/state/a is empty.", "remedy": "Look at /home/x/y."}
    record = ArchiveRecord(asked(request_id="r"), Standing("failed", problem=why))
    problem = archive_answer(record, ROOT).problem
    assert problem is not None
    assert (problem["type"], problem["status"], problem["request_id"]) == ("/problems/invalid-request", 422, "r")
    assert (problem["detail"], problem["remedy"]) == (".../a is empty.", "Look at y.")
