from pathlib import Path

from pipelines.doctor.shared_memory import check_shared_memory, memory_bytes
from rssr.doctor import DoctorOptions, State

OPTIONS = DoctorOptions()


def test_room_for_rays_share_is_well(tmp_path: Path) -> None:
    finding = check_shared_memory(OPTIONS, tmp_path, share=1e-9)
    assert finding.state is State.OK
    assert str(tmp_path) in finding.found


def test_too_little_room_names_the_option_of_containers(tmp_path: Path) -> None:
    finding = check_shared_memory(OPTIONS, tmp_path, share=1e6)
    assert finding.state is State.WARNING
    assert "--shm-size=" in finding.remedy


def test_systems_without_shared_memory_as_files_are_left_alone(tmp_path: Path) -> None:
    assert check_shared_memory(OPTIONS, tmp_path / "none").state is State.SKIPPED


def test_ray_counts_the_same_memory() -> None:
    from ray._common.utils import get_system_memory

    assert memory_bytes() <= get_system_memory() * 1.05
    assert memory_bytes() > 2**28
