"""The stream: what batches hold, from plain functions, from Ray and from S3. Their order: `test_stream_order.py`."""

import hashlib
import itertools
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from pipelines import stream
from pipelines.datasets import DataConfig
from pipelines.plan import StreamSpec
from pipelines.storage import open_store
from pipelines.stream import (
    MakeBatch,
    StreamInputs,
    local_batches,
    pack_batch,
    ray_batches,
    ray_dataset,
    ray_stream,
    unpack_batch,
)
from rssr.degradation import degradation_preset
from rssr.errors import ConfigError, DataError
from rssr.images import encode_jpeg
from tests.pipelines.streams import inputs_of, write_noise

NAMES = {"lr", "hr", "scale", "step", "micro_batch", "index", "key"}
SPEC = StreamSpec(
    seed=3,
    num_steps=4,
    micro_batches_per_step=2,
    global_batch_size=4,
    patch_size=32,
    scale_range=(2.0, 4.0),
    rotations=True,
)
# What this module defines travels to Ray's workers by value: they cannot import tests.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
CONFIG = DataConfig.model_validate({"scale": [2, 4], "degradation": "slimdiffsr", "num_test": 2})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_noise(tmp_path_factory.mktemp("images"), [(40 + number, 50) for number in range(9)], num_classes=2)


@pytest.fixture(scope="module")
def inputs(folder: Path) -> StreamInputs:
    return inputs_of(str(folder), CONFIG, SPEC)


def digest(batches: Iterable[Mapping[str, Any]]) -> list[str]:
    """Ordered digests of everything in the batches."""
    digests = []
    for batch in batches:
        assert set(batch) == NAMES
        plain = (batch["scale"], batch["step"], batch["micro_batch"], batch["key"], batch["index"].tolist())
        content = [repr((plain, batch["lr"].shape, batch["hr"].shape)).encode()]
        content += [batch["lr"].tobytes(), batch["hr"].tobytes(), str(batch["index"].dtype).encode()]
        digests.append(hashlib.sha256(b"".join(content)).hexdigest())
    return digests


def test_batches_are_as_promised(inputs: StreamInputs) -> None:
    batches = list(local_batches(inputs, 0))
    assert [(batch["step"], batch["micro_batch"]) for batch in batches] == list(
        itertools.product(range(SPEC.num_steps), range(SPEC.micro_batches_per_step))
    )
    for batch in batches:
        scale = batch["scale"]
        assert batch["hr"].shape == (4, 32, 32, 3)
        assert batch["lr"].shape == (4, int(32 / scale), int(32 / scale), 3)
        assert batch["hr"].dtype == batch["lr"].dtype == np.uint8
        assert len(batch["key"]) == 4
    assert np.concatenate([batch["index"] for batch in batches]).tolist() == list(range(32))
    assert len({batch["scale"] for batch in batches}) == len(batches)


def test_stream_is_deterministic_and_seeds_matter(inputs: StreamInputs) -> None:
    assert digest(local_batches(inputs, 0)) == digest(local_batches(inputs, 0))
    other = replace(inputs, spec=replace(SPEC, seed=4))
    assert not set(digest(local_batches(inputs, 0))) & set(digest(local_batches(other, 0)))


def test_the_workers_of_a_micro_batch_share_its_scale(inputs: StreamInputs) -> None:
    ranged = replace(inputs, spec=replace(SPEC, scale_range=(1.0, 8.0)))
    parts = zip(local_batches(ranged, 0, 0, 2), local_batches(ranged, 0, 1, 2), local_batches(ranged, 0), strict=True)
    for first, second, whole in parts:
        assert first["scale"] == second["scale"] == whole["scale"]
        side = int(32 / whole["scale"])
        assert first["lr"].shape == second["lr"].shape == (2, side, side, 3)
        assert np.array_equal(np.concatenate([first["lr"], second["lr"]]), whole["lr"])


def test_at_scale_one_lr_is_as_large_as_hr_and_degraded(inputs: StreamInputs) -> None:
    ranged = replace(inputs, spec=replace(SPEC, scale_range=(1.0, 1.0)))
    for batch in local_batches(ranged, 0):
        assert batch["scale"] == 1.0
        assert batch["lr"].shape == batch["hr"].shape == (4, 32, 32, 3)
        assert not np.array_equal(batch["lr"], batch["hr"])


def test_fixed_lr_patches_make_equal_lr_sizes(inputs: StreamInputs) -> None:
    spec = replace(SPEC, lr_patch_size=9, scale_range=(1.0, 4.0))
    for batch in local_batches(replace(inputs, spec=spec), 0):
        assert batch["lr"].shape == (4, 9, 9, 3)
        assert batch["hr"].shape[1] == spec.patch_size_at(batch["scale"])


def test_packing_keeps_everything(inputs: StreamInputs) -> None:
    batch = MakeBatch(inputs)(0)
    back = unpack_batch(pack_batch(batch))
    assert digest([back]) == digest([batch])
    assert back["hr"].flags.writeable


def test_ray_gives_the_local_batches(ray_cluster: str, inputs: StreamInputs) -> None:
    assert digest(ray_batches(ray_dataset(inputs, 0))) == digest(local_batches(inputs, 0))


def test_a_finished_stream_is_empty(ray_cluster: str, inputs: StreamInputs) -> None:
    assert list(ray_batches(ray_dataset(inputs, SPEC.num_steps))) == []
    assert list(ray_stream(inputs, SPEC.num_steps)) == []


def test_options_of_other_datasets_are_left_alone(ray_cluster: str, inputs: StreamInputs) -> None:
    from ray.data import DataContext

    before = DataContext.get_current().execution_options.preserve_order
    assert ray_dataset(inputs, 0).context.execution_options.preserve_order
    assert DataContext.get_current().execution_options.preserve_order == before


def test_errors_of_data_actors_arrive_as_they_were(ray_cluster: str, inputs: StreamInputs, folder: Path) -> None:
    broken = replace(inputs, images=[replace(image, sha256="0" * 64) for image in inputs.images])
    with pytest.raises(DataError, match="has changed since the manifest was written") as caught:
        list(ray_batches(ray_dataset(broken, 0)))
    assert str(folder) in str(caught.value)


def test_workers_that_do_not_divide_the_batch_are_refused(inputs: StreamInputs) -> None:
    with pytest.raises(ConfigError, match="3 workers"):
        next(local_batches(inputs, 0, 0, 3))


class _Counting(stream._MakeRow):
    """Leaves a file for each batch made."""

    folder = ""

    def __call__(self, row: Mapping[str, Any]) -> Any:  # as in the base
        (Path(self.folder) / str(row["number"][0])).touch()
        return super().__call__(row)


def test_a_slow_consumer_is_waited_for(ray_cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 13 MB in an object store of 256 MB: no more are made than fit into its share for data."""
    (tmp_path / "images").mkdir()
    (tmp_path / "made").mkdir()
    for number in range(4):
        (tmp_path / "images" / f"{number}.jpg").write_bytes(encode_jpeg(np.full((512, 512, 3), number, np.uint8)))
    spec = replace(SPEC, num_steps=100, global_batch_size=16, patch_size=512, scale_range=(8.0, 8.0))
    config = CONFIG.model_copy(update={"degradation": degradation_preset("bicubic")})
    large = replace(inputs_of(str(tmp_path / "images"), CONFIG, SPEC), spec=spec, degradation=config.degradation)
    monkeypatch.setattr(_Counting, "folder", str(tmp_path / "made"))
    monkeypatch.setattr(stream, "_MakeRow", _Counting)
    batches = ray_batches(ray_dataset(large, 0))
    next(batches)
    num_made, seen = -1, 0
    while seen != num_made:
        num_made = seen
        time.sleep(1)
        seen = len(list((tmp_path / "made").iterdir()))
    assert num_made <= 16
    assert [batch["step"] for batch in itertools.islice(batches, 3)] == [0, 1, 1]
    batches.close()  # type: ignore[attr-defined]  # a generator


class _Mortal(stream._MakeRow):
    """Dies once, with its process, in the middle of the stream."""

    marker = ""

    def __call__(self, row: Mapping[str, Any]) -> Any:  # as in the base
        if int(row["number"][0]) == 3 and not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(row)


@pytest.mark.long
def test_a_killed_data_actor_changes_nothing(
    ray_cluster: str, inputs: StreamInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Mortal, "marker", str(tmp_path / "died"))
    monkeypatch.setattr(stream, "_MakeRow", _Mortal)
    assert digest(ray_batches(ray_dataset(inputs, 0))) == digest(local_batches(inputs, 0))
    assert (tmp_path / "died").exists()


def test_training_workers_that_hold_all_cpus_are_still_fed(ray_cluster: str, inputs: StreamInputs) -> None:
    class Worker:
        def run(self, inputs: StreamInputs) -> list[str]:
            return digest(ray_stream(inputs, 2))

    worker = ray.remote(num_cpus=2)(Worker).remote()
    assert ray.get(worker.run.remote(inputs), timeout=60) == digest(local_batches(inputs, 2))
    ray.kill(worker)


def test_s3_gives_the_local_batches_without_local_copies(
    folder: Path,
    inputs: StreamInputs,
    ray_cluster: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = request.getfixturevalue("s3_server")
    server.use(monkeypatch)
    uri = f"{server.make_bucket()}/aid"
    open_store(uri).upload_folder(folder, "")
    with _written_files() as written:
        remote = inputs_of(uri, CONFIG, SPEC)
        batches = digest(local_batches(remote, 0))
    assert written == []
    assert batches == digest(local_batches(inputs, 0))
    assert digest(ray_batches(ray_dataset(remote, 0))) == batches


_WATCHERS: list[list[str]] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _WATCHERS and event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        _WATCHERS[-1].append(str(arguments[0]))


@contextmanager
def _written_files() -> Iterator[list[str]]:
    """Names of the files that this process opens for writing."""
    sys.addaudithook(_watch)
    _WATCHERS.append([])
    try:
        yield _WATCHERS[-1]
    finally:
        _WATCHERS.pop()
