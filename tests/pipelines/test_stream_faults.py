"""On a server that fails now and then the stream ends complete; where it cannot, it names the object."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import pytest

from pipelines.datasets import DataConfig, Manifest, build_manifest
from pipelines.ingest.config import IngestConfig
from pipelines.ingest.run import run_ingest
from pipelines.plan import StreamSpec
from pipelines.storage import open_store, s3
from pipelines.storage.retries import RetryPolicy
from pipelines.stream import StreamInputs, local_batches, ray_stream
from rssr.errors import ExitCode, StorageError
from rssr.images import encode_jpeg
from rssr.seeds import numpy_generator
from tests.conftest import FaultyServer
from tests.faults import EXPIRED_TOKEN, INTERNAL_ERROR, SLOW_DOWN, Fault, Reset, Slow, Truncated

NUM_IMAGES = 6
SPEC = StreamSpec(
    seed=2, num_steps=9, micro_batches_per_step=1, global_batch_size=4, patch_size=32, scale_range=(4.0, 4.0)
)
CONFIG = DataConfig.model_validate({"scale": 4, "degradation": "slimdiffsr", "num_test": 0})
TROUBLE: list[Fault] = [
    SLOW_DOWN,
    Reset("before the request"),
    Truncated(),
    Reset("after the headers"),
    INTERNAL_ERROR,
    Slow(60_000),
]


class Dataset(NamedTuple):
    """A bucket of images and what an undisturbed reader has of it."""

    uri: str
    keys: list[str]
    manifest: Manifest
    digests: list[str]


def digests(batches: Iterable[Mapping[str, Any]]) -> list[str]:
    """One for each batch, in order."""
    found = []
    for batch in batches:
        names = repr((batch["step"], batch["micro_batch"], batch["index"].tolist(), batch["key"])).encode()
        found.append(hashlib.sha256(names + batch["lr"].tobytes() + batch["hr"].tobytes()).hexdigest())
    return found


def inputs_of(dataset: Dataset) -> StreamInputs:
    """Nothing is kept in memory, so that every sample asks the server."""
    images = dataset.manifest.training_images(SPEC.largest_patch_size)
    return StreamInputs(images, dataset.manifest.sources, SPEC, CONFIG.degradation, max_cached_bytes=0)


@pytest.fixture
def dataset(faulty_server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Images in a fresh bucket; afterwards the environment names the proxy."""
    uri = f"{faulty_server.direct.make_bucket()}/aerial images"
    store = open_store(uri, faulty_server.direct.settings)
    keys = [f"größe {number % 2}/{number}.jpg" for number in range(NUM_IMAGES)]
    for number, key in enumerate(keys):
        pixels = numpy_generator("faults", number).integers(0, 256, (40, 44, 3)).astype(np.uint8)
        store.write_bytes(key, encode_jpeg(pixels))
    faulty_server.direct.use(monkeypatch)
    manifest = build_manifest([uri], CONFIG, seed=0)
    undisturbed = Dataset(uri, keys, manifest, [])
    undisturbed.digests.extend(digests(local_batches(inputs_of(undisturbed), 0)))
    faulty_server.faulty.use(monkeypatch)
    return undisturbed


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of hundredths of a second, in this process."""
    monkeypatch.setattr(s3, "RetryPolicy", partial(RetryPolicy, first_delay_s=0.02, longest_delay_s=0.1))


def test_the_manifest_is_the_same(faulty_server: FaultyServer, dataset: Dataset, quick_retries: None) -> None:
    rules = [faulty_server.proxy.inject(fault, key) for fault, key in zip(TROUBLE, dataset.keys, strict=True)]
    rules += [faulty_server.proxy.inject(fault, "list-type=2") for fault in TROUBLE[:4]]
    assert build_manifest([dataset.uri], CONFIG, seed=0) == dataset.manifest
    assert all(rule.met == 1 for rule in rules)


def test_an_image_that_cannot_be_read_is_never_left_out(
    faulty_server: FaultyServer, dataset: Dataset, quick_retries: None
) -> None:
    faulty_server.proxy.inject(SLOW_DOWN, dataset.keys[3], times=None)
    with pytest.raises(StorageError, match=f"SlowDown for {dataset.uri}/{dataset.keys[3]}"):
        build_manifest([dataset.uri], CONFIG, seed=0)


def test_the_stream_ends_complete(faulty_server: FaultyServer, dataset: Dataset, quick_retries: None) -> None:
    """Every image meets three kinds of trouble, at its first read and at later ones."""
    kinds = cycle(TROUBLE)
    rules = [faulty_server.proxy.inject(next(kinds), key, skip=skip) for key in dataset.keys for skip in (0, 1, 2)]
    assert digests(local_batches(inputs_of(dataset), 0)) == dataset.digests
    assert all(rule.met == 1 for rule in rules)


def test_the_stream_of_ray_ends_complete(faulty_server: FaultyServer, dataset: Dataset, ray_cluster: str) -> None:
    pairs = zip(TROUBLE, dataset.keys, strict=True)
    rules = [faulty_server.proxy.inject(fault, key, skip=1) for fault, key in pairs]
    assert digests(ray_stream(inputs_of(dataset), 0)) == dataset.digests
    assert all(rule.met == 1 for rule in rules)


def test_shards_made_and_read_in_trouble_stream_the_same(
    faulty_server: FaultyServer, dataset: Dataset, quick_retries: None
) -> None:
    proxy, shards = faulty_server.proxy, f"{dataset.uri}, in shards"
    rules = [proxy.inject(fault, key) for fault, key in zip(TROUBLE, dataset.keys, strict=True)]
    rules += [proxy.inject(fault, "parquet", method="PUT") for fault in (SLOW_DOWN, Reset("before the answer"))]
    config = IngestConfig.model_validate({"input": {"uri": dataset.uri}, "output": {"uri": shards}})
    assert run_ingest(config) is ExitCode.DONE
    rules += [proxy.inject(fault, "parquet", skip=2 * number) for number, fault in enumerate(TROUBLE)]
    manifest = build_manifest([shards], CONFIG, seed=0)
    images = manifest.training_images(SPEC.largest_patch_size)
    inputs = StreamInputs(images, manifest.sources, SPEC, CONFIG.degradation, max_cached_bytes=0)
    assert digests(local_batches(inputs, 0)) == dataset.digests
    assert all(rule.met == 1 for rule in rules)


def test_lasting_trouble_ends_the_stream_and_names_the_object(
    faulty_server: FaultyServer, dataset: Dataset, quick_retries: None
) -> None:
    rule = faulty_server.proxy.inject(Truncated(), dataset.keys[2], times=None)
    with pytest.raises(StorageError) as caught:
        digests(local_batches(inputs_of(dataset), 0))
    assert f"for {dataset.uri}/{dataset.keys[2]}" in str(caught.value)
    assert "Try again later" in str(caught.value)
    assert rule.met == RetryPolicy().num_attempts


def test_credentials_that_expire_end_the_stream_of_ray_and_name_the_object(
    faulty_server: FaultyServer, dataset: Dataset, ray_cluster: str
) -> None:
    faulty_server.proxy.inject(EXPIRED_TOKEN, "jpg", skip=9, times=None)
    seen = []
    with pytest.raises(StorageError, match=f"{dataset.uri}/.*jpg.*expired.*AWS_SESSION_TOKEN"):
        for batch in ray_stream(inputs_of(dataset), 0):
            seen += digests([batch])
    assert seen == dataset.digests[: len(seen)], "what came before the trouble was right"
