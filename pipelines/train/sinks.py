"""Ways of metrics and pictures to MLflow, from whichever machine a worker runs on."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipelines.loop.context import Image
from pipelines.tracking.buffer import CLOSING_S, MetricBuffer
from pipelines.train.progress import on_this_node
from pipelines.train.task import TrainTask

_log = logging.getLogger(__name__)

_ANSWER_S = 30.0  # of the actor, on top of what it waits for the store

# A handle of `MetricBuffer` as Ray makes it; calls go through `.remote`.
BufferHandle = Any


class DistantSink:
    """The driver's buffer, from a worker: nothing waits for an answer.

    Args:
        buffer: See `driver_buffer`.
    """

    def __init__(self, buffer: BufferHandle) -> None:
        self._buffer = buffer

    def put(self, metrics: Mapping[str, float], step: int) -> None:
        """Take the metrics of one step."""
        self._buffer.put.remote(dict(metrics), step)

    def put_image(self, name: str, image: Image, step: int) -> None:
        """Take a picture of one step."""
        self._buffer.put_image.remote(name, image, step)


@contextmanager
def local_buffer(task: TrainTask) -> Iterator[MetricBuffer | None]:
    """A buffer in this process; None where nothing is tracked."""
    if task.tracking_uri is None or task.run_id is None:
        yield None
        return
    with MetricBuffer(task.tracking_uri, task.run_id) as buffer:
        yield buffer


@contextmanager
def driver_buffer(task: TrainTask) -> Iterator[BufferHandle | None]:
    """A buffer as an actor on the driver's node, where a database file can be reached whatever node workers are on.

    It outlives workers, so what a killed one has put arrives.
    """
    if task.tracking_uri is None or task.run_id is None:
        yield None
        return
    import ray

    actor = ray.remote(num_cpus=0)(MetricBuffer).options(scheduling_strategy=on_this_node())
    buffer = actor.remote(task.tracking_uri, task.run_id)
    try:
        yield buffer
    finally:
        try:
            ray.get(buffer.close.remote(), timeout=CLOSING_S + _ANSWER_S)
        except Exception as error:  # the phase is trained whether or not its last metrics arrived
            _log.warning("The last metrics may not have reached MLflow: %s.", error)
        ray.kill(buffer)
