import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rssr.diffusion.inversion import bound_signal_share, invert_schedule, uncertainty_signal_share
from rssr.diffusion.schedule import NoiseSchedule, scaled_linear_schedule, signal_share_at

SCHEDULE = scaled_linear_schedule()
TABLE = SCHEDULE.alphas_cumprod
LAST = 999

# Any strictly descending table of at least two entries within (0, 1).
tables = st.lists(st.integers(1, 999), min_size=2, max_size=30, unique=True).map(
    lambda values: NoiseSchedule(torch.tensor(sorted(values, reverse=True), dtype=torch.float64) / 1000)
)


def slopes(schedule: NoiseSchedule) -> Tensor:
    """Change of the timestep with the signal share, by segment."""
    return -1 / (schedule.alphas_cumprod[:-1] - schedule.alphas_cumprod[1:])


def gradient(share: Tensor, schedule: NoiseSchedule = SCHEDULE) -> Tensor:
    share = share.clone().requires_grad_()
    invert_schedule(share, schedule).sum().backward()  # type: ignore[no-untyped-call]
    assert share.grad is not None
    return share.grad


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-3)])
def test_inverts_the_schedule(dtype: torch.dtype, tolerance: float, generator: torch.Generator) -> None:
    between = torch.rand(20_000, generator=generator, dtype=torch.float64) * LAST
    timesteps = torch.cat([torch.arange(1000, dtype=torch.float64), between])
    shares = signal_share_at(timesteps, SCHEDULE).to(dtype)
    found = invert_schedule(shares, SCHEDULE)
    assert found.dtype == dtype
    assert float((found.double() - timesteps).abs().max()) <= tolerance


@settings(deadline=None)
@given(tables, st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=20))
def test_equals_an_independent_interpolation_of_any_table(schedule: NoiseSchedule, shares: list[float]) -> None:
    found = invert_schedule(torch.tensor(shares, dtype=torch.float64), schedule)
    entries = schedule.alphas_cumprod.numpy()
    expected = np.interp(shares, entries[::-1], np.arange(len(entries))[::-1])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)


@settings(deadline=None)
@given(st.lists(st.floats(-0.2, 1.2), min_size=2, max_size=50))
def test_more_signal_never_means_a_later_timestep(shares: list[float]) -> None:
    found = invert_schedule(torch.tensor(sorted(shares), dtype=torch.float64), SCHEDULE)
    assert bool((found[1:] <= found[:-1]).all())
    assert 0 <= float(found.min()) <= float(found.max()) <= LAST


def test_shares_beyond_the_table_clamp_to_its_ends_without_gradient() -> None:
    beyond = torch.tensor([-1.0, 0.0, float(TABLE[-1]) / 2, 0.9999, 1.0, 7.0], dtype=torch.float64)
    assert invert_schedule(beyond, SCHEDULE).tolist() == [LAST, LAST, LAST, 0, 0, 0]
    assert gradient(beyond).tolist() == [0] * 6


@settings(deadline=None)
@given(tables)
def test_gradient_between_entries_is_the_segments_slope(schedule: NoiseSchedule) -> None:
    middle = (schedule.alphas_cumprod[:-1] + schedule.alphas_cumprod[1:]) / 2
    torch.testing.assert_close(gradient(middle, schedule), slopes(schedule))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gradient_at_entries_is_finite_and_that_of_a_neighbouring_segment(dtype: torch.dtype) -> None:
    inner = gradient(TABLE[1:-1].to(dtype)).double()
    before, after = slopes(SCHEDULE)[:-1], slopes(SCHEDULE)[1:]
    distance = torch.minimum((inner / before - 1).abs(), (inner / after - 1).abs())
    assert float(distance.max()) < 1e-3
    assert gradient(TABLE[[0, -1]].to(dtype)).isfinite().all()


def test_gradient_agrees_with_differences(generator: torch.Generator) -> None:
    inside = torch.rand(30, generator=generator, dtype=torch.float64) * 0.9 + 0.05
    assert torch.autograd.gradcheck(
        lambda share: invert_schedule(share, SCHEDULE), (inside.requires_grad_(),), eps=1e-9, atol=1e-2, rtol=1e-4
    )


def test_shape_is_kept_even_of_strided_maps() -> None:
    shares = torch.rand(2, 5, 7, 1).permute(0, 3, 2, 1)
    assert torch.equal(invert_schedule(shares, SCHEDULE), invert_schedule(shares.contiguous(), SCHEDULE))
    assert invert_schedule(shares, SCHEDULE).shape == (2, 1, 7, 5)


@settings(deadline=None)
@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20))
def test_bounded_shares_stay_within_the_table(logits: list[float]) -> None:
    shares = bound_signal_share(torch.tensor(logits, dtype=torch.float64), SCHEDULE)
    low, high = SCHEDULE.bounds
    assert low - 1e-15 <= float(shares.min()) <= float(shares.max()) <= high + 1e-15


def test_bounds_are_approached_and_the_middle_is_the_middle() -> None:
    low, high = SCHEDULE.bounds
    shares = bound_signal_share(torch.tensor([-60.0, 0.0, 60.0], dtype=torch.float64), SCHEDULE)
    assert shares.tolist() == pytest.approx([low, (low + high) / 2, high], rel=1e-9)


def test_half_precision_logits_still_tell_timesteps_apart() -> None:
    """In bfloat16 neighbouring entries are equal, and a segment of no length has no position."""
    logits = torch.linspace(-9, 9, 200, dtype=torch.bfloat16, requires_grad=True)
    timesteps = invert_schedule(bound_signal_share(logits, SCHEDULE), SCHEDULE)
    assert timesteps.dtype == torch.float32
    exact = invert_schedule(bound_signal_share(logits.detach().double(), SCHEDULE), SCHEDULE)
    torch.testing.assert_close(timesteps.double(), exact, rtol=0, atol=1e-2)
    timesteps.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert invert_schedule(torch.linspace(0, 1, 300, dtype=torch.bfloat16), SCHEDULE).isfinite().all()


def test_guideline_lowers_the_share_where_the_latent_is_uncertain() -> None:
    variance = torch.tensor([0.0, 0.5, 1.0, 3.0])
    assert uncertainty_signal_share(torch.tensor(1.0), variance).tolist() == pytest.approx([1, 2 / 3, 0.5, 0.25])
