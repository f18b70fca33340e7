"""Pages over the scenes of a run, from a plan and a ledger of many."""

from dataclasses import replace

import pytest

from pipelines.bulk.commits.ledger import Ledger
from pipelines.bulk.planning.plan_files import write_plan
from pipelines.bulk.records import ProductFile, SceneRecord
from pipelines.serving.archives.api import Item, PageQuery
from pipelines.serving.archives.counts import final_counts
from pipelines.serving.archives.items import ItemReader, Place
from pipelines.storage import Store
from tests.pipelines.bulk import imagery
from tests.pipelines.bulk.made_scenes import made_scene

NAMES = [f"{year}/scene {number}" for year in (2021, 2022) for number in range(10)]
REFUSED, WAITING, FAILED = NAMES[3], NAMES[4], NAMES[11]


@pytest.fixture
def store(local: imagery.Place) -> Store:
    planned = [made_scene(name, 2) for name in reversed(NAMES)]
    told = [
        replace(scene, refusal="It has no bands.", windows=()) if scene.name == REFUSED else scene for scene in planned
    ]
    write_plan(local.output, 0, told)
    ledger = Ledger(local.output)
    for name in NAMES:
        if name == FAILED:
            ledger.record(SceneRecord(name, "failed", "Memory was short."))
        elif name not in (REFUSED, WAITING):
            ledger.record(SceneRecord(name, "done", files=(ProductFile(f"{name}.tif", "data", 1, "ab"),)))
    return local.output


def pages(store: Store, state: str | None, limit: int) -> list[list[Item]]:
    reader, place = ItemReader(), Place(store, "/v1/archives/ar/files", str)
    items, cursor = reader.page(place, PageQuery(state, limit))
    found = [items]
    while cursor:
        items, cursor = reader.page(place, PageQuery(state, limit, cursor))
        found.append(items)
    return found


@pytest.mark.parametrize("limit", [1, 6, 19, 20, 100])
def test_pages_together_hold_every_finished_scene_once_by_name(store: Store, limit: int) -> None:
    found = pages(store, None, limit)
    assert [item.name for page in found for item in page] == [name for name in NAMES if name != WAITING]
    assert all(len(page) == limit for page in found[:-1]) and found[-1]


@pytest.mark.parametrize(
    ("state", "names"), [("refused", [REFUSED]), ("failed", [FAILED]), ("waiting", [WAITING]), ("marked", [])]
)
def test_pages_hold_only_scenes_of_the_state_that_is_asked_for(store: Store, state: str, names: list[str]) -> None:
    assert [[(item.name, item.state) for item in page] for page in pages(store, state, 5)] == [
        [(name, state) for name in names]
    ]


def test_items_tell_why_and_where(store: Store) -> None:
    items = {item.name: item for page in pages(store, None, 100) for item in page}
    assert (items[FAILED].reason, items[FAILED].seam_score, items[FAILED].files) == ("Memory was short.", None, [])
    assert items[REFUSED].reason == "It has no bands."
    file = items[NAMES[0]].files[0]
    assert (file.name, file.href, file.uri) == ("2021/scene 0.tif", "/v1/archives/ar/files/2021/scene%200.tif", None)
    assert items[NAMES[0]].reason is None


def test_before_anything_is_planned_there_are_no_items(local: imagery.Place) -> None:
    assert pages(local.output, None, 5) == [[]]


def test_what_finishes_between_two_looks_is_seen(store: Store) -> None:
    reader, place = ItemReader(), Place(store, None, str)
    assert len(reader.page(place, PageQuery(None, 100))[0]) == len(NAMES) - 1
    Ledger(store).record(SceneRecord(WAITING, "failed"))
    assert [item.name for item in reader.page(place, PageQuery(None, 100))[0]] == NAMES
    assert reader.page(place, PageQuery("waiting", 5)) == ([], "")


def test_counts_are_those_of_plan_and_ledger(store: Store) -> None:
    counts = final_counts(store)
    assert counts.scenes == {
        "done": 17, "marked": 0, "partial": 0, "failed": 1, "refused": 1, "waiting": 1, "total": 20
    }  # fmt: skip
    assert counts.windows == {"total": 38, "done": 36, "failed": 0}
