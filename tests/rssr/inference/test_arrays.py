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

import rssr.inference.engine as engine_module
from rssr.card import ModelCard
from rssr.errors import ConfigError, ImageError, ModelError
from rssr.inference import super_resolve
from rssr.models.loaded import LoadedModel, load_model
from rssr.scenes import generate_scene

SCENE = generate_scene(1, 50, 70)
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


class LocalResolver:
    """A real model that looks three LR pixels around: a sharpening filter, then bicubic enlargement."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []

    def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        self.batches.append(tuple(lr.shape))
        padded = F.pad(lr, (1, 1, 1, 1), mode="replicate")
        sharp = lr + 0.3 * (lr - F.avg_pool2d(padded, 3, stride=1))
        return F.interpolate(sharp, size=output_size, mode="bicubic", align_corners=False)


def local_model(**card: Any) -> LoadedModel:
    return LoadedModel("local", LocalResolver(), None, {}, CARD.model_copy(update=card))


def whole(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    lr = torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32)) / 127.5 - 1
    levels = (LocalResolver()(lr, size)[0].numpy() + 1) * 127.5
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8).transpose(1, 2, 0)


def test_every_kind_of_image_comes_back_as_its_own_kind() -> None:
    expected = super_resolve(SCENE, BICUBIC, 2)
    assert expected.shape == (100, 140, 3)
    assert expected.dtype == np.uint8
    first = super_resolve(np.ascontiguousarray(SCENE.transpose(2, 0, 1)), BICUBIC, 2)
    np.testing.assert_array_equal(first, expected.transpose(2, 0, 1))
    picture = super_resolve(Image.fromarray(SCENE), BICUBIC, 2)
    assert picture.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(picture), expected)
    tensor = torch.from_numpy(SCENE.transpose(2, 0, 1).copy())
    one, two = super_resolve(tensor, BICUBIC, 2), super_resolve(torch.stack([tensor, tensor.flip(1)]), BICUBIC, 2)
    assert one.dtype == two.dtype == torch.uint8
    np.testing.assert_array_equal(one.numpy(), expected.transpose(2, 0, 1))
    np.testing.assert_array_equal(two[0].numpy(), one.numpy())
    assert two.shape == (2, 3, 100, 140)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_the_type_and_range_of_values_are_kept(dtype: str) -> None:
    image = SCENE.astype(dtype)
    sr = super_resolve(image, BICUBIC, 3)
    assert sr.dtype == image.dtype
    assert abs(sr.astype(float).mean() - SCENE.mean()) < 1
    if dtype != "uint8":
        np.testing.assert_allclose(sr, super_resolve(SCENE.astype(np.float64), BICUBIC, 3), atol=0.6)


def test_gray_arrays_stay_flat() -> None:
    assert super_resolve(SCENE[..., 0], BICUBIC, 2).shape == (100, 140)


def test_bands_come_first_where_both_readings_are_possible() -> None:
    model = local_model(scale_range=(1, 4))
    assert super_resolve(np.zeros((3, 9, 3), np.uint8), model, 2).shape == (3, 18, 6)
    assert super_resolve(np.zeros((9, 3, 3), np.uint8), model, 2).shape == (18, 6, 3)
    assert super_resolve(np.zeros((4, 9, 5), np.uint8), BICUBIC, 2).shape == (4, 18, 10)
    assert super_resolve(np.zeros((90, 50, 7), np.uint8), BICUBIC, 2).shape == (180, 100, 7)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile_size=st.integers(33, 100),
    batch_size=st.integers(1, 5),
    scale=st.sampled_from([2, 3, 4]),
)
def test_tiles_and_batches_do_not_show(height: int, width: int, tile_size: int, batch_size: int, scale: int) -> None:
    pixels = generate_scene(4, height, width)
    bands_first = pixels.transpose(2, 0, 1)
    sr = super_resolve(bands_first, local_model(), scale, tile_size=tile_size, halo=8, batch_size=batch_size)
    difference = np.abs(sr.transpose(1, 2, 0).astype(int) - whole(pixels, (height * scale, width * scale)))
    assert difference.max() <= 1


@pytest.mark.parametrize("scale", [2.5, 3.4, 3.99])
def test_fractional_scales_round_the_size_and_keep_the_picture(scale: float) -> None:
    sr = super_resolve(SCENE, local_model(), scale)
    size = round(50 * scale), round(70 * scale)
    assert sr.shape == (*size, 3)
    assert np.abs(sr.astype(int) - whole(SCENE, size)).mean() < 1.5


def test_the_card_says_how_to_cut() -> None:
    model = local_model()
    super_resolve(generate_scene(1, 100, 30), model, 2)
    assert isinstance(model.resolver, LocalResolver)
    assert {batch[2:] for batch in model.resolver.batches} <= {(40, 30), (28, 30)}
    model = local_model()
    super_resolve(generate_scene(1, 100, 30), model, 2, tile_size=200)
    assert model.resolver.batches == [(1, 3, 100, 30)]  # type: ignore[attr-defined]  # it is a LocalResolver


def test_a_smaller_tile_brings_a_smaller_halo_unless_one_is_given() -> None:
    super_resolve(SCENE, local_model(), 2, tile_size=12)
    with pytest.raises(ConfigError, match="halo of 8"):
        super_resolve(SCENE, local_model(), 2, tile_size=12, halo=8)


class DullResolver(LocalResolver):
    """A model that loses contrast and shifts brightness, more so in dark tiles."""

    def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        return 0.6 * super().__call__(lr, output_size) + torch.tensor([0.2, -0.1, 0.0]).reshape(1, 3, 1, 1)


@pytest.mark.parametrize("matching", ["scene", "authors"])
def test_matched_colours_have_the_inputs_mean_and_deviation(matching: Any) -> None:
    model = LoadedModel("dull", DullResolver(), None, {}, CARD)
    dull = super_resolve(SCENE, model, 2, color_match="none")
    matched = super_resolve(SCENE, model, 2, color_match=matching, tile_size=100)
    for band in range(3):
        assert abs(dull[..., band].mean() - SCENE[..., band].mean()) > 2 or band == 2
        assert matched[..., band].mean() == pytest.approx(SCENE[..., band].mean(), abs=1.0)
        assert matched[..., band].std() == pytest.approx(SCENE[..., band].std(), abs=2.0)


@pytest.mark.parametrize("matching", ["scene", "local"])
def test_matching_depends_on_the_place_and_not_on_the_tiles(matching: Any) -> None:
    model = LoadedModel("dull", DullResolver(), None, {}, CARD)
    small = super_resolve(SCENE, model, 2, color_match=matching, tile_size=40, halo=9)
    large = super_resolve(SCENE, model, 2, color_match=matching, tile_size=100)
    assert np.abs(small.astype(int) - large).max() <= 1


def test_local_matching_gives_a_dull_model_the_inputs_colours_everywhere() -> None:
    model = LoadedModel("dull", DullResolver(), None, {}, CARD)
    wanted = super_resolve(SCENE, "bicubic", 2).astype(float)
    plain = np.abs(super_resolve(SCENE, model, 2, color_match="none") - wanted).mean()
    assert np.abs(super_resolve(SCENE, model, 2, color_match="local") - wanted).mean() < 0.35 * plain


def test_the_cards_matching_is_the_default() -> None:
    pinned = LoadedModel("dull", DullResolver(), None, {}, CARD.model_copy(update={"color_match": "scene"}))
    np.testing.assert_array_equal(
        super_resolve(SCENE, pinned, 2), super_resolve(SCENE, replace(pinned, card=CARD), 2, color_match="scene")
    )


FLOATS = SCENE.astype(np.float32) / 255


def test_floats_are_fractions_for_a_model_of_whole_numbers() -> None:
    sr = super_resolve(FLOATS, local_model(), 2)
    assert sr.dtype == np.float32
    np.testing.assert_allclose(sr * 255, whole(SCENE, (100, 140)), atol=35)
    assert np.abs(sr * 255 - whole(SCENE, (100, 140))).mean() < 1


def test_reflectance_models_take_their_own_units() -> None:
    model = local_model(dtype="uint16", value_range=(0.0, 10000.0))
    image = SCENE.astype(np.uint16) * 30
    sr = super_resolve(image, model, 2)
    assert sr.dtype == np.uint16
    assert sr.mean() == pytest.approx(image.mean(), rel=0.01)
    assert sr.max() > 255


def with_nan(broken: float = np.nan) -> np.ndarray:
    image = FLOATS.copy()
    image[3, 4:7, 1] = broken
    return image


@pytest.mark.parametrize(
    ("image", "scale", "word"),
    [
        (with_nan(), 2, r"3 of 10500 values are NaN.*band 1, row 3, column 4; .*column 6 \(counted from 0\)"),
        (with_nan(np.inf).transpose(2, 0, 1), 2, r"3 of 10500 .*band 1, row 3, column 4"),
        (np.full((2, 2, 3), -np.inf), 2, r"12 of 12 .*band 0, row 0, column 0; .*, \.\.\."),
        (SCENE.astype(np.float32), 2, "fractions"),
        (SCENE.astype(np.uint16), 2, "uint16"),
        (SCENE[..., :2], 2, "takes 3: red, green, blue"),
        (SCENE[..., 0], 2, "1 bands"),
        (SCENE, 8, "scale of 2 to 4"),
        (SCENE, 0.5, "not an enlargement"),
        (SCENE, float("nan"), "not an enlargement"),
    ],
)
def test_what_does_not_fit_the_card_is_refused(image: np.ndarray, scale: float, word: str) -> None:
    with pytest.raises(ModelError, match=word):
        super_resolve(image, local_model(), scale)


@pytest.mark.parametrize(
    ("image", "word"),
    [
        (np.zeros((2, 3, 4, 5), np.uint8), "neither"),
        (np.zeros(7, np.uint8), "neither"),
        (np.zeros((3, 0, 5), np.uint8), "no pixels"),
        (np.zeros((3, 4, 5), np.complex64), "complex64"),
        (np.zeros((3, 4, 5), np.bool_), "bool"),
        (torch.zeros(4, 5), "neither"),
        (Image.new("RGBA", (4, 4)), "RGBA"),
        (Image.new("I;16", (4, 4)), "I;16"),
    ],
)
def test_what_is_no_image_is_refused(image: Any, word: str) -> None:
    with pytest.raises(ImageError, match=word):
        super_resolve(image, BICUBIC, 2)


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ModelError, match="abacus"):
        super_resolve(SCENE, "bicubic", 2, device="abacus")


class SmallMemoryResolver(LocalResolver):
    """Runs out of memory above a number of pixels, as an accelerator does."""

    limit = 2 * 40 * 40

    def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        if lr.shape[0] * lr.shape[2] * lr.shape[3] > self.limit:
            raise torch.cuda.OutOfMemoryError("too much")
        return super().__call__(lr, output_size)


def test_short_memory_halves_the_batch_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "runs_batches", lambda device: True)
    resolver = SmallMemoryResolver()
    pixels = generate_scene(1, 100, 100)
    sr = super_resolve(pixels, LoadedModel("small", resolver, None, {}, CARD), 2, batch_size=8)
    np.testing.assert_array_equal(sr, super_resolve(pixels, local_model(), 2))
    assert max(batch[0] for batch in resolver.batches) == 2


def test_one_tile_that_does_not_fit_is_an_error_with_a_remedy() -> None:
    resolver = SmallMemoryResolver()
    resolver.limit = 100
    with pytest.raises(ModelError, match="smaller tile"):
        super_resolve(SCENE, LoadedModel("small", resolver, None, {}, CARD), 2)


class WrongSizeResolver(LocalResolver):
    def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        return super().__call__(lr, (output_size[0] + 1, output_size[1]))


def test_a_model_that_returns_another_size_is_noticed() -> None:
    with pytest.raises(ModelError, match="returned"):
        super_resolve(SCENE, LoadedModel("wrong", WrongSizeResolver(), None, {}, CARD), 2)
