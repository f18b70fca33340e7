import logging
from pathlib import Path

import pytest
import torch

from pipelines.evaluation.config import EvaluateConfig, MethodConfig
from pipelines.evaluation.methods import OpenMethod, named_methods, open_method
from pipelines.tracking.registry import folder_digest
from rssr.errors import ConfigError, ModelError, WeightsError
from rssr.models.loaded import load_model
from rssr.models.registry import create_model
from tests.pipelines.evaluation.small import save_sampler, save_student
from tests.rssr.conftest import TINY_STUDENT

SCALES = (2.0, 4.0)


def opened(scales: tuple[float, ...] = SCALES, **values: object) -> OpenMethod:
    return open_method(MethodConfig.model_validate({"name": "method", **values}), scales, tracking_uri="")


def named(*methods: object) -> list[str]:
    config = EvaluateConfig.model_validate({"methods": methods, "degradation": "bicubic"})
    return [method.name for method in named_methods(config)]


def test_methods_given_as_strings_are_known_by_the_models_own_names() -> None:
    strings = ["bicubic", "/models/slimdiffsr-x4/", "models:/ldcsr@champion", "models:/ldcsr/3", "s3://bucket/my model"]
    assert named(*strings) == ["bicubic", "slimdiffsr-x4", "ldcsr champion", "ldcsr 3", "my model"]


def test_two_methods_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="Several methods are called a"):
        named("/one/a", "/two/a")


@pytest.mark.parametrize("name", ["bicubic", "nearest"])
def test_interpolation_runs_at_every_scale(name: str) -> None:
    method = opened(model=name)
    assert (method.facts.kind, method.runnable.kind, method.runnable.scales) == ("baseline", name, SCALES)
    assert (method.facts.num_parameters, method.facts.gmacs, method.folder) == (None, None, None)


def test_a_models_facts_are_those_of_its_network_and_card(tmp_path: Path) -> None:
    manifest = {"uri": "/manifests/one", "digest": "abc", "split": "train", "num_images": 3}
    folder = save_sampler(tmp_path / "model", training_manifests=[manifest], unofficial_weights=False)
    facts = opened(model=str(folder)).facts
    network = load_model(folder).network
    assert network is not None
    assert facts.num_parameters == sum(parameter.numel() for parameter in network.parameters())
    assert facts.gmacs is not None
    assert facts.gmacs > 0
    assert (facts.licence, facts.is_official, facts.digest_of_training) == ("CC0-1.0", True, ("abc",))
    assert facts.digest == folder_digest(folder)


def test_a_model_is_run_at_the_scales_it_was_trained_for_and_the_others_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = save_student(tmp_path / "model")
    with caplog.at_level(logging.WARNING):
        assert opened(model=str(folder)).runnable.scales == (4.0,)
    assert "method is not measured at scale 2" in caplog.text
    with pytest.raises(ModelError, match="Method 'method': slimdiffsr was trained for a scale of 4, not 8"):
        opened(scales=(8.0,), model=str(folder))


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ({"bands": ["red", "green", "blue", "nir"]}, "3 bands"),
        ({"dtype": "uint16", "value_range": (0, 10000)}, "uint16"),
    ],
)
def test_models_of_other_images_than_pictures_are_refused(tmp_path: Path, card: dict[str, object], reason: str) -> None:
    folder = save_student(tmp_path / "model", **card)
    with pytest.raises(ModelError, match=f"Method 'method': .*{reason}"):
        opened(model=str(folder))


def test_colours_are_matched_as_asked_for_or_as_the_card_says(tmp_path: Path) -> None:
    folder = str(save_student(tmp_path / "model", color_match="local"))
    asked: list[dict[str, object]] = [{}, {"color_match": "card"}, {"color_match": "scene"}]
    found = [opened(model=folder, **values).runnable for values in asked]
    assert [method.color_match for method in found] == ["none", "local", "scene"]
    assert len({method.identity for method in found}) == 3  # parts of one are no parts of another


def test_a_published_checkpoint_is_imported_once_and_runs_as_its_authors_run_it(tmp_path: Path) -> None:
    file = tmp_path / "net_params.pth"
    widths = {"block_channels": [32, 64], "mid_channels": 64, "norm_num_groups": 32}  # as many groups as published
    torch.save(create_model("slimdiffsr", **{**TINY_STUDENT, **widths}).state_dict(), file)
    checkpoint = {"format": "slimdiffsr", "files": [str(file)]}
    method = opened(checkpoint=checkpoint)
    assert method.facts.is_official
    assert (method.runnable.as_authors, method.runnable.color_match) == (True, "authors")
    again = opened(checkpoint=checkpoint, color_match="none")
    assert again.folder == method.folder
    assert (again.runnable.as_authors, again.runnable.color_match) == (False, "none")
    with pytest.raises(WeightsError, match="no file"):
        opened(checkpoint={"format": "slimdiffsr", "files": [str(tmp_path / "other.pth")]})
