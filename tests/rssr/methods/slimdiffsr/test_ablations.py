"""The ablations of section 4.5, each one change of the published form."""

from collections.abc import Callable
from typing import Any, get_args

import pytest

from rssr.configuration import flatten
from rssr.methods.slimdiffsr.ablations import ABLATIONS, TABLES, AblationName, ablate
from rssr.methods.slimdiffsr.config import SlimDiffSRConfig
from rssr.methods.slimdiffsr.method import SlimDiffSRMethod
from rssr.models.registry import MODELS

NAMES: tuple[AblationName, ...] = get_args(AblationName)

# What each takes away, a second time: Tables 5, 6 and 7, Fig. 13 and 14.
EXPECTED: dict[str, dict[str, Any]] = {
    "published": {},
    "vae": {"student.autoencoder": "vae"},
    "taesd": {"student.autoencoder": "taesd"},
    "wo-sap": {"student.pruning": "uniform"},
    "wo-dsc": {"student.second_conv": "standard"},
    "wo-fsc": {"student.first_conv": "standard"},
    "wo-qgam": {"student.attention": "standard"},
    "wo-distillation": {"student.distillation_weight": 0},
    "wo-mmd": {"student.mmd_weight": 0},
    "fixed-timestep": {"teacher.timestep": "fixed"},
    "wo-uncertainty": {"teacher.use_uncertainty": False},
}


@pytest.fixture
def config(make_method: Callable[..., SlimDiffSRMethod]) -> SlimDiffSRConfig:
    return make_method().config


@pytest.mark.parametrize("name", NAMES)
def test_a_variant_differs_from_the_published_form_in_one_thing(config: SlimDiffSRConfig, name: AblationName) -> None:
    before, after = flatten(config.model_dump()), flatten(ablate(config, name).model_dump())
    assert {key: after[key] for key in after if after[key] != before[key]} == EXPECTED[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_resolved_configuration_can_be_ablated_again(config: SlimDiffSRConfig, name: AblationName) -> None:
    once = ablate(config, name)
    assert ablate(once, name) == once


def test_every_variant_is_in_one_table_and_every_figure_in_the_registry() -> None:
    assert tuple(ABLATIONS) == NAMES
    assert sorted(name for table in TABLES for name in table.variants) == sorted(set(NAMES) - {"published"})
    assert all(MODELS[ablation.model].paper_millions for ablation in ABLATIONS.values())


@pytest.mark.parametrize("name", NAMES)
def test_phases_before_the_change_are_shared(config: SlimDiffSRConfig, name: AblationName) -> None:
    published, variant = SlimDiffSRMethod(config), SlimDiffSRMethod(ablate(config, name))
    changed = {phase for phase in published.phases if published.digest_config(phase) != variant.digest_config(phase)}
    assert changed == {key.partition(".")[0] for key in EXPECTED[name]}
