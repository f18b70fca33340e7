import tempfile
from pathlib import Path

import pytest

from rssr.doctor import DoctorOptions, State
from rssr.doctor.disk import check_output_disk, check_temporary_disk


def test_room_enough_is_told_of_the_folder_that_exists(tmp_path: Path) -> None:
    for uri in (str(tmp_path / "runs" / "of" / "today"), f"file://{tmp_path}/runs"):
        finding = check_output_disk(DoctorOptions(output_uri=uri, least_free_bytes=1))
        assert finding.state is State.OK
        assert finding.found.startswith(f"{tmp_path}: ")
    assert list(tmp_path.iterdir()) == []


def test_too_little_room_is_warned_of(tmp_path: Path) -> None:
    options = DoctorOptions(output_uri=str(tmp_path), least_free_bytes=2**60)
    finding = check_output_disk(options)
    assert finding.state is State.WARNING
    assert "less than" in finding.found
    assert check_temporary_disk(options).state is State.WARNING


@pytest.mark.parametrize("place", ["/proc", "{tmp_path}/file"])
def test_a_place_that_cannot_be_written_to_fails(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("no folder")
    finding = check_output_disk(DoctorOptions(output_uri=place.format(tmp_path=tmp_path)))
    assert finding.state is State.FAILED
    assert "cannot be written to" in finding.found


def test_object_stores_are_no_disks() -> None:
    assert check_output_disk(DoctorOptions(output_uri="s3://bucket/runs")).state is State.SKIPPED


def test_the_temporary_folder_is_where_python_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert check_temporary_disk(DoctorOptions(least_free_bytes=1)).found.startswith(f"{tmp_path}: ")
