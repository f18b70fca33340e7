"""What the routes of archives need, from the service's settings."""

from functools import partial
from pathlib import Path

from pipelines.serving.archives.api import ArchiveApi, ChosenModel
from pipelines.serving.config import ServeConfig
from pipelines.serving.http.archive_requests import form_fields
from pipelines.serving.http.archives import ArchiveDoor
from pipelines.serving.http.uploads import received
from pipelines.serving.models.api import ModelApi
from pipelines.serving.models.names import model_named
from pipelines.serving.problems import Problem
from pipelines.serving.security.archive_limits import check_archive
from pipelines.serving.security.places import ServicePlaces
from pipelines.storage import StorageSettings, open_store


def archive_door(config: ServeConfig, archives: ArchiveApi, models: ModelApi) -> ArchiveDoor:
    """What the routes of archives need.

    Args:
        config: Of the service.
        archives: Who keeps them.
        models: Who runs the models.
    """
    storage = StorageSettings.from_environment()

    async def choose_model(name: str | None) -> ChosenModel:
        model = model_named(config, name)
        record = next((found for found in await models.records() if found.name == model.name), None)
        if record is None or record.version is None:
            raise Problem("starting", f"{model.name} is not ready.", headers={"Retry-After": "10"})
        return ChosenModel(model.name, record.version.name, model.scale)

    def check(path: Path, ending: str) -> None:
        check_archive(path, ending, config.limits)

    return ArchiveDoor(
        api=archives,
        root=open_store(f"{config.output.uri.rstrip('/')}/", storage),
        places=ServicePlaces(config.security),
        choose_model=choose_model,
        receive=partial(
            received,
            limits=config.limits,
            part="archive",
            fields=form_fields(),
            max_bytes=config.limits.max_upload_bytes,
        ),
        check=check,
        storage=storage,
    )
