"""The archive runner on Ray Serve: it is killed, and goes on."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import serve

from pipelines.serving.archives.api import Archive, PageQuery
from pipelines.serving.archives.config import ArchivesConfig
from pipelines.serving.archives.deployment import NAME, archives_application, archives_behind
from pipelines.serving.archives.order import BulkSettings
from pipelines.serving.archives.records import ENDED
from pipelines.serving.problems import Problem
from tests.pipelines.bulk.imagery import png
from tests.pipelines.serving.archives.made_archives import ANN, QUICK, SLOW, asked
from tests.pipelines.serving.conftest import Serving

_PATIENCE_S = 200.0
_APPLICATION = "archives-alone"


@pytest.fixture
def handle(serving: Serving, tmp_path: Path) -> Iterator[Any]:
    """Beside the shared service, so that Ray Serve listens where that one is asked."""
    config = ArchivesConfig(num_workers=1, **QUICK)
    application = archives_application(f"{tmp_path}/state", config, BulkSettings(num_workers=1, tiling=SLOW))
    try:
        yield serve.run(application, name=_APPLICATION, route_prefix=None)
    finally:
        serve.delete(_APPLICATION)


def test_archives_survive_the_death_of_their_runner(handle: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "large.png").write_bytes(png((96, 96)))
    asyncio.run(killed_at_work(handle, tmp_path))


async def killed_at_work(handle: Any, folder: Path) -> None:
    archives = archives_behind(handle)
    request = asked(input=(f"{folder}/in",), idempotency_key="k", digest="d")
    made = await archives.create(request)
    assert (made.archive.id, made.is_replay) == (request.id, False)
    work = folder / "state" / "archives" / request.id / "products" / "_work"
    deadline = time.monotonic() + _PATIENCE_S
    while len(list(work.rglob("r*"))) < 5:
        assert time.monotonic() < deadline, "it never began to work"
        await asyncio.sleep(0.02)
    ray.kill(replica(), no_restart=True)
    again, listed = await asyncio.gather(  # while there is nobody who could answer
        archives.create(asked(input=(f"{folder}/in",), idempotency_key="k", digest="d")),
        archives.list(ANN, PageQuery(None, 5)),
    )
    assert (again.archive.id, again.is_replay) == (request.id, True)
    assert [archive.id for archive in listed.archives] == [request.id]
    while (archive := await shown(archives, request.id)).state not in ENDED:
        assert time.monotonic() < deadline, f"it is still {archive.state}"
        await asyncio.sleep(0.1)
    assert (archive.state, archive.counts.scenes.published) == ("completed", 1)
    with pytest.raises(Problem) as caught:
        await archives.cancel(ANN, request.id)
    assert caught.value.slug == "conflict"


async def shown(archives: Any, archive_id: str) -> Archive:
    archive: Archive = await archives.show(ANN, archive_id)
    return archive


def replica() -> Any:
    """The actor of the deployment's one replica."""
    start = f"{_APPLICATION}#{NAME}#"
    names = [found["name"] for found in ray.util.list_named_actors(all_namespaces=True) if start in found["name"]]
    assert len(names) == 1
    return ray.get_actor(names[0], namespace="serve")
