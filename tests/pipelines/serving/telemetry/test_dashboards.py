"""Dashboards and alerts ask for numbers that are there: on a live cluster, from its own ports and the service's."""

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from pipelines.bulk.progress import BulkProgress
from pipelines.gauges import BulkGauges, TrainingGauges
from pipelines.loop.history import History
from rssr.plain_yaml import read_yaml
from tests.pipelines.bulk.imagery import png
from tests.pipelines.bulk.made_runs import record, scene
from tests.pipelines.serving.conftest import Serving

FOLDER = Path(__file__).resolve().parents[4] / "cluster" / "dashboards"
DASHBOARDS = [path.stem for path in sorted(FOLDER.glob("*.json"))]
_METRIC = re.compile(r"\b((?:ray|rssr)_[a-z0-9_]+)(?:\{([^}]*)\})?")
_LABEL = re.compile(r'([a-z]\w*)=~?"')
_LEGEND = re.compile(r"\{\{(\w+)\}\}")
_OF_PROMETHEUS = {"instance", "job"}
_OF_GPUS = {"ray_node_gpus_utilization"}  # there only where there is a GPU
_PATIENCE_S = 90.0


class Trainer:
    """A worker that reports as the training loop does."""

    def __init__(self) -> None:
        self._gauges = TrainingGauges("slimdiffsr", "student", "some-run")

    def report(self) -> None:
        history = History()
        history.add({"loss/student": 0.5, "gradient_norm/student": 1.0})
        self._gauges.show({**history.log(9, 4), "learning_rate/student": 1e-4}, 9)
        self._gauges.show({"validation/psnr": 25.0}, 9)


@pytest.fixture(scope="module")
def live_series(serving: Serving, ray_cluster: str) -> Iterator[dict[str, set[str]]]:
    """Labels of every metric of the cluster and the service by its name, while all three kinds of work go on."""
    trainer = ray.remote(num_cpus=0)(Trainer).remote()
    ray.get(trainer.report.remote())
    planned = [scene(f"s{number}") for number in range(2)]
    with BulkProgress(planned, {}, None, BulkGauges("s3://out").show) as progress:
        progress.begin("s0")
        progress.advance("s0")
        progress.finish(record(planned[0], "done"))
    image = png((40, 40))  # of several tiles
    assert serving.live.ask("POST", "/v1/super-resolve?model=ldcsr-small&scale=2", image).status == 200
    wanted = {name for stem in DASHBOARDS for name, _ in asked_for(*expressions(stem))} - _OF_GPUS
    deadline = time.monotonic() + _PATIENCE_S
    while absent := sorted(wanted - (found := read_all(serving)).keys()):
        assert time.monotonic() < deadline, f"not at any port: {absent}"
        time.sleep(1.0)  # Ray's ports tell every ten seconds
    yield found
    ray.kill(trainer)


def read_all(serving: Serving) -> dict[str, set[str]]:
    """From every port."""
    texts = [serving.live.ask("GET", "/metrics").body.decode()]
    for node in ray.nodes():
        address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        with urllib.request.urlopen(address, timeout=10) as answer:
            texts.append(answer.read().decode())
    found: dict[str, set[str]] = {}
    for line in "\n".join(texts).splitlines():
        if line.startswith("# TYPE "):  # also of what has happened never yet
            found.setdefault(line.split()[2], set())
        elif match := re.match(r"([a-zA-Z_:]\w*)(?:\{(.*)\})? ", line):
            found.setdefault(match[1], set()).update(_LABEL.findall(match[2] or ""))
    return found


def expressions(stem: str) -> tuple[list[str], list[str]]:
    """What a dashboard asks for, and the legends of that."""
    document = json.loads((FOLDER / f"{stem}.json").read_text())
    targets = [target for panel in document["panels"] for target in panel["targets"]]
    return [target["expr"] for target in targets], [target["legendFormat"] for target in targets]


def asked_for(texts: list[str], legends: list[str]) -> Iterator[tuple[str, set[str]]]:
    """Names of metrics, and the labels that are asked of each."""
    for text, legend in zip(texts, legends, strict=True):
        grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", text)))) - {"le"}
        for name, selector in _METRIC.findall(text):
            yield name, {*_LABEL.findall(selector), *grouped, *_LEGEND.findall(legend)} - {"le"} - _OF_PROMETHEUS


def missing(live_series: dict[str, set[str]], asked: Iterator[tuple[str, set[str]]]) -> list[str]:
    """What is asked for and is not there."""
    amiss = []
    for name, labels in asked:
        if name in _OF_GPUS:
            continue
        there = live_series.get(name)
        if there is None:
            amiss.append(name)
        elif there:  # a metric without a series yet has no labels to compare
            amiss += [f"{name}{{{label}}}" for label in labels - there]
    return amiss


@pytest.mark.parametrize("stem", DASHBOARDS)
def test_every_number_of_a_dashboard_is_there(live_series: dict[str, set[str]], stem: str) -> None:
    assert missing(live_series, asked_for(*expressions(stem))) == []


def test_every_number_of_an_alert_is_there(live_series: dict[str, set[str]]) -> None:
    groups = read_yaml((FOLDER / "alerts.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    told = [re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]) for rule in rules]
    legends = [" ".join(f"{{{{{name}}}}}" for name in names) for names in told]
    texts = [rule["expr"] for rule in rules]
    assert missing(live_series, asked_for(texts, legends)) == []


@pytest.mark.parametrize("stem", DASHBOARDS)
def test_panels_lie_beside_one_another(stem: str) -> None:
    document = json.loads((FOLDER / f"{stem}.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place: dict[str, Any] = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24
        taken |= cells
    numbers = [panel["id"] for panel in document["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_dashboards_are_told_apart() -> None:
    assert sorted(json.loads((FOLDER / f"{stem}.json").read_text())["uid"] for stem in DASHBOARDS) == [
        "rssr-bulk",
        "rssr-serving",
        "rssr-training",
    ]
