import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
import ray

from pipelines.serving.telemetry.counts import to_text
from pipelines.serving.telemetry.exposition import Reporter, collect, gatherer_name
from pipelines.serving.telemetry.metrics import ServiceMetrics
from tests.processes import wait_until

OURS, OTHERS = "/srv/one", "/srv/other"  # services


class Replica:
    """A process that counts."""

    def __init__(self, interval_s: float, service: str) -> None:
        self._metrics = ServiceMetrics()
        self._reporter = Reporter(self._metrics, interval_s, service)
        self._reporter.start()

    def run(self, model: str, num_tiles: int) -> int:
        self._metrics.batch_ran(model, num_tiles, 0.5)
        self._metrics.tiles_wait(model, 2)
        return os.getpid()


@pytest.fixture
def reporter(ray_cluster: str) -> Iterator[Reporter]:
    """Of this process, which counts nothing. The gatherer is gone afterwards."""
    yield Reporter(ServiceMetrics(), 1.0, OURS)
    ray.kill(gatherer(OURS))


def gatherer(service: str) -> Any:
    return ray.get_actor(gatherer_name(service), namespace="rssr")


def start(interval_s: float = 0.05, service: str = OURS) -> Any:
    return ray.remote(num_cpus=0)(Replica).remote(interval_s, service)


def lines(reporter: Reporter) -> list[str]:
    return to_text(reporter.ask()).splitlines()


def test_counts_of_several_processes_come_together(reporter: Reporter) -> None:
    replicas = [start(), start()]
    ray.get([replica.run.remote("together", 3) for replica in replicas])
    wait_until(lambda: 'rssr_tiles_total{model="together"} 6.0' in lines(reporter))
    assert 'rssr_model_seconds_sum{model="together"} 1.0' in lines(reporter)
    assert 'rssr_model_queue_tiles{model="together"} 4.0' in lines(reporter)


def test_services_on_one_cluster_count_apart(reporter: Reporter) -> None:
    own, other = start(), start(service=OTHERS)
    ray.get([own.run.remote("ours", 3), other.run.remote("theirs", 4)])
    others = Reporter(ServiceMetrics(), 1.0, f"{OTHERS}/")
    wait_until(lambda: 'rssr_tiles_total{model="theirs"} 4.0' in lines(others))
    wait_until(lambda: 'rssr_tiles_total{model="ours"} 3.0' in lines(reporter))
    assert not any("theirs" in line for line in lines(reporter))
    assert not any("ours" in line for line in lines(others))
    ray.kill(gatherer(OTHERS))


def test_what_a_killed_process_did_stays_counted(reporter: Reporter) -> None:
    replica = start()
    ray.get(replica.run.remote("killed", 3))
    wait_until(lambda: 'rssr_tiles_total{model="killed"} 3.0' in lines(reporter))
    ray.kill(replica)
    assert 'rssr_tiles_total{model="killed"} 3.0' in lines(reporter)


def test_a_lost_gatherer_is_replaced_and_told_again(reporter: Reporter) -> None:
    replica = start()
    ray.get(replica.run.remote("lost", 3))
    wait_until(lambda: 'rssr_tiles_total{model="lost"} 3.0' in lines(reporter))
    ray.kill(gatherer(OURS))
    with pytest.raises(TimeoutError):
        asyncio.run(collect(reporter))
    ray.get(replica.run.remote("lost", 1))
    wait_until(lambda: 'rssr_tiles_total{model="lost"} 4.0' in lines(reporter))


def test_this_process_is_told_of_up_to_the_moment(ray_cluster: str) -> None:
    metrics = ServiceMetrics()
    reporter = Reporter(metrics, 3600.0, OURS)
    metrics.batch_ran("here", 5, 0.1)
    assert 'rssr_tiles_total{model="here"} 5.0' in asyncio.run(collect(reporter))
    metrics.batch_ran("here", 1, 0.1)
    reporter.stop()
    assert 'rssr_tiles_total{model="here"} 6.0' in lines(Reporter(ServiceMetrics(), 3600.0, OURS))
