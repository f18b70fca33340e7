"""Scenes of every kind open wherever they lie, and only if they are what was found."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from pipelines.bulk.inputs.opening import opened_scene
from pipelines.bulk.planning.options import scene_options
from pipelines.bulk.records import InputScene
from pipelines.storage.local import LocalStore
from rssr.errors import DataError, ImageError, RasterError, UserError
from rssr.images import decode_image
from rssr.models.loaded import LoadedModel
from rssr.raster import Window, read_raster
from tests.conftest import FaultyServer
from tests.faults import SLOW_DOWN
from tests.pipelines.bulk.imagery import Place, as_json, item, jpg, model, png, tif, zipped
from tests.pipelines.storage.packing import packed
from tests.sentinel2_products import FOUR, imagined_numbers, write_cog, write_item, write_safe

TINY = imagined_numbers((64, 64))


def pixels(place: Place, scene: InputScene, chosen: LoadedModel | None = None, **config: Any) -> Any:
    """All pixels [C, H, W], as they come by windows."""
    taken = chosen or model()
    options = scene_options(place.config(**config), taken)
    with opened_scene(scene, taken, options, place.settings) as reader:
        height, width = reader.info.size
        top = reader.read(Window(0, 0, 10, width)).pixels
        return np.concatenate([top, reader.read(Window(10, 0, height - 10, width)).pixels], axis=1)


def only(place: Place, *inputs: str) -> InputScene:
    (scene,) = place.find(*inputs)
    return scene


def test_rasters_are_read_by_windows(place: Place) -> None:
    place.put("a.tif", tif(dtype="uint16"))
    scene = only(place)
    assert np.array_equal(pixels(place, scene), read_raster(tif(dtype="uint16")).pixels)


def test_remote_rasters_are_not_fetched_as_a_whole(moto_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(moto_server.make_bucket(), moto_server.settings)
    side = 2_048
    place.put("large.tif", tif(size=(side, side), dtype="uint16", tiled=True, blockxsize=256, blockysize=256))
    scene, taken = only(place), model()
    read: list[int] = []
    original = type(place.store).read_range
    monkeypatch.setattr(
        type(place.store),
        "read_range",
        lambda self, key, start, num_bytes: read.append(num_bytes) or original(self, key, start, num_bytes),
    )
    with opened_scene(scene, taken, scene_options(place.config(), taken), place.settings) as reader:
        reader.read(Window(0, 0, 64, 64))
    assert 0 < sum(read) < scene.num_bytes / 10


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "a"])
def test_pictures_are_recognised_by_their_content(place: Place, name: str) -> None:
    scene = only(place, place.put(name, png()))
    assert np.array_equal(pixels(place, scene), decode_image(png(), "").pixels.transpose(2, 0, 1))


def test_a_geotiff_called_jpg_is_a_raster(place: Place) -> None:
    place.put("a.jpg", tif())
    taken = model()
    with opened_scene(only(place), taken, scene_options(place.config(), taken), place.settings) as reader:
        assert reader.info.crs == "EPSG:32632"


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
def test_members_of_archives_are_read_in_place(place: Place, ending: str) -> None:
    place.put(f"pack.{ending}", packed(ending, {"x/a.tif": tif(), "b.png": png()}))
    raster, picture = sorted(place.find(), key=lambda scene: scene.name)[::-1]
    assert np.array_equal(pixels(place, raster), read_raster(tif()).pixels)
    assert np.array_equal(pixels(place, picture), decode_image(png(), "").pixels.transpose(2, 0, 1))


def products(place: Place, folder: Path) -> Sequence[str]:
    """The same image as each kind of product; the inputs that name them."""
    safe = write_safe(folder / "made", TINY)
    files = {f"{safe.name}/{path.relative_to(safe)}": path.read_bytes() for path in safe.rglob("*") if path.is_file()}
    (folder / "item").mkdir()
    write_item(folder / "item", TINY, {"scale": 0.0001, "offset": -0.1})
    for band, values in TINY.items():
        write_cog(folder / "bands" / f"T32_{band}.tif", values)
    hrefs = {"blue": "item/B02.tif", "green": "item/B03.tif", "red": "item/B04.tif", "nir": f"{place.uri}/item/B08.tif"}
    told = item("S2/A of 2023", hrefs, **{"s2:processing_baseline": "05.09"})
    collection = {"type": "FeatureCollection", "features": [told, item("other", {"blue": "nowhere.tif"})]}
    return (
        place.put_folder(safe, safe.name),
        place.put("packed.zip", zipped(files)),
        place.put_folder(folder / "item", "item") + "/item.json",
        place.put_folder(folder / "bands", "bands"),
        place.put("all.json", as_json(collection)),
    )


def test_products_of_every_form_give_the_same_reflectance(place: Place, tmp_path: Path) -> None:
    declared = {"processing_baseline": "05.09"}
    found = [place.find(uri)[-1] for uri in products(place, tmp_path)[:-1]]
    found += [scene for scene in place.find(f"{place.uri}/all.json") if scene.name != "other"]
    assert [scene.kind for scene in found] == ["product"] * 5
    images = [pixels(place, scene, model(FOUR[::-1], dtype="float32"), sentinel2=declared) for scene in found]
    expected = (np.stack([TINY[band] for band in FOUR[::-1]]).astype(np.float64) - 1000) / 10_000
    for image in images:
        np.testing.assert_allclose(image, expected, atol=1e-6)


def test_items_of_other_sensors_give_the_images_that_are_their_data(place: Place) -> None:
    place.put("x/image.tif", tif())
    place.put("x/preview.png", png())
    told = item("N", {"image": "../x/image.tif"})
    told["assets"]["preview"] = {"href": "preview.png", "roles": ["thumbnail"]}
    place.put("x/naip.json", as_json(told))
    scene = only(place)
    assert (scene.name, scene.kind) == ("x/naip", "raster")
    assert np.array_equal(pixels(place, scene), read_raster(tif()).pixels)


def test_items_may_name_images_above_their_folder_when_they_are_the_input(place: Place) -> None:
    place.put("images/image.tif", tif())
    single = place.put("items/naip.json", as_json(item("N", {"image": "../images/image.tif"})))
    assert np.array_equal(pixels(place, only(place, single)), read_raster(tif()).pixels)


def test_a_missing_band_matters_only_to_models_that_take_it(local: Place, tmp_path: Path) -> None:
    (tmp_path / "item").mkdir()
    write_item(tmp_path / "item", TINY, {"scale": 0.0001, "offset": -0.1})
    (tmp_path / "item" / "B08.tif").unlink()
    local.put_folder(tmp_path / "item", "item")
    scene = only(local)
    assert pixels(local, scene, model(dtype="float32")).shape == (3, 64, 64)
    with pytest.raises(UserError, match=r"names an image that is not there: \./B08\.tif"):
        pixels(local, scene, model(FOUR, dtype="float32"))


@pytest.mark.parametrize("kind", range(5))
def test_products_that_have_changed_are_refused(local: Place, tmp_path: Path, kind: int) -> None:
    uri = products(local, tmp_path)[kind]
    scene = next(scene for scene in local.find(uri) if scene.name != "other")
    touched = {0: f"{scene.uri}/MTD_MSIL2A.xml", 2: f"{local.uri}/item/B04.tif", 3: f"{local.uri}/bands/T32_B02.tif"}
    if kind == 1:
        local.put("packed.zip", zipped({f"{scene.key}/MTD_MSIL2A.xml": b"another"}))
    elif kind == 4:
        local.put("all.json", Path(uri).read_bytes().replace(b"05.09", b"05.10"))
    else:
        path = Path(touched[kind])
        path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DataError, match=r"has changed since the run was planned.*fresh=true"):
        pixels(local, scene, model(dtype="float32"), sentinel2={"processing_baseline": "05.09"})


def test_images_that_have_changed_or_gone_are_refused(place: Place) -> None:
    place.put("a.tif", tif())
    place.put("pack.zip", zipped({"b.png": png()}))
    scenes = place.find()
    place.put("a.tif", tif(size=(30, 30)))
    place.put("pack.zip", zipped({"b.png": png(seed=1)}))
    for scene in scenes:
        with pytest.raises(DataError, match="has changed"):
            pixels(place, scene)
    place.store.delete("a.tif")
    with pytest.raises(UserError, match=r"There is no"):
        pixels(place, scenes[0])


def test_files_that_name_other_files_are_refused(local: Place) -> None:
    local.put("a.tif", tif())
    vrt = b'<VRTDataset rasterXSize="20" rasterYSize="24"/>'
    for name in ("b.vrt", "c.tif"):
        with pytest.raises(DataError, match=r"is a VRT.*gdal_translate"):
            pixels(local, only(local, local.put(name, vrt)))


def test_masks_beside_images_are_read_or_refused_but_never_left_out(place: Place, tmp_path: Path) -> None:
    shape = {"driver": "GTiff", "count": 3, "height": 20, "width": 16, "dtype": "uint8", "crs": "EPSG:32632"}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(tmp_path / "a.tif", "w", **shape) as dataset:
        dataset.write(np.full((3, 20, 16), 9, np.uint8))
        dataset.write_mask(np.arange(320).reshape(20, 16) % 2 == 0)
    files = {name: (tmp_path / name).read_bytes() for name in ("a.tif", "a.tif.msk")}
    for key, data in files.items():
        place.put(key, data)
    place.put("pack.zip", zipped(files))
    beside, packed_too = place.find()
    refused = [packed_too] if isinstance(place.store, LocalStore) else [beside, packed_too]
    for scene in refused:
        with pytest.raises(DataError, match=r"has its mask in a file beside it"):
            pixels(place, scene)
    if beside not in refused:
        taken = model()
        with opened_scene(beside, taken, scene_options(place.config(), taken), place.settings) as reader:
            assert reader.read().valid_mask.sum() == 160


@pytest.mark.parametrize("data", [b"", b"AccessDenied: log in", png()[:100], jpg()[:300], tif()[:60]])
def test_what_is_no_scene_says_so(place: Place, data: bytes) -> None:
    scene = only(place, place.put("a.tif", data))
    with pytest.raises((ImageError, RasterError), match=r"a\.tif"):
        pixels(place, scene)


def test_archives_without_scenes_and_damaged_ones_say_so(local: Place) -> None:
    listed = local.put("all.txt", b"empty.zip\nbad.zip")
    local.put("empty.zip", zipped({"readme.txt": b""}))
    local.put("bad.zip", zipped({"a.png": png()})[:-30])
    bad, empty = local.find(listed)
    with pytest.raises(UserError, match="holds no scenes"):
        pixels(local, empty)
    with pytest.raises(UserError, match="is damaged"):
        pixels(local, bad)


def test_an_item_that_makes_no_sense_says_so(local: Place) -> None:
    told = item("A", {"B02": "a.tif"})
    told["properties"] = "none"
    with pytest.raises(DataError, match="makes no sense"):
        pixels(local, only(local, local.put("a.json", as_json(told))))


def test_json_that_is_no_item_says_so(local: Place) -> None:
    with pytest.raises(DataError, match=r"a\.json holds no item"):
        pixels(local, only(local, local.put("a.json", b'{"type": "Catalog"}')))


def test_readers_outlast_a_store_that_fails_now_and_then(faulty_server: FaultyServer) -> None:
    root, direct = faulty_server.direct.make_bucket(), faulty_server.direct.settings
    Place(root, direct).put("a.tif", tif())
    place = Place(root, faulty_server.faulty.settings)
    scene = only(place)
    faulty_server.proxy.inject(SLOW_DOWN, r"a\.tif", times=2)
    assert np.array_equal(pixels(place, scene), read_raster(tif()).pixels)
