"""Plans come back as they were written, whole or not at all."""

import pytest

from pipelines.bulk.planning.plan_files import plan_key, plan_numbers, read_plan, write_plan
from pipelines.bulk.records import InputScene, PlannedScene
from rssr.errors import DataError
from tests.pipelines.bulk.imagery import Place

PLANNED = PlannedScene(
    scene=InputScene("2021/T32 é", "s3://b/in", "2021/T32 é.tif", "raster", 2**40, "abc-1"),
    lr_size=(10_980, 10_979),
    sr_size=(43_920, 43_916),
    dtype="uint16",
    band_names=("B04", "B03"),
    crs="EPSG:32632",
    bounds=(9.000000000001, 45.1, 10.3, 46.0),
    gsd_m=10.0,
    tile_size=256,
    halo=16,
    num_tiles=2_401,
    windows=("r0000c0000", "r0000c0001"),
)
REFUSED = PlannedScene(InputScene("a", "/data", "a.png", "picture", 1, "v"), refusal="It is damaged.")


def test_scenes_come_back_as_they_were_written(place: Place) -> None:
    assert read_plan(place.output) == []
    assert write_plan(place.output, 0, [PLANNED, REFUSED])
    assert read_plan(place.output) == [PLANNED, REFUSED]


def test_a_file_of_the_plan_is_never_replaced(place: Place) -> None:
    assert write_plan(place.output, 0, [PLANNED])
    assert not write_plan(place.output, 0, [REFUSED])
    assert read_plan(place.output) == [PLANNED]


def test_later_files_add_scenes_and_replace_those_that_were_planned_again(local: Place) -> None:
    again = PlannedScene(REFUSED.scene, lr_size=(1, 1), sr_size=(2, 2), windows=("r0000c0000",))
    more = PlannedScene(InputScene("b", "/data", "b.png", "picture", 1, "v"))
    for number, scenes in ((0, [REFUSED, PLANNED]), (1, [more]), (10, [again])):
        write_plan(local.output, number, scenes)
    assert plan_numbers(local.output) == [0, 1, 10]
    assert read_plan(local.output) == [again, PLANNED, more]


@pytest.mark.parametrize("data", [b"", b"PAR1 and then nothing", b"\0" * 500])
def test_damaged_plans_say_what_to_do(local: Place, data: bytes) -> None:
    local.output.write_bytes(plan_key(0), data)
    with pytest.raises(DataError, match=r"0000\.parquet is damaged.*fresh=true"):
        read_plan(local.output)


def test_the_same_scenes_give_the_same_bytes(local: Place) -> None:
    for number in (0, 1):
        write_plan(local.output, number, [PLANNED, REFUSED])
    assert local.output.read_bytes(plan_key(0)) == local.output.read_bytes(plan_key(1))
