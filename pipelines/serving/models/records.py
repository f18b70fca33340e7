"""What is known of each model that is served: kept in the service's state, so that nobody must be asked for it."""

from typing import Any, Literal

from pydantic import ValidationError

from pipelines.models import ModelSource, copy_key
from pipelines.storage import ObjectMissing, Store
from pipelines.timestamps import timestamp
from rssr.configuration import Config
from rssr.inference.chosen_model import gives_deviation
from rssr.models.loaded import LoadedModel

ModelState = Literal["loading", "ready", "failed"]

MODELS_FOLDER = "models"
"""Below the state: the records, by name."""
COPIES_FOLDER = f"{MODELS_FOLDER}/copies"
"""Below the state: the models themselves, by content, so that replicas elsewhere and later find them."""

_ENDING = ".json"


class ServedVersion(Config):
    """A version of a model that passed its self-test."""

    name: str
    """Its source, an alias resolved: models:/ldcsr/3, a folder, or bicubic."""
    label: str
    """What callers are told: the same, without folders of this machine."""
    digest: str
    """Of its folder; empty for bicubic."""
    folder: str
    """Where it lies on the machine that found it; empty for bicubic."""
    bands: tuple[str, ...]
    """That it takes; empty where it takes any."""
    scales: tuple[float, float] | None
    """Smallest and largest; null where it takes any."""
    gives_uncertainty: bool
    """Whether it says how far it may be off."""
    licence: str | None
    """Of its weights."""
    card: dict[str, Any] | None
    """All that its card says."""
    announced_at: str
    """Since when it is served, RFC 3339."""

    def source(self, output: Store) -> ModelSource:
        """Where it is loaded from."""
        copy_uri = output.describe(copy_key(COPIES_FOLDER, self.digest)) if self.digest else ""
        return ModelSource(self.name, self.digest, self.folder, copy_uri)

    def is_same(self, name: str, digest: str) -> bool:
        """Whether this is it; folders keep their name when they change, registered versions their digest."""
        return (self.name, self.digest) == (name, digest)


class RejectedVersion(Config):
    """A version that is not served."""

    name: str
    """Its source."""
    label: str
    """What callers are told."""
    digest: str
    """Of its folder."""
    reason: str
    """What it failed at."""
    at: str
    """When, RFC 3339."""


class ModelRecord(Config):
    """What is known of a model."""

    name: str
    """What callers call it."""
    source: str
    """As configured."""
    version: ServedVersion | None = None
    """That is served; null where there is none yet."""
    previous: ServedVersion | None = None
    """That was served before, to go back to; null where there was none."""
    rejected: RejectedVersion | None = None
    """The last one that was found and is not served; null where there is none."""
    problem: str | None = None
    """Why there is none to serve, or why none was looked for."""

    @property
    def state(self) -> ModelState:
        """Whether it can be used."""
        if self.version is not None:
            return "ready"
        return "failed" if self.problem or self.rejected else "loading"


class ModelRecords:
    """The records of all models, one object each.

    Args:
        output: Root of the service's state.
    """

    def __init__(self, output: Store) -> None:
        self.output = output

    def read(self, name: str) -> ModelRecord | None:
        """What is known of a model; None where nothing is.

        Raises:
            StorageError: The state cannot be read.
        """
        try:
            return ModelRecord.model_validate_json(self.output.read_bytes(_key(name)))
        except (ObjectMissing, ValidationError):  # another version of the service may have written it otherwise
            return None

    def read_all(self) -> list[ModelRecord] | None:
        """What is known of all models, also of those that are not configured any more.

        Returns:
            None where a record cannot be read, since another version of the service wrote it.

        Raises:
            StorageError: The state cannot be read.
        """
        names = (_name_in(entry.key) for entry in self.output.list(MODELS_FOLDER))
        found = [self.read(name) for name in names if name]
        known = [record for record in found if record is not None]
        return known if len(known) == len(found) else None

    def write(self, record: ModelRecord) -> None:
        """Keep what is known.

        Raises:
            StorageError: The state cannot be written.
        """
        self.output.write_bytes(_key(record.name), record.model_dump_json().encode())


def describe_version(source: ModelSource, model: LoadedModel, label: str) -> ServedVersion:
    """What is told of a version that was loaded."""
    card = model.card
    return ServedVersion(
        name=source.name,
        label=label,
        digest=source.digest,
        folder=source.folder,
        bands=tuple(card.bands) if card is not None else (),
        scales=card.scale_range if card is not None else None,
        gives_uncertainty=gives_deviation(model),
        licence=card.licence if card is not None else None,
        card=card.model_dump(mode="json") if card is not None else None,
        announced_at=timestamp(),
    )


def _key(name: str) -> str:
    return f"{MODELS_FOLDER}/{name}{_ENDING}"


def _name_in(key: str) -> str:
    """Of which model a key is the record; empty for none."""
    folder, _, file = key.rpartition("/")
    return file.removesuffix(_ENDING) if folder == MODELS_FOLDER and file.endswith(_ENDING) else ""
