import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rssr.configuration import config_digest
from rssr.methods.training import TrainingConfig


def config(**values: Any) -> TrainingConfig:
    return TrainingConfig(**{"num_steps": 100, "batch_size": 1, "patch_size": 64, "learning_rate": 0.2, **values})


def test_without_warmup_and_decay_the_rate_is_constant() -> None:
    assert [config().learning_rate_at(step) for step in (0, 50, 99)] == [0.2, 0.2, 0.2]


def test_warmup_rises_in_equal_parts_to_the_full_rate() -> None:
    warm = config(warmup_steps=4)
    assert [warm.learning_rate_at(step) for step in range(6)] == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.2, 0.2])


def test_cosine_falls_from_the_full_rate_to_a_hundredth_at_the_last_step() -> None:
    falling = config(num_steps=101, decay="cosine")
    rates = [falling.learning_rate_at(step) for step in (0, 25, 50, 75, 100)]
    quarter = 0.99 * 0.5 * (1 + math.cos(math.pi / 4)) + 0.01
    expected = [1.0, quarter, 0.505, 1.01 - quarter, 0.01]
    assert rates == pytest.approx([0.2 * part for part in expected])


def test_cosine_starts_after_warmup() -> None:
    both = config(num_steps=30, warmup_steps=10, decay="cosine")
    assert both.learning_rate_at(9) == both.learning_rate_at(10) == 0.2
    assert both.learning_rate_at(29) == pytest.approx(0.002)


def test_a_shorter_schedule_within_a_phase_ends_with_it() -> None:
    """Objectives that are trained in a part of a phase only have their own schedule over that part."""
    falling = config(num_steps=100, warmup_steps=2, decay="cosine")
    rates = [falling.learning_rate_at(step, num_steps=21) for step in range(21)]
    assert rates == [config(num_steps=21, warmup_steps=2, decay="cosine").learning_rate_at(step) for step in range(21)]
    assert rates[20] == pytest.approx(0.002)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(0, 70), st.sampled_from(["none", "cosine"]))
def test_rates_are_positive_bounded_and_rise_then_fall(num_steps: int, warmup_steps: int, decay: str) -> None:
    settings = config(num_steps=num_steps, warmup_steps=warmup_steps, decay=decay)
    rates = [settings.learning_rate_at(step) for step in range(num_steps)]
    assert all(0 < rate <= 0.2 + 1e-12 for rate in rates)
    peak = min(warmup_steps, num_steps)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


@pytest.mark.parametrize("key", ["log", "validate", "checkpoint"])
def test_intervals_do_not_decide_what_a_phase_yields(key: str) -> None:
    changed = config(**{f"{key}_every_n_steps": 7})
    assert config_digest(changed.digest_values()) == config_digest(config().digest_values())


@pytest.mark.parametrize(
    "change", [{"num_steps": 101}, {"learning_rate": 0.1}, {"betas": (0.5, 0.9)}, {"precision": "bfloat16"}]
)
def test_what_is_learnt_does(change: dict[str, Any]) -> None:
    assert config_digest(config(**change).digest_values()) != config_digest(config().digest_values())


@pytest.mark.parametrize("values", [{"num_steps": 0}, {"learning_rate": 0}, {"patch_size": 8}, {"precison": "float32"}])
def test_impossible_values_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**values)
