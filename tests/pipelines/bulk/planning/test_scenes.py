"""What is told of scenes before work: their windows, or why they cannot be run."""

import math
import re
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from affine import Affine
from rasterio.io import MemoryFile

from pipelines.bulk.planning.scenes import all_refused, plan_scene_record, plan_scenes
from pipelines.bulk.records import InputScene, PlannedScene
from pipelines.storage import StoreUnavailable
from rssr.errors import ModelError
from rssr.models.loaded import LoadedModel, load_model
from tests.conftest import FaultyServer, S3Server
from tests.faults import ACCESS_DENIED, SLOW_DOWN
from tests.pipelines.bulk.imagery import PLACE, Place, as_json, item, jpg, model, png, tif, zipped
from tests.sentinel2_products import FOUR, imagined_numbers, write_cog, write_safe
from tests.web import web_server

THIRTEEN = [f"B{number:02d}" for number in range(1, 13)] + ["B8A"]


def plan(place: Place, data: bytes, chosen: LoadedModel | None = None, **config: Any) -> PlannedScene:
    """One image, planned."""
    place.put("x/a.tif", data)
    (scene,) = place.find()
    return plan_scene_record(scene, chosen or model(), place.config(**config), place.settings)


def test_a_scene_is_planned_from_its_header(place: Place) -> None:
    tiling = {"tile_size": 16, "halo": 2, "tiles_a_side": 2}
    one = plan(place, tif(size=(60, 45), dtype="uint16"), load_model("bicubic"), scale=3, tiling=tiling)
    assert one.refusal == ""
    assert (one.name, one.scene.kind) == ("x/a", "raster")
    assert (one.lr_size, one.sr_size, one.dtype) == ((60, 45), (180, 135), "uint16")
    assert one.band_names == ("red", "green", "blue")
    assert (one.crs, one.gsd_m) == ("EPSG:32632", 10.0)
    assert (one.tile_size, one.halo) == (16, 2)
    assert one.num_tiles == 5 * 4
    assert one.windows == tuple(f"r{row:04d}c{column:04d}" for row in range(3) for column in range(2))
    assert one.bounds is not None
    west, south, east, north = one.bounds
    assert west < 10.3 < east + 0.01 and 46 < south < north < 46.1


def test_the_kind_is_what_the_content_is(local: Place) -> None:
    assert plan(local, png()).scene.kind == "picture"


def test_scenes_without_crs_are_allowed(local: Place) -> None:
    one = plan(local, tif(crs=None))
    assert (one.refusal, one.crs, one.bounds, one.gsd_m) == ("", None, None, None)


def test_rotated_scenes_have_the_bounds_of_their_outline(local: Place) -> None:
    one = plan(local, tif(transform=PLACE @ Affine.rotation(45)))
    assert one.refusal == "" and one.bounds is not None and one.gsd_m == pytest.approx(10)
    west, _, east, _ = one.bounds
    across_m = (east - west) * 111_320 * math.cos(math.radians(46))
    assert across_m == pytest.approx((20 + 24) * 10 / math.sqrt(2), rel=0.02)


def test_scenes_at_the_date_line_have_west_larger_than_east(local: Place) -> None:
    one = plan(local, tif(size=(200, 2_000), transform=Affine(100, 0, 520_000, 0, -100, 8_000_000), crs="EPSG:32660"))
    assert one.bounds is not None
    west, _, east, _ = one.bounds
    assert 177 < west < 180 and -180 < east < -175


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3, 5)])
def test_slivers_are_planned(local: Place, size: tuple[int, int]) -> None:
    one = plan(local, tif(size=size))
    assert (one.refusal, one.sr_size) == ("", (2 * size[0], 2 * size[1]))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (tif(["gray"]), r"takes 3 bands \(red, green, blue\).*has 1"),
        (tif([f"band {number}" for number in range(13)]), "has 13"),
        (tif(["red", "green", "nir"]), "takes 3 bands"),
        (tif(dtype="uint16"), "is uint16, but some-x2 was trained on uint8"),
        (tif(dtype="complex64"), "complex numbers"),
        (tif(size=(400, 300))[:5_000], "cannot be read|cannot be opened"),
        (tif(size=(400, 300))[:-20_000], "cannot be read|cannot be opened"),
        (tif()[:20], "cannot be opened"),
        (jpg(size=(400, 300))[:9_000], "damaged"),
        (b"", "is empty"),
        (b"no image", "not a picture"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(place: Place, data: bytes, said: str) -> None:
    one = plan(place, data)
    assert re.search(said, one.refusal)
    assert one.windows == ()
    assert one.scene.name == "x/a"


def test_thirteen_bands_give_three_or_all(local: Place) -> None:
    scene = tif(THIRTEEN)
    assert plan(local, scene).band_names == ("B04", "B03", "B02")
    assert plan(local, scene, products={"other_bands": True}).band_names == tuple(THIRTEEN)


def test_a_product_without_the_bands_is_refused(local: Place, tmp_path: Path) -> None:
    safe = write_safe(tmp_path / "made", {"B02": imagined_numbers((64, 64))["B02"]})
    local.put_folder(safe, safe.name)
    (scene,) = local.find()
    one = plan_scene_record(scene, model(FOUR, dtype="float32"), local.config(), None)
    assert "lacks B03, B04, B08" in one.refusal


def test_the_offset_of_products_is_compared_with_their_dark_pixels(local: Place, tmp_path: Path) -> None:
    safe = write_safe(tmp_path / "made", imagined_numbers((64, 64), offset=0))
    local.put_folder(safe, safe.name)
    (scene,) = local.find()
    chosen = model(FOUR, dtype="float32")
    assert (
        "Declare offset=0 (in a job sentinel2.offset=0)"
        in plan_scene_record(scene, chosen, local.config(), None).refusal
    )
    said = local.config(sentinel2={"offset": 0})
    assert plan_scene_record(scene, chosen, said, None).refusal == ""


def test_bands_alone_need_to_be_told_their_baseline(local: Place, tmp_path: Path) -> None:
    for band, values in imagined_numbers((64, 64)).items():
        write_cog(tmp_path / "in" / f"T32_{band}.tif", values)
    (scene,) = local.find()
    chosen = model(FOUR, dtype="float32")
    assert "sentinel2.processing_baseline" in plan_scene_record(scene, chosen, local.config(), None).refusal
    one = plan_scene_record(scene, chosen, local.config(sentinel2={"processing_baseline": "05.09"}), None)
    assert (one.refusal, one.dtype, one.scene.kind, one.gsd_m) == ("", "float32", "product", 10)


def test_missing_and_changed_scenes_are_refused(local: Place) -> None:
    local.put("a.tif", tif())
    local.put("gone.tif", tif())
    changed, gone = local.find()
    local.put("a.tif", tif(size=(30, 30)))
    local.store.delete("gone.tif")
    told = plan_scenes([changed, gone], model(), local.config(), None, lambda done, number: None)
    assert "has changed" in told[0].refusal
    assert "There is no file" in told[1].refusal


def test_many_scenes_come_in_their_order_and_progress_is_told(place: Place) -> None:
    for number in range(30):
        place.put(f"{number:02d}.png", png(seed=number) if number % 3 else png()[:50])
    place.put("pack.zip", zipped({f"{number}.jpg": jpg(seed=number) for number in range(9)}))
    steps: list[tuple[int, int]] = []
    scenes = place.find()
    planned = plan_scenes(scenes, model(), place.config(), place.settings, lambda *step: steps.append(step))
    assert [one.scene.key for one in planned] == [scene.key for scene in scenes]
    assert sum(bool(one.refusal) for one in planned) == 10
    assert steps == [(done, 39) for done in range(1, 40)]


@pytest.mark.parametrize(
    "config", [{"scale": 9}, {"products": {"uncertainty": True}}, {"num_samples": 4}], ids=["scale", "layer", "samples"]
)
def test_what_the_model_does_not_do_is_refused_before_any_scene(local: Place, config: dict[str, Any]) -> None:
    missing = InputScene("a", str(local.uri), "gone.tif", "raster", 1, "v")
    with pytest.raises(ModelError):
        plan_scenes([missing], model(), local.config(**config), None, lambda done, number: None)


def test_a_store_that_does_not_answer_refuses_no_scene(faulty_server: FaultyServer, monkeypatch: Any) -> None:
    root = faulty_server.direct.make_bucket()
    Place(root, faulty_server.direct.settings).put("a.tif", tif())
    place = Place(root, faulty_server.faulty.settings)
    (scene,) = place.find()
    monkeypatch.setattr("pipelines.storage.retries.time.sleep", lambda pause_s: None)
    faulty_server.proxy.inject(SLOW_DOWN, r"a\.tif", method="GET", times=None)
    with pytest.raises(StoreUnavailable):
        plan_scene_record(scene, model(), place.config(), place.settings)


def test_a_scene_that_may_not_be_read_is_refused_by_itself(faulty_server: FaultyServer) -> None:
    root = faulty_server.direct.make_bucket()
    for name in ("a.tif", "b.tif"):
        Place(root, faulty_server.direct.settings).put(name, tif())
    place = Place(root, faulty_server.faulty.settings)
    scenes = place.find()
    faulty_server.proxy.inject(ACCESS_DENIED, r"a\.tif", times=None)
    planned = plan_scenes(scenes, model(), place.config(), place.settings, lambda done, number: None)
    assert "refuses access" in planned[0].refusal
    assert planned[1].refusal == ""


def test_reasons_are_grouped_when_nothing_can_be_run(local: Place) -> None:
    for number in range(5):
        local.put(f"{number}.tif", tif(["gray"]))
    local.put("z.png", b"")
    planned = plan_scenes(local.find(), model(), local.config(), None, lambda done, number: None)
    error = all_refused(planned)
    assert "None of the 6 scenes can be run." in str(error)
    assert "5 (e.g. 0): some-x2" in str(error) or "5 (e.g. 0): bicubic takes 3 bands" in str(error)
    assert "1 (e.g. z):" in str(error)
    assert error.exit_code == 2


def test_items_that_are_damaged_are_refused_by_themselves(local: Place) -> None:
    local.put("a.tif", tif())
    told = item("A", {"B02": "a2.tif", "B03": "a3.tif"})
    told["assets"]["B02"]["raster:bands"] = [{"scale": "many"}]
    local.put("x/item.json", as_json(told))
    planned = plan_scenes(local.find(), model(), local.config(), None, lambda done, number: None)
    assert [bool(one.refusal) for one in planned] == [False, True]


def test_keys_of_every_sort_are_planned(place: Place) -> None:
    keys = [
        "mit Leerzeichen/Bild 1.tif",
        "größe/Ä & ö #2.png",
        "日本/画像.JPEG",
        "a+b=c?d;e%20f/x.tif",
        "[1] {2}!/z.tif",
    ]
    for key in keys:
        place.put(key, tif() if key.endswith("tif") else png())
    planned = plan_scenes(place.find(), model(), place.config(), place.settings, lambda done, number: None)
    assert sorted(one.scene.key for one in planned) == sorted(keys)
    assert [one.refusal for one in planned] == [""] * 5


def test_keys_that_no_store_can_address_are_refused_by_themselves(moto_server: S3Server) -> None:
    place = Place(moto_server.make_bucket(), moto_server.settings)
    place.put("a.tif", tif())
    client = boto3.session.Session().client("s3", **place.settings.boto3_options())
    client.put_object(Bucket=place.root.removeprefix("s3://"), Key="in/x//b.tif", Body=tif())
    planned = plan_scenes(place.find(), model(), place.config(), place.settings, lambda done, number: None)
    told = {one.name: "is not a key" in one.refusal for one in planned}
    assert told == {"a": False, "x/%2F/b": True}


def test_pictures_with_a_palette_are_planned(local: Place) -> None:
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", count=1, height=9, width=7, dtype="uint8", photometric="palette") as dataset:
            dataset.write_colormap(1, {0: (1, 2, 3, 255), 1: (4, 5, 6, 255)})
            dataset.write(np.ones((1, 9, 7), np.uint8))
        data = bytes(memory.read())
    one = plan(local, data)
    assert (one.refusal, one.band_names) == ("", ("red", "green", "blue"))


def test_a_safe_folder_that_an_item_describes_is_one_scene(local: Place, tmp_path: Path) -> None:
    safe = write_safe(tmp_path / "made", imagined_numbers((64, 64)))
    local.put_folder(safe, safe.name)
    images = {band: path for band in FOUR for path in safe.rglob(f"*_{band}_10m.jp2")}
    hrefs = {band: f"{safe.name}/{path.relative_to(safe).as_posix()}" for band, path in images.items()}
    local.put("item.json", as_json(item("A", hrefs, **{"s2:processing_baseline": "05.09"})))
    (one,) = plan_scenes(local.find(), model(FOUR, dtype="float32"), local.config(), None, lambda done, number: None)
    assert (one.name, one.refusal) == ("item", "")


def test_scenes_on_the_web_are_planned_from_a_list(local: Place, tmp_path: Path) -> None:
    local.put("a.tif", tif())
    local.put("pack.zip", zipped({"b.png": png()}))
    local.put("all.txt", b"a.tif\npack.zip\ngone.tif")
    with web_server(tmp_path / "in") as server:
        scenes = local.find(f"{server.uri}/all.txt")
        planned = plan_scenes(scenes, model(), local.config(), None, lambda done, number: None)
    assert {one.name: bool(one.refusal) for one in planned} == {"a": False, "gone": True, "pack/b": False}
