from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rssr.degradation.blur import MAX_ERROR, blur, separate_kernel, trim_kernel
from rssr.degradation.draws import KernelDraw, KernelKind
from rssr.degradation.kernels import build_kernel
from rssr.degradation.reference_steps import filter2d

_KINDS: list[KernelKind] = [
    "iso",
    "aniso",
    "generalized_iso",
    "generalized_aniso",
    "plateau_iso",
    "plateau_aniso",
    "sinc",
]
_draws = st.builds(
    KernelDraw,
    kind=st.sampled_from(_KINDS),
    size=st.integers(3, 10).map(lambda half: 2 * half + 1),
    sigma_x=st.floats(0.2, 3),
    sigma_y=st.floats(0.2, 3),
    theta=st.floats(-3.2, 3.2),
    beta=st.floats(0.5, 4),
    cutoff=st.floats(0.7, 3.14),
)


@settings(max_examples=120, deadline=None)
@given(draw=_draws, height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 999))
def test_blur_agrees_with_plain_correlation_for_any_size(draw: KernelDraw, height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    kernel = build_kernel(draw)
    batch = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0).double()
    expected = filter2d(batch, torch.from_numpy(kernel).unsqueeze(0))[0].permute(1, 2, 0).numpy()
    for source in (image, image.astype(np.float32)):
        assert np.abs(blur(source, kernel) - expected).max() < 255 * MAX_ERROR + 1e-3


def test_symmetric_gaussian_needs_one_separable_filter() -> None:
    assert len(separate_kernel(build_kernel(KernelDraw("iso", 21, sigma_x=1.5)))) == 1


def test_narrow_kernel_is_trimmed_and_keeps_its_sum() -> None:
    trimmed = trim_kernel(build_kernel(KernelDraw("iso", 21, sigma_x=0.5)))
    assert trimmed.shape == (5, 5)
    assert trimmed.sum() == pytest.approx(1, abs=1e-12)


def test_constant_image_stays_constant(make_photo: Callable[..., npt.NDArray[np.uint8]]) -> None:
    image = np.full_like(make_photo(31, 18), 77)
    for kind in _KINDS:
        blurred = blur(image, build_kernel(KernelDraw(kind, 15, 1.1, 0.4, 0.3, 1.4, 2.0)))
        np.testing.assert_allclose(blurred, 77, rtol=0, atol=1e-3)
