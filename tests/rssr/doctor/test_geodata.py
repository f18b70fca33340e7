import os
import subprocess
import sys
from pathlib import Path

import pytest

from rssr.doctor import DoctorOptions, State
from rssr.doctor.geodata import check_gdal, check_projections

# In a process of its own: GDAL and PROJ read their environment once.
LOOK = """
import sys
from rssr.doctor import Check, DoctorOptions, examine
from rssr.doctor import geodata
[finding] = examine(DoctorOptions(), [Check(sys.argv[1], getattr(geodata, sys.argv[1]))])
print(finding.state, "|", finding.found, "|", finding.remedy)
"""


def look(check: str, **variables: str) -> list[str]:
    command = [sys.executable, "-c", LOOK, check]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **variables})
    return [part.strip() for part in done.stdout.split("|")]


def test_gdal_has_what_scenes_and_products_need() -> None:
    finding = check_gdal(DoctorOptions())
    assert finding.state is State.OK
    assert "COG" in finding.found
    assert "JP2" in finding.found


@pytest.mark.parametrize("driver", ["COG", "GTiff"])
def test_without_a_driver_for_products_it_fails(driver: str) -> None:
    state, found, remedy = look("check_gdal", GDAL_SKIP=driver)
    assert state == "failed"
    assert f"no driver {driver}" in found
    assert "GDAL_SKIP" in remedy


def test_without_jpeg_2000_sentinel_2_is_warned_of() -> None:
    state, found, _ = look("check_gdal", GDAL_SKIP="JP2OpenJPEG")
    assert state == "warning"
    assert "Sentinel-2" in found


def test_coordinates_are_converted() -> None:
    assert check_projections(DoctorOptions()).state is State.OK


def test_another_installations_database_of_proj_is_named(tmp_path: Path) -> None:
    state, found, remedy = look("check_projections", PROJ_DATA=str(tmp_path), PROJ_LIB=str(tmp_path))
    assert state == "failed"
    assert "PROJ's database" in found
    assert "PROJ_DATA" in remedy
