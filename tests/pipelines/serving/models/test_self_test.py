"""What a version must show before it is served."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.serving.config import SelfTestConfig
from pipelines.serving.models.self_test import SelfTestFailed, golden_picture, self_test
from rssr.models.bicubic import BicubicResolver
from rssr.models.loaded import LoadedModel
from rssr.resampling import upsample_bicubic
from rssr.stretch import StretchConfig
from tests.pipelines.bulk.imagery import model

STRICT = SelfTestConfig()


class Bad:
    """Bicubic interpolation that goes wrong in one way."""

    def __init__(self, way: str) -> None:
        self._way = way
        self._count = 0

    def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        self._count += 1
        sr = upsample_bicubic(lr, output_size)
        ways = {
            "no numbers": lambda: sr * float("nan"),
            "too small": lambda: sr[:, :, ::2, ::2],
            "never the same": lambda: sr + 0.1 * self._count,
            "black": lambda: torch.full_like(sr, -1),
        }
        return ways[self._way]()


@pytest.mark.parametrize("scale", [2, 4, 3.4])
@pytest.mark.parametrize("card", [{}, {"dtype": "uint16", "value_range": (0, 10_000)}, {"bands": ("a", "b", "c", "d")}])
def test_models_that_work_pass(card: dict[str, Any], scale: float) -> None:
    self_test(model(**card), scale, STRICT)


def test_models_of_reflectance_pass() -> None:
    bands = ("B04", "B03", "B02")
    self_test(model(bands, dtype="float32", value_range=(0, 1), stretch=StretchConfig().over(list(bands))), 4, STRICT)


def test_the_picture_is_smooth_and_of_the_cards_kind() -> None:
    card = model(dtype="uint16", value_range=(0, 10_000)).card
    picture = golden_picture(card)
    assert (picture.dtype, picture.shape) == (np.uint16, (3, 32, 32))
    assert 1000 < picture.min() < picture.max() < 9000
    assert np.abs(np.diff(picture.astype(int))).max() < 1000


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("no numbers", "NaN"),
        ("too small", "returned"),
        ("never the same", "two results"),
        ("black", "dB from bicubic"),
    ],
)
def test_models_that_go_wrong_fail_with_the_reason(way: str, reason: str) -> None:
    with pytest.raises(SelfTestFailed, match=reason):
        self_test(replace(model(), resolver=Bad(way)), 4, STRICT)


def test_a_network_without_a_card_is_not_served() -> None:
    network = torch.nn.Linear(1, 1)
    bare = LoadedModel("slimdiffsr", BicubicResolver(), network, {}, None)
    with pytest.raises(SelfTestFailed, match="no card"):
        self_test(bare, 4, STRICT)
    self_test(bare, 4, SelfTestConfig(require_card=False))
