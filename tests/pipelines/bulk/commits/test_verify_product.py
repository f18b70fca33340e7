"""What a product may be besides what was planned."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from pipelines.bulk.commits.verify_product import check_product
from pipelines.bulk.records import PlannedScene, SceneRecord
from pipelines.storage import open_store
from rssr.raster import Raster, scaled_transform
from tests.pipelines.bulk.made_run import (
    CRS,
    FAILED_WINDOW,
    LR_SIZE,
    SR_SIZE,
    TRANSFORM,
    Run,
    image,
    masked_image,
)

TAGS = {"RSSR_FAILED_WINDOWS": '["r0000c0001"]'}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(open_store(str(tmp_path / "out")), tmp_path / "scratch")


def check(run: Run, record: SceneRecord, planned: PlannedScene | None = None) -> list[str]:
    listed = {entry.key: entry for entry in run.store.list()}
    return list(check_product(run.store, planned or run.planned[0], record, listed))


def moved(east_m: float) -> Affine:
    return scaled_transform(Affine.translation(east_m, 0) * TRANSFORM, LR_SIZE, SR_SIZE)


IMAGES: dict[str, tuple[Callable[[], Raster], str]] = {
    "another size": (
        lambda: image(pixels=np.ones((2, 60, 79), np.uint16), valid_mask=np.ones((60, 79), np.bool_)),
        "has 60x79 pixels instead of 60x80",
    ),
    "a band too few": (
        lambda: image(pixels=np.ones((1, *SR_SIZE), np.uint16), band_names=("B02",)),
        "has 1 bands instead of 2",
    ),
    "another type": (lambda: image(pixels=np.ones((2, *SR_SIZE), np.int16)), "holds int16 instead of uint16"),
    "another CRS": (lambda: image(crs="EPSG:32633"), "has the CRS EPSG:32633 instead of EPSG:32632"),
    "no CRS": (lambda: image(crs=None), "has the CRS none instead of EPSG:32632"),
    "another pixel": (lambda: image(transform=TRANSFORM), "has pixels of 10 m instead of 5 m"),
    "another place": (lambda: image(transform=moved(30.0)), "lies at"),
    "upside down": (lambda: image(transform=moved(0) * Affine.scale(1, -1)), "lies at"),
    "failed windows that nobody knows": (masked_image, "is masked at row"),
}


@pytest.mark.parametrize("case", IMAGES.values(), ids=IMAGES)
def test_an_image_that_is_not_as_planned_is_found(run: Run, case: tuple[Callable[[], Raster], str]) -> None:
    make, told = case
    problems = check(run, run.add("scene", make()))
    assert problems
    assert all(problem.startswith(f"{run.store.uri}/scene.tif ") for problem in problems)
    assert told in " ".join(problems)


@pytest.mark.parametrize("east_m", [0.0, 2.0, -2.0])
def test_a_place_within_the_accuracy_of_footprints_is_fine(run: Run, east_m: float) -> None:
    assert check(run, run.add("scene", image(transform=moved(east_m)))) == []


def test_a_scene_without_crs_is_compared_without_one(run: Run) -> None:
    record = run.add("scene", image(crs=None))
    planned = replace(run.planned[0], crs=None, bounds=None, gsd_m=None)
    assert check(run, replace(record, files=record.files[:1] + record.files[2:]), planned) == []


def test_a_crs_without_number_is_not_compared_by_its_text(run: Run) -> None:
    wkt = 'LOCAL_CS["site",UNIT["metre",1]]'
    record = run.add("scene", image(crs=CRS))
    assert not any("CRS" in problem for problem in check(run, record, replace(run.planned[0], crs=wkt)))


def test_the_date_line_may_be_crossed(run: Run) -> None:
    transform = Affine(0.001, 0, 179.98, 0, -0.001, 10.0)
    record = run.add("scene", image(crs="EPSG:4326", transform=scaled_transform(transform, LR_SIZE, SR_SIZE)))
    record = replace(record, files=tuple(file for file in record.files if file.role != "consistency"))
    planned = replace(run.planned[0], crs="EPSG:4326", gsd_m=None, bounds=(179.98, 9.97, -179.98, 10.0))
    assert check(run, record, planned) == []
    elsewhere = replace(planned, bounds=(-179.98, 9.97, -179.94, 10.0))
    assert any("lies at" in problem for problem in check(run, record, elsewhere))


RECORDS: dict[str, tuple[dict[str, Any], str]] = {
    "another version": ({"input_version": "later"}, "another version of the scene"),
    "another size": ({"sr_size": (1, 1)}, "says 1x1 pixels, the plan 60x80"),
    "other tiles": ({"num_tiles": 3}, "says 3 tiles, the plan 12"),
    "nothing written": ({"files": ()}, "0 files with its data"),
    "failed with files": ({"state": "failed", "reason": "It did."}, "yet the ledger names files"),
    "failed without reason": ({"state": "failed", "files": ()}, "does not say why"),
    "done with failures": ({"failed_windows": (FAILED_WINDOW,)}, "counts as done, and yet 1 windows failed"),
    "partial without failures": ({"state": "partial"}, "counts as partial, and yet no window failed"),
    "a window too many": (
        {"state": "partial", "failed_windows": (replace(FAILED_WINDOW, key="r0007c0000"),)},
        "does not have: r0007c0000",
    ),
    "failures the image does not name": (
        {"state": "partial", "failed_windows": (FAILED_WINDOW,)},
        "names nothing as failed; the ledger r0000c0001",
    ),
    "failures that are not masked": (
        {"state": "partial", "failed_windows": (FAILED_WINDOW,)},
        "has data in the middle of r0000c0001",
    ),
    "marked, and published as good": ({"state": "marked"}, "It is marked, and lies in the wrong folder"),
    "no data, it is said": ({"valid_share": 0.0}, "has data at row 0, column 0"),
}


@pytest.mark.parametrize("case", RECORDS.values(), ids=RECORDS)
def test_a_record_that_is_not_as_planned_is_found(run: Run, case: tuple[dict[str, Any], str]) -> None:
    changes, told = case
    problems = check(run, replace(run.add("scene"), **changes))
    assert any(told in problem for problem in problems), problems


def test_a_product_of_a_refused_scene_is_found(run: Run) -> None:
    record = run.add("scene")
    problems = check(run, record, replace(run.planned[0], refusal="It has no band B08."))
    assert problems == ["It was refused (It has no band B08.), and yet there is a product."]


def test_an_image_that_names_failures_the_ledger_does_not_is_found(run: Run) -> None:
    record = run.add("scene", image(), "done", TAGS)
    assert "names r0000c0001 as failed; the ledger nothing" in " ".join(check(run, record))


FILES: dict[str, tuple[str, bytes, str]] = {
    "no raster": ("scene.tif", b"II*\0 and then nothing", "cannot be opened"),
    "no picture": ("scene.png", b"\x89PNG", "scene.png"),
    "no json": ("scene.json", b"{", "is no STAC item"),
    "no item": ("scene.json", b'{"type": "Feature"}', "is no STAC item"),
    "a list": ("scene.json", b"[]", "is no STAC item"),
    "an asset that is not there": (
        "scene.json",
        b'{"type": "Feature", "stac_version": "1.1.0", "id": "x", "assets": {"data": {"href": "./other.tif"}}}',
        "names ./other.tif, which is no file of the product",
    ),
}


@pytest.mark.parametrize("case", FILES.values(), ids=FILES)
def test_files_that_were_written_wrong_are_found(run: Run, tmp_path: Path, case: tuple[str, bytes, str]) -> None:
    """They are what the ledger says, and not what a product is made of."""
    key, data, told = case
    record = run.add("scene")
    run.store.write_bytes(key, data)
    written = {"num_bytes": len(data), "sha256": run.store.sha256(key)}
    files = tuple(replace(file, **written) if file.key == key else file for file in record.files)
    problems = check(run, replace(record, files=files))
    assert len(problems) == 1, problems
    assert told in problems[0]


def test_addresses_elsewhere_and_escaped_names_in_items_are_fine(run: Run) -> None:
    record = run.add("a b")
    item = (
        b'{"type": "Feature", "stac_version": "1.1.0", "id": "x", "assets": '
        b'{"data": {"href": "./a%20b.tif"}, "web": {"href": "https://example.org/a b.tif"}}}'
    )
    run.store.write_bytes("a b.json", item)
    written = {"num_bytes": len(item), "sha256": run.store.sha256("a b.json")}
    files = tuple(replace(file, **written) if file.role == "metadata" else file for file in record.files)
    assert check(run, replace(record, files=files)) == []
