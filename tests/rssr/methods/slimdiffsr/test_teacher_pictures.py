from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from rssr.losses.uncertainty import PRIOR_FACTOR
from rssr.methods.figures import Figure, HeldOutImage
from rssr.methods.phase import Batch
from rssr.methods.slimdiffsr.latents import encode_image
from rssr.methods.slimdiffsr.teacher import Teacher
from rssr.methods.slimdiffsr.teacher_pictures import draw_features, draw_uncertainty, map_latents, rank_correlation
from rssr.methods.validation import psnr
from rssr.resampling import upsample_bicubic
from rssr.value_map import ValueMap


@pytest.fixture
def make_teacher(build: Callable[..., Any], shaken: Callable[[torch.nn.Module], None]) -> Callable[..., Teacher]:
    """A teacher whose predictor yields a map that is not flat."""

    def make(**changes: Any) -> Teacher:
        teacher: Teacher = build("teacher", teacher=changes).teacher
        shaken(teacher.predictor)
        return teacher.eval()

    return make


@pytest.fixture
def images(batch: Batch) -> list[HeldOutImage]:
    pairs = [Batch(batch.lr[[number]], batch.hr[[number]], batch.scale) for number in range(2)]
    return [HeldOutImage(f"{number}.png", pair) for number, pair in enumerate(pairs)]


def maps_of(figure: Figure, name: str) -> list[ValueMap]:
    found = [row.pictures[name] for row in figure.rows]
    assert all(isinstance(shown, ValueMap) for shown in found)
    return [shown for shown in found if isinstance(shown, ValueMap)]


def test_the_timestep_shown_is_the_one_that_the_teacher_uses_in_training(
    make_teacher: Callable[..., Teacher], images: list[HeldOutImage]
) -> None:
    teacher, pair = make_teacher(), images[0].pair
    with torch.no_grad():
        used = teacher(upsample_bicubic(pair.lr, (64, 64)), pair.hr).timestep
    [shown, _] = maps_of(draw_uncertainty(teacher, images), "timestep t*")
    assert np.ptp(shown.values) > 0.1
    np.testing.assert_array_equal(shown.values, used[0, 0].numpy())
    assert 0 <= shown.extent[0] <= shown.extent[1] <= 999


def test_expected_and_actual_error_are_root_mean_squares_in_the_same_unit(
    make_teacher: Callable[..., Teacher], images: list[HeldOutImage]
) -> None:
    teacher, pair = make_teacher(), images[1].pair
    found = map_latents(teacher, pair)
    with torch.no_grad():
        mean, log_variance = teacher.estimator(encode_image(teacher.autoencoder, upsample_bicubic(pair.lr, (64, 64))))
        hr = encode_image(teacher.autoencoder, pair.hr)
    assert found.actual_error.shape == found.expected_error.shape == (1, 1, 8, 8)
    assert found.actual_error.square().mean() == pytest.approx(float((hr - mean).square().mean()))
    assert found.expected_error.square().mean() == pytest.approx(PRIOR_FACTOR * float(log_variance.exp().mean()))


def test_maps_of_one_column_share_their_scale(make_teacher: Callable[..., Teacher], images: list[HeldOutImage]) -> None:
    figure = draw_uncertainty(make_teacher(), images)
    assert [row.label.partition(":")[0] for row in figure.rows] == ["0.png", "1.png"]
    for name in ("expected error", "actual error", "timestep t*"):
        first, second = maps_of(figure, name)
        low, high = np.quantile(np.stack([first.values, second.values]), (0.01, 0.99))
        assert first.limits == second.limits == pytest.approx((low, high), rel=1e-4)
        assert low < high


def test_a_fixed_timestep_has_no_map_to_show(make_teacher: Callable[..., Teacher], images: list[HeldOutImage]) -> None:
    figure = draw_uncertainty(make_teacher(timestep="fixed", fixed_timestep=250), images)
    assert all("timestep t*" not in row.pictures for row in figure.rows)
    assert "fixed timestep 250" in figure.text


@pytest.mark.parametrize(
    ("timestep", "rows"),
    [
        ("map", ["timestep map", "scalar timestep", "fixed timestep 250"]),
        ("scalar", ["scalar timestep", "fixed timestep 250"]),
        ("fixed", ["fixed timestep 250"]),
    ],
)
def test_features_are_of_one_teacher_at_the_timesteps_that_it_knows(
    make_teacher: Callable[..., Teacher], images: list[HeldOutImage], timestep: str, rows: list[str]
) -> None:
    teacher = make_teacher(timestep=timestep, fixed_timestep=250)
    figure = draw_features(teacher, images[0])
    assert all(row.label.startswith(start) for row, start in zip(figure.rows, rows, strict=True))
    assert f"timestep={timestep}" in figure.text
    with torch.no_grad():
        output = teacher(upsample_bicubic(images[0].pair.lr, (64, 64)), images[0].pair.hr)
    assert f"SR image {psnr(output.sr, images[0].pair.hr):.2f} dB" in figure.rows[0].label
    for level, name in {"down0": "down 0", "mid": "middle", "up1": "up 1"}.items():
        expected = output.features[level][0].abs().mean(dim=0).numpy()
        np.testing.assert_allclose(maps_of(figure, name)[0].values, expected, rtol=1e-5)


def test_another_timestep_changes_the_features_and_the_row_says_by_how_much(
    make_teacher: Callable[..., Teacher], images: list[HeldOutImage]
) -> None:
    figure = draw_features(make_teacher(fixed_timestep=900), images[0])
    own, _, fixed = (row.label for row in figure.rows)
    assert "differ" not in own
    assert float(fixed.rpartition("by ")[2].removesuffix("%")) > 0
    first, _, other = maps_of(figure, "up 1")
    assert not np.array_equal(first.values, other.values)
    assert first.limits == other.limits


def test_rank_correlation_sees_order_alone() -> None:
    values = np.array([[1, 2], [30, 4]], np.float32)
    assert rank_correlation(values, values**3) == pytest.approx(1)
    assert rank_correlation(values, -values) == pytest.approx(-1)
    assert rank_correlation(values, np.array([[1, 2], [3, 4]], np.float32)) == pytest.approx(0.8)
    assert np.isnan(rank_correlation(values, np.ones_like(values)))
