"""The job with its images and all it keeps on an object store: nothing of them is copied to this machine's disk."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from pipelines.storage import Store, open_store
from tests.conftest import S3Server
from tests.jobs.running import Finished, Run, mlflow_runs, phase_digests, run_job
from tests.jobs.test_slimdiffsr import FINISHED, PHASES

PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*", b"RIFF")


@dataclass(frozen=True)
class RemoteRun:
    """A job whose images and output lie in a bucket.

    Attributes:
        result: How it ended.
        output: The output.
        disk: All of the machine that it could write to: home, temporary files and working directory.
        copied: Files that were copies of images, seen while it ran.
        again: The same command on another machine, with another disk.
    """

    result: Finished
    output: Store
    disk: Path
    copied: set[str]
    again: Finished


@pytest.fixture(scope="module")
def remote(undisturbed: Run, s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteRun]:
    """The smallest job on the sample images of the undisturbed one, in a bucket under the same keys."""
    [images] = undisturbed.folder.glob("sample-data/*/images")
    bucket = s3_server.make_bucket()
    with pytest.MonkeyPatch.context() as patch:
        s3_server.use(patch)
        open_store(bucket).upload_folder(images, "aerial images")
        arguments = ("num_workers=0", f"data.uri={bucket}/aerial images", f"output.uri={bucket}/runs")
        here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
        with watched(here, images) as copied:
            result = run_on(here, s3_server, arguments)
        again = run_on(there, s3_server, arguments)
        yield RemoteRun(result, open_store(f"{bucket}/runs"), here, copied, again)


def test_no_image_is_copied_to_disk(remote: RemoteRun) -> None:
    assert remote.result.status == 0, remote.result.err
    assert remote.copied == set()


def test_the_watch_sees_copies(tmp_path: Path) -> None:
    images, disk = tmp_path / "images", tmp_path / "disk"
    images.mkdir()
    disk.mkdir()
    Image.new("RGB", (8, 8), "red").save(images / "red.png")
    with watched(disk, images) as copied:
        (disk / "deep").mkdir()
        (disk / "deep" / "other-name").write_bytes((images / "red.png").read_bytes())
        Image.new("RGB", (8, 8), "blue").save(disk / "blue.png")
    assert copied == {str(disk / "deep" / "other-name")}


def test_the_weights_are_those_of_a_local_folder_with_the_same_images(remote: RemoteRun, undisturbed: Run) -> None:
    digests = {}
    for entry in remote.output.list("phases"):
        if entry.key.endswith("/done.json"):
            record = json.loads(remote.output.read_bytes(entry.key))
            digests |= {f"{record['phase']}/{name}": digest for name, digest in record["files"].items()}
    assert digests == phase_digests(undisturbed.folder)


def test_everything_durable_lies_in_the_bucket(remote: RemoteRun) -> None:
    keys = [entry.key for entry in remote.output.list()]
    for start, end in (("models/", "/card.yaml"), ("products/", "_x4.tif"), ("reports/", ".html"), ("mlflow/", ".db")):
        assert [key for key in keys if key.startswith(start) and key.endswith(end)], keys
    assert [key for key in keys if key.startswith("mlflow-artifacts/") and key.endswith("/config.yaml")]


def test_the_disk_keeps_the_mlflow_database_alone(remote: RemoteRun) -> None:
    left = [path.relative_to(remote.disk).as_posix() for path in files_below(remote.disk)]
    assert [name for name in left if "/.cache/" not in name and "/rssr/mlflow/" not in name] == []
    assert [name for name in left if name.endswith("/mlflow.db")]


def test_another_machine_recognises_the_phases_and_the_mlflow_run(remote: RemoteRun, tmp_path: Path) -> None:
    assert remote.again.status == 0, remote.again.err
    assert remote.again.err.count("finished already") == len(PHASES)
    remote.output.download_file("mlflow/mlflow.db", tmp_path / "mlflow.db")
    assert mlflow_runs(tmp_path / "mlflow.db") == FINISHED
    assert "slimdiffsr-x4-tiny version 1\n" in remote.again.out


def test_the_credentials_are_nowhere(remote: RemoteRun, s3_server: S3Server) -> None:
    secret = s3_server.settings.secret_access_key
    assert secret
    for entry in remote.output.list():
        assert secret.encode() not in remote.output.read_bytes(entry.key), entry.key
    for path in files_below(remote.disk):
        assert secret.encode() not in path.read_bytes(), path
    for result in (remote.result, remote.again):
        assert secret not in result.out + result.err


def run_on(disk: Path, server: S3Server, arguments: tuple[str, ...]) -> Finished:
    """Run the job where this folder is the whole disk."""
    places = {"HOME": disk / "home", "TMPDIR": disk / "tmp", "XDG_STATE_HOME": disk / "home" / "state"}
    (disk / "work").mkdir()
    for place in places.values():
        place.mkdir(parents=True)
    env = server.settings.mlflow_environment() | {name: str(place) for name, place in places.items()}
    return run_job(*arguments, env=env, cwd=disk / "work")


@contextmanager
def watched(disk: Path, images: Path) -> Iterator[set[str]]:
    """Names of files on the disk that are copies of images, looked for all the time while the block runs."""
    known = {hashlib.sha256(path.read_bytes()).hexdigest() for path in files_below(images)}
    copied: set[str] = set()
    stop = threading.Event()

    def look() -> None:
        copied.update(str(path) for path in files_below(disk) if _is_copy(path, known))

    def watch() -> None:
        while not stop.wait(0.05):
            look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield copied
    finally:
        stop.set()
        thread.join()
        look()


def files_below(folder: Path) -> list[Path]:
    """All files at any depth."""
    return [path for path in folder.rglob("*") if path.is_file()]


def _is_copy(path: Path, known: set[str]) -> bool:
    try:
        data = path.read_bytes()
    except OSError:
        return False  # gone already
    return data.startswith(PICTURES) and hashlib.sha256(data).hexdigest() in known
