"""A replica's plain parts without Ray: images worked on in this process, their tiles gathered as in a replica."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from pipelines.models import ModelSource
from pipelines.serving.models.batching import TileJob, TileOutcome, Waiting, run_together
from pipelines.serving.models.replica import SceneWork, ServedModel
from pipelines.serving.models.request import SrRequest, SrResult
from rssr.models.loaded import load_model

BATCH_SIZE = 4


def served(model: Path | str) -> ServedModel:
    """A model that was loaded."""
    return ServedModel(ModelSource(str(model)), "some version", load_model(model))


def asked(image: bytes, **values: Any) -> SrRequest:
    """A request for scale 4 that has a minute."""
    usual: dict[str, Any] = {"name": "the image", "scale": 4.0, "deadline": time.time() + 60}
    return SrRequest(image, **{**usual, **values})


@dataclass
class Gatherer:
    """Takes jobs and runs them when enough of them wait, as `@serve.batch` does.

    Attributes:
        num_together: Jobs that it waits for; what comes later within a moment is not waited for for ever.
        batch_size: As a replica passes it: None is the CPU.
        sizes: How many jobs ran together, so far.
    """

    num_together: int = 1
    batch_size: int | None = None
    sizes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._waiting: SimpleQueue[tuple[TileJob, SimpleQueue[TileOutcome]]] = SimpleQueue()
        self._lane = ThreadPoolExecutor(1)

    def submit(self, job: TileJob) -> TileOutcome:
        answer: SimpleQueue[TileOutcome] = SimpleQueue()
        self._waiting.put((job, answer))
        self._lane.submit(self._run_what_waits)
        return answer.get(timeout=60)

    def _run_what_waits(self) -> None:
        taken = []
        try:
            for _ in range(self.num_together):
                taken.append(self._waiting.get(timeout=0.2))
        except Empty:
            pass
        if taken:
            self.sizes.append(len(taken))
            outcomes = run_together([job for job, _ in taken], self.batch_size)
            for (_, answer), outcome in zip(taken, outcomes, strict=True):
                answer.put(outcome)


def work(model: ServedModel, request: SrRequest, gatherer: Gatherer | None = None) -> SrResult:
    """One image to its end."""
    waiting = Waiting(request.deadline)
    return SceneWork(model, request, BATCH_SIZE, (gatherer or Gatherer()).submit, waiting).run()


def work_together(model: ServedModel, requests: Sequence[SrRequest], gatherer: Gatherer) -> list[SrResult]:
    """Several images at once, a thread each."""
    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(lambda request: work(model, request, gatherer), requests))
