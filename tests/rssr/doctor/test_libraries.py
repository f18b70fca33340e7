import subprocess
import sys
from pathlib import Path

import pytest

from rssr.doctor import DoctorOptions, State
from rssr.doctor.libraries import check_packages, check_python, check_torch

OPTIONS = DoctorOptions()
LOOK_FOR_GPUS = """
import sys
from pathlib import Path
from rssr.doctor import DoctorOptions
from rssr.doctor.libraries import check_cuda
finding = check_cuda(DoctorOptions(), Path(sys.argv[1]))
print(finding.state, finding.found, finding.remedy)
"""


def test_an_interpreter_that_is_too_old_fails() -> None:
    assert check_python(OPTIONS).state is State.OK
    finding = check_python(OPTIONS, least=(sys.version_info[0], sys.version_info[1] + 1))
    assert finding.state is State.FAILED
    assert f"Python {sys.version_info[0]}.{sys.version_info[1] + 1} or newer" in finding.remedy


def install(folder: Path, *requirements: str) -> None:
    facts = folder / "needy-2.5.dist-info"
    facts.mkdir()
    lines = [
        "Metadata-Version: 2.1",
        "Name: needy",
        "Version: 2.5",
        *(f"Requires-Dist: {item}" for item in requirements),
    ]
    (facts / "METADATA").write_text("\n".join(lines) + "\n")


def test_packages_that_are_missing_or_too_old_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(
        tmp_path,
        "numpy>=1",
        "numpy>=1000",
        "no-such-package-anywhere>=1",
        "nothing-for-this-system; sys_platform == 'plan9'",
        "nothing-wanted; extra == 'eval'",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = check_packages(OPTIONS, "needy")
    assert finding.state is State.FAILED
    assert "no-such-package-anywhere is not installed" in finding.found
    assert ">=1000 is needed" in finding.found
    assert "nothing" not in finding.found
    assert "pip install" in finding.remedy


def test_packages_that_fit_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "numpy>=1", "nothing-wanted; extra == 'eval'")
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = check_packages(OPTIONS, "needy")
    assert (finding.state, finding.found) == (State.OK, "needy 2.5; its 1 packages fit")


def test_a_source_tree_that_is_not_installed_is_warned_of() -> None:
    finding = check_packages(OPTIONS, "no-such-package-anywhere")
    assert finding.state is State.WARNING
    assert "pip install -e ." in finding.remedy


def test_torch_multiplies() -> None:
    finding = check_torch(OPTIONS)
    assert finding.state is State.OK
    assert "CPU threads" in finding.found


@pytest.mark.parametrize(("has_driver", "state"), [(True, "warning"), (False, "skipped")])
def test_a_gpu_that_torch_cannot_use_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_driver: bool, state: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    device = tmp_path / "nvidiactl"
    if has_driver:
        device.touch()
    command = [sys.executable, "-c", LOOK_FOR_GPUS, str(device)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.startswith(state)
    assert ("CUDA_VISIBLE_DEVICES" in told) == has_driver
