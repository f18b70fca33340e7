"""An output is of one run: the same configuration goes on, another is refused with what differs."""

import logging
from datetime import timedelta
from typing import Any

import pytest

from pipelines.bulk.planning.identity import begun_run, forget_run, open_run, product_keys, require_same, run_identity
from pipelines.bulk.planning.plan_files import write_plan
from pipelines.bulk.records import RUN_KEY, InputScene, PlannedScene, RunIdentity
from pipelines.models import ModelSource
from rssr.errors import ConfigError, DataError
from tests.pipelines.bulk.imagery import NOW, Place

BICUBIC = ModelSource("bicubic")


def identity(place: Place, source: ModelSource = BICUBIC, **values: Any) -> RunIdentity:
    return run_identity(place.config(**values), source, NOW)


def test_a_run_that_goes_on_keeps_the_time_of_its_beginning(place: Place) -> None:
    first = open_run(place.output, identity(place))
    later = run_identity(place.config(), BICUBIC, NOW + timedelta(days=1))
    assert first.planned_at == "2026-11-29T04:25:00Z"
    assert open_run(place.output, later) == first == begun_run(place.output)
    assert later.planned_at != first.planned_at


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"scale": 4}, "scale 2.0 there, 4.0 now"),
        ({"products": {"project": True}}, "products.project false there, true now"),
        ({"tiling": {"tile_size": 64}}, "tiling.tile_size null there, 64 now"),
        ({"sentinel2": {"offset": -1000}}, "sentinel2.offset null there, -1000.0 now"),
        ({"worker": {"num_threads": 2}}, "num_threads 1 there, 2 now"),
    ],
)
def test_another_configuration_is_refused_with_what_differs(local: Place, values: dict[str, Any], said: str) -> None:
    open_run(local.output, identity(local))
    with pytest.raises(ConfigError, match=r"fresh=true") as caught:
        open_run(local.output, identity(local, **values))
    assert said in str(caught.value)
    assert caught.value.exit_code == 2


def test_another_model_is_refused_by_its_name(local: Place) -> None:
    open_run(local.output, identity(local, ModelSource("models:/a/1", "1" * 64)))
    with pytest.raises(ConfigError, match=r"model models:/a/1 \(1{12}\) there, models:/a/2 \(2{12}\) now"):
        open_run(local.output, identity(local, ModelSource("models:/a/2", "2" * 64)))


def test_what_does_not_show_in_products_may_change(local: Place) -> None:
    first = open_run(local.output, identity(local))
    others = {"num_workers": 3, "keep_work": True, "tiling": {"batch_size": 1}, "input": ("/elsewhere",)}
    assert open_run(local.output, identity(local, **others)) == first


def test_the_same_model_in_another_place_is_the_same_run(local: Place) -> None:
    first = open_run(local.output, identity(local, ModelSource("/here/model", "1" * 64)))
    assert open_run(local.output, identity(local, ModelSource("/there/model", "1" * 64))) == first


def test_another_version_of_a_library_is_told(local: Place, caplog: pytest.LogCaptureFixture) -> None:
    wanted = identity(local)
    older = RunIdentity(**{**vars(wanted), "software": {**wanted.software, "torch": "1.0"}})
    with caplog.at_level(logging.WARNING):
        require_same(local.output, older, wanted)
    assert "torch 1.0 then" in caplog.text
    assert wanted.software["rasterio"]


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff"])
def test_a_damaged_record_says_what_to_do(local: Place, data: bytes) -> None:
    local.output.write_bytes(RUN_KEY, data)
    with pytest.raises(DataError, match=r"run\.json is damaged.*fresh=true"):
        open_run(local.output, identity(local))


def test_forgetting_removes_the_run_and_nothing_else(place: Place) -> None:
    output = place.output
    open_run(output, identity(place))
    write_plan(output, 0, [PlannedScene(InputScene("x/a", "/in", "a.tif", "raster", 1, "v"))])
    own = [*product_keys("x/a"), "_run/ledger/x/a.json", "_work/x/a/r0000c0000", "_run/model/1/config.json"]
    foreign = ["x/b.tif", "_marked/c.tif", "x/a.txt", "readme.md"]
    for key in (*own, *foreign):
        output.write_bytes(key, b"data")
    assert forget_run(output) == len(own) + 2
    assert [entry.key for entry in output.list()] == sorted(foreign)


def test_an_output_without_a_run_is_left_alone(local: Place) -> None:
    local.output.write_bytes("_work/a", b"whose is it?")
    assert forget_run(local.output) == 0
    assert local.output.exists("_work/a")


def test_a_run_is_forgotten_record_last(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever moment it is killed at, the output still says which run its products are of."""
    open_run(local.output, identity(local))
    write_plan(local.output, 0, [PlannedScene(InputScene("a", "/in", "a.tif", "raster", 1, "v"))])
    local.output.write_bytes("a.tif", b"product")
    deleted: list[str] = []
    original = type(local.output).delete
    monkeypatch.setattr(type(local.output), "delete", lambda self, key: (deleted.append(key), original(self, key)))
    forget_run(local.output)
    assert deleted == ["a.tif", "_run/plan/0000.parquet", RUN_KEY]
