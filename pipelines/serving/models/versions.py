"""The version that a replica serves: loaded, and changed between requests when another is announced."""

import logging
import time

from pipelines.serving.config import ModelConfig
from pipelines.serving.models.records import ModelRecords, ServedVersion
from pipelines.serving.models.replica import ServedModel
from pipelines.serving.models.self_test import enlarged, golden_picture, scale_for
from pipelines.serving.problems import Problem
from rssr.errors import ModelError, RssrError, StorageError
from rssr.models.loaded import LoadedModel

log = logging.getLogger(__name__)

_PAUSE_S = 0.5
_TRIED_SIDE = 16  # LR pixels of the picture that a replica is tried with


class VersionHolder:
    """Holds the version that is served. What replaces it is loaded and tried first; requests keep what they began with.

    Args:
        config: Of the model.
        records: What is announced.
        device: Where it runs, `cpu` or `cuda`.
    """

    def __init__(self, config: ModelConfig, records: ModelRecords, device: str) -> None:
        self._config = config
        self._records = records
        self._device = device
        self._served: ServedModel | None = None
        self._unfit: ServedVersion | None = None

    @property
    def served(self) -> ServedModel:
        """The version to begin a request with.

        Raises:
            Problem: There is none yet.
        """
        if self._served is None:
            raise Problem("starting", f"{self._config.name} is being loaded.", headers={"Retry-After": "5"})
        return self._served

    def wait(self, patience_s: float) -> None:
        """Load the first version, as soon as one is announced.

        Args:
            patience_s: How long to wait for it, seconds.

        Raises:
            ModelError: None was announced, or it does not run here.
        """
        until = time.monotonic() + patience_s
        while not self.look():
            if self._served is not None:
                return
            if time.monotonic() > until:
                raise ModelError(f"No version of {self._config.name} was announced within {patience_s:g} s.")
            time.sleep(_PAUSE_S)

    def look(self) -> bool:
        """Take over the announced version, if it is another one; returns whether it is.

        Nothing that goes wrong here ends what is served.
        """
        try:
            record = self._records.read(self._config.name)
            if record is None or record.source != self._config.source or record.version is None:
                return False
            announced = record.version
            if self._is_served(announced) or announced == self._unfit:
                return False
            self._take(announced)
            return True
        except StorageError as error:
            log.warning("The state of %s cannot be read, so what is served stays: %s", self._config.name, error)
            return False

    def try_forward(self) -> None:
        """Run the served version on a tiny picture.

        Raises:
            RssrError: It fails.
        """
        _tried(self.served.model, self._config.scale)

    def _is_served(self, announced: ServedVersion) -> bool:
        if self._served is None:
            return False
        return announced.is_same(self._served.source.name, self._served.source.digest)

    def _take(self, announced: ServedVersion) -> None:
        source = announced.source(self._records.output)
        try:
            model = source.load_anew(self._device)
            _tried(model, self._config.scale)
        except RssrError as error:
            if self._served is None:
                raise
            self._unfit = announced  # it is not tried again before another is announced
            log.error("%s does not run here, so %s stays: %s", announced.label, self._served.label, error)
            return
        self._served = ServedModel(source, announced.label, model)
        log.info("%s: %s is loaded.", self._config.name, announced.label)


def _tried(model: LoadedModel, scale: float) -> None:
    picture = golden_picture(model.card)[:, :_TRIED_SIDE, :_TRIED_SIDE]
    enlarged(picture, model, scale_for(model.card, scale))
