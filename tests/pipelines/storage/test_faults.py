"""Passing trouble with a real S3 server is outlasted by every library, and lasting trouble is told."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import fsspec
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from pipelines.storage import StorageSettings, Store, open_store, pyarrow_filesystem, s3, settings
from pipelines.storage.retries import RetryPolicy
from pipelines.storage.uris import parse_uri
from rssr.errors import RasterError, StorageError
from rssr.raster import GdalAccess, open_raster
from tests.conftest import FaultyServer
from tests.faults import (
    ACCESS_DENIED,
    EXPIRED_TOKEN,
    INTERNAL_ERROR,
    SLOW_DOWN,
    Fault,
    Refusal,
    Reset,
    Slow,
    Stalled,
    Truncated,
)

REFUSALS = {"503 SlowDown": SLOW_DOWN, "500": INTERNAL_ERROR}
RESETS = {f"reset {when}": Reset(when) for when in ("before the request", "before the answer", "after the headers")}
PASSING: dict[str, Fault] = {**REFUSALS, **RESETS, "truncated body": Truncated()}
QUICK = RetryPolicy(num_attempts=5, first_delay_s=0.02)
DATA = bytes(range(256)) * 500

passing = pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)


class Scene(NamedTuple):
    """A raster on disk."""

    path: Path
    pixels: NDArray[np.uint16]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return write_scene(tmp_path / "scene.tif")


def quick_store(server: FaultyServer, policy: RetryPolicy = QUICK) -> tuple[Store, Store]:
    """One fresh folder through the proxy and directly."""
    uri = f"{server.direct.make_bucket()}/some folder"
    return s3.S3Store(parse_uri(uri), server.proxy.settings, policy), open_store(uri, server.direct.settings)


@passing
def test_reads_end_complete(faulty_server: FaultyServer, fault: Fault) -> None:
    store, direct = quick_store(faulty_server)
    direct.write_bytes("an image é.jpg", DATA)
    rule = faulty_server.proxy.inject(fault, "an image é", times=2)
    assert store.read_bytes("an image é.jpg") == DATA
    assert rule.met == 2


@passing
def test_ranged_reads_end_complete(faulty_server: FaultyServer, fault: Fault) -> None:
    store, direct = quick_store(faulty_server)
    direct.write_bytes("shard", DATA)
    rule = faulty_server.proxy.inject(fault, "shard", times=2)
    assert store.read_range("shard", 1000, 70_000) == DATA[1000:71_000]
    assert rule.met == 2


@passing
def test_listings_end_complete(faulty_server: FaultyServer, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_PAGE_SIZE", 3)
    store, direct = quick_store(faulty_server)
    for number in range(8):
        direct.write_bytes(f"{number}.jpg", b"%d" % number)
    rule = faulty_server.proxy.inject(fault, "list-type=2", skip=1, times=2)
    assert store.list() == direct.list()
    assert rule.met == 2
    assert len(store.list()) == 8


LOST = {"lost request": Reset("before the request"), "lost answer": Reset("before the answer")}


@pytest.mark.parametrize("fault", [*REFUSALS.values(), *LOST.values()], ids=[*REFUSALS, *LOST])
def test_writes_end_complete(faulty_server: FaultyServer, fault: Fault, tmp_path: Path) -> None:
    store, direct = quick_store(faulty_server)
    rule = faulty_server.proxy.inject(fault, "written", method="PUT", times=2)
    store.write_bytes("written", DATA)
    assert rule.met == 2
    faulty_server.proxy.inject(fault, "uploaded", method="PUT", times=2)
    (tmp_path / "file").write_bytes(DATA)
    store.upload_file(tmp_path / "file", "uploaded")
    assert direct.read_bytes("written") == direct.read_bytes("uploaded") == DATA


@passing
def test_downloads_end_complete(faulty_server: FaultyServer, fault: Fault, tmp_path: Path) -> None:
    store, direct = quick_store(faulty_server)
    direct.write_bytes("model", DATA)
    rule = faulty_server.proxy.inject(fault, "model", times=2)
    store.download_file("model", tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == DATA
    assert rule.met == 2


@pytest.mark.parametrize("fault", [*REFUSALS.values(), Reset()], ids=[*REFUSALS, "reset"])
def test_existence_is_not_denied_by_a_busy_server(faulty_server: FaultyServer, fault: Fault) -> None:
    store, direct = quick_store(faulty_server)
    direct.write_bytes("key", DATA)
    rule = faulty_server.proxy.inject(fault, "key", method="HEAD", times=2)
    assert store.exists("key")
    assert rule.met == 2


def test_a_put_whose_answer_was_lost_is_recognised_as_done(faulty_server: FaultyServer) -> None:
    store, direct = quick_store(faulty_server)
    assert store.enforces_conditional_put() == direct.enforces_conditional_put()
    rule = faulty_server.proxy.inject(Reset("before the answer"), "claim", method="PUT")
    assert store.put_if_absent("claim", b"mine")
    assert rule.met == 1
    assert not store.put_if_absent("claim", b"other")
    assert direct.read_bytes("claim") == b"mine"


def test_slow_bodies_arrive_whole(faulty_server: FaultyServer) -> None:
    store, direct = quick_store(faulty_server)
    direct.write_bytes("key", DATA)
    faulty_server.proxy.inject(Slow(300_000), "key")
    assert store.read_bytes("key") == DATA
    assert len(faulty_server.proxy.asked("key")) == 1


def test_a_server_that_falls_silent_is_asked_again(
    faulty_server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "READ_TIMEOUT_S", 0.3)
    store, direct = quick_store(faulty_server)
    direct.write_bytes("key", DATA)
    rule = faulty_server.proxy.inject(Stalled(1.0), "key")
    assert store.read_bytes("key") == DATA
    assert rule.met == 1


def test_retries_back_off_and_end_within_their_bounds(faulty_server: FaultyServer) -> None:
    policy = RetryPolicy(num_attempts=5, first_delay_s=0.1, longest_delay_s=0.4)
    store, _ = quick_store(faulty_server, policy)
    faulty_server.proxy.inject(SLOW_DOWN, times=None)
    with pytest.raises(StorageError, match=r"answered SlowDown for s3://bucket-\w+/some folder/image\.jpg") as caught:
        store.read_bytes("image.jpg")
    assert "Try again later" in str(caught.value)
    asked = [one.at_s for one in faulty_server.proxy.asked("image.jpg")]
    assert len(asked) == policy.num_attempts
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    for pause, longest in zip(pauses, (0.1, 0.2, 0.4, 0.4), strict=True):
        assert pause >= longest / 2
    assert asked[-1] - asked[0] < sum((0.1, 0.2, 0.4, 0.4)) + 5


def test_a_server_that_stays_silent_is_given_up_in_time(
    faulty_server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "READ_TIMEOUT_S", 0.2)
    store, _ = quick_store(faulty_server, RetryPolicy(num_attempts=1000, first_delay_s=0.01, busy_s=6.0))
    faulty_server.proxy.inject(Stalled(1.0), times=None)
    with pytest.raises(StorageError, match=r"ReadTimeoutError for s3://bucket-\w+/some folder/key"):
        store.read_bytes("key")
    assert 2 <= len(faulty_server.proxy.asked("key")) <= 32, "a new attempt every 0.2 s, for 6 s"


EXPIRED = {"403": EXPIRED_TOKEN, "400 as AWS": Refusal(400, "ExpiredToken")}


@pytest.mark.parametrize("fault", EXPIRED.values(), ids=EXPIRED)
def test_an_expired_token_is_told_at_once(faulty_server: FaultyServer, fault: Fault) -> None:
    store, _ = quick_store(faulty_server)
    rule = faulty_server.proxy.inject(fault, times=None)
    with pytest.raises(StorageError, match=r"s3://bucket-\w+/some folder/key.*expired.*AWS_SESSION_TOKEN"):
        store.read_bytes("key")
    assert rule.met == 1


def test_a_wrong_clock_is_told(faulty_server: FaultyServer) -> None:
    store, _ = quick_store(faulty_server)
    faulty_server.proxy.inject(Refusal(403, "RequestTimeTooSkewed"), times=None)
    with pytest.raises(StorageError, match="Set the clock"):
        store.read_bytes("key")


@pytest.mark.parametrize("attempt", ["read", "write", "list", "exists"])
def test_a_bucket_without_permission_is_told_at_once(faulty_server: FaultyServer, attempt: str) -> None:
    store, _ = quick_store(faulty_server)
    rule = faulty_server.proxy.inject(ACCESS_DENIED, method=".*", times=None)
    attempts: dict[str, Callable[[], object]] = {
        "read": lambda: store.read_bytes("key"),
        "write": lambda: store.write_bytes("key", b""),
        "list": store.list,
        "exists": lambda: store.exists("key"),
    }
    with pytest.raises(StorageError, match=r"refuses access to s3://bucket-\w+/some folder.*AWS_ACCESS_KEY_ID"):
        attempts[attempt]()
    assert rule.met == 1


@passing
def test_s3fs_reads_end_complete(faulty_server: FaultyServer, fault: Fault) -> None:
    uri = faulty_server.direct.make_bucket()
    open_store(uri, faulty_server.direct.settings).write_bytes("key", DATA)
    rule = faulty_server.proxy.inject(fault, "key", times=2)
    with fsspec.open(f"{uri}/key", "rb", **faulty_server.proxy.settings.s3fs_options()) as stream:
        assert stream.read() == DATA
    assert rule.met == 2


@passing
def test_arrow_reads_end_complete(faulty_server: FaultyServer, fault: Fault) -> None:
    uri = faulty_server.direct.make_bucket()
    open_store(uri, faulty_server.direct.settings).write_bytes("key", DATA)
    rule = faulty_server.proxy.inject(fault, "key", times=2)
    filesystem, path = pyarrow_filesystem(uri, faulty_server.proxy.settings)
    with filesystem.open_input_stream(f"{path}/key") as stream:
        assert stream.read() == DATA
    assert rule.met == 2


@passing
def test_gdal_reads_end_complete(faulty_server: FaultyServer, fault: Fault, scene: Scene) -> None:
    uri = upload(faulty_server, scene)
    rule = faulty_server.proxy.inject(fault, "scene.tif", skip=1, times=2)
    assert np.array_equal(read_with_gdal(uri, faulty_server.proxy.settings), scene.pixels)
    assert rule.met == 2


@pytest.mark.parametrize("fault", [Truncated(), Reset("after the headers")], ids=["truncated body", "reset"])
def test_gdal_opens_what_broke_off_at_its_first_bytes(faulty_server: FaultyServer, fault: Fault, scene: Scene) -> None:
    uri = upload(faulty_server, scene)
    rule = faulty_server.proxy.inject(fault, "scene.tif", times=2)
    assert np.array_equal(read_with_gdal(uri, faulty_server.proxy.settings), scene.pixels)
    assert rule.met == 2


def test_gdal_asks_a_silent_server_again(
    faulty_server: FaultyServer, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "READ_TIMEOUT_S", 1.0)
    uri = upload(faulty_server, scene)
    rule = faulty_server.proxy.inject(Stalled(20.0), "scene.tif", skip=1)
    started = time.monotonic()
    assert np.array_equal(read_with_gdal(uri, faulty_server.proxy.settings), scene.pixels)
    assert rule.met == 1
    assert time.monotonic() - started < 20, "the silence was cut short"


def test_gdal_tells_of_lasting_trouble_with_the_name(faulty_server: FaultyServer, scene: Scene) -> None:
    uri = upload(faulty_server, scene)
    rule = faulty_server.proxy.inject(Truncated(), "scene.tif", skip=1, times=None)
    with pytest.raises(RasterError, match=f"{uri} cannot be read"):
        read_with_gdal(uri, faulty_server.proxy.settings)
    assert 2 <= rule.met < 20


@pytest.mark.parametrize("key", ["scene.tif", "absent.tif"])
def test_gdal_is_told_no_once(faulty_server: FaultyServer, scene: Scene, key: str) -> None:
    uri = upload(faulty_server, scene)
    faulty_server.proxy.inject(ACCESS_DENIED, "scene.tif", method=".*", times=None)
    address = uri.replace("scene.tif", key)
    with pytest.raises(RasterError, match=f"{address} cannot be opened"):
        read_with_gdal(address, faulty_server.proxy.settings)
    assert len(faulty_server.proxy.asked(key)) <= 3


def test_gdal_sees_an_object_that_was_replaced(faulty_server: FaultyServer, scene: Scene, tmp_path: Path) -> None:
    uri = upload(faulty_server, scene)
    assert np.array_equal(read_with_gdal(uri, faulty_server.proxy.settings), scene.pixels)
    later = write_scene(tmp_path / "later.tif", seed=1)
    store = open_store(uri.removesuffix("/scene.tif"), faulty_server.direct.settings)
    store.upload_file(later.path, "scene.tif")
    assert np.array_equal(read_with_gdal(uri, faulty_server.proxy.settings), later.pixels)


def write_scene(path: Path, seed: int = 0) -> Scene:
    """A tiled raster that takes several requests to read."""
    pixels = np.random.default_rng(seed).integers(0, 10_000, (2, 256, 256), dtype=np.uint16)
    transform = rasterio.transform.from_origin(500_000, 5_000_000, 10, 10)
    profile = {"driver": "GTiff", "width": 256, "height": 256, "count": 2, "dtype": "uint16", "transform": transform}
    with rasterio.open(path, "w", **profile, tiled=True, blockxsize=64, blockysize=64) as file:
        file.write(pixels)
    return Scene(path, pixels)


def upload(server: FaultyServer, scene: Scene) -> str:
    """Put the raster into a fresh bucket; returns its URI."""
    uri = server.direct.make_bucket()
    open_store(uri, server.direct.settings).upload_file(scene.path, "scene.tif")
    return f"{uri}/scene.tif"


def read_with_gdal(uri: str, settings: StorageSettings) -> NDArray[np.number]:
    """All pixels, through `/vsis3/`."""
    access = GdalAccess(settings.gdal_options(), settings.aws_session_options())
    with access.active(), open_raster(uri.replace("s3://", "/vsis3/"), name=uri) as reader:
        return reader.read().pixels
