"""The ingest job as a user types it."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from jobs import ingest
from pipelines.storage import open_store
from rssr.images import encode_jpeg, encode_png
from tests.conftest import S3Server, free_port
from tests.jobs.running import ROOT, Finished, paragraph, run_job, run_job_here, with_store

PRESET = ROOT / "jobs" / "presets" / "quickstart" / "ingest.yaml"
Job = Callable[..., Finished]


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Job]:
    """The job as if typed, in this process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*arguments: str) -> Finished:
        monkeypatch.setattr(sys, "argv", ["jobs/ingest.py", *arguments])
        return Finished(ingest.main(), *capfd.readouterr())

    yield run
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Eight images of two classes."""
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        path = tmp_path / "raw" / ("field" if number % 2 else "town") / f"{number}.{'jpg' if number % 3 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_jpeg(pixels) if path.suffix == ".jpg" else encode_png(pixels))
    return tmp_path / "raw"


def test_without_any_argument_it_shows_what_it_does_on_procedural_images(tmp_path: Path) -> None:
    done = run_job(job="ingest", preset=PRESET, cwd=tmp_path)
    assert done.status == 0, done.err
    assert json.loads((tmp_path / "runs" / "shards" / "shards.json").read_text())["num_images"] == 48
    assert (tmp_path / "runs" / "shards" / "gallery.html").stat().st_size > 100_000
    assert f"data.uri={tmp_path}/runs/shards" in done.out


def test_help_prints_every_key(job: Job) -> None:
    text = job("--help").out
    for key in ("input.uri", "output.uri", "layout", "shard_bytes", "num_workers", "against", "gallery", "duplicates."):
        assert f"\n  {key}" in text


def test_it_ends_with_what_was_made_and_what_to_do_next(job: Job, raw: Path, tmp_path: Path) -> None:
    (raw / "town" / "same.png").write_bytes((raw / "town" / "0.png").read_bytes())
    (raw / "town" / "bad.png").write_bytes(b"bad")
    done = job(f"input.uri={raw}", f"output.uri={tmp_path}/shards", "gallery=false", "max_corrupt_fraction=0.2")
    assert done.status == 0, done.err
    assert f"{tmp_path}/shards (1 shards, 9 images, 2 classes)" in done.out
    assert "1 exact, 0 near" in done.out
    assert "town/same.png  town/0.png" in done.out
    assert "skipped town/bad.png" in done.err
    assert f"data.uri={tmp_path}/shards" in done.out.splitlines()[-1]
    assert not (tmp_path / "shards" / "gallery.html").exists()


def test_the_same_command_again_says_so(job: Job, raw: Path, tmp_path: Path) -> None:
    arguments = (f"input.uri={raw}", f"output.uri={tmp_path}/shards")
    first, second = job(*arguments), job(*arguments)
    assert "is ingested already" not in first.err
    assert "is ingested already" in second.err
    assert second.out == first.out


def test_the_next_command_trains_from_the_shards(job: Job, raw: Path, tmp_path: Path) -> None:
    job(f"input.uri={raw}", f"output.uri={tmp_path}/shards", "gallery=false")
    statuses = {}
    for name, uri in (("shards", tmp_path / "shards"), ("raw", raw)):
        output = f"output.uri={with_store(tmp_path / f'of {name}')}"
        done = run_job_here("num_workers=0", "data.num_test=2", f"data.uri={uri}", output, "report.pictures=false")
        statuses[name] = (done.status, done.err[-500:])
    assert {name: status for name, (status, _) in statuses.items()} == {"shards": 0, "raw": 0}, statuses
    files = [
        {
            path.parent.name: json.loads(path.read_text())["files"]
            for path in sorted((tmp_path / f"of {name}").glob("phases/*/done.json"))
        }
        for name in ("shards", "raw")
    ]
    assert list(files[0].values()) == list(files[1].values()), "shards and folder train the same weights"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("input.uri=/no/such/folder",), "/no/such/folder does not exist"),
        (("layout=mars",), "no layout 'mars'"),
        (("layout=nwpu-resisc45",), "not NWPU-RESISC45"),
        (("layout=aid",), "or choose the layout folder"),
        (("shard_bytes=0",), "shard_bytes"),
        (("against=[/nowhere]",), "/nowhere holds no shards"),
        (("inptu.uri=x",), "did you mean 'input"),
        (("input.uri=s3://user:planted-secret@bucket/x",), "credentials"),
    ],
)
def test_bad_input_is_one_paragraph(
    job: Job, raw: Path, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    result = job(f"input.uri={raw}", f"output.uri={tmp_path}/shards", *arguments)
    assert expected in paragraph(result)
    assert "planted-secret" not in result.out + result.err
    assert not (tmp_path / "shards" / "shards.json").exists()


def test_a_destination_without_permission_is_told_before_anything_is_read(
    job: Job, raw: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3_server.make_bucket()
    s3_server.use(monkeypatch)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    result = job(f"input.uri={raw}", f"output.uri={bucket}/shards")
    message = paragraph(result)
    assert "refuses access" in message
    assert bucket in message
    assert "planted-secret" not in result.err


def test_a_destination_that_is_a_file_is_told(job: Job, raw: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    assert "taken" in paragraph(job(f"input.uri={raw}", f"output.uri={tmp_path}/taken"))


def test_a_store_that_does_not_answer_is_named(
    job: Job, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    assert "no connection" in paragraph(job(f"input.uri={raw}", "output.uri=s3://bucket/shards"))


def test_from_bucket_to_bucket_nothing_touches_the_disk(raw: Path, s3_server: S3Server, tmp_path: Path) -> None:
    bucket = s3_server.make_bucket()
    open_store(f"{bucket}/raw é", s3_server.settings).upload_folder(raw, "")
    disk = tmp_path / "disk"
    places = {"HOME": disk / "home", "TMPDIR": disk / "tmp"}
    for place in places.values():
        place.mkdir(parents=True)
    env = {**s3_server.settings.mlflow_environment(), **{name: str(place) for name, place in places.items()}}
    arguments = (f"input.uri={bucket}/raw é", f"output.uri={bucket}/shards é")
    done = run_job(*arguments, job="ingest", preset=PRESET, env=env, cwd=disk)
    assert done.status == 0, done.err
    left = [path for path in disk.rglob("*") if path.is_file() and ".cache" not in path.parts]
    assert [path for path in left if path.stat().st_size > 0] == []
    summary = json.loads(open_store(f"{bucket}/shards é", s3_server.settings).read_bytes("shards.json"))
    assert summary["num_images"] == 8
    assert str(s3_server.settings.secret_access_key) not in json.dumps(summary)
