"""Buckets as people have them, on a real S3 server: odd keys, sizes, contents and rights, from listing to stream."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.datasets import DataConfig, Manifest, build_manifest
from pipelines.plan import StreamSpec
from pipelines.storage import open_store
from pipelines.stream import StreamInputs, local_batches
from rssr.errors import StorageError
from rssr.images import encode_jpeg, encode_png
from tests.conftest import FaultyServer, S3Server
from tests.faults import ACCESS_DENIED

SPEC = StreamSpec(
    seed=0, num_steps=4, micro_batches_per_step=1, global_batch_size=4, patch_size=48, scale_range=(4.0, 4.0)
)
CONFIG = DataConfig.model_validate(
    {"scale": 4, "degradation": "bicubic", "num_test": 0, "patch_size": 48, "max_corrupt_fraction": 0.5}
)
# What one image each is called, and its height and width.
USABLE = {
    "mit Leerzeichen/Bild 1.jpg": (48, 48),
    "größe/Äcker & Höfe #2.png": (48, 200),
    "日本/画像.JPEG": (131, 77),
    "a+b=c?d;e%20f/x.png": (600, 50),
    "deep/er/and/deeper/[1] (copy).jpg": (64, 64),
    "a png named.jpg": (70, 70),
    "a jpeg named.png": (71, 71),
    "a jpeg named.tif": (72, 72),
}
NAMED_OTHERWISE = {"a png named.jpg": encode_png, "a jpeg named.png": encode_jpeg, "a jpeg named.tif": encode_jpeg}


def picture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Soft blobs, another picture for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)  # type: ignore[no-any-return]  # untyped


def unusable() -> dict[str, tuple[bytes, str]]:
    """Objects that are no images whatever they are called, and what is said of them."""
    jpeg, png = encode_jpeg(picture(80, 90, 50)), encode_png(picture(80, 90, 51))
    return {
        "cut off/half of it é.jpg": (jpeg[: len(jpeg) // 2], "damaged"),
        "cut off/nearly all.jpg": (jpeg[:-200], "damaged"),
        "cut off/half.png": (png[: len(png) // 2], "damaged"),
        "a text named.jpg": (b"AccessDenied: please log in to download", "not a picture"),
        "nothing.png": (b"", "empty"),
    }


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> str:
    uri = f"{s3_server.make_bucket()}/My dataset, v2"
    store = open_store(uri, s3_server.settings)
    for seed, (key, (height, width)) in enumerate(USABLE.items()):
        encode = NAMED_OTHERWISE.get(key) or (encode_png if key.endswith("png") else encode_jpeg)
        store.write_bytes(key, encode(picture(height, width, seed)))
    for key, (data, _) in unusable().items():
        store.write_bytes(key, data)
    store.write_bytes("README of it.txt", b"no image by its name either")
    return uri


@pytest.fixture
def manifest(bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    s3_server.use(monkeypatch)
    return build_manifest([bucket], CONFIG, seed=0)


def test_odd_keys_and_names_are_found_with_their_sizes(manifest: Manifest) -> None:
    assert {record.key: (record.height, record.width) for record in manifest.records} == USABLE


def test_what_is_no_image_is_listed_with_its_reason(manifest: Manifest) -> None:
    reasons = {skipped.key: skipped.reason for skipped in manifest.skipped}
    expected = unusable()
    assert reasons.keys() == expected.keys()
    for key, (_, said) in expected.items():
        assert said in reasons[key]
        assert key in reasons[key]


def test_all_of_them_are_streamed(manifest: Manifest) -> None:
    images = manifest.training_images(SPEC.largest_patch_size)
    batches = list(local_batches(StreamInputs(images, manifest.sources, SPEC, CONFIG.degradation, 0), 0))
    keys = [key for batch in batches for key in batch["key"]]
    assert sorted(keys[: len(USABLE)]) == sorted(keys[len(USABLE) :]) == sorted(USABLE)


def test_wrong_credentials_name_the_bucket(bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = S3Server(replace(s3_server.settings, secret_access_key="planted-secret"))
    wrong.use(monkeypatch)
    with pytest.raises(StorageError, match=f"refuses access to {bucket}.*AWS_SECRET_ACCESS_KEY") as caught:
        build_manifest([bucket], CONFIG, seed=0)
    assert "planted-secret" not in str(caught.value)


def test_a_bucket_that_may_be_listed_but_not_read_names_the_object(
    faulty_server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a policy with s3:ListBucket but without s3:GetObject has it: an error, not 3 corrupt images."""
    uri = faulty_server.direct.make_bucket()
    store = open_store(uri, faulty_server.direct.settings)
    for number in range(3):
        store.write_bytes(f"{number}.jpg", encode_jpeg(picture(64, 64, number)))
    faulty_server.faulty.use(monkeypatch)
    faulty_server.proxy.inject(ACCESS_DENIED, r"\.jpg", times=None)
    with pytest.raises(StorageError, match=rf"refuses access to {uri}/\d\.jpg"):
        build_manifest([uri], CONFIG.model_copy(update={"max_corrupt_fraction": 1.0}), seed=0)
