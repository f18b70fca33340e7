import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rssr.losses.reconstruction import l1_loss, psnr_loss, total_variation


def test_l1_is_the_mean_absolute_error() -> None:
    assert float(l1_loss(torch.tensor([[1.0, -1.0]]), torch.tensor([[0.0, 1.0]]))) == 1.5


def test_the_psnr_loss_falls_by_one_for_ten_decibels() -> None:
    hr = torch.zeros(2, 3, 8, 8)
    for deviation in (0.5, 1.0):
        better = psnr_loss(hr + deviation / 10**0.5, hr)
        assert float(psnr_loss(hr + deviation, hr) - better) == pytest.approx(1, abs=1e-2)


def test_the_psnr_loss_wants_the_mean_and_the_absolute_error_the_median() -> None:
    hr = torch.tensor([0.0, 0.0, 0.0, 1.0]).reshape(1, 1, 2, 2)
    guesses = [torch.full_like(hr, value) for value in (0.0, 0.25, 0.5)]
    assert min(guesses, key=lambda sr: float(psnr_loss(sr, hr))) is guesses[1]
    assert min(guesses, key=lambda sr: float(l1_loss(sr, hr))) is guesses[0]


def test_every_image_weighs_the_same_in_the_psnr_loss(generator: torch.Generator) -> None:
    hr = torch.zeros(2, 1, 8, 8)
    sr = torch.rand(2, 1, 8, 8, generator=generator) * torch.tensor([0.2, 1.0]).reshape(2, 1, 1, 1)
    apart = [float(psnr_loss(sr[i : i + 1], hr[i : i + 1])) for i in range(2)]
    assert float(psnr_loss(sr, hr)) == pytest.approx(sum(apart) / 2)
    assert psnr_loss(hr.requires_grad_(), hr).isfinite()


def test_total_variation_of_a_small_map_by_hand() -> None:
    values = torch.tensor([[0.0, 1.0, 3.0], [2.0, 2.0, 2.0]]).reshape(1, 1, 2, 3)
    vertical = (4 + 1 + 1) / 3
    horizontal = (1 + 4 + 0 + 0) / 4
    assert float(total_variation(values)) == pytest.approx(vertical + horizontal)


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.floats(-3, 3))
def test_total_variation_is_zero_for_constants_only(height: int, width: int, value: float) -> None:
    constant = torch.full((2, 1, height, width), value)
    assert float(total_variation(constant)) == 0
    if height * width > 1:
        bent = constant.clone()
        bent[0, 0, 0, 0] += 1
        assert float(total_variation(bent)) > 0


def test_total_variation_does_not_prefer_a_direction(generator: torch.Generator) -> None:
    values = torch.rand(2, 1, 6, 9, generator=generator)
    variation = float(total_variation(values))
    for turned in (values.transpose(2, 3), values.flip(2), values.flip(3), values + 5):
        assert float(total_variation(turned)) == pytest.approx(variation, rel=1e-4)
    assert float(total_variation(2 * values)) == pytest.approx(4 * variation, rel=1e-4)


def test_total_variation_of_a_texture_does_not_depend_on_the_crops_size() -> None:
    checks = (torch.arange(64)[:, None] + torch.arange(64)[None, :]).remainder(2).float().reshape(1, 1, 64, 64)
    assert float(total_variation(checks)) == float(total_variation(checks[..., :16, :16])) == 2
