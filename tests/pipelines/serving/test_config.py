"""The keys of the serving job: models by their source alone, and what cannot be meant."""

from typing import Any

import pytest

from pipelines.serving.config import ServeConfig, name_of
from rssr.configuration import load_config
from rssr.errors import ConfigError
from tests.jobs.running import ROOT

PRESET = ROOT / "jobs" / "presets" / "quickstart" / "serve.yaml"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("bicubic", "bicubic"),
        ("models:/ldcsr@champion", "ldcsr"),
        ("models:/slimdiffsr-x4/3", "slimdiffsr-x4"),
        ("/data/models/my student/", "my-student"),
        ("s3://bucket/models/lcmsr", "lcmsr"),
        ("/data/...", "model"),
    ],
)
def test_a_model_is_called_by_what_its_source_says(source: str, name: str) -> None:
    assert name_of(source) == name
    assert ServeConfig.model_validate({"models": [source]}).served[0].name == name


def test_one_model_takes_the_place_of_all() -> None:
    config = load_config(ServeConfig, PRESET, ["model=models:/ldcsr@champion"])
    assert [(model.name, model.source) for model in config.served] == [("ldcsr", "models:/ldcsr@champion")]


def test_several_models_are_served_in_their_order() -> None:
    config = load_config(ServeConfig, PRESET, ["models=[{source: models:/ldcsr@champion, scale: 2}, bicubic]"])
    assert [(model.name, model.scale) for model in config.served] == [("ldcsr", 2.0), ("bicubic", 4.0)]


def test_settings_survive_their_way_to_replicas() -> None:
    config = load_config(ServeConfig, PRESET, ["model=models:/ldcsr@champion", "output=/data/state"])
    again = ServeConfig.model_validate(config.model_dump(mode="json"))
    assert again == config
    assert again.served == config.served


@pytest.mark.parametrize(
    "wrong",
    [
        "models=[]",
        "models=[bicubic, bicubic]",
        "models=[{name: a/b}]",
        "models.bicubic.scaling={min_replicas: 2, max_replicas: 1}",
        "models.bicubic.replica.num_cpus=-1",
        "port=0",
        "request_timeout_s=0",
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError):
        load_config(ServeConfig, PRESET, [wrong])


@pytest.mark.parametrize(("host", "is_own"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False)])
def test_only_loopback_is_this_machines_own(host: str, is_own: bool) -> None:
    values: dict[str, Any] = {"host": host}
    assert ServeConfig.model_validate(values).is_loopback == is_own
