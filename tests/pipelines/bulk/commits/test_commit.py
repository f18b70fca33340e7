"""Products enter an output once, whole, and only for who leads the run."""

import hashlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.bulk.commits.commit import Committer, Guard
from pipelines.bulk.records import FileRole, ProductFile
from pipelines.leases.lease import Lease, LeaseLost
from pipelines.storage import Store, open_store, s3, s3_upload
from pipelines.storage.local import LocalStore
from pipelines.storage.retries import RetryPolicy
from pipelines.storage.uris import parse_uri
from rssr.errors import ExitCode, StorageError
from tests.conftest import FaultyServer, S3Server
from tests.faults import ACCESS_DENIED, SLOW_DOWN, fault_proxy
from tests.pipelines.bulk.outputs import KINDS, OPEN_STORE, Output, make_output
from tests.processes import start_python, wait_until


class AlwaysHeld:
    """The lease of a run that nobody disputes."""

    def require_held(self) -> None:
        pass


@pytest.fixture(params=KINDS)
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Output]:
    yield make_output(request, tmp_path)


def write_files(folder: Path, seed: int = 0, num_bytes: int = 200_000) -> list[tuple[Path, str, FileRole]]:
    """The files of a product, and what they become."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = random.Random(seed)
    (folder / "image.tif").write_bytes(generator.randbytes(num_bytes))
    (folder / "item.json").write_bytes(generator.randbytes(300))
    return [
        (folder / "image.tif", "2021/T32 é.tif", "data"),
        (folder / "item.json", "2021/T32 é.json", "metadata"),
    ]


def products(store: Store) -> dict[str, bytes]:
    return {entry.key: store.read_bytes(entry.key) for entry in store.list()}


def contents(files: list[tuple[Path, str, FileRole]]) -> dict[str, bytes]:
    return {key: path.read_bytes() for path, key, _ in files}


def test_what_is_committed_is_there_and_described(output: Output, tmp_path: Path) -> None:
    files = write_files(tmp_path / "scratch")
    expected = contents(files)
    committed = Committer(output.store, AlwaysHeld()).commit(files)
    assert products(output.store) == expected, "and nothing else: no probe, no lease"
    assert committed == tuple(
        ProductFile(key, role, len(expected[key]), hashlib.sha256(expected[key]).hexdigest()) for _, key, role in files
    )


def test_what_holds_is_probed_and_said(output: Output) -> None:
    committer = Committer(output.store, AlwaysHeld())
    guard, words = {
        "local": (Guard.HARD_LINK, "refuses to link"),
        "moto": (Guard.CONDITIONAL_PUT, "If-None-Match"),
        "rclone": (Guard.LEASE, "under a lease"),
    }[output.kind]
    assert committer.guard is guard
    assert words in committer.describe()
    assert output.store.uri in committer.describe()


def test_a_resumed_run_takes_over_what_it_committed_before(output: Output, tmp_path: Path) -> None:
    first = Committer(output.store, AlwaysHeld()).commit(write_files(tmp_path / "first")[:1])
    version = output.store.list()[0]
    again = Committer(output.store, AlwaysHeld()).commit(write_files(tmp_path / "again"))
    assert again[:1] == first
    assert version in output.store.list(), "it was not written again"
    assert len(output.store.list()) == 2


@pytest.mark.parametrize("num_bytes", [200_000, 1000], ids=["same size", "other size"])
def test_what_another_run_committed_is_never_overwritten(output: Output, tmp_path: Path, num_bytes: int) -> None:
    Committer(output.store, AlwaysHeld()).commit(write_files(tmp_path / "first"))
    before = products(output.store)
    with pytest.raises(StorageError, match=r"T32 é\.tif exists from another run.*fresh=true"):
        Committer(output.store, AlwaysHeld()).commit(write_files(tmp_path / "other", seed=1, num_bytes=num_bytes))
    assert products(output.store) == before


def test_of_several_threads_with_one_product_one_commits_it(output: Output, tmp_path: Path) -> None:
    many = [write_files(tmp_path / str(seed), seed, 20_000) for seed in range(4)]
    expected = [contents(files) for files in many]

    def commit(files: list[tuple[Path, str, FileRole]]) -> bool:
        try:
            Committer(output.store, AlwaysHeld()).commit(files)
        except StorageError as error:
            assert "exists from another run" in str(error)
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(commit, many))
    assert won.count(True) == 1
    found = products(output.store)
    assert found["2021/T32 é.tif"] == expected[won.index(True)]["2021/T32 é.tif"]
    assert set(found) <= set(expected[0])


COMMITTING = f"""{OPEN_STORE}
from pipelines.bulk.commits.commit import Committer
from rssr.errors import StorageError
class AlwaysHeld:
    def require_held(self):
        pass
committer = Committer(store, AlwaysHeld())
print(committer.guard, flush=True)
sys.stdin.readline()
try:
    committer.commit([(Path(rest[0]), "scene.tif", "data")])
    print("won", flush=True)
except StorageError as error:
    print(error, flush=True)
"""


def test_of_two_processes_with_one_product_one_commits_it(output: Output, tmp_path: Path) -> None:
    files = [write_files(tmp_path / str(seed), seed, 2_000_000)[0][0] for seed in range(2)]
    expected = [file.read_bytes() for file in files]
    with (
        start_python(COMMITTING, *output.address, files[0]) as one,
        start_python(COMMITTING, *output.address, files[1]) as other,
    ):
        answers = []
        for process in (one, other):  # both have started, and now they go
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in (one, other):
            assert process.stdout is not None
            answers.append(process.stdout.readline())
    assert sorted(answer == "won\n" for answer in answers) == [False, True], answers
    assert any("exists from another run" in answer for answer in answers)
    assert products(output.store) == {"scene.tif": expected[answers.index("won\n")]}


def test_who_lost_the_lease_of_the_run_commits_nothing(output: Output, tmp_path: Path) -> None:
    lease = Lease(output.store, "_run/driver")
    with lease:
        witness = lease.witness()
        Committer(output.store, witness).commit(write_files(tmp_path / "first")[:1])
    for held in (lease, witness):
        with pytest.raises(LeaseLost):
            Committer(output.store, held).commit(write_files(tmp_path / "second"))
    assert len(output.store.list()) == 1


class LostAfter:
    """A lease that is lost after so many questions."""

    def __init__(self, questions: int) -> None:
        self.left = questions

    def require_held(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise LeaseLost("It was lost.")


def test_a_lease_that_is_lost_in_the_middle_stops_the_commit(output: Output, tmp_path: Path) -> None:
    with pytest.raises(LeaseLost):
        Committer(output.store, LostAfter(2)).commit(write_files(tmp_path / "files"))
    assert [entry.key for entry in output.store.list()] == ["2021/T32 é.tif"], "what came before the loss"


class WithoutLinks(LocalStore):
    """A folder on a file system without hard links."""

    def enforces_conditional_put(self) -> bool:
        return False


def test_a_folder_without_hard_links_takes_leases(tmp_path: Path) -> None:
    committer = Committer(WithoutLinks(tmp_path / "out"), AlwaysHeld())
    assert committer.guard is Guard.LEASE
    files = write_files(tmp_path / "files")
    expected = contents(files)
    committer.commit(files)
    assert products(open_store(str(tmp_path / "out"))) == expected


def test_a_bucket_that_nobody_may_write_to_is_told_before_any_work(faulty_server: FaultyServer) -> None:
    uri = faulty_server.direct.make_bucket()
    faulty_server.proxy.inject(ACCESS_DENIED, method="PUT", times=None)
    with pytest.raises(StorageError, match=rf"refuses access to {uri}/.*lets them write there") as caught:
        _ = Committer(open_store(uri, faulty_server.proxy.settings), AlwaysHeld()).guard
    assert caught.value.exit_code is ExitCode.BAD_INPUT


def test_a_busy_server_is_outlasted(faulty_server: FaultyServer, tmp_path: Path) -> None:
    uri = faulty_server.direct.make_bucket()
    store = s3.S3Store(parse_uri(uri), faulty_server.proxy.settings, RetryPolicy(first_delay_s=0.02))
    rule = faulty_server.proxy.inject(SLOW_DOWN, method=".*", skip=3, times=2)
    files = write_files(tmp_path / "files")
    expected = contents(files)
    Committer(store, AlwaysHeld()).commit(files)
    assert rule.met == 2
    assert products(open_store(uri, faulty_server.direct.settings)) == expected


KILLED = f"""{OPEN_STORE}
from pipelines.bulk.commits.commit import Committer
from pipelines.leases.lease import Lease
from pipelines.storage import s3_upload
s3_upload.SINGLE_BYTES = s3_upload.PART_BYTES = 5 * 2**20
lease = Lease(store, "_run/driver")
lease.acquire()
committer = Committer(store, lease)
print(committer.guard, flush=True)
committer.commit([(Path(rest[0]), "scene.tif", "data")])
"""


def test_a_committer_killed_in_the_middle_leaves_nothing_and_the_next_goes_on(
    output: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_upload, "SINGLE_BYTES", 5 * 2**20)
    monkeypatch.setattr(s3_upload, "PART_BYTES", 5 * 2**20)
    (tmp_path / "large.tif").write_bytes(random.Random(0).randbytes(40 * 2**20))
    expected = (tmp_path / "large.tif").read_bytes()
    with start_python(KILLED, *output.address, tmp_path / "large.tif") as process:
        process.kill()  # somewhere between digest, lease and last part
        process.wait()
    keys = [entry.key for entry in output.store.list() if not entry.key.startswith("_run/")]
    assert keys in ([], ["scene.tif"])
    if keys:
        assert output.store.read_bytes("scene.tif") == expected
    with Lease(output.store, "_run/driver", lasts_s=3600) as lease:  # an hour is not waited for
        Committer(output.store, lease).commit([(tmp_path / "large.tif", "scene.tif", "data")])
    assert products(output.store) == {"scene.tif": expected}


HOLDING = f"""{OPEN_STORE}
from pipelines.leases.lease import Lease
from pipelines.bulk.commits.commit import COMMIT_LEASES
lease = Lease(store, COMMIT_LEASES + "/scene.tif", "committing scene.tif")
lease.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_commit_waits_for_another_one_of_the_same_product(s3_server: S3Server, tmp_path: Path) -> None:
    uri = s3_server.make_bucket()
    files: list[tuple[Path, str, FileRole]] = [(write_files(tmp_path / "files")[0][0], "scene.tif", "data")]
    with (
        fault_proxy(s3_server.settings) as proxy,
        start_python(HOLDING, uri, s3_server.settings.endpoint_url) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        store = open_store(uri, proxy.settings)
        committing = pool.submit(Committer(store, AlwaysHeld()).commit, files)
        wait_until(lambda: len(proxy.asked("prefix=_run/committing/scene.tif")) >= 3 or committing.done())
        assert not store.exists("scene.tif")
        other.kill()
        assert committing.result()[0].key == "scene.tif"
        assert store.exists("scene.tif")


class HeldAgain:
    """A lease that is found lost for some time, as where the machine stood still."""

    def __init__(self, times: int) -> None:
        self.times = times

    def require_held(self) -> None:
        if self.times > 0:
            self.times -= 1
            raise LeaseLost("It could not be renewed for 30 s.")


def test_a_product_whose_own_lease_lapsed_is_committed_once_more(
    output: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_files(tmp_path / "scratch")
    expected = contents(files)
    committer = Committer(output.store, AlwaysHeld())
    own = HeldAgain(2)
    monkeypatch.setattr(Lease, "require_held", lambda self: own.require_held())
    committed = committer.commit(files)
    assert products(output.store) == expected
    assert [file.key for file in committed] == [key for _, key, _ in files]
    assert own.times == (0 if committer.guard is Guard.LEASE else 2)


def test_a_run_that_is_led_by_another_commits_nothing_more(output: Output, tmp_path: Path) -> None:
    with pytest.raises(LeaseLost):
        Committer(output.store, HeldAgain(99)).commit(write_files(tmp_path / "scratch"))
    assert products(output.store) == {}
