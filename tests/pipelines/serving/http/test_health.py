"""Whether requests can be taken: said once for all who ask within a few seconds."""

import asyncio
from dataclasses import dataclass, field

import pytest

from pipelines.models import ModelSource
from pipelines.serving.http.health import ReadinessProbe
from pipelines.serving.models.api import Health
from pipelines.serving.models.records import ModelRecord, describe_version
from pipelines.serving.models.request import SrRequest, SrResult
from rssr.models.loaded import load_model


@dataclass
class Models:
    """Models in states that real ones are seldom in.

    Attributes:
        states: What is said of each; None for one without any version.
        num_asked: How often one was asked.
    """

    states: dict[str, Health | None]
    num_asked: int = field(default=0)

    async def super_resolve(self, model: str, request: SrRequest) -> SrResult:
        raise AssertionError("nobody is to ask for an image")

    async def records(self) -> list[ModelRecord]:
        version = describe_version(ModelSource("bicubic"), load_model("bicubic"), "bicubic")
        return [
            ModelRecord(name=name, source="bicubic", version=version)
            if state is not None
            else ModelRecord(name=name, source="some", problem="there is no such model")
            for name, state in self.states.items()
        ]

    async def health(self, model: str) -> Health:
        self.num_asked += 1
        return self.states[model] or "failed"


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ({"one": "ready", "two": "ready"}, "ready"),
        ({"one": "ready", "two": "idle"}, "ready"),
        ({"one": "ready", "two": "starting"}, "not ready"),
        ({"one": "ready", "two": None}, "ready"),
        ({"one": "failed"}, "not ready"),
        ({"one": None}, "not ready"),
    ],
)
def test_readiness_is_that_of_the_models(states: dict[str, Health | None], status: str) -> None:
    readiness = asyncio.run(ReadinessProbe(Models(states))())
    assert readiness.status == status
    assert readiness.models == {name: state or "failed" for name, state in states.items()}


def test_many_who_ask_at_once_cost_one_question() -> None:
    models = Models({"one": "ready"})

    async def ask() -> None:
        probe = ReadinessProbe(models)
        await asyncio.gather(*(probe() for _ in range(20)))

    asyncio.run(ask())
    assert models.num_asked == 1
