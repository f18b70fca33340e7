"""The service's real routes over its real parts in one process, without Ray: `plain_service.py FOLDER PORT`."""

import asyncio
import sys
from pathlib import Path

import uvicorn

from pipelines.serving.archives.calls import CalledArchives, calls_here
from pipelines.serving.archives.order import BulkSettings
from pipelines.serving.archives.runner import RunnerPlan
from pipelines.serving.archives.service import ArchiveService
from pipelines.serving.config import ServeConfig
from pipelines.serving.http.app import Service, make_app
from pipelines.serving.http.archive_wiring import archive_door
from pipelines.serving.models.api import Health
from pipelines.serving.models.deployment import make_keeper
from pipelines.serving.models.records import ModelRecord
from pipelines.serving.models.request import SrRequest, SrResult
from pipelines.serving.security.keys import Keys
from pipelines.storage import open_store
from tests.pipelines.serving.models.replicas import Gatherer, served, work


class PlainModels:
    """Runs the models in threads of this process.

    Args:
        config: Names them.
    """

    def __init__(self, config: ServeConfig) -> None:
        self._records = make_keeper(config).refresh()
        self._served = {model.name: served(model.source) for model in config.served}
        self._gatherer = Gatherer()

    async def super_resolve(self, model: str, request: SrRequest) -> SrResult:
        return await asyncio.to_thread(work, self._served[model], request, self._gatherer)

    async def records(self) -> list[ModelRecord]:
        return self._records

    async def health(self, model: str) -> Health:
        return "ready"


async def no_counts() -> str:
    return ""


def main(folder: Path, port: int) -> None:
    """Serve until ended."""
    config = ServeConfig.model_validate(
        {"models": ["bicubic"], "output": str(folder), "limits": {"max_pixels": 100_000, "max_body_bytes": 2**20}}
    )
    archives = ArchiveService(RunnerPlan(open_store(f"{config.output.uri}/"), None, config.archives, BulkSettings()))
    archives.start()
    models = PlainModels(config)
    door = archive_door(config, CalledArchives(calls_here(archives)), models)
    app = make_app(Service(config, Keys(), models, door, no_counts))
    uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical", lifespan="off")).run()
    archives.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
