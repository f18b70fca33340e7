"""Rates in files."""

import logging
from pathlib import Path

import pytest

from pipelines.estimate.kept_rates import find_kept, keep, read_rates, write_rates
from pipelines.estimate.speed import ModelRates, StoreRates
from rssr.errors import ConfigError
from tests.pipelines.estimate.known_rates import rates

KEY = {"machine": "one", "model": "x"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "rssr" / "rates"


def test_rates_are_found_again_for_the_same_thing_only() -> None:
    found = rates()
    assert find_kept(ModelRates, KEY) is None
    keep(found.model, KEY)
    assert find_kept(ModelRates, KEY) == found.model
    assert find_kept(ModelRates, {**KEY, "machine": "other"}) is None
    assert find_kept(StoreRates, KEY) is None


def test_a_damaged_file_is_no_rate(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    keep(rates().model, KEY)
    (path,) = cache.iterdir()
    path.write_text(path.read_text()[:100])
    with caplog.at_level(logging.WARNING):
        assert find_kept(ModelRates, KEY) is None
    assert str(path) in caplog.text
    keep(rates().model, KEY)
    assert find_kept(ModelRates, KEY) is not None


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        keep(rates().model, KEY)
    assert "cannot be kept" in caplog.text


def test_rates_of_another_machine_come_in_a_file(tmp_path: Path) -> None:
    write_rates(rates(), tmp_path / "new" / "rates.json")
    assert read_rates(tmp_path / "new" / "rates.json") == rates()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "No such file"),
        ("", "Invalid JSON"),
        ('{"model": {}}', "model.machine"),
        ("[]", "holds no rates"),
        ("\x00", "Invalid JSON"),
    ],
)
def test_what_are_no_rates_is_told(tmp_path: Path, content: str | None, expected: str) -> None:
    path = tmp_path / "rates.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=expected) as told:
        read_rates(path)
    assert str(path) in str(told.value)
