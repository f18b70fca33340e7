"""The bulk job as a user types it: scenes in, products, ledger and page out."""

import hashlib
import json
import os
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from affine import Affine
from rio_cogeo.cogeo import cog_validate

from pipelines.bulk.commits.ledger import Ledger
from pipelines.bulk.records import SceneRecord
from pipelines.storage import open_store
from rssr.images import encode_png
from rssr.inference import super_resolve_scene
from rssr.raster import Raster, write_geotiff
from rssr.scenes.geotiff import write_scene_geotiff
from tests.conftest import S3Server
from tests.jobs.running import ROOT, Finished, environment, job_command, paragraph, run_job, run_job_here

PRESET = ROOT / "jobs" / "presets" / "quickstart" / "bulk.yaml"
_SMALL_TILES = ("tiling.tile_size=32", "tiling.halo=4", "tiling.tiles_a_side=2")


def bulk(*arguments: str, cwd: Path = ROOT) -> Finished:
    """The job in this process."""
    return run_job_here(*arguments, preset=PRESET, job="bulk", cwd=cwd)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two scenes of several windows, one that is smaller than a tile, and pictures in a zip."""
    folder = tmp_path / "in"
    folder.mkdir()
    write_scene_geotiff(folder / "town.tif", 0, 90, 120, gsd_m=10)
    write_scene_geotiff(folder / "2021-fields.tif", 1, 100, 70, gsd_m=10)
    write_scene_geotiff(folder / "speck.tif", 2, 5, 1, gsd_m=10)
    with zipfile.ZipFile(folder / "old.zip", "w") as packed:
        for number in range(2):
            pixels = np.random.default_rng(number).integers(0, 256, (24, 31, 3), dtype=np.uint8)
            packed.writestr(f"pictures/{number}.png", encode_png(pixels))
    return folder


def products(output: Path) -> dict[str, str]:
    """SHA-256 of every file of a product."""
    return {
        path.relative_to(output).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in output.rglob("*")
        if path.is_file() and path.relative_to(output).parts[0] not in ("_run", "_work")
    }


def times(output: Path) -> dict[str, int]:
    """When each product was written."""
    return {name: (output / name).stat().st_mtime_ns for name in products(output)}


def record(output: Path, name: str) -> SceneRecord:
    """What the ledger says of a scene."""
    found = Ledger(open_store(str(output))).read(name)
    assert found is not None
    return found


def begin_as(output: Path, other: Path) -> None:
    """Let a run be planned at the moment of another, which products tell."""
    (output / "_run").mkdir(parents=True)
    (output / "_run" / "run.json").write_bytes((other / "_run" / "run.json").read_bytes())


def test_without_any_argument_it_shows_what_it_does(tmp_path: Path) -> None:
    done = run_job(job="bulk", preset=PRESET, cwd=tmp_path)
    assert done.status == 0, done.err
    assert "4 scenes: 4 done" in done.out
    assert (tmp_path / "runs" / "bulk" / "_run" / "report.html").stat().st_size > 20_000


def test_every_scene_becomes_a_product_with_its_layers(archive: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    done = bulk(f"input={archive}", f"output={output}", *_SMALL_TILES)
    assert done.status == 0, done.err
    assert "5 scenes: 5 done" in done.out
    names = ("town", "2021-fields", "speck", "old/pictures/0", "old/pictures/1")
    layers = (".tif", "_consistency.tif", ".png", ".json")
    assert set(products(output)) == {f"{name}{layer}" for name in names for layer in layers}
    for name in names:
        assert cog_validate(str(output / f"{name}.tif"), quiet=True)[0]
        assert record(output, name).state == "done"
        assert {asset["href"] for asset in json.loads((output / f"{name}.json").read_text())["assets"].values()}
    with rasterio.open(archive / "town.tif") as lr, rasterio.open(output / "town.tif") as sr:
        assert (sr.height, sr.width, sr.count, sr.dtypes) == (360, 480, 3, lr.dtypes)
        assert sr.crs == lr.crs
        assert sr.bounds == lr.bounds
        assert sr.transform == lr.transform * Affine.scale(0.25)
    table = pq.read_table(output / "_run" / "ledger.parquet")
    assert sorted(table["name"].to_pylist()) == sorted(names)
    assert not (output / "_work").exists()


def test_one_command_and_another_differ_in_nothing_but_the_place(archive: Path, tmp_path: Path) -> None:
    image = tmp_path / "alone.tif"
    super_resolve_scene(archive / "town.tif", image, "bicubic", 4, tile_size=32, halo=4)
    assert bulk(f"input={archive}/town.tif", f"output={tmp_path}/out", *_SMALL_TILES).status == 0
    with rasterio.open(image) as alone, rasterio.open(tmp_path / "out" / "town.tif") as ours:
        np.testing.assert_array_equal(alone.read(), ours.read())


def test_the_same_command_again_does_nothing(archive: Path, tmp_path: Path) -> None:
    arguments = (f"input={archive}", f"output={tmp_path}/out")
    assert bulk(*arguments).status == 0
    before = times(tmp_path / "out")
    again = bulk(*arguments)
    assert again.status == 0, again.err
    assert "5 of 5 scenes are finished already" in again.err
    assert times(tmp_path / "out") == before


def test_a_scene_that_came_later_is_done_alone(archive: Path, tmp_path: Path) -> None:
    arguments = (f"input={archive}", f"output={tmp_path}/out")
    assert bulk(*arguments).status == 0
    before = times(tmp_path / "out")
    write_scene_geotiff(archive / "new.tif", 3, 20, 20)
    assert bulk(*arguments).status == 0
    after = times(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    assert "new.tif" in after


def test_another_configuration_in_the_same_output_is_refused(archive: Path, tmp_path: Path) -> None:
    assert bulk(f"input={archive}", f"output={tmp_path}/out").status == 0
    before = times(tmp_path / "out")
    refused = bulk(f"input={archive}", f"output={tmp_path}/out", "scale=2")
    assert refused.status == 2
    assert "scale 4.0 there, 2.0 now" in paragraph(refused)
    assert times(tmp_path / "out") == before
    assert bulk(f"input={archive}", f"output={tmp_path}/out", "scale=2", "fresh=true").status == 0
    with rasterio.open(tmp_path / "out" / "town.tif") as sr:
        assert sr.height == 180


def test_the_input_is_no_output(archive: Path) -> None:
    refused = bulk(f"input={archive}", f"output={archive}")
    assert refused.status == 2
    assert "output" in paragraph(refused)


def test_a_broken_scene_is_named_and_the_others_are_done(archive: Path, tmp_path: Path) -> None:
    whole = (archive / "town.tif").read_bytes()
    (archive / "town.tif").write_bytes(whole[: len(whole) // 2])
    done = bulk(f"input={archive}", f"output={tmp_path}/out")
    assert done.status == 3
    assert "4 done" in done.out
    assert "town" in done.out
    failures = [json.loads(line) for line in (tmp_path / "out" / "_run" / "failures.jsonl").read_text().splitlines()]
    assert [failure["scene"] for failure in failures] == ["town"]
    (archive / "town.tif").write_bytes(whole)
    mended = bulk(f"input={archive}", f"output={tmp_path}/out", "retry_failed=true")
    assert mended.status == 0, mended.err


def test_a_window_that_fails_is_masked_and_told(tmp_path: Path) -> None:
    pixels = np.full((1, 100, 100), 0.25, np.float32)
    pixels[0, 5:7, 5:7] = 3.4e38  # between two of these, bicubic interpolation is infinite
    write_geotiff(tmp_path / "in" / "hot.tif", Raster(pixels, band_names=("grey",)))
    done = bulk(f"input={tmp_path}/in", f"output={tmp_path}/out", *_SMALL_TILES)
    assert done.status == 3, done.out + done.err
    [failed] = record(tmp_path / "out", "hot").failed_windows
    assert record(tmp_path / "out", "hot").state == "partial"
    with rasterio.open(tmp_path / "out" / "hot.tif") as sr:
        mask = sr.dataset_mask() > 0
        assert sr.tags()["RSSR_FAILED_WINDOWS"] == failed.key
    hole = np.zeros_like(mask)
    hole[slice(*failed.rows), slice(*failed.columns)] = True
    np.testing.assert_array_equal(mask, ~hole)
    assert not mask.all()
    begin_as(tmp_path / "whole", tmp_path / "out")
    whole = bulk(f"input={tmp_path}/in", f"output={tmp_path}/whole", "keep_windows=false", *_SMALL_TILES)
    assert whole.status == 3, whole.out + whole.err
    assert products(tmp_path / "whole") == products(tmp_path / "out")
    pixels[0, 5:7, 5:7] = 0.25
    write_geotiff(tmp_path / "in" / "hot.tif", Raster(pixels, band_names=("grey",)))
    assert "has changed" in bulk(f"input={tmp_path}/in", f"output={tmp_path}/out", *_SMALL_TILES).err


def test_results_do_not_depend_on_workers(archive: Path, tmp_path: Path, ray_cluster: str) -> None:
    for num_workers in (0, 1, 2):
        output = tmp_path / str(num_workers)
        if num_workers:
            begin_as(output, tmp_path / "0")
        how = (f"num_workers={num_workers}", f"keep_windows={'true' if num_workers else 'false'}")
        done = bulk(f"input={archive}", f"output={output}", *how, *_SMALL_TILES)
        assert done.status == 0, done.err
        assert products(output) == products(tmp_path / "0")


def test_a_killed_run_goes_on_where_it_was(archive: Path, tmp_path: Path) -> None:
    arguments = (f"input={archive}", f"output={tmp_path}/out", "keep_work=true", *_SMALL_TILES)
    job = subprocess.Popen(
        job_command(*arguments, preset=PRESET, job="bulk"),
        env=environment(),
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    work, deadline_s = tmp_path / "out" / "_work", time.monotonic() + 120
    while not list(work.rglob("r*c*")):
        assert job.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    kept = {path: path.stat().st_mtime_ns for path in work.rglob("r*c*")}
    before = times(tmp_path / "out")
    done = bulk(*arguments)
    assert done.status == 0, done.err
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    after = times(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    whole = tmp_path / "whole"
    begin_as(whole, tmp_path / "out")
    assert bulk(f"input={archive}", f"output={whole}", *_SMALL_TILES).status == 0
    assert products(whole) == products(tmp_path / "out")


def test_damage_is_found(archive: Path, tmp_path: Path) -> None:
    arguments = (f"input={archive}", f"output={tmp_path}/out")
    assert bulk(*arguments).status == 0
    product = tmp_path / "out" / "town.tif"
    data = bytearray(product.read_bytes())
    data[len(data) // 2] ^= 1
    product.write_bytes(data)
    (tmp_path / "out" / "speck.tif").unlink()
    found = bulk(*arguments, "verify_only=true")
    assert found.status == 3
    assert "Verification found 2 problems" in found.out
    assert "town.tif" in found.out
    assert "speck.tif" in found.out


def test_workers_find_the_same_damage_in_the_same_words(archive: Path, tmp_path: Path, ray_cluster: str) -> None:
    arguments = (f"input={archive}", f"output={tmp_path}/out")
    assert bulk(*arguments).status == 0
    (tmp_path / "out" / "speck.png").write_bytes(b"no picture")
    (tmp_path / "out" / "old" / "pictures" / "1.tif").unlink()
    found = [bulk(*arguments, "verify_only=true", f"num_workers={number}") for number in (0, 2)]
    assert [each.status for each in found] == [3, 3]
    problems = [[line for line in each.out.splitlines() if "tmp_path" in line or "out/" in line] for each in found]
    assert problems[0] == problems[1]
    assert "Verification found 2 problems" in found[1].out


def test_a_run_that_is_killed_while_it_is_verified_is_verified_again(
    archive: Path, tmp_path: Path, ray_cluster: str
) -> None:
    arguments = (f"input={archive}", f"output={tmp_path}/out", *_SMALL_TILES)
    job = subprocess.Popen(
        job_command(*arguments, preset=PRESET, job="bulk"),
        env=environment(),
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    ledger, deadline_s = Ledger(open_store(str(tmp_path / "out"))), time.monotonic() + 200
    while len(ledger.read_all()) < 5:
        assert job.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    assert not (tmp_path / "out" / "_run" / "report.html").exists()
    before = times(tmp_path / "out")
    done = bulk(*arguments, "num_workers=1")
    assert done.status == 0, done.err
    assert "5 of 5 scenes are finished already" in done.err
    assert "Verified: every scene has its product" in done.out
    assert times(tmp_path / "out") == before
    assert not [path for path in (tmp_path / "out" / "_work").rglob("*") if path.is_file()]


def test_there_is_nothing_to_verify_where_nothing_was_run(archive: Path, tmp_path: Path) -> None:
    refused = bulk(f"input={archive}", f"output={tmp_path}/out", "verify_only=true")
    assert refused.status == 2
    assert "holds no run" in paragraph(refused)


def test_object_stores_hold_the_same(archive: Path, tmp_path: Path, s3_server: S3Server) -> None:
    bucket = s3_server.make_bucket()
    env = s3_server.settings.mlflow_environment()
    open_store(f"{bucket}/in", s3_server.settings).upload_folder(archive, "")
    done = run_job_here(
        f"input={bucket}/in/", f"output={bucket}/out", *_SMALL_TILES, preset=PRESET, job="bulk", env=env
    )
    assert done.status == 0, done.err
    open_store(f"{bucket}/out", s3_server.settings).download_folder("", tmp_path / "fetched")
    assert bulk(f"input={archive}", f"output={tmp_path}/out", *_SMALL_TILES).status == 0
    for name in ("town.tif", "old/pictures/1.tif"):
        with rasterio.open(tmp_path / "fetched" / name) as there, rasterio.open(tmp_path / "out" / name) as here:
            np.testing.assert_array_equal(there.read(), here.read())


def test_an_output_that_cannot_be_written_is_told_at_once(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    refused = bulk(f"input={archive}", f"output={tmp_path}/file/out")
    assert refused.status == 2
    assert str(tmp_path / "file") in paragraph(refused)
