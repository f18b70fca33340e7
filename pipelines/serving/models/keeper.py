"""Which version of each model is served: found, tried, announced; what fails is refused and the old one stays."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.models import BUILT_IN, LocatedModel, ModelSource, copy_key, locate_model, store_model
from pipelines.serving.config import ModelConfig, SelfTestConfig
from pipelines.serving.models.records import (
    COPIES_FOLDER,
    ModelRecord,
    ModelRecords,
    RejectedVersion,
    ServedVersion,
    describe_version,
)
from pipelines.serving.models.self_test import SelfTestFailed, self_test
from pipelines.timestamps import timestamp
from pipelines.tracking import TrackingConfig
from pipelines.tracking.registry import folder_digest
from rssr.errors import ModelError, RssrError, WeightsError

log = logging.getLogger(__name__)

_LABEL_DIGITS = 12
RolledOut = Callable[[str, str], None]
"""Told the model's name and `served` or `rejected`, for counting."""


class Keeper:
    """Looks for new versions and decides about them.

    What it decides lies in the service's state, and replicas read it there. A registry or store that does not answer
    changes nothing: what is served stays.

    Args:
        models: That are served.
        records: What is known of them.
        mlflow: Where registered ones are looked up.
        config: What a version must show.
        rolled_out: Called when a version is announced or rejected.
    """

    def __init__(
        self,
        models: Sequence[ModelConfig],
        records: ModelRecords,
        mlflow: TrackingConfig,
        config: SelfTestConfig,
        rolled_out: RolledOut = lambda name, outcome: None,
    ) -> None:
        self._models = models
        self._records = records
        self._mlflow = mlflow
        self._config = config
        self._rolled_out = rolled_out
        self._digests: dict[str, tuple[str, str]] = {}
        self._told: dict[str, str] = {}

    def refresh(self) -> list[ModelRecord]:
        """Look once for new versions of all models.

        Raises:
            StorageError: The state cannot be read or written.
        """
        return [self._refreshed(model) for model in self._models]

    def _refreshed(self, model: ModelConfig) -> ModelRecord:
        known = self._records.read(model.name)
        if known is None or known.source != model.source:  # another model by this name was served here once
            known = ModelRecord(name=model.name, source=model.source)
        try:
            found = self._found(model)
        except RssrError as error:
            self._tell(model.name, f"{model.source} cannot be looked up, so what is served stays: {error}")
            return self._kept(known.model_copy(update={"problem": error.problem}))
        if known.version is not None and known.version.is_same(found.name, found.digest):
            return self._kept(known.model_copy(update={"problem": None}))
        if known.rejected is not None and known.rejected.digest == found.digest:
            return known
        return self._tried(model, known, found)

    def _found(self, model: ModelConfig) -> ModelSource:
        """The version that the source means now, on this machine."""
        located = locate_model(model.source, self._mlflow)
        if located.folder is None:
            return ModelSource(BUILT_IN)
        digest = located.digest or self._digest(located)
        copy_uri = self._records.output.describe(copy_key(COPIES_FOLDER, digest))
        return ModelSource(located.name, digest, str(located.folder.absolute()), copy_uri)

    def _digest(self, located: LocatedModel) -> str:
        """Of a folder; it is only read again when something in it looks changed."""
        folder = located.folder or Path()
        looks = _looks(folder)
        before, digest = self._digests.get(located.name, ("", ""))
        if before != looks:
            digest = folder_digest(folder)
            self._digests[located.name] = (looks, digest)
        return digest

    def _tried(self, model: ModelConfig, known: ModelRecord, found: ModelSource) -> ModelRecord:
        label = label_of(found)
        try:
            loaded = found.load_anew("cpu")
            self_test(loaded, model.scale, self._config)
        except (SelfTestFailed, WeightsError, ModelError) as error:
            log.error("%s of %s is not served: %s", label, model.name, error)
            refused = RejectedVersion(
                name=found.name, label=label, digest=found.digest, reason=_public(error, found, label), at=timestamp()
            )
            self._rolled_out(model.name, "rejected")
            return self._kept(known.model_copy(update={"rejected": refused}))
        store_model(found, self._records.output, COPIES_FOLDER)
        version = describe_version(found, loaded, label)
        log.info("%s is served as %s from now on.", label, model.name)
        self._rolled_out(model.name, "served")
        return self._kept(ModelRecord(name=model.name, source=model.source, version=version, previous=known.version))

    def _kept(self, record: ModelRecord) -> ModelRecord:
        if record != self._records.read(record.name):
            self._records.write(record)
        return record

    def _tell(self, name: str, message: str) -> None:
        """Once, until it is something else."""
        if self._told.get(name) != message:
            self._told[name] = message
            log.warning("%s", message)


def label_of(source: ModelSource) -> str:
    """What callers are told of a version: its address, or a folder's name and the beginning of its digest."""
    if not source.digest or source.name.startswith("models:"):
        return source.name
    return f"{source.name.rstrip('/').rpartition('/')[2]}@{source.digest[:_LABEL_DIGITS]}"


def require_served(record: ModelRecord) -> ServedVersion:
    """The version that is served.

    Raises:
        ModelError: There is none.
    """
    if record.version is None:
        reason = record.rejected.reason if record.rejected is not None else record.problem or "it was not found yet"
        raise ModelError(f"{record.source} cannot be served as {record.name}: {reason}", "Check models.")
    return record.version


def _public(error: RssrError, found: ModelSource, label: str) -> str:
    """Without remedies, which are for operators, and without folders of this machine."""
    return error.problem.replace(found.folder, label) if found.folder else error.problem


def _looks(folder: Path) -> str:
    """Names, sizes and dates of a folder's files."""
    lines = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            lines.append(f"{path.relative_to(folder).as_posix()} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
