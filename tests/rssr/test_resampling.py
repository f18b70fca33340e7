import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rssr.resampling import resample, upsample_bicubic, upsample_bicubic_quickly

SIDES = st.integers(1, 12)


def enlarged_row(row: list[float], size: int) -> list[float]:
    """Keys' kernel with a = -0.75 and repeated edges, written out."""

    def weight(distance: float) -> float:
        a, d = -0.75, abs(distance)
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0

    result = []
    for index in range(size):
        position = (index + 0.5) * len(row) / size - 0.5
        first = int(np.floor(position)) - 1
        values = [row[min(max(first + offset, 0), len(row) - 1)] for offset in range(4)]
        result.append(sum(value * weight(position - first - offset) for offset, value in enumerate(values)))
    return result


@pytest.mark.parametrize("size", [7, 20, 24, 17])
def test_rows_follow_the_cubic_kernel(size: int) -> None:
    row = torch.tensor([0.1, -0.8, 0.5, 0.9, -1.0, 0.3, 0.0])
    sr = upsample_bicubic(row.expand(1, 1, 3, 7), (3, size))
    assert torch.allclose(sr[0, 0, 1], torch.tensor(enlarged_row(row.tolist(), size)), atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(SIDES, SIDES, st.integers(1, 40), st.integers(1, 40))
def test_any_size_works_and_flat_images_stay_flat(height: int, width: int, out_height: int, out_width: int) -> None:
    sr = upsample_bicubic(torch.full((2, 3, height, width), 0.7), (out_height, out_width))
    assert sr.shape == (2, 3, out_height, out_width)
    assert torch.allclose(sr, torch.full_like(sr, 0.7), atol=1e-5)


def test_the_same_size_changes_nothing() -> None:
    image = torch.linspace(-1, 1, 2 * 3 * 5 * 6).reshape(2, 3, 5, 6)
    assert torch.allclose(upsample_bicubic(image, (5, 6)), image, atol=1e-6)


def test_overshoot_is_kept() -> None:
    edge = torch.tensor([-1.0, -1.0, -1.0, 1.0, 1.0, 1.0]).expand(1, 1, 6, 6)
    sr = upsample_bicubic(edge, (24, 24))
    assert sr.max() > 1
    assert sr.min() < -1


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
def test_places_are_exact_whatever_the_type_of_the_image(mode: str) -> None:
    """Over 256 pixels bfloat16 would round places to whole pixels."""
    ramp = torch.linspace(0, 1, 256)[None, None, None].expand(1, 1, 8, 256).bfloat16()
    arguments = ((16, 400), mode, (0.5, 0.5), (0.3, 20.3))
    found, expected = resample(ramp, *arguments), resample(ramp.double(), *arguments)
    assert found.dtype == torch.bfloat16
    assert (found.double() - expected).abs().max() < 2**-8


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.integers(1, 40), st.integers(1, 40), st.integers(1, 3))
def test_opencv_enlarges_alike(height: int, width: int, out_height: int, out_width: int, count: int) -> None:
    """No smaller size is asked for."""
    size = max(height, out_height), max(width, out_width)
    image = torch.randn(count, 2, height, width).transpose(0, 1)  # not contiguous
    torch.testing.assert_close(
        upsample_bicubic_quickly(image, size), upsample_bicubic(image, size), atol=1e-5, rtol=1e-5
    )
