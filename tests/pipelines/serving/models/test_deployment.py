"""Models on real Ray Serve: versions that change under load, replicas that die, too much to do."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from ray import serve

from pipelines.serving.declarative import APPLICATION
from pipelines.serving.models.deployment import ModelHandles
from pipelines.serving.problems import Problem
from pipelines.tracking import ModelVersion, register_model, set_alias
from tests.pipelines.bulk.imagery import png
from tests.pipelines.serving.conftest import Serving, kill_one
from tests.pipelines.serving.http.live import Answer
from tests.pipelines.serving.models.broken import broken
from tests.pipelines.serving.models.replicas import asked

PATH = "/v1/super-resolve?model=registered"
PATIENCE_S = 280.0
NUM_CALLERS = 3


class Load:
    """What callers that never stop asking got."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.is_over = False

    @property
    def versions(self) -> list[str]:
        """Of the answers, each once, in the order of their first."""
        return list(dict.fromkeys(answer.headers.get("x-rssr-model-version", "") for answer in self.answers))

    def wait_for(self, version: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while version not in self.versions:
            assert time.monotonic() < deadline, f"only {self.versions} answered"
            time.sleep(0.05)

    def wait_for_more(self, count: int) -> None:
        wanted, deadline = len(self.answers) + count, time.monotonic() + PATIENCE_S
        while len(self.answers) < wanted:
            assert time.monotonic() < deadline, "no answers come"
            time.sleep(0.05)


@contextmanager
def load(serving: Serving) -> Iterator[Load]:
    """Callers that ask one image after another until the block ends."""
    under = Load()

    def call(seed: int) -> None:
        while not under.is_over:
            under.answers.append(serving.live.ask("POST", PATH, png(seed=seed)))

    with ThreadPoolExecutor(NUM_CALLERS) as pool:
        calls: list[Future[None]] = [pool.submit(call, seed) for seed in range(NUM_CALLERS)]
        try:
            under.wait_for_more(NUM_CALLERS)
            yield under
        finally:
            under.is_over = True
    for one in calls:
        one.result()


def champion(serving: Serving, version: ModelVersion) -> None:
    set_alias(serving.registry.uri, version, "champion")


def test_a_new_champion_takes_over_without_a_request_lost(serving: Serving) -> None:
    new = serving.registry.register("better")
    with load(serving) as under:
        champion(serving, new)
        under.wait_for(new.uri)
        under.wait_for_more(10)
    assert {answer.status for answer in under.answers} == {200}
    assert under.versions[-1] == new.uri
    last = [answer.headers["x-rssr-model-version"] for answer in under.answers[-NUM_CALLERS:]]
    assert last == [new.uri] * NUM_CALLERS


def test_a_broken_champion_never_answers(serving: Serving, tmp_path: Path) -> None:
    before = serving.live.ask("POST", PATH, png()).headers["x-rssr-model-version"]
    with serving.registry.run("broken") as run:
        bad = register_model(broken(tmp_path / "broken"), serving.registry.name, run)
    with load(serving) as under:
        champion(serving, bad)
        deadline = time.monotonic() + PATIENCE_S
        while (rejected := told(serving)["rejected"]) is None:
            assert time.monotonic() < deadline, "the broken version is not rejected"
            time.sleep(0.2)
        under.wait_for_more(10)
    assert rejected["version"] == bad.uri
    assert "NaN" in rejected["reason"]
    assert {(answer.status, answer.headers["x-rssr-model-version"]) for answer in under.answers} == {(200, before)}


def told(serving: Serving) -> dict[str, object]:
    """What the service tells of the registered model."""
    models = serving.live.ask("GET", "/v1/models").document["models"]
    return dict(next(model for model in models if model["name"] == "registered"))


def test_requests_outlast_a_replica_that_dies(serving: Serving) -> None:
    with load(serving) as under:
        kill_one("model-registered")
        under.wait_for_more(20)
    wrong = [answer for answer in under.answers if answer.status != 200]
    assert {answer.slug for answer in wrong} <= {"busy"}
    assert all("retry-after" in answer.headers for answer in wrong)
    assert under.answers[-1].status == 200


def test_too_much_to_do_is_told_with_when_to_come_again(serving: Serving) -> None:
    path = "/v1/super-resolve?model=ldcsr-small&uncertainty=true"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda seed: serving.live.ask("POST", path, png(seed=seed)), range(8)))
    refused = [answer for answer in answers if answer.status != 200]
    assert 0 < len(refused) < 8
    assert {(answer.slug, answer.status) for answer in refused} == {("busy", 503)}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)


def test_a_request_whose_time_is_over_is_told_so(serving: Serving) -> None:
    handles = {"bicubic": serve.get_deployment_handle("model-bicubic", APPLICATION)}
    models = ModelHandles(handles, serving.config)
    with pytest.raises(Problem) as raised:
        asyncio.run(models.super_resolve("bicubic", asked(png(), deadline=time.time() - 1)))
    assert raised.value.slug == "timed-out"
    assert "Retry-After" in raised.value.headers


def test_what_a_model_needs_anew_for_each_image_is_little(serving: Serving) -> None:
    """Pages that the kernel clears, where those of the image before could be used again."""
    title = "ray::ServeReplica:rssr:model-ldcsr-small"
    [replica] = [process for process in psutil.process_iter() if title in " ".join(process.cmdline())]

    def num_faults() -> int:
        fields = Path(f"/proc/{replica.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[7])

    def ask(number: int) -> None:
        for _ in range(number):
            answer = serving.live.ask("POST", "/v1/super-resolve?model=ldcsr-small&scale=8&format=tiff", png((90, 90)))
            assert answer.status == 200

    ask(3)
    before = num_faults()
    ask(4)
    assert (num_faults() - before) / 4 < 500  # of 4 KiB
