"""Metrics on their way to MLflow: training goes on whether or not the server does."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from types import TracebackType
from typing import Self, SupportsFloat

import numpy as np
from numpy.typing import NDArray

from pipelines.tracking.connection import MlflowClient, connect
from pipelines.tracking.errors import first_line, is_permanent
from pipelines.tracking.images import check_image, send_image
from pipelines.tracking.metrics import (
    MAX_METRICS_PER_REQUEST,
    Point,
    backoff_s,
    last_step,
    send_points,
    stored_steps,
    to_points,
)
from pipelines.tracking.secrecy import mask_secrets

_log = logging.getLogger(__name__)
_MAX_PENDING_IMAGES = 100
CLOSING_S = 180.0
"""How long whoever closes a buffer waits for a store that is away: long enough for a server to be started again."""
_IMPATIENT_PAUSE_S = 0.1  # between attempts while someone waits in `flush` or `close`


class MetricBuffer:
    """Takes metrics at once and delivers them from a background thread, in order, each once.

    `put` never blocks on the network and never raises. While the store is away, points wait in memory and
    delivery is tried again with growing pauses. Points of a metric up to the last step that the run already holds
    are left out: a resumed run repeats the steps since its checkpoint, whether it comes with a buffer of its own or
    fills this one again.

    A SQLite store is reachable on the driver's machine only. For workers elsewhere, start the buffer there (as a
    Ray actor: the constructor takes plain values only) and call its `put` from afar.

    Args:
        tracking_uri: MLflow server or database; a SQLite file must exist.
        run_id: Run to log to.
        max_pending: Points to hold at most; beyond that the oldest are dropped, counted and reported.
        interval_s: Pause between deliveries; points of that time travel together.
    """

    def __init__(self, tracking_uri: str, run_id: str, max_pending: int = 500_000, interval_s: float = 1.0) -> None:
        self._tracking_uri = tracking_uri
        self._run_id = run_id
        self._max_pending = max_pending
        self._interval_s = interval_s
        self._pending: deque[Point] = deque()
        self._changed = threading.Condition()
        self._images: deque[tuple[str, NDArray[np.uint8], int]] = deque()
        self._num_taken = 0  # points and pictures ever put
        self._num_settled = 0  # delivered, already stored, or dropped
        self._num_dropped = 0
        self._num_reported = 0
        self._num_waiting = 0  # threads in flush, close or last_logged_step
        self._closed = False
        self._client: MlflowClient = None
        self._stored: dict[str, int] | None = None  # last step by metric, once the run has been reached
        self._last_at_first: int | None = None
        self._thread = threading.Thread(target=self._deliver, name="metric-buffer", daemon=True)
        self._thread.start()

    def put(self, metrics: Mapping[str, SupportsFloat], step: int) -> None:
        """Take the values of one step.

        Args:
            metrics: Value by name; anything `float()` takes, so give numbers rather than tensors on a device.
            step: Optimizer step.
        """
        try:
            points = to_points(metrics, step)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            _log.warning("Metrics of step %s cannot be recorded: %s.", step, first_line(error))
            return
        with self._changed:
            if self._closed:
                self._num_dropped += len(points)
                return
            self._pending.extend(points)
            self._num_taken += len(points)
            while len(self._pending) > self._max_pending:
                self._pending.popleft()
                self._num_dropped += 1
                self._num_settled += 1

    def put_image(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        """Take a picture of a step, uint8 [H, W, 3]; the run shows a name's pictures with a slider.

        A step that has one keeps it. While the store is away, the newest hundred wait.
        """
        try:
            check_image(image)
        except ValueError as error:
            _log.warning("The picture %s of step %s cannot be recorded: %s.", name, step, error)
            return
        with self._changed:
            if self._closed:
                return
            if len(self._images) == _MAX_PENDING_IMAGES:
                self._images.popleft()
                self._num_settled += 1
            self._images.append((name, image.copy(), step))
            self._num_taken += 1

    @property
    def num_dropped(self) -> int:
        """Points that will never arrive: over the bound, refused for good, or put after `close`."""
        return self._num_dropped

    def last_logged_step(self, timeout_s: float = 10.0) -> int | None:
        """The last step of the run when this buffer first reached it; None if there was none, or no answer."""
        with self._changed:
            self._wait_until(lambda: self._stored is not None, timeout_s)
            return self._last_at_first

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Wait until everything put so far is settled.

        Returns:
            Whether that happened in time.
        """
        with self._changed:
            target = self._num_taken
            return self._wait_until(lambda: self._num_settled >= target, timeout_s)

    def close(self, timeout_s: float = CLOSING_S) -> bool:
        """Deliver what is left, then stop. Safe to call again.

        Returns:
            Whether everything arrived in time; otherwise a log line tells how much did not.
        """
        delivered = self.flush(timeout_s)
        with self._changed:
            lost = len(self._pending)
            already_closed, self._closed = self._closed, True
            self._changed.notify_all()
        if lost and not already_closed:
            _log.warning("%d metric values never reached MLflow, which did not take them in %g s.", lost, timeout_s)
        self._thread.join(timeout=min(1.0, timeout_s))
        return delivered

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _deliver(self) -> None:
        num_failures = 0
        while self._wait(backoff_s(num_failures - 1) if num_failures else self._interval_s):
            try:
                while self._send_some():
                    num_failures = 0
                while self._send_image():
                    num_failures = 0
            except Exception as error:  # whatever it is, training must not notice
                self._client = None  # a fresh connection next time
                if num_failures == 0:
                    message = "MLflow does not take metrics (%s); they are kept and sent again."
                    _log.warning(message, mask_secrets(first_line(error)))
                num_failures += 1
            else:
                if num_failures:
                    _log.info("MLflow takes metrics again.")
                num_failures = 0
            self._report_drops()

    def _wait(self, pause_s: float) -> bool:
        """Sleep, shortly where someone waits for delivery. False when all is over."""
        started_s = time.monotonic()
        with self._changed:
            while not self._closed:
                limit_s = min(pause_s, _IMPATIENT_PAUSE_S) if self._num_waiting else pause_s
                remaining_s = started_s + limit_s - time.monotonic()
                if remaining_s <= 0:
                    return True
                self._changed.wait(remaining_s)
            return False

    def _wait_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for the delivering thread, and have it hurry; the lock is held."""
        self._num_waiting += 1
        self._changed.notify_all()
        try:
            return self._changed.wait_for(condition, timeout_s)
        finally:
            self._num_waiting -= 1

    def _send_some(self) -> bool:
        """Send one batch; True while there is more."""
        if self._client is None:
            client = connect(self._tracking_uri, create=False)
            if self._stored is None:
                stored = stored_steps(client.get_run(self._run_id))
                with self._changed:
                    self._stored = stored
                    self._last_at_first = last_step(stored)
                    self._changed.notify_all()
            self._client = client
        with self._changed:
            batch = list(islice(self._pending, MAX_METRICS_PER_REQUEST))
            settled_before = self._num_settled
        stored = dict(self._stored or {})
        new = [point for point in batch if _is_new(point, stored)]
        if new:
            self._send(new)
        with self._changed:
            self._stored = stored
            # `put` may meanwhile have dropped the oldest points, which are in this batch and settled already.
            for _ in range(len(batch) - (self._num_settled - settled_before)):
                self._pending.popleft()
                self._num_settled += 1
            self._changed.notify_all()
            return bool(self._pending) and not self._closed

    def _send(self, points: list[Point]) -> None:
        try:
            send_points(self._client, self._run_id, points)
        except Exception as error:
            if not is_permanent(error):
                raise
            self._num_dropped += len(points)
            _log.warning("MLflow refuses metrics: %s.", mask_secrets(first_line(error)))

    def _send_image(self) -> bool:
        """Send one picture; True while there is more."""
        with self._changed:
            if not self._images:
                return False
            entry = self._images[0]
        try:
            send_image(self._client, self._run_id, *entry)
        except Exception as error:
            if not is_permanent(error):
                raise
            _log.warning("MLflow refuses a picture: %s.", mask_secrets(first_line(error)))
        with self._changed:
            if self._images and self._images[0] is entry:  # `put_image` may have dropped it meanwhile
                self._images.popleft()
                self._num_settled += 1
            self._changed.notify_all()
            return bool(self._images) and not self._closed

    def _report_drops(self) -> None:
        if self._num_dropped > self._num_reported:
            _log.warning("%d metric values have been dropped so far.", self._num_dropped)
            self._num_reported = self._num_dropped


def _is_new(point: Point, stored: dict[str, int]) -> bool:
    """Whether a point is of a later step than any of its metric; the later step is noted."""
    if point.step <= stored.get(point.name, -1):
        return False
    stored[point.name] = point.step
    return True
