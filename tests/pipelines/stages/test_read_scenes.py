"""Patches of reflectance from products: the same numbers from disk, from S3 and through Ray."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.datasets import DataConfig, Manifest
from pipelines.datasets.scenes import load_or_build_scene_manifest, parse_square_key
from pipelines.plan import StreamSpec
from pipelines.stages.read_scenes import ReadScenePatches
from pipelines.storage import open_store
from pipelines.stream import StreamInputs, local_batches, ray_stream
from rssr.errors import DataError
from rssr.sentinel2 import open_sentinel2
from rssr.stretch import StretchConfig
from tests.conftest import S3Server
from tests.sentinel2_products import FOUR, imagined_numbers, write_item, write_safe

SPEC = StreamSpec(
    seed=3,
    num_steps=2,
    micro_batches_per_step=2,
    global_batch_size=4,
    patch_size=32,
    scale_range=(1.0, 3.4),
    rotations=True,
)
CONFIG = DataConfig.model_validate(
    {
        "uri": "x",
        "scale": (1, 3.4),
        "degradation": "sentinel2",
        "num_test": 1,
        "scenes": {"tile_size": 64, "max_nodata_fraction": 0.2},
    }
)


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("products")
    holed = imagined_numbers((128, 128))
    holed["B02"][10:20, 30:40] = 0
    write_safe(folder, holed)
    (folder / "cog").mkdir()
    write_item(folder / "cog", imagined_numbers((64, 128), 1), {"scale": 0.0001, "offset": -0.1})
    return folder


def manifest_of(uri: str, output: Path) -> Manifest:
    store = open_store(str(output))
    return load_or_build_scene_manifest(store, "manifest", [uri], CONFIG, 0, lambda done, total: None)


def inputs_of(manifest: Manifest) -> StreamInputs:
    images = manifest.training_images(32)
    return StreamInputs(images, manifest.sources, SPEC, CONFIG.degradation, 10**7, CONFIG.scenes)


def digests(batches: Iterable[Mapping[str, Any]]) -> list[str]:
    return [hashlib.sha256(batch["lr"].tobytes() + batch["hr"].tobytes()).hexdigest() for batch in batches]


def test_squares_are_reflectance_and_holes_take_the_nearest_value(products: Path, tmp_path: Path) -> None:
    manifest = manifest_of(str(products), tmp_path)
    assert CONFIG.scenes is not None
    reader = ReadScenePatches(manifest.records, manifest.sources, CONFIG.scenes)
    [safe] = products.glob("*.SAFE")
    holed = [number for number, record in enumerate(manifest.records) if record.key.endswith(".SAFE#0,0,64")]
    image = reader.read_image(holed[0])
    with open_sentinel2(safe, FOUR) as scene:
        raster = scene.read(parse_square_key(manifest.records[holed[0]].key)[1])
    assert image.shape == (64, 64, 4)
    assert image.dtype == np.float32
    assert np.array_equal(image[raster.valid_mask], np.moveaxis(raster.pixels, 0, -1)[raster.valid_mask])
    assert np.array_equal(image[10, 35], image[9, 35])
    assert np.array_equal(image[15, 39], image[15, 40])


def test_the_stream_is_network_values_of_degraded_reflectance(products: Path, tmp_path: Path) -> None:
    batches = list(local_batches(inputs_of(manifest_of(str(products), tmp_path)), 0))
    stretch = StretchConfig().over(FOUR)
    for batch in batches:
        assert batch["hr"].shape == (4, 32, 32, 4)
        assert batch["lr"].shape == (4, int(32 / batch["scale"]), int(32 / batch["scale"]), 4)
        assert batch["hr"].dtype == batch["lr"].dtype == np.float32
        means = [stretch.from_network(batch[name].reshape(-1, 4).T.copy()).mean(axis=1) for name in ("hr", "lr")]
        np.testing.assert_allclose(means[0], means[1], atol=0.02)
    assert digests(batches) == digests(local_batches(inputs_of(manifest_of(str(products), tmp_path)), 0))


def test_a_resumed_stream_is_the_tail_and_workers_share_the_whole(products: Path, tmp_path: Path) -> None:
    inputs = inputs_of(manifest_of(str(products), tmp_path))
    whole = list(local_batches(inputs, 0))
    assert digests(local_batches(inputs, 1)) == digests(whole)[2:]
    for number, parts in enumerate(zip(local_batches(inputs, 0, 0, 2), local_batches(inputs, 0, 1, 2), strict=True)):
        for name in ("lr", "hr"):
            assert np.array_equal(np.concatenate([part[name] for part in parts]), whole[number][name])


def test_s3_gives_the_batches_of_the_local_folder(
    products: Path, tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_server.use(monkeypatch)
    bucket = s3_server.make_bucket()
    open_store(bucket).upload_folder(products, "with spaces é")
    remote = inputs_of(manifest_of(f"{bucket}/with spaces é", tmp_path / "remote"))
    expected = digests(local_batches(inputs_of(manifest_of(str(products), tmp_path / "local")), 0))
    assert digests(local_batches(remote, 0)) == expected


def test_ray_gives_the_local_batches(products: Path, tmp_path: Path, ray_cluster: str) -> None:
    inputs = inputs_of(manifest_of(str(products), tmp_path))
    assert digests(ray_stream(inputs, 0)) == digests(local_batches(inputs, 0))


def test_a_product_that_has_changed_is_not_trained_on(tmp_path: Path) -> None:
    write_safe(tmp_path / "in", imagined_numbers((64, 128)))
    manifest = manifest_of(str(tmp_path / "in"), tmp_path / "out")
    write_safe(tmp_path / "in", imagined_numbers((64, 128), seed=9))
    assert CONFIG.scenes is not None
    with pytest.raises(DataError, match="has changed since"):
        ReadScenePatches(manifest.records, manifest.sources, CONFIG.scenes).read_image(0)
