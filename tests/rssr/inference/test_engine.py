"""Error bars of any model, and a real student at sizes that its stride does not divide."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from rssr.card import ModelCard
from rssr.errors import ModelError
from rssr.inference import super_resolve
from rssr.methods.slimdiffsr.inference import SlimDiffSRResolver
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.models.loaded import LoadedModel, load_model
from rssr.scenes import generate_scene
from rssr.tiling import output_size

SCENE = generate_scene(1, 50, 70)
FLOATS = SCENE.astype(np.float32) / 255
BICUBIC = load_model("bicubic")
CARD = ModelCard(
    name="local-x4",
    method="slimdiffsr",
    bands=["red", "green", "blue"],
    scale_range=(2, 4),
    tile_size=40,
    halo=8,
    licence="CC0",
)


class DoubtfulResolver:
    """Bicubic enlargement that doubts itself where the LR image has contrast, looking one pixel around."""

    gives_deviation = True

    def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        return F.interpolate(lr, size=output_size, mode="bicubic", align_corners=False)

    def with_deviation(self, lr: Tensor, output_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        padded = F.pad(lr, (1, 1, 1, 1), mode="replicate")
        doubt = 0.02 + (lr - F.avg_pool2d(padded, 3, stride=1)).abs()
        return self(lr, output_size), F.interpolate(doubt, size=output_size, mode="bilinear", align_corners=False)


def doubtful_model(**card: Any) -> LoadedModel:
    return LoadedModel("doubtful", DoubtfulResolver(), None, {}, CARD.model_copy(update=card))


def test_uncertainty_comes_beside_the_same_image_in_the_same_layout() -> None:
    model = doubtful_model()
    last = super_resolve(SCENE, model, 2, return_uncertainty=True)
    np.testing.assert_array_equal(last[0], super_resolve(SCENE, model, 2))
    assert last[1].shape == (100, 140, 3)
    assert last[1].dtype == np.float32
    first = super_resolve(np.ascontiguousarray(SCENE.transpose(2, 0, 1)), model, 2, return_uncertainty=True)
    np.testing.assert_array_equal(first[1], last[1].transpose(2, 0, 1))
    picture, deviation = super_resolve(Image.fromarray(SCENE), model, 2, return_uncertainty=True)
    np.testing.assert_array_equal(np.asarray(picture), last[0])
    np.testing.assert_array_equal(deviation, last[1])
    tensor = torch.from_numpy(SCENE.transpose(2, 0, 1).copy())
    one = super_resolve(tensor, model, 2, return_uncertainty=True)
    assert (one[0].dtype, one[1].dtype) == (torch.uint8, torch.float32)
    np.testing.assert_array_equal(one[1].numpy(), first[1])
    two = super_resolve(torch.stack([tensor, tensor.flip(1)]), model, 2, return_uncertainty=True)
    assert two[0].shape == two[1].shape == (2, 3, 100, 140)
    np.testing.assert_array_equal(two[1][0].numpy(), first[1])


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90), tile_size=st.integers(33, 100), scale=st.integers(2, 4))
def test_tiles_do_not_show_in_the_uncertainty(height: int, width: int, tile_size: int, scale: int) -> None:
    pixels, model = generate_scene(4, height, width).transpose(2, 0, 1), doubtful_model()
    _, tiled = super_resolve(pixels, model, scale, tile_size=tile_size, halo=8, return_uncertainty=True)
    _, entire = super_resolve(pixels, model, scale, tile_size=200, return_uncertainty=True)
    assert tiled.shape == (3, height * scale, width * scale)
    np.testing.assert_allclose(tiled, entire, atol=1e-3)


@pytest.mark.parametrize(
    ("dtype", "value_range", "factor"),
    [
        ("uint8", (0.0, 255.0), 1),
        ("uint16", (0.0, 255.0), 1),
        ("uint16", (0.0, 10200.0), 40),
        ("uint16", (1000.0, 11200.0), 40),
    ],
)
def test_uncertainty_is_in_the_units_of_the_values(dtype: str, value_range: tuple[float, float], factor: int) -> None:
    _, levels = super_resolve(SCENE, doubtful_model(), 2, return_uncertainty=True)
    image = (SCENE * np.float64(factor) + value_range[0]).astype(dtype)
    model = doubtful_model(dtype=dtype, value_range=value_range)
    _, deviation = super_resolve(image, model, 2, return_uncertainty=True)
    np.testing.assert_allclose(deviation, levels * factor, rtol=1e-3)
    assert levels.min() >= 0.01 * 255  # the model's 0.02 of half the range


def test_uncertainty_of_fractions_is_a_fraction() -> None:
    _, levels = super_resolve(SCENE, doubtful_model(), 2, return_uncertainty=True)
    _, fractions = super_resolve(FLOATS, doubtful_model(), 2, return_uncertainty=True)
    np.testing.assert_allclose(fractions * 255, levels, rtol=1e-3)


@pytest.mark.parametrize("matching", ["scene", "authors"])
def test_matching_colours_changes_the_image_and_not_its_uncertainty(matching: Any) -> None:
    class Faded(DoubtfulResolver):
        def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
            return 0.5 * super().__call__(lr, output_size)

    model = LoadedModel("faded", Faded(), None, {}, CARD)
    plain = super_resolve(SCENE, model, 2, return_uncertainty=True)
    matched = super_resolve(SCENE, model, 2, color_match=matching, return_uncertainty=True)
    assert matched[0].std() > 1.5 * plain[0].std()
    np.testing.assert_array_equal(matched[1], plain[1])


@pytest.mark.parametrize("model", [BICUBIC, replace(BICUBIC, card=CARD)], ids=["plain", "with a card"])
def test_models_that_cannot_tell_are_refused_with_where_to_get_one_that_can(model: LoadedModel) -> None:
    with pytest.raises(ModelError, match=r"gives no uncertainty.*phases=\[deviation\]"):
        super_resolve(SCENE, model, 2, return_uncertainty=True)


def tiny_student(deviation_channels: int) -> LoadedModel:
    torch.manual_seed(0)
    widths: dict[str, Any] = {"block_channels": (8, 8), "mid_channels": 8, "norm_num_groups": 4, "taesd_channels": 8}
    counts = {"num_queries": 2, "query_channels": 4, "num_encoder_blocks": (1, 1, 1, 1)}
    network = SlimDiffSR(
        **widths, **counts, num_decoder_blocks=(1, 1, 1, 1), deviation_channels=deviation_channels
    ).eval()
    if network.deviation_head is not None:
        torch.nn.init.normal_(network.deviation_head.out.weight, std=0.3)
    return LoadedModel("slimdiffsr", SlimDiffSRResolver(network), network, {}, CARD)


STUDENT = tiny_student(8)


def test_a_student_without_a_head_is_refused() -> None:
    with pytest.raises(ModelError, match=r"local-x4 \(slimdiffsr\) gives no uncertainty"):
        super_resolve(SCENE, tiny_student(0), 2, return_uncertainty=True)


@pytest.mark.parametrize("color_match", ["none", "scene", "authors"])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 70), (50, 1), (3, 3), (5, 7), (17, 31), (9, 64)])
@pytest.mark.parametrize("scale", [2, 3.3])
def test_a_student_takes_any_size(size: tuple[int, int], scale: float, color_match: Any) -> None:
    """Sizes that its stride of 16 does not divide, the smallest and thinnest too, with and without uncertainty."""
    pixels = generate_scene(3, *size).transpose(2, 0, 1)
    sr, deviation = super_resolve(pixels, STUDENT, scale, color_match=color_match, return_uncertainty=True)
    assert sr.shape == deviation.shape == (3, *output_size(size, scale))
    assert np.isfinite(deviation).all()
    assert (deviation > 0).all()
    np.testing.assert_array_equal(sr, super_resolve(pixels, STUDENT, scale, color_match=color_match))


def test_authors_matching_leaves_a_single_pixel_its_colour() -> None:
    pixel = np.array([[[10, 200, 90]]], np.uint8)
    sr = super_resolve(pixel, STUDENT, 4, color_match="authors")
    assert np.abs(sr.astype(int) - pixel).max() <= 1


@pytest.mark.parametrize("num_bands", [1, 2, 4])
def test_a_model_without_a_card_knows_its_bands_too(num_bands: int) -> None:
    with pytest.raises(ModelError, match=rf"{num_bands} bands, but this network takes 3"):
        super_resolve(np.zeros((num_bands, 20, 20), np.float32), replace(STUDENT, card=None), 2)
