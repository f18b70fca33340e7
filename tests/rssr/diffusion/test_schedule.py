from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rssr.diffusion.schedule import (
    NoiseSchedule,
    add_noise,
    denoise_in_one_step,
    entry_at,
    one_an_image,
    respaced_tables,
    scaled_linear_schedule,
    scaled_linear_tables,
    signal_share_at,
)


def test_stable_diffusions_table_has_1000_entries_and_its_ends() -> None:
    schedule = scaled_linear_schedule()
    assert schedule.num_train_timesteps == len(schedule.alphas_cumprod) == 1000
    low, high = schedule.bounds
    assert high == pytest.approx(1 - 0.00085, rel=1e-12)
    assert low == pytest.approx(0.004660095, rel=1e-6)


def test_table_equals_the_library_that_trained_the_unet() -> None:
    from diffusers import DDPMScheduler

    library = DDPMScheduler(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    torch.testing.assert_close(
        scaled_linear_schedule().alphas_cumprod, library.alphas_cumprod.double(), rtol=2e-5, atol=0
    )


def test_table_holds_values_whatever_the_default_device_is() -> None:
    with torch.device("meta"):
        schedule = scaled_linear_schedule()
    assert schedule.bounds == scaled_linear_schedule().bounds


@pytest.mark.parametrize("table", [[0.5, 0.9], [0.9, 0.5, 0.5], [[0.9, 0.5]], [0.9, float("nan")]])
def test_tables_that_do_not_descend_are_refused(table: list[float]) -> None:
    with pytest.raises(ValueError, match="strictly descending"):
        NoiseSchedule(torch.tensor(table))


@settings(deadline=None)
@given(st.lists(st.floats(-50, 1100), min_size=1, max_size=20))
def test_shares_are_linear_between_entries_and_constant_beyond_the_ends(timesteps: list[float]) -> None:
    schedule = scaled_linear_schedule()
    shares = signal_share_at(torch.tensor(timesteps, dtype=torch.float64), schedule)
    expected = np.interp(timesteps, np.arange(1000), schedule.alphas_cumprod.numpy())
    np.testing.assert_allclose(shares.numpy(), expected, rtol=1e-12)


def random_map(generator: torch.Generator) -> Tensor:
    low, high = scaled_linear_schedule().bounds
    return low + (high - low) * torch.rand(2, 1, 5, 7, generator=generator, dtype=torch.float64)


def test_one_step_denoising_inverts_noising_where_the_noise_is_known(generator: torch.Generator) -> None:
    latent, noise = torch.randn(2, 2, 4, 5, 7, generator=generator, dtype=torch.float64)
    share = random_map(generator)
    noisy = add_noise(latent, noise, share)
    torch.testing.assert_close(denoise_in_one_step(noisy, noise, share), latent, rtol=0, atol=1e-12)
    assert not torch.allclose(denoise_in_one_step(noisy, -noise, share), latent, atol=1e-2)


def test_noising_keeps_unit_variance(generator: torch.Generator) -> None:
    latent, noise = torch.randn(2, 8, 4, 50, 70, generator=generator, dtype=torch.float64)
    for share in (0.01, 0.5, 0.99):
        noisy = add_noise(latent, noise, torch.tensor(share, dtype=torch.float64))
        assert float(noisy.var()) == pytest.approx(1, abs=0.03)


def test_a_map_acts_position_by_position(generator: torch.Generator) -> None:
    latent, noise = torch.randn(2, 2, 4, 5, 7, generator=generator, dtype=torch.float64)
    share = random_map(generator)
    noisy = add_noise(latent, noise, share)
    for row, column in ((0, 0), (4, 6), (2, 3)):
        at = (slice(None), slice(None), slice(row, row + 1), slice(column, column + 1))
        torch.testing.assert_close(noisy[at], add_noise(latent[at], noise[at], share[at]), rtol=0, atol=0)


@pytest.mark.parametrize("case", range(5))
def test_tables_equal_recorded(case: int, vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("ldcsr_schedule")
    facts = recorded.facts["config"][case]
    tables = scaled_linear_tables(facts["linear_start"], facts["linear_end"], facts["timesteps"])
    names = [name for name in recorded.tensors if name.startswith(f"out/{facts['tag']}.")]
    assert len(names) == 12
    for name in names:
        recorded.assert_close(name, getattr(tables, name.rpartition(".")[2]))


def test_respaced_tables_keep_the_signal_share() -> None:
    tables = scaled_linear_tables(0.0015, 0.0155, 1000)
    few = respaced_tables(tables, [0, 499, 999])
    torch.testing.assert_close(few.alphas_cumprod, tables.alphas_cumprod[[0, 499, 999]])
    assert few.num_timesteps == 3
    every = respaced_tables(tables, list(range(1000)))
    torch.testing.assert_close(every.betas, tables.betas, atol=1e-6, rtol=1e-4)


def test_entries_are_taken_for_all_or_for_each() -> None:
    like = torch.zeros(2, 4, 3, 3)
    table = torch.tensor([1.0, 2.0, 3.0])
    assert entry_at(table, 2, like) == 3
    assert entry_at(table, torch.tensor([0, 2]), like).flatten().tolist() == [1, 3]


def test_an_entry_for_all_takes_part_wherever_the_batch_is() -> None:
    """So nothing is copied to an accelerator: a scalar of the CPU is allowed beside any device, even without values."""
    like = torch.zeros(2, 4, 3, 3, dtype=torch.float64, device="meta")
    entry = entry_at(torch.tensor([1.0, 2.0]), 1, like)
    assert (entry.device.type, entry.dtype) == ("cpu", torch.float64)
    assert (entry * like + entry.sqrt()).device.type == "meta"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, [3, 3]), (3.4, [3.4, 3.4]), (torch.tensor(7), [7, 7]), (torch.tensor([7, 9]), [7, 9])],
    ids=["whole", "fraction", "one tensor", "one each"],
)
def test_a_number_becomes_one_an_image(value: Tensor | float, expected: list[float]) -> None:
    found = one_an_image(value, torch.zeros(2, 3))
    assert found.tolist() == pytest.approx(expected)
    assert found.dtype == (torch.float32 if isinstance(value, float) else torch.int64)
