from pathlib import Path
from typing import Any

import pytest

from pipelines.datasets import DataConfig
from rssr.configuration import load_config
from rssr.degradation import degradation_preset
from rssr.errors import ConfigError

REQUIRED = ("scale=4", "degradation=slimdiffsr")


def test_degradation_is_a_preset_name_or_spelled_out() -> None:
    config = load_config(DataConfig, None, REQUIRED)
    assert config.degradation == degradation_preset("slimdiffsr")
    again = DataConfig.model_validate(config.model_dump(mode="json"))
    assert again == config


@pytest.mark.parametrize(("scale", "expected"), [("4", (4.0, 4.0)), ("[1, 8]", (1.0, 8.0)), ("2.5", (2.5, 2.5))])
def test_scale_is_a_number_or_a_range(scale: str, expected: tuple[float, float]) -> None:
    config = load_config(DataConfig, None, (*REQUIRED, f"scale={scale}"))
    assert config.scale_range == expected


def test_a_range_may_be_trained_at_listed_scales() -> None:
    config = load_config(DataConfig, None, (*REQUIRED, "scale=[2, 4]", "scales=[2, 3.4]"))
    assert config.scales == (2.0, 3.4)
    assert config.scale_range == (2.0, 4.0)


@pytest.mark.parametrize("scales", ["[]", "[1.9, 3]", "[2, 4.1]"])
def test_listed_scales_lie_within_the_range(scales: str) -> None:
    with pytest.raises(ConfigError, match=r"scales must name .* \(2 to 4\)"):
        load_config(DataConfig, None, (*REQUIRED, "scale=[2, 4]", f"scales={scales}"))


def test_one_location_or_several() -> None:
    assert load_config(DataConfig, None, REQUIRED).uris == ("sample",)
    several = load_config(DataConfig, None, (*REQUIRED, "uri=[a, s3://b/c]", "test_uri=d"))
    assert (several.uris, several.test_uris) == (("a", "s3://b/c"), ("d",))


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ("4", (4.0,)),
        ("1", (1.0,)),
        ("3.3", (3.3,)),
        ("[4, 4]", (4.0,)),
        ("[1, 8]", (2.0, 3.4, 4.0, 8.0)),
        ("[1, 4]", (2.0, 3.4, 4.0)),
        ("[2.5, 6]", (2.5, 3.4, 4.0, 6.0)),
        ("[1, 1.5]", (1.5,)),
    ],
)
def test_a_range_is_represented_by_its_ends_and_the_published_scales(scale: str, expected: tuple[float, ...]) -> None:
    assert load_config(DataConfig, None, (*REQUIRED, f"scale={scale}")).test_scales == expected


@pytest.mark.parametrize(
    "override", ["scale=0.5", "scale=[8, 1]", "uri=[]", "uri=''", "test_fraction=1", "num_test=-1", "degradation=x"]
)
def test_nonsense_is_refused(override: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=override.partition("=")[0] if "uri" not in override else "uri"):
        load_config(DataConfig, None, (*REQUIRED, override))


def test_every_key_has_a_meaning() -> None:
    fields: dict[str, Any] = dict(DataConfig.model_fields)
    assert all(field.description for field in fields.values())
