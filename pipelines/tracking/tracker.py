"""The MLflow store of a job, and how it finds its own runs again."""

import getpass
import logging
import math
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.tracking.code_version import code_version_tags
from pipelines.tracking.config import TrackingConfig
from pipelines.tracking.connection import MlflowClient, MlflowRun, connect
from pipelines.tracking.errors import TrackingError, first_line
from pipelines.tracking.location import TrackingLocation, resolve_tracking
from pipelines.tracking.run import Run
from pipelines.tracking.secrecy import mask_secrets

_log = logging.getLogger(__name__)

RUN_KEY_TAG = "rssr.run_key"
_PARENT_TAG = "mlflow.parentRunId"
_RUN_KEY = re.compile(r"[\w.:/@+=,-]{1,500}", re.ASCII)
_MAX_CANDIDATES = 100
_NUMBER_TAG = "rssr.number"
_DRAW_S = 5.0  # how long others are waited for that have begun a run and not drawn its number
_POLL_S = 0.05


class Tracker:
    """An open MLflow store.

    Args:
        location: From `resolve_tracking`.
        config: Experiment and system metrics.

    Raises:
        TrackingError: The store cannot be opened.
    """

    def __init__(self, location: TrackingLocation, config: TrackingConfig) -> None:
        location.restore()
        self.location = location
        self._config = config
        self.client: MlflowClient = connect(location.tracking_uri)
        self.experiment_id = _experiment(self.client, config.experiment, location.artifact_location)

    @property
    def tracking_uri(self) -> str:
        """What MLflow's client, and buffers in other processes, open."""
        return self.location.tracking_uri

    def open_run(
        self, run_key: str, name: str, parent: Run | None = None, tags: Mapping[str, str] | None = None
    ) -> Run:
        """The run of this key: the one that an earlier process began, else a new one.

        So the same command after a kill goes on in the same run. Where two processes begin a run at the same
        moment, both end up in the one that was begun first.

        Args:
            run_key: What makes two invocations the same run; letters, digits and `.:/@+=,_-`.
            name: Title for readers.
            parent: Run under which this one is shown. A run without a parent samples the machine's use.
            tags: Further tags.

        Raises:
            TrackingError: The store does not answer.
        """
        if not _RUN_KEY.fullmatch(run_key):
            raise ValueError(f"'{run_key}' is not a run key")
        try:
            run_id, reopened = self._find_or_create(run_key, name, parent)
            code_tags = self._code_tags(run_id, reopened)
        except Exception as error:
            reason = mask_secrets(first_line(error))
            raise TrackingError(f"The MLflow run '{name}' cannot be opened ({reason}).", "Check the store.") from error
        run = Run(self.client, self.tracking_uri, run_id, reopened)
        run.set_tags({**_process_tags(), **code_tags, **(tags or {})})
        if parent is None and self._config.system_metrics:
            run.start_system_metrics(self._config.system_metrics_interval_s)
        return run

    def is_unfinished(self, run_key: str) -> bool:
        """Whether an earlier process began the run of this key and did not get to its end."""
        run_id = self._first_run(run_key)
        return run_id is not None and self.client.get_run(run_id).info.status != "FINISHED"

    def backup(self) -> bool:
        """Make the store durable where it is a local file of a remote output; see `TrackingLocation.backup`."""
        return self.location.backup()

    def _code_tags(self, run_id: str, reopened: bool) -> dict[str, str]:
        """The code's version, and that it differs from the one that began the run."""
        now = code_version_tags()
        if not reopened:
            return now
        before = dict(self.client.get_run(run_id).data.tags)
        changes = {
            name: f"{before[name]} -> {value}" for name, value in now.items() if before.get(name, value) != value
        }
        return now | {f"rssr.changed.{name}": change for name, change in changes.items()}

    def _find_or_create(self, run_key: str, name: str, parent: Run | None) -> tuple[str, bool]:
        if (found := self._first_run(run_key)) is not None:
            self.client.update_run(found, status="RUNNING", name=name)
            return found, True
        tags = {RUN_KEY_TAG: run_key}
        if parent is not None:
            tags[_PARENT_TAG] = parent.run_id
        created = str(self.client.create_run(self.experiment_id, tags=tags, run_name=name).info.run_id)
        # Numbers are drawn by runs that others can see already, so whoever comes later draws a higher one.
        numbers = [_number(run) for run in self._candidates(run_key)]
        self.client.set_tag(created, _NUMBER_TAG, 1 + max(filter(math.isfinite, numbers), default=0))
        first = self._first_run(run_key) or created
        if first != created:
            self.client.delete_run(created)
        return first, first != created

    def _first_run(self, run_key: str) -> str | None:
        """The run that all processes choose: that of the lowest number, once everyone has drawn one."""
        deadline = time.monotonic() + _DRAW_S
        while True:
            found = self._candidates(run_key)
            if all(math.isfinite(_number(run)) for run in found) or time.monotonic() > deadline:
                break  # or whoever has not drawn was killed, or is of a release that drew none
            time.sleep(_POLL_S)
        first = min(found, key=lambda run: (_number(run), run.info.start_time, run.info.run_id), default=None)
        return None if first is None else str(first.info.run_id)

    def _candidates(self, run_key: str) -> list[MlflowRun]:
        return list(
            self.client.search_runs(
                [self.experiment_id],
                filter_string=f"tags.`{RUN_KEY_TAG}` = '{run_key}'",
                order_by=["attributes.start_time ASC"],
                max_results=_MAX_CANDIDATES,
            )
        )


def _number(run: MlflowRun) -> float:
    """What a run has drawn to tell which of several was begun first; infinity before."""
    return float(run.data.tags.get(_NUMBER_TAG, math.inf))


def open_tracker(config: TrackingConfig, output_uri: str, state_folder: Path | None = None) -> Tracker:
    """Resolve, restore and open the store of a job; see `resolve_tracking`."""
    return Tracker(resolve_tracking(config, output_uri, state_folder), config)


def _process_tags() -> dict[str, str]:
    tags = {"mlflow.source.type": "JOB", "mlflow.source.name": Path(sys.argv[0]).name or "python"}
    try:
        tags["mlflow.user"] = getpass.getuser()
    except (OSError, KeyError):
        _log.debug("This process's user has no name.")
    return tags


def _experiment(client: MlflowClient, name: str, artifact_location: str | None) -> str:
    experiment: Any = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifact_location))
        except Exception as error:
            experiment = client.get_experiment_by_name(name)  # another process was faster
            if experiment is None:
                reason = mask_secrets(first_line(error))
                raise TrackingError(f"The MLflow experiment '{name}' cannot be made ({reason}).") from error
    if experiment.lifecycle_stage != "active":
        raise TrackingError(
            f"The MLflow experiment '{name}' is deleted.",
            "Restore it in MLflow or set mlflow.experiment to another name.",
        )
    return str(experiment.experiment_id)
