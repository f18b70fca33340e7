"""How much GDAL keeps of open rasters: enough to read nothing twice, and no more."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rasterio.env import get_gdal_config

import rssr.raster.block_cache as block_cache
from rssr.errors import RasterError
from rssr.raster import ByteSource, Raster, Window, open_raster, write_geotiff

MIB = 2**20


def limit_mib() -> float:
    return int(get_gdal_config("GDAL_CACHEMAX")) / MIB


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Blocks of 512 by 512 pixels of eight bytes: 4 MiB a row of two."""
    pixels = np.random.default_rng(0).integers(0, 60_000, (4, 1400, 1024)).astype(np.uint16)
    write_geotiff(tmp_path / "wide.tif", Raster(pixels))
    return tmp_path / "wide.tif"


def test_rasters_that_are_open_have_room_for_two_rows_of_blocks(wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert limit_mib() == 128
    monkeypatch.setattr(block_cache, "_USUAL_BYTES", MIB)
    with open_raster(wide):
        assert limit_mib() == 10
        with open_raster(wide), pytest.raises(RasterError), open_raster(wide) as reader:
            assert limit_mib() == 30
            reader.read(Window(0, 0, 1, 5000))
        assert limit_mib() == 10
    assert limit_mib() == 1
    monkeypatch.undo()
    with open_raster(wide):
        assert limit_mib() == 128


def test_there_is_no_more_than_gdal_would_take(wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_cache, "_most_bytes", 200 * MIB)
    monkeypatch.setattr(block_cache, "_ROWS_OF_BLOCKS", 1000)
    with open_raster(wide):
        assert limit_mib() == 200
    assert limit_mib() == 128


@pytest.mark.parametrize(("environment", "limit"), [({}, 128), ({"GDAL_CACHEMAX": "77"}, 77)])
def test_what_the_users_environment_says_holds(wide: Path, environment: dict[str, str], limit: int) -> None:
    script = "from rssr.raster import open_raster; from rasterio.env import get_gdal_config as get\n"
    script += f"with open_raster({str(wide)!r}): print(get('GDAL_CACHEMAX') // 2**20)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )
    assert int(done.stdout) == limit


def test_reading_tile_by_tile_fetches_nothing_twice(wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_cache, "_USUAL_BYTES", MIB)
    monkeypatch.setattr("rssr.raster.byte_source._MAX_BLOCKS", 2)
    data, fetched = wide.read_bytes(), []

    def read_range(start: int, num_bytes: int) -> bytes:
        fetched.append(num_bytes)
        return data[start : start + num_bytes]

    with open_raster(ByteSource("wide.tif", len(data), read_range)) as reader:
        for row in range(0, 1400, 200):
            for column in range(0, 1024, 256):
                reader.read(Window(row, column, 200, 256))
            reader.read(Window(row, 0, 200, 1024))
    assert sum(fetched) < 1.3 * len(data)
