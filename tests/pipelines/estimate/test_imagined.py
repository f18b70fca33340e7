"""Scenes that nobody has yet."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.estimate.config import PlanConfig
from pipelines.estimate.imagined import imagined_run
from pipelines.estimate.kept_rates import write_rates
from pipelines.estimate.planned import planned_run, workload_of
from pipelines.estimate.rates import decisive_settings
from pipelines.estimate.scaling import Workload
from pipelines.estimate.speed import MeasuredFor
from rssr.errors import ConfigError
from tests.pipelines.estimate.known_rates import rates
from tests.pipelines.estimate.small_scenes import small_config, write_scene

SCENES = {"num_scenes": 1_000_000, "lr_size": [150, 130], "gsd_m": 20}


@pytest.fixture
def found(tmp_path: Path) -> Workload:
    """What a scene that is there asks for; rates that fit it lie beside it."""
    write_scene(tmp_path / "in" / "a.tif")
    config = small_config(tmp_path)
    run = planned_run(config)
    write_rates(rates(decisive_settings(run, config)), tmp_path / "rates.json")
    return workload_of(run, config)


def config_of(tmp_path: Path, **values: Any) -> PlanConfig:
    plan = {"imagined": {**SCENES, **values.pop("imagined", {})}, "rates": str(tmp_path / "rates.json")}
    return small_config(tmp_path, input=(), plan=plan, **values)


def imagined(config: PlanConfig) -> Workload:
    assert config.plan.imagined is not None
    return imagined_run(config.plan.imagined, config)[0]


def test_they_ask_for_as_much_as_real_ones(tmp_path: Path, found: Workload) -> None:
    ((real, _),) = found.scenes
    ((work, count),) = imagined(config_of(tmp_path)).scenes
    assert count == 1_000_000
    assert work.input_bytes == 2 * 4 * 150 * 130
    for name in ("num_windows", "num_tiles", "whole_tiles", "sr_values", "product_raw_bytes", "work_bytes"):
        assert getattr(work, name) == getattr(real, name), name
    assert work.area_km2 == pytest.approx(4 * (real.area_km2 or 0))


@pytest.mark.usefixtures("found")
def test_their_size_may_be_given(tmp_path: Path) -> None:
    ((work, _),) = imagined(config_of(tmp_path, imagined={"scene_bytes": 77})).scenes
    assert work.input_bytes == 77


@pytest.mark.usefixtures("found")
def test_what_is_left_to_the_model_is_as_it_was_measured(tmp_path: Path) -> None:
    ((given, _),) = imagined(config_of(tmp_path)).scenes
    ((left_open, _),) = imagined(config_of(tmp_path, tiling={"tiles_a_side": 2})).scenes
    assert left_open == given


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"model": "models:/ldcsr/3"}, "are those of bicubic, not of models:/ldcsr/3"),
        ({"scale": 4}, r"scale is 4\.0, there 2\.0"),
        ({"tiling": {"tile_size": 96}}, "tile_size is 96, there 64"),
        ({"imagined": {"band_names": ["red"]}}, "num_bands is 1, there 4"),
        ({"worker": {"num_gpus": 1}}, "on is gpu, there cpu"),
        ({"products": {"consistency": False}}, r"products\.consistency is False, there True"),
    ],
)
def test_rates_of_something_else_are_refused(tmp_path: Path, values: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        imagined(config_of(tmp_path, **values))


@pytest.mark.usefixtures("found")
def test_tiles_that_are_too_small_are_told(tmp_path: Path) -> None:
    write_rates(rates(decisive(tmp_path).model_copy(update={"tile_size": 16})), tmp_path / "rates.json")
    with pytest.raises(ConfigError, match="halo"):
        imagined(config_of(tmp_path, tiling={"tiles_a_side": 2}))


def decisive(tmp_path: Path) -> MeasuredFor:
    config = small_config(tmp_path)
    return decisive_settings(planned_run(config), config)


def test_they_cannot_be_measured(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"plan\.rates"):
        small_config(tmp_path, input=(), plan={"imagined": {"num_scenes": 1}})
