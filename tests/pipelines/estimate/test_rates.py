"""Where rates come from."""

import logging
from pathlib import Path

import pytest

from pipelines.estimate.config import PlanConfig
from pipelines.estimate.kept_rates import write_rates
from pipelines.estimate.measuring_models import ModelSamples, Piece, Subject, time_model
from pipelines.estimate.planned import planned_run
from pipelines.estimate.rates import decisive_settings, rates_for
from pipelines.estimate.speed import Rates
from rssr.errors import ConfigError, RssrError
from tests.pipelines.estimate.known_rates import rates
from tests.pipelines.estimate.small_scenes import small_config, write_scene


@pytest.fixture(autouse=True)
def scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of them, and a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_scene(tmp_path / "in" / "a.tif")
    write_scene(tmp_path / "in" / "b.tif", (60, 70))


def found_for(config: PlanConfig) -> Rates:
    return rates_for(planned_run(config), config)


def test_rates_are_measured_once(tmp_path: Path) -> None:
    config, known = small_config(tmp_path), small_config(tmp_path, plan={"measure": False})
    with pytest.raises(ConfigError, match=r"plan\.rates=FILE"):
        found_for(known)
    first = found_for(config)
    assert first.model.tile_s.count > 1
    assert first.stores.dispatch_s is None
    assert found_for(known) == first
    other_output = small_config(tmp_path, output=str(tmp_path / "elsewhere"), plan={"measure": False})
    assert found_for(other_output) == first, "the same disk"


def test_another_model_or_tile_is_measured_anew_and_stores_are_not(tmp_path: Path) -> None:
    first = found_for(small_config(tmp_path))
    other = small_config(tmp_path, scale=3)
    with pytest.raises(ConfigError):
        found_for(other.model_copy(update={"plan": other.plan.model_copy(update={"measure": False})}))
    second = found_for(other)
    assert second.model.settings == first.model.settings.model_copy(update={"scale": 3.0})
    assert second.stores == first.stores


def test_fresh_rates_replace_those_from_before(tmp_path: Path) -> None:
    first = found_for(small_config(tmp_path))
    fresh = found_for(small_config(tmp_path, plan={"fresh_rates": True}))
    assert fresh.model.tile_s != first.model.tile_s
    assert found_for(small_config(tmp_path)) == fresh


def test_the_driver_is_asked_where_ray_hands_out_the_work(tmp_path: Path, ray_cluster: str) -> None:
    found_for(small_config(tmp_path))
    config = small_config(tmp_path, num_workers=1, ray={"address": ray_cluster})
    found = found_for(config)
    assert found.stores.dispatch_s is not None
    assert found_for(config) == found


@pytest.mark.parametrize(("share", "warns"), [(0.5, True), (0.03, False)])
def test_a_busy_machine_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, share: float, warns: bool
) -> None:
    def timed(piece: Piece, subject: Subject, samples: ModelSamples) -> None:
        time_model(piece, subject, samples)
        assert 0 <= samples.waited_share[-1] < 1
        samples.waited_share[-1] = share

    monkeypatch.setattr("pipelines.estimate.rates.time_model", timed)
    with caplog.at_level(logging.WARNING):
        found_for(small_config(tmp_path))
    assert ("Other programs kept this machine busy" in caplog.text) == warns


def test_rates_of_another_machine_are_taken_as_they_are(tmp_path: Path) -> None:
    config = small_config(tmp_path, plan={"rates": str(tmp_path / "rates.json")})
    theirs = rates(decisive_settings(planned_run(config), config))
    write_rates(theirs, tmp_path / "rates.json")
    assert found_for(config) == theirs
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "cache").exists()


def test_rates_of_something_else_are_refused(tmp_path: Path) -> None:
    config = small_config(tmp_path, plan={"rates": str(tmp_path / "rates.json")})
    settings = decisive_settings(planned_run(config), config)
    write_rates(
        rates(settings.model_copy(update={"tile_size": 512, "products": {**settings.products, "project": True}})),
        tmp_path / "rates.json",
    )
    with pytest.raises(ConfigError, match=r"tile_size is 64, there 512; products\.project is False, there True"):
        found_for(config)
    theirs = rates(settings)
    other = theirs.model.model_copy(update={"model_digest": "ab", "model": "models:/ldcsr/3"})
    write_rates(Rates(model=other, stores=theirs.stores), tmp_path / "rates.json")
    with pytest.raises(ConfigError, match="another model, models:/ldcsr/3"):
        found_for(config)


def test_a_scene_that_cannot_be_read_is_left_to_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = small_config(tmp_path)
    run = planned_run(config)
    write_scene(tmp_path / "in" / "a.tif", (90, 90))  # another one than was planned
    with caplog.at_level(logging.WARNING):
        assert rates_for(run, config).model.tile_s.count > 0
    assert "a cannot be measured" in caplog.text
    write_scene(tmp_path / "in" / "b.tif", (90, 90))
    with pytest.raises(RssrError, match=r"a\.tif has changed"):
        rates_for(run, small_config(tmp_path, plan={"fresh_rates": True}))
