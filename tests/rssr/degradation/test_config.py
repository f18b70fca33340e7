import pytest
from pydantic import ValidationError

from rssr.configuration import Config, describe, load_config, to_yaml
from rssr.degradation import DegradationConfig, degradation_preset, preset_names
from rssr.degradation.config import RoundConfig
from rssr.errors import ConfigError


class _Job(Config):
    degradation: DegradationConfig
    """How LR images are made from HR images."""


# The published tables, a second time. Round 1, round 2.
_PUBLISHED = {
    "slimdiffsr": {
        "resize_probabilities": ((0.2, 0.7, 0.1), (0.3, 0.4, 0.3)),
        "resize_range": ((0.3, 1.5), (0.6, 1.2)),
        "gaussian_probability": (0.5, 0.5),
        "gaussian_sigma_range": ((1, 15), (1, 12)),
        "poisson_scale_range": ((0.05, 2.0), (0.05, 1.0)),
        "gray_probability": (0.4, 0.4),
        "jpeg_quality_range": ((60, 95), (60, 100)),
        "blur.probability": (1.0, 0.5),
        "blur.sigma_range": ((0.2, 1.5), (0.2, 1.0)),
        "blur.generalized_beta_range": ((0.5, 2.0), (0.5, 2.0)),
        "blur.plateau_beta_range": ((1, 1.5), (1, 1.5)),
    },
    "real-esrgan": {
        "resize_probabilities": ((0.2, 0.7, 0.1), (0.3, 0.4, 0.3)),
        "resize_range": ((0.15, 1.5), (0.3, 1.2)),
        "gaussian_probability": (0.5, 0.5),
        "gaussian_sigma_range": ((1, 30), (1, 25)),
        "poisson_scale_range": ((0.05, 3.0), (0.05, 2.5)),
        "gray_probability": (0.4, 0.4),
        "jpeg_quality_range": ((30, 95), (30, 95)),
        "blur.probability": (1.0, 0.8),
        "blur.sigma_range": ((0.2, 3.0), (0.2, 1.5)),
        "blur.generalized_beta_range": ((0.5, 4.0), (0.5, 4.0)),
        "blur.plateau_beta_range": ((1, 2), (1, 2)),
    },
}
_BOTH = {
    "blur.kernel_size_range": (7, 21),
    "blur.kernel_probabilities": (0.45, 0.25, 0.12, 0.03, 0.12, 0.03),
    "blur.sinc_probability": 0.1,
}


def _value(settings: RoundConfig | None, name: str) -> object:
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("kind", sorted(_PUBLISHED))
def test_preset_holds_the_published_values(kind: str) -> None:
    config = degradation_preset(kind)
    for name, (first, second) in _PUBLISHED[kind].items():
        assert (_value(config.first, name), _value(config.second, name)) == (first, second), name
    for name, shared in _BOTH.items():
        assert (_value(config.first, name), _value(config.second, name)) == (shared, shared), name
    assert config.final_sinc_probability == 0.8
    assert config.final_sinc_size_range == (7, 21)
    assert config.jpeg_first_probability == 0.5


def test_presets_cover_all_values_of_a_round() -> None:
    names = {name.partition(".")[0] for name in [*_PUBLISHED["slimdiffsr"], *_BOTH]}
    assert names == set(RoundConfig.model_fields)


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="slimdiffsr, real-esrgan, bicubic"):
        degradation_preset("blur")


def test_bicubic_has_no_rounds() -> None:
    config = degradation_preset("bicubic")
    assert config.first is None
    assert config.second is None


@pytest.mark.parametrize("kind", preset_names())
def test_resolved_configuration_reads_back(kind: str) -> None:
    config = degradation_preset(kind)
    assert DegradationConfig.model_validate(config.model_dump(mode="json")) == config


def test_a_job_overrides_single_values_of_a_kind() -> None:
    overrides = ["degradation.kind=slimdiffsr", "degradation.second.gray_probability=0.25"]
    config = load_config(_Job, None, overrides).degradation
    published = degradation_preset("slimdiffsr")
    assert config.second is not None
    assert config.second.gray_probability == 0.25
    assert published.second is not None
    assert config.second.model_copy(update={"gray_probability": 0.4}) == published.second
    assert config.first == published.first


def test_a_bare_name_stands_for_its_preset() -> None:
    config = load_config(_Job, None, ["degradation=real-esrgan"])
    assert config.degradation == degradation_preset("real-esrgan")
    assert "poisson_scale_range" in to_yaml(config)


def test_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"degradation\.kind"):
        load_config(_Job, None, ["degradation.kind=fog"])


def test_every_key_is_documented() -> None:
    lines = describe(_Job).splitlines()
    described = {line.split()[0] for line in lines[::2]}
    for name in (*_PUBLISHED["slimdiffsr"], *_BOTH):
        assert {f"degradation.first.{name}", f"degradation.second.{name}"} <= described
    assert all(len(meaning) > 20 for meaning in lines[1::2])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("first.resize_range", (1.5, 0.3)),
        ("first.resize_range", (1.1, 1.5)),
        ("first.resize_probabilities", (0.5, 0.5, 0.5)),
        ("first.jpeg_quality_range", (0, 90)),
        ("first.gray_probability", 1.5),
        ("second.blur.kernel_size_range", (7, 22)),
        ("second.blur.kernel_size_range", (7, 23)),
        ("second.blur.sigma_range", (0, 1)),
        ("second.blur.plateau_beta_range", (1.2, 2)),
        ("second.blur.kernel_probabilities", (0.5, 0.2, 0.1, 0.1, 0.0, 0.0)),
        ("final_sinc_size_range", (8, 20)),
        ("second", None),
    ],
)
def test_impossible_values_are_refused(name: str, value: object) -> None:
    values: dict[str, object] = {}
    inner = values
    *parents, last = name.split(".")
    for parent in parents:
        child: dict[str, object] = {}
        inner[parent] = child
        inner = child
    inner[last] = value
    with pytest.raises(ValidationError):
        DegradationConfig.model_validate({"kind": "slimdiffsr", **values})
