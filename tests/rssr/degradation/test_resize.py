from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rssr.degradation.draws import ResizeMode
from rssr.degradation.reference_steps import resize_by_factor, resize_to_size
from rssr.degradation.resize import resize_by, resize_to

_MODES: tuple[ResizeMode, ...] = get_args(ResizeMode)
_ATOL = 0.02  # grey levels: float32 coordinates


def _random_image(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (height, width, 3)).astype(np.float32)


def _batch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0)


@settings(max_examples=150, deadline=None)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    factor=st.floats(0.15, 1.5),
    mode=st.sampled_from(_MODES),
    seed=st.integers(0, 999),
)
@example(height=40, width=60, factor=0.995, mode="bilinear", seed=0)  # rounds to the size it had
@example(height=40, width=60, factor=1.005, mode="bicubic", seed=0)  # keeps both sides
@example(height=40, width=60, factor=1.02, mode="bilinear", seed=0)  # keeps one side
def test_resize_by_factor_agrees_with_pytorch(
    height: int, width: int, factor: float, mode: ResizeMode, seed: int
) -> None:
    image = _random_image(height, width, seed)
    expected = resize_by_factor(_batch(image), factor, mode)[0].permute(1, 2, 0).numpy()
    resized = resize_by(image, factor, mode)
    assert resized.shape == (max(1, int(height * factor)), max(1, int(width * factor)), 3)
    np.testing.assert_allclose(resized, expected, rtol=0, atol=_ATOL)


@settings(max_examples=150, deadline=None)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    mode=st.sampled_from(_MODES),
    seed=st.integers(0, 999),
)
def test_resize_to_size_agrees_with_pytorch(
    height: int, width: int, size: tuple[int, int], mode: ResizeMode, seed: int
) -> None:
    image = _random_image(height, width, seed)
    expected = resize_to_size(_batch(image), size, mode)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(resize_to(image, size, mode), expected, rtol=0, atol=_ATOL)


@pytest.mark.parametrize("mode", _MODES)
def test_coordinates_come_from_the_factor_and_not_from_rounded_sizes(mode: ResizeMode) -> None:
    ramp = np.repeat(np.arange(100, dtype=np.float32)[None, :, None], 3, axis=2).repeat(4, axis=0)
    resized = resize_by(ramp, 0.999, mode)
    expected = 49.5 if mode == "area" else 49.5 / 0.999 - 0.5  # the mean of pixels 49 and 50; the scaled centre
    assert resized.shape == (3, 99, 3)
    assert resized[0, 49, 0] == pytest.approx(expected, abs=0.05)  # cubic weights bend a ramp a little
