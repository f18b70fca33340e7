import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rssr.degradation import degradation_preset, draw_degradation
from rssr.degradation.draws import KernelDraw
from rssr.degradation.kernels import build_kernel, pad_kernel, pulse_kernel, sinc_kernel

_NAMES = {"sig_x": "sigma_x", "sig_y": "sigma_y", "theta": "theta", "beta": "beta", "cutoff": "cutoff"}


def test_kernels_agree_with_published_vectors(
    load_vector: Callable[[str], tuple[dict[str, Tensor], dict[str, Any]]],
) -> None:
    tensors, description = load_vector("degradation_kernels")
    for case in description["config"]:
        parameters = {ours: case[theirs] for theirs, ours in _NAMES.items() if theirs in case}
        draw = KernelDraw(case["kind"].removesuffix("_padded"), case["kernel_size"], **parameters)
        kernel = build_kernel(draw)
        if "pad_to" in case:
            kernel = pad_kernel(kernel, case["pad_to"])
        expected = tensors[f"out/kernel{case['index']:02d}"].numpy()
        np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["slimdiffsr", "real-esrgan"])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**63 - 1))
def test_drawn_kernels_keep_brightness_and_position(kind: str, seed: int) -> None:
    first = draw_degradation(degradation_preset(kind), 4, seed, (64, 64)).first
    assert first is not None
    assert first.blur is not None
    kernel = build_kernel(first.blur)
    assert kernel.shape == (first.blur.size, first.blur.size)
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], rtol=0, atol=1e-12)


def test_rotation_turns_x_towards_y() -> None:
    kernel = build_kernel(KernelDraw("aniso", 15, sigma_x=3.0, sigma_y=0.5, theta=math.pi / 4))
    assert kernel[10, 10] > 100 * kernel[10, 4]  # rows are y, columns x


def test_sinc_passes_low_and_stops_high_frequencies() -> None:
    response = np.abs(np.fft.fft2(sinc_kernel(21, math.pi / 2)))
    assert response[0, 2] == pytest.approx(1, abs=0.1)
    assert response[10, 10] < 0.05


def test_padding_keeps_the_centre() -> None:
    padded = pad_kernel(sinc_kernel(7, 2.0))
    assert padded.shape == (21, 21)
    assert padded.argmax() == pulse_kernel().argmax() == 10 * 21 + 10
    assert pulse_kernel().sum() == 1
