"""Rates of training in files."""

from pathlib import Path

import pytest

from pipelines.estimate.training.rates import read_training_rates, write_training_rates
from rssr.errors import ConfigError
from tests.jobs.running import ROOT
from tests.pipelines.estimate.training.known_work import training_rates


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_training_rates(training_rates(), tmp_path / "rates.json")
    assert read_training_rates(tmp_path / "rates.json") == training_rates()


def test_files_of_other_things_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_training_rates(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="holds no rates of training: pairs"):
        read_training_rates(ROOT / "docs" / "rates" / "bicubic.json")


def test_the_rates_of_the_page_can_be_read() -> None:
    found = read_training_rates(ROOT / "docs" / "rates" / "training.json")
    assert found.arithmetic is not None
    assert found.arithmetic.phase == "slimdiffsr student"
