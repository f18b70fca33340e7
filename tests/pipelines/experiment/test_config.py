from pathlib import Path

import pytest

from pipelines.experiment.slimdiffsr import SlimDiffSRJobConfig
from rssr.configuration import load_config
from rssr.errors import ConfigError

TINY = Path(__file__).parents[2] / "data" / "tiny_slimdiffsr.yaml"


def load(*overrides: str) -> SlimDiffSRJobConfig:
    return load_config(SlimDiffSRJobConfig, TINY, overrides)


@pytest.mark.parametrize(
    ("overrides", "measured", "product"),
    [
        ((), (4.0,), 4.0),
        (("data.scale=8",), (8.0,), 8.0),
        (("data.scale=[1, 8]",), (2.0, 3.4, 4.0, 8.0), 4.0),
        (("data.scale=[1, 3]",), (2.0, 3.0), 3.0),
        (("data.scale=[5, 8]",), (5.0, 8.0), 5.0),
        (("data.scale=[1, 8]", "evaluation.scales=[6, 1, 2.5, 6]", "product.scale=2.5"), (1.0, 2.5, 6.0), 2.5),
    ],
)
def test_scales_follow_the_trained_range_unless_chosen(
    overrides: tuple[str, ...], measured: tuple[float, ...], product: float
) -> None:
    config = load(*overrides)
    assert config.evaluation_scales == measured
    assert config.product_scale == product


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (("data.scale=[2, 4]", "evaluation.scales=[2, 8]"), "evaluation.scales"),
        (("data.scale=[2, 4]", "evaluation.scales=[1]"), "evaluation.scales"),
        (("evaluation.scales=[2]",), "evaluation.scales"),
        (("data.scale=[2, 4]", "product.scale=4.5"), "product.scale"),
        (("product.scale=2",), "product.scale"),
        (("evaluation.scales=[]",), "evaluation.scales"),
    ],
)
def test_scales_outside_the_trained_range_are_refused_by_name(overrides: tuple[str, ...], named: str) -> None:
    with pytest.raises(ConfigError, match=named.replace(".", r"\.")):
        load(*overrides)


def test_the_procedural_scene_for_tiles_is_for_models_of_pictures() -> None:
    assert load("product.tile_scene=sample").product.tile_scene == "sample"
    bands = ("data.uri=products", "data.scenes.tile_size=128", "data.degradation=sentinel2", "in_bands=4")
    assert load(*bands).product.tile_scene is None
    with pytest.raises(ConfigError, match=r"product\.tile_scene=sample is a picture"):
        load(*bands, "product.tile_scene=sample")
