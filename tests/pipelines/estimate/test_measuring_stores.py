"""What the output gives and takes, measured without leaving anything there."""

from pathlib import Path

import pytest

from pipelines.cluster import RayConfig
from pipelines.estimate.measuring_stores import place_of, probe_output, time_dispatch
from pipelines.storage import StorageSettings, open_store
from rssr.errors import StorageError
from tests.conftest import S3Server


def test_a_folder_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "product.tif").write_bytes(b"kept")
    samples = probe_output(open_store(str(tmp_path / "there")), 10_000)
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["product.tif"]
    assert all(value > 0 for values in vars(samples).values() for value in values)
    probe_output(open_store(str(tmp_path / "not" / "yet")), 10_000)
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize("server", ["s3_server", "moto_server"])
def test_a_bucket_is_as_it_was(server: str, request: pytest.FixtureRequest) -> None:
    running: S3Server = request.getfixturevalue(server)
    bucket = running.make_bucket()
    samples = probe_output(open_store(f"{bucket}/out", running.settings), 10_000)
    assert open_store(bucket, running.settings).list() == []
    counts = {name: len(values) for name, values in vars(samples).items()}
    lease = 3 if server == "s3_server" else 0  # rclone overwrites without a word, so that products take leases
    wanted = {"fetch_bytes_per_s": 3, "upload_bytes_per_s": 3, "commit_s": 5, "lease_s": lease, "verify_bytes_per_s": 1}
    assert counts == wanted


def test_an_output_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file"):
        probe_output(open_store(str(tmp_path / "file" / "out")), 100)


def test_the_driver_is_timed_on_ray(ray_cluster: str) -> None:
    times = time_dispatch(RayConfig(address=ray_cluster))
    assert len(times) == 3
    assert min(times) > 0


def test_places_are_as_fast_as_their_disk_or_bucket(tmp_path: Path) -> None:
    here, there = StorageSettings(), StorageSettings(endpoint_url="http://localhost:9000")
    assert place_of("s3://bucket/a", here) == place_of("s3://bucket/b/c", here)
    assert place_of("s3://bucket/a", here) != place_of("s3://other/a", here)
    assert place_of("s3://bucket/a", here) != place_of("s3://bucket/a", there)
    assert place_of(str(tmp_path / "a"), here) == place_of(str(tmp_path / "b" / "c"), here)
    assert place_of("/proc/1", here) == "disk mounted at /proc"
