"""Error bars of any model, a real student at sizes that its stride does not divide, and windows of tiles."""

from collections.abc import Iterator
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
from rssr.errors import ModelError, RasterError, TileError
from rssr.inference import super_resolve
from rssr.inference.arrays import ArrayScene
from rssr.inference.engine import Engine, Mask
from rssr.inference.options import TilingOptions
from rssr.inference.planning import plan_scene
from rssr.methods.slimdiffsr.inference import SlimDiffSRResolver
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.models.loaded import LoadedModel, load_model
from rssr.scenes import generate_scene
from rssr.tiling import TilePlan, output_size
from rssr.windows import assemble, plan_windows

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


OPTIONS: dict[str, Any] = {"tile_size": 24, "halo": 4}


def cut_scene(height: int = 70, width: int = 90) -> ArrayScene:
    pixels = generate_scene(6, height, width).transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    return ArrayScene(pixels, np.ones((height, width), np.bool_))


def planned(model: LoadedModel, **options: Any) -> tuple[Engine, TilePlan]:
    complete = TilingOptions(**{**OPTIONS, **options}).completed(None)
    return Engine(model, complete, with_deviation=model is STUDENT), plan_scene(model, (70, 90), 4, complete)


def from_windows(engine: Engine, plan: TilePlan, tiles_a_side: int) -> np.ndarray:
    """Assembled from windows that were computed last one first."""
    windows = plan_windows(plan, tiles_a_side)
    strips = {window.key: engine.run_window(cut_scene(), plan, window) for window in reversed(windows)}
    rows = assemble(plan, windows, lambda window, row: strips[window.key][row - window.rows[0]])
    return np.concatenate([strip for _, strip in rows], axis=1)


@pytest.fixture(scope="module")
def whole() -> np.ndarray:
    engine, plan = planned(STUDENT, batch_size=1)
    rows = [np.concatenate([strip.values, strip.deviation]) for strip in engine.run(cut_scene(), plan)]
    return np.concatenate(rows, axis=1)


@pytest.mark.parametrize(("tiles_a_side", "batch_size"), [(1, 4), (2, 3), (3, 1), (8, 16)])
def test_a_network_gives_the_same_bits_for_all_windows_and_batch_sizes(
    whole: np.ndarray, tiles_a_side: int, batch_size: int
) -> None:
    engine, plan = planned(STUDENT, batch_size=batch_size)
    assert len(plan) > 16
    assert from_windows(engine, plan, tiles_a_side).tobytes() == whole.tobytes()
    assert engine.counts.num_tiles == len(plan)


def test_one_strip_is_that_of_its_window() -> None:
    engine, plan = planned(STUDENT)
    window = plan_windows(plan, 3)[1]
    strips = engine.run_window(cut_scene(), plan, window)
    for row, strip in zip(window.rows, strips, strict=True):
        np.testing.assert_array_equal(engine.run_strip(cut_scene(), plan, window, row), strip)


class Cubic:
    """Bicubic enlargement that tells how many images it was given, and may fail."""

    def __init__(self, most: int = 99, fails_at: float | None = None, error: Exception | None = None) -> None:
        self.most, self.fails_at, self.error = most, fails_at, error
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        if len(lr) > self.most:
            raise torch.cuda.OutOfMemoryError("too many")
        self.seen.append(tuple(lr.shape))
        sr = F.interpolate(lr, size=output_size, mode="bicubic", align_corners=False)
        if self.error is not None:
            raise self.error
        return sr if self.fails_at is None else sr * self.fails_at


@pytest.fixture
def as_on_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(engine_module, "runs_batches", lambda device: True)
    yield


@pytest.mark.usefixtures("as_on_an_accelerator")
def test_an_accelerator_sees_batches_of_one_size_for_each_shape_whatever_the_windows() -> None:
    sizes: list[set[tuple[int, ...]]] = []
    results = []
    for tiles_a_side in (1, 2, 8):
        resolver = Cubic()
        engine, plan = planned(LoadedModel("cubic", resolver, None, {}, None), batch_size=3)
        results.append(from_windows(engine, plan, tiles_a_side))
        sizes.append(set(resolver.seen))
    assert sizes[0] == sizes[1] == sizes[2]
    assert len({shape[1:] for shape in sizes[0]}) == len(sizes[0])
    np.testing.assert_allclose(results[0], results[1], atol=1e-6)
    np.testing.assert_allclose(results[0], results[2], atol=1e-6)


@pytest.mark.usefixtures("as_on_an_accelerator")
def test_short_memory_halves_batches_and_is_counted() -> None:
    engine, plan = planned(LoadedModel("cubic", Cubic(), None, {}, None), batch_size=5)
    wanted = from_windows(engine, plan, 8)
    assert engine.counts.num_splits == 0
    engine, plan = planned(LoadedModel("cubic", Cubic(most=1), None, {}, None), batch_size=5)
    np.testing.assert_allclose(from_windows(engine, plan, 8), wanted, atol=1e-6)
    assert engine.counts.num_splits == 3  # 5, 3, 2, 1
    assert engine.batch_size == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused_before_they_spread(value: float) -> None:
    engine, plan = planned(LoadedModel("cubic", Cubic(fails_at=value), None, {}, None))
    window = plan_windows(plan, 2)[-1]
    with pytest.raises(ModelError, match=rf"cubic returned values.*row \d+, column \d+ of window {window.key}"):
        engine.run_window(cut_scene(), plan, window)


def test_a_failing_tile_names_itself_and_its_window_and_keeps_its_reason() -> None:
    engine, plan = planned(LoadedModel("cubic", Cubic(error=RuntimeError("no such operator.")), None, {}, None))
    with pytest.raises(
        TileError, match=r"RuntimeError: no such operator\. \(tile at LR row 0, .* r0000c0001\)"
    ) as caught:
        engine.run_window(cut_scene(), plan, plan_windows(plan, 2)[1])
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert caught.value.where.endswith("window r0000c0001")


def test_a_scene_that_cannot_be_read_keeps_its_kind_of_error() -> None:
    class Damaged(ArrayScene):
        def read(self, part: tuple[slice, slice]) -> tuple[np.ndarray, Mask]:
            raise RasterError("The pixels of x.tif cannot be read.", "Is the file complete?")

    engine, plan = planned(STUDENT)
    damaged = Damaged(np.zeros((3, 70, 90), np.float32), np.ones((70, 90), np.bool_))
    with pytest.raises(RasterError, match=r"cannot be read\. \(tile at .*window r0000c0000\) Is the file complete"):
        engine.run_window(damaged, plan, plan_windows(plan)[0])


@pytest.mark.parametrize("place", [(0, 0), (23, 24), (40, 41)])
def test_a_missing_pixel_reaches_no_farther_than_the_network_looks(place: tuple[int, int]) -> None:
    """Bicubic interpolation looks two pixels around; what is missing holds the largest number there is."""
    values, mask = cut_scene().read((slice(0, 70), slice(0, 90)))
    engine, plan = planned(LoadedModel("cubic", Cubic(), None, {}, None))
    clean = np.concatenate([rows.values for rows in engine.run(cut_scene(), plan)], axis=1)
    broken, holed = values.copy(), mask.copy()
    broken[:, *place], holed[place] = np.finfo(np.float32).max, False
    result = np.concatenate([rows.values for rows in engine.run(ArrayScene(broken, holed), plan)], axis=1)
    changed = np.argwhere((np.abs(result - clean) > 1e-6).any(axis=0)) / 4
    assert np.abs(changed - np.array(place)).max() <= 3
    assert np.abs(result).max() < 2
