"""Files in parts, and what happens when requests fail, answers get lost, or others are faster."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from pipelines.storage import Store, open_store, s3, s3_upload
from pipelines.storage.retries import RetryPolicy
from pipelines.storage.uris import parse_uri
from rssr.errors import StorageError
from tests.conftest import FaultyServer, S3Server
from tests.faults import ACCESS_DENIED, SLOW_DOWN, Answer, Client, Fault, Refusal, Reset
from tests.processes import start_python, wait_until

QUICK = RetryPolicy(num_attempts=5, first_delay_s=0.02)
PART = 5 * 2**20  # the least that S3 takes


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_upload, "SINGLE_BYTES", PART)
    monkeypatch.setattr(s3_upload, "PART_BYTES", PART)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of three parts."""
    path = tmp_path / "large.tif"
    path.write_bytes(random.Random(0).randbytes(2 * PART + 1000))
    return path


@pytest.fixture(params=["rclone", "moto"])
def server(request: pytest.FixtureRequest) -> S3Server:
    server: S3Server = request.getfixturevalue("s3_server" if request.param == "rclone" else "moto_server")
    return server


def quick_store(server: FaultyServer) -> tuple[Store, Store]:
    """One fresh folder through the proxy and directly; what the server enforces is known already."""
    uri = f"{server.direct.make_bucket()}/some folder"
    store = s3.S3Store(parse_uri(uri), server.proxy.settings, QUICK)
    store.enforces_conditional_upload()
    return store, open_store(uri, server.direct.settings)


def num_unfinished(server: S3Server, store: Store) -> int:
    try:
        found = server._client.list_multipart_uploads(Bucket=parse_uri(store.uri).bucket)
    except ClientError as error:
        assert "NoSuchUpload" in str(error)  # rclone says so of a bucket that never had any
        return 0
    return len(found.get("Uploads", []))


def test_nothing_unfinished_is_nothing_to_remove(server: S3Server) -> None:
    assert open_store(f"{server.make_bucket()}/out", server.settings).delete_unfinished() == 0


def test_a_file_in_parts_is_one_object_and_keeps_its_name(server: S3Server, large: Path, tmp_path: Path) -> None:
    store = open_store(f"{server.make_bucket()}/out", server.settings)
    assert store.upload_file_if_absent(large, "scene é.tif")
    assert store.read_bytes("scene é.tif") == large.read_bytes()
    (tmp_path / "other").write_bytes(bytes(2 * PART))
    assert not store.upload_file_if_absent(tmp_path / "other", "scene é.tif")
    assert not store.upload_file_if_absent(large, "scene é.tif")
    assert store.read_bytes("scene é.tif") == large.read_bytes()
    assert num_unfinished(server, store) == 0


def test_both_ways_to_write_are_probed(s3_server: S3Server, moto_server: S3Server) -> None:
    for server, enforced in ((s3_server, False), (moto_server, True)):
        store = open_store(f"{server.make_bucket()}/out", server.settings)
        assert store.enforces_conditional_upload() is enforced
        assert store.list() == []
        assert num_unfinished(server, store) == 0


@dataclass(frozen=True)
class Interloper:
    """Somebody does something just before the request is passed on."""

    act: Callable[[], object]

    def answer(self, client: Client, forward: Callable[[], Answer]) -> None:
        self.act()
        client.send(forward())


def test_whoever_completes_first_wins(faulty_server: FaultyServer, large: Path) -> None:
    store, direct = quick_store(faulty_server)
    interloper = Interloper(lambda: direct.write_bytes("scene.tif", b"of another"))
    # Where the server enforces nothing, the last look comes after the parts.
    request = ("partNumber=3", "PUT") if not direct.enforces_conditional_put() else ("uploadId=", "POST")
    rule = faulty_server.proxy.inject(interloper, request[0], method=request[1])
    assert not store.upload_file_if_absent(large, "scene.tif")
    assert rule.met == 1
    assert direct.read_bytes("scene.tif") == b"of another"
    assert num_unfinished(faulty_server.direct, direct) == 0


LOST: dict[str, tuple[Fault, str, str]] = {
    "busy at a part": (SLOW_DOWN, "PUT", "partNumber=2"),
    "a part's answer is lost": (Reset("before the answer"), "PUT", "partNumber=2"),
    "busy at the beginning": (SLOW_DOWN, "POST", r"\?uploads"),
    "busy at the end": (SLOW_DOWN, "POST", r"\?uploadId="),
    "the last request is lost": (Reset("before the request"), "POST", r"\?uploadId="),
    "the last answer is lost": (Reset("before the answer"), "POST", r"\?uploadId="),
}


@pytest.mark.parametrize("case", LOST.values(), ids=LOST)
def test_passing_trouble_costs_one_request(
    faulty_server: FaultyServer, large: Path, case: tuple[Fault, str, str]
) -> None:
    store, direct = quick_store(faulty_server)
    fault, method, path = case
    rule = faulty_server.proxy.inject(fault, rf"scene\.tif.*{path}", method=method)
    assert store.upload_file_if_absent(large, "scene.tif"), "what lies there is its own"
    assert rule.met == 1
    assert direct.read_bytes("scene.tif") == large.read_bytes()
    num_parts = len(faulty_server.proxy.asked(r"scene\.tif.*partNumber=", "PUT"))
    assert num_parts == (4 if "part" in path else 3), "only the part that failed is sent again"


@pytest.mark.parametrize("when", ["before the request", "before the answer"])
def test_a_small_file_whose_answer_is_lost_counts_as_its_own(
    faulty_server: FaultyServer, tmp_path: Path, when: str
) -> None:
    store, direct = quick_store(faulty_server)
    (tmp_path / "small").write_bytes(b"pixels")
    rule = faulty_server.proxy.inject(Reset(when), "small.tif", method="PUT")
    assert store.upload_file_if_absent(tmp_path / "small", "small.tif")
    assert rule.met == 1
    assert direct.read_bytes("small.tif") == b"pixels"


def test_a_conflict_with_another_upload_begins_anew(faulty_server: FaultyServer, large: Path) -> None:
    store, direct = quick_store(faulty_server)
    faulty_server.proxy.inject(Refusal(409, "ConditionalRequestConflict"), r"\?uploadId=", method="POST")
    assert store.upload_file_if_absent(large, "scene.tif")
    assert direct.read_bytes("scene.tif") == large.read_bytes()
    assert num_unfinished(faulty_server.direct, direct) == 0


def test_an_upload_that_fails_for_good_leaves_no_parts(faulty_server: FaultyServer, large: Path) -> None:
    store, direct = quick_store(faulty_server)
    faulty_server.proxy.inject(ACCESS_DENIED, "partNumber=2", method="PUT")
    with pytest.raises(StorageError, match=r"refuses access to s3://.*/some folder/scene\.tif.*lets them write"):
        store.upload_file_if_absent(large, "scene.tif")
    assert direct.list() == []
    assert num_unfinished(faulty_server.direct, direct) == 0


def test_a_bucket_that_is_full_is_told(faulty_server: FaultyServer, tmp_path: Path) -> None:
    store, _ = quick_store(faulty_server)
    (tmp_path / "small").write_bytes(b"pixels")
    rule = faulty_server.proxy.inject(Refusal(507, "XMinioStorageFull"), "small.tif", method="PUT", times=None)
    with pytest.raises(StorageError, match=r"no space left for s3://.*/small\.tif.*Free some space"):
        store.upload_file_if_absent(tmp_path / "small", "small.tif")
    assert rule.met == 1


def test_a_file_that_is_not_there_is_told(server: S3Server, tmp_path: Path) -> None:
    store = open_store(f"{server.make_bucket()}/out", server.settings)
    with pytest.raises(StorageError, match=r"none\.tif"):
        store.upload_file_if_absent(tmp_path / "none.tif", "key")


UPLOADING = """
import sys
from pathlib import Path
from pipelines.storage import StorageSettings, open_store, s3_upload
s3_upload.SINGLE_BYTES = s3_upload.PART_BYTES = 5 * 2**20
settings = StorageSettings(sys.argv[2], "us-east-1", "test-access-key", "test-secret-key")
print("begins", flush=True)
open_store(sys.argv[1], settings).upload_file_if_absent(Path(sys.argv[3]), "scene.tif")
"""


def test_a_writer_killed_in_the_middle_leaves_nothing_that_is_seen(faulty_server: FaultyServer, large: Path) -> None:
    uri = f"{faulty_server.direct.make_bucket()}/out"
    store = open_store(uri, faulty_server.direct.settings)
    with start_python(UPLOADING, uri, faulty_server.proxy.settings.endpoint_url, large) as writer:
        rule = faulty_server.proxy.inject(Interloper(writer.kill), "partNumber=3", method="PUT", times=None)
        wait_until(lambda: rule.met > 0)
        writer.wait()
    assert store.list() == []
    assert num_unfinished(faulty_server.direct, store) == 1
    assert store.upload_file_if_absent(large, "scene.tif")
    assert store.read_bytes("scene.tif") == large.read_bytes()
    assert store.delete_unfinished() == 1
    assert num_unfinished(faulty_server.direct, store) == 0
    assert [entry.key for entry in store.list()] == ["scene.tif"]
