"""One MLflow run: what a job records about itself.

A run outlives outages: recording waits for the store a while and is then given up with a warning, because hours
of computation are worth more than a line in a table. What the store refuses for good is our mistake, and raises.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, SupportsFloat

import numpy as np
from numpy.typing import NDArray

from pipelines.tracking.buffer import MetricBuffer
from pipelines.tracking.connection import MlflowClient
from pipelines.tracking.errors import first_line, is_permanent
from pipelines.tracking.images import check_image, send_image
from pipelines.tracking.metrics import (
    MAX_METRICS_PER_REQUEST,
    backoff_s,
    last_step,
    send_points,
    stored_steps,
    to_points,
)
from pipelines.tracking.secrecy import mask_secrets
from rssr.configuration import Config, flatten, to_yaml

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pipelines.tracking.system_metrics import SystemMetrics

_log = logging.getLogger(__name__)

Status = Literal["FINISHED", "FAILED", "KILLED"]
_LONGEST_PARAM = 6000  # MLflow's limit
_LONGEST_TAG = 8000
_LONGEST_DATASET_DIGEST = 36
_PARAMS_PER_REQUEST = 100
_ELLIPSIS = " ..."


class Run:
    """An open run; made by `Tracker.open_run`.

    Args:
        client: MLflow client of the store.
        tracking_uri: The store, for buffers in other processes.
        run_id: MLflow's id.
        reopened: Whether an earlier process has begun the run.
        patience_s: How long recording waits for a store that does not answer; once that was in vain, what follows is
            tried once, until something arrives again.
    """

    def __init__(
        self,
        client: MlflowClient,
        tracking_uri: str,
        run_id: str,
        reopened: bool = False,
        patience_s: float = 180.0,
    ) -> None:
        self._client = client
        self.tracking_uri = tracking_uri
        self.run_id = run_id
        self.reopened = reopened
        self._patience_s = patience_s
        self._system_metrics: tuple[SystemMetrics, MetricBuffer] | None = None
        self.num_lost_records = 0
        self._is_away = False

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record parameters.

        MLflow never changes a parameter. Where a reopened run comes with another value, e.g. another number of
        workers, the tag `rssr.changed.NAME` tells both.

        Args:
            params: Value by dotted name; longer texts than MLflow takes are cut.
        """
        wanted = {name: mask_secrets(_param_text(value)) for name, value in params.items()}
        self._deliver("parameters", lambda: self._send_params(wanted))

    def log_config(self, config: Config) -> None:
        """Record a configuration as parameters and, uncut, as the artifact `config.yaml`."""
        self.log_params(flatten(config.model_dump(mode="json")))
        self.log_text(to_yaml(config), "config.yaml")

    def log_metrics(self, metrics: Mapping[str, SupportsFloat], step: int = 0) -> None:
        """Record metrics at once; inside training loops use `metric_buffer`.

        Raises:
            TypeError, ValueError: A value is no number.
        """
        points = to_points(metrics, step)

        def send() -> None:  # again as a whole after a failure, which changes nothing where points arrived
            for start in range(0, len(points), MAX_METRICS_PER_REQUEST):
                send_points(self._client, self.run_id, points[start : start + MAX_METRICS_PER_REQUEST])

        self._deliver("metrics", send)

    def metric_buffer(self) -> MetricBuffer:
        """A buffer for this run in this process; others make their own from `tracking_uri` and `run_id`."""
        return MetricBuffer(self.tracking_uri, self.run_id)

    def last_logged_step(self) -> int | None:
        """The largest step of the run's metrics so far; None for a run without any."""
        return last_step(stored_steps(self._client.get_run(self.run_id)))

    def log_dataset(self, name: str, digest: str, source: str, context: str = "training") -> None:
        """Record which data the run saw. Doing so again changes nothing.

        Args:
            name: E.g. `train`.
            digest: Digest of the manifest, in full.
            source: Where the data lie.
            context: What they are used for.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=name,
            digest=digest[:_LONGEST_DATASET_DIGEST],
            source_type="uri",
            source=json.dumps({"uri": mask_secrets(source)}),
            profile=json.dumps({"digest": digest}),
        )
        entry = DatasetInput(dataset, tags=[InputTag("mlflow.data.context", context)])
        self._deliver(f"dataset {name}", lambda: self._client.log_inputs(self.run_id, datasets=[entry]))

    def log_image(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        """Record a picture of a step, uint8 [H, W, 3]; MLflow's page shows a name's steps with a slider.

        Nothing is recorded where the step has one already: a resumed run repeats some steps.
        """
        check_image(image)
        self._deliver(f"image {name}", lambda: send_image(self._client, self.run_id, name, image, step))

    def log_figure(self, figure: "Figure", path: str) -> None:
        """Record a matplotlib figure as the artifact `path`, whose ending chooses the format."""
        self._deliver(path, lambda: self._client.log_figure(self.run_id, figure, path))

    def log_text(self, text: str, path: str) -> None:
        """Record a text, credentials masked, as the artifact `path`."""
        safe = mask_secrets(text)
        self._deliver(path, lambda: self._client.log_text(self.run_id, safe, path))

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Record a file, or a folder with all it holds, below the artifact folder `folder`."""
        if not path.exists():
            raise FileNotFoundError(path)
        send = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        self._deliver(path.name, lambda: send(self.run_id, str(path), folder))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set or replace tags."""
        safe = {name: mask_secrets(str(value))[:_LONGEST_TAG] for name, value in tags.items()}
        self._deliver("tags", lambda: self._send_tags(safe))

    def start_system_metrics(self, interval_s: float) -> None:
        """Sample this machine's use until the run is finished."""
        from pipelines.tracking.system_metrics import SystemMetrics

        if self._system_metrics is None:
            buffer = self.metric_buffer()
            self._system_metrics = (SystemMetrics(buffer.put, interval_s, self.started_s()), buffer)

    def started_s(self) -> float:
        """When the run was begun, seconds of the epoch."""
        return float(self._client.get_run(self.run_id).info.start_time) / 1000

    def finish(self, status: Status = "FINISHED") -> None:
        """End the run. A later `open_run` with the same key opens it again."""
        if self._system_metrics is not None:
            monitor, buffer = self._system_metrics
            self._system_metrics = None
            monitor.close()
            buffer.close()
        self._deliver("final status", lambda: self._client.set_terminated(self.run_id, status))
        if self.num_lost_records:
            _log.warning("MLflow run %s lacks %d records.", self.run_id, self.num_lost_records)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        self.finish("KILLED" if interrupted else "FAILED" if kind else "FINISHED")

    def _send_params(self, wanted: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        known = dict(self._client.get_run(self.run_id).data.params)
        new = [Param(name, value) for name, value in wanted.items() if name not in known]
        for start in range(0, len(new), _PARAMS_PER_REQUEST):
            self._client.log_batch(self.run_id, params=new[start : start + _PARAMS_PER_REQUEST], synchronous=True)
        changed = {name: value for name, value in wanted.items() if known.get(name, value) != value}
        tags = {f"rssr.changed.{name}": f"{known[name]} -> {value}"[:_LONGEST_TAG] for name, value in changed.items()}
        self._send_tags(tags)

    def _send_tags(self, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        entries = [RunTag(name, value) for name, value in tags.items()]
        for start in range(0, len(entries), _PARAMS_PER_REQUEST):
            self._client.log_batch(self.run_id, tags=entries[start : start + _PARAMS_PER_REQUEST], synchronous=True)

    def _deliver(self, what: str, send: Callable[[], Any]) -> None:
        """Send, patiently; give up with a warning rather than end the job."""
        deadline_s = time.monotonic() + self._patience_s
        attempt = 0
        while True:
            try:
                send()
                self._is_away = False
                return
            except Exception as error:
                pause_s = backoff_s(attempt)
                if is_permanent(error):
                    raise
                if self._is_away or time.monotonic() + pause_s > deadline_s:
                    self._is_away = True
                    self.num_lost_records += 1
                    reason = mask_secrets(first_line(error))
                    _log.warning("MLflow did not take the %s (%s).", what, reason)
                    return
            time.sleep(pause_s)
            attempt += 1


def _param_text(value: Any) -> str:  # noqa: ANN401  # parameters can be anything that JSON holds
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_PARAM else text[: _LONGEST_PARAM - len(_ELLIPSIS)] + _ELLIPSIS
