"""What is counted: one object a process, with a method for each thing that happens."""

import functools
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pipelines.serving.telemetry.counts import Counts, Family

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_TILES = (1, 2, 4, 8, 16, 32, 64)
_SEAM_SCORES = (1, 1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

UNKNOWN_ROUTE = "unknown"
"""Route of requests that met none: paths are anybody's words, and would make a series each."""


class ServiceMetrics:
    """Counters of one process; cheap, and safe from several threads.

    Labels are few and short: routes as templates, models by configured name, never scenes, keys or archives.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._make_of_requests()
        self._make_of_models()
        self._make_of_archives()

    def request_began(self, route: str) -> None:
        """A request has come; `request_done` must follow with the same route."""
        self._in_flight.labels(route).inc()

    def request_done(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request has been answered.

        Args:
            route: Template of its path, e.g. `/v1/archives/{id}`, or `UNKNOWN_ROUTE`.
            method: Of HTTP; those that the protocol does not name are counted together.
            status: Of the answer; 499 where the caller went away before it.
            seconds: From its first to the answer's last byte.
        """
        self._requests.labels(route, method if method in _METHODS else "other", str(status)).inc()
        self._request_s.labels(route).observe(seconds)

    def request_ended(self, route: str) -> None:
        """A request of `request_began` is no longer in flight."""
        self._in_flight.labels(route).dec()

    def batch_ran(self, model: str, num_tiles: int, seconds: float) -> None:
        """Tiles have gone through a model together.

        Args:
            model: Its name.
            num_tiles: How many, without padding.
            seconds: How long it took.
        """
        self._model_s.labels(model).observe(seconds)
        self._batch_size.labels(model).observe(num_tiles)
        self._tiles.labels(model).inc(num_tiles)

    def tiles_wait(self, model: str, num_tiles: int) -> None:
        """So many tiles wait for the model at this moment."""
        self._queue.labels(model).set(num_tiles)

    def scene_done(self, model: str, megapixels: float, km2: float, seam_score: float | None = None) -> None:
        """A product was made.

        Args:
            model: Name of the model.
            megapixels: Millions of SR pixels.
            km2: Ground it has data of, square kilometres; 0 where its size is unknown.
            seam_score: How much its tiles show, 1 where they do not; None where there was one tile only.
        """
        self._megapixels.labels(model).inc(megapixels)
        self._km2.labels(model).inc(km2)
        if seam_score is not None:
            self._seams.labels(model).observe(seam_score)

    def memory_ran_out(self, model: str, num_splits: int = 1) -> None:
        """A batch or a tile was halved because the accelerator's memory was short."""
        self._splits.labels(model).inc(num_splits)

    def version_tried(self, model: str, outcome: str) -> None:
        """A new version of a model was tried: it is `served`, was `rejected` or is served `again` after a rejection."""
        self._rollouts.labels(model, outcome).inc()

    def archives_are(self, by_state: Mapping[str, int]) -> None:
        """So many archives there are, by state; states that are not named have none."""
        self._archives.clear()
        for state, number in by_state.items():
            self._archives.labels(state).set(number)

    def archive_scenes_done(self, outcome: str, number: int = 1) -> None:
        """Scenes of archives have ended like this."""
        self._scenes.labels(outcome).inc(number)

    def counts(self) -> Counts:
        """What has been counted so far, to be sent and added up."""
        return [
            Family(
                metric.name,
                metric.type,
                metric.documentation,
                {
                    (sample.name, tuple(sample.labels.items())): sample.value
                    for sample in metric.samples
                    if not sample.name.endswith("_created")  # tells when, and no sum has that
                },
            )
            for metric in self._registry.collect()
        ]

    def _make_of_requests(self) -> None:
        self._requests = self._counter("requests_total", "Requests answered.", ("route", "method", "status"))
        self._request_s = self._histogram("request_seconds", "Seconds to answer.", ("route",), _SECONDS)
        self._in_flight = self._gauge("requests_in_flight", "Requests that wait for their answer.", ("route",))

    def _make_of_models(self) -> None:
        by = ("model",)
        self._model_s = self._histogram("model_seconds", "Seconds of a batch of tiles in the model.", by, _SECONDS)
        self._batch_size = self._histogram("model_batch_size", "Tiles run together.", by, _TILES)
        self._queue = self._gauge("model_queue_tiles", "Tiles that wait for the model.", by)
        self._tiles = self._counter("tiles_total", "Tiles run.", by)
        self._megapixels = self._counter("megapixels_total", "Millions of SR pixels made.", by)
        self._km2 = self._counter("area_km2_total", "Square kilometres of ground made.", by)
        self._splits = self._counter("oom_splits_total", "Batches or tiles halved as memory was short.", by)
        self._seams = self._histogram("seam_score", "How much tiles show, 1 where not.", by, _SEAM_SCORES)
        self._rollouts = self._counter("model_rollouts_total", "Versions that were tried.", ("model", "outcome"))

    def _make_of_archives(self) -> None:
        self._archives = self._gauge("archives", "Archives by state.", ("state",))
        self._scenes = self._counter("archive_scenes_total", "Scenes of archives that ended.", ("outcome",))

    def _counter(self, name: str, about: str, labels: Sequence[str]) -> Counter:
        return Counter(f"rssr_{name}", about, labels, registry=self._registry)

    def _gauge(self, name: str, about: str, labels: Sequence[str]) -> Gauge:
        return Gauge(f"rssr_{name}", about, labels, registry=self._registry)

    def _histogram(self, name: str, about: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
        return Histogram(f"rssr_{name}", about, labels, registry=self._registry, buckets=buckets)


@functools.cache
def service_metrics() -> ServiceMetrics:
    """This process's counters."""
    return ServiceMetrics()
