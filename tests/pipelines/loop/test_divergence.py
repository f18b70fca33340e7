import math

import pytest

from pipelines.loop.divergence import DivergenceGuard
from rssr.errors import TrainingDiverged


def guard(patience: int = 2, max_growth: float = 10.0) -> DivergenceGuard:
    return DivergenceGuard("student", patience, max_growth, lambda: "runs/step-00000040")


def warm(one: DivergenceGuard, value: float = 1.0) -> None:
    for step in range(100):
        assert one.is_good(step, {"loss/student": value})


@pytest.mark.parametrize("name", ["loss/student", "gradient_norm/student"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_bad_from_the_first_step(name: str, value: float) -> None:
    one = guard()
    assert not one.is_good(0, {"loss/student": 1.0, name: value})
    assert one.in_doubt


def test_a_loss_that_leaps_is_bad_once_there_is_something_to_compare_with() -> None:
    one = guard()
    assert one.is_good(0, {"loss/student": 1e9})
    warm(one)
    assert one.is_good(100, {"loss/student": 10.0})
    assert one.is_good(101, {"loss/student": -99.0})
    assert not one.is_good(102, {"loss/student": 1000.0})


def test_a_gradient_may_leap_since_it_is_clipped() -> None:
    one = guard()
    for step in range(100):
        assert one.is_good(step, {"loss/student": 1.0, "gradient_norm/student": 1.0})
    assert one.is_good(100, {"loss/student": 1.0, "gradient_norm/student": 1e6})


def test_terms_are_told_but_not_judged() -> None:
    assert guard().is_good(0, {"loss/student": 1.0, "term/psnr": math.inf})


def test_bad_steps_are_borne_until_patience_ends_and_the_last_good_checkpoint_is_named() -> None:
    one = guard(patience=2)
    bad = {"loss/student": math.nan}
    assert not one.is_good(7, bad)
    assert not one.is_good(8, bad)
    with pytest.raises(TrainingDiverged, match="student, step 9: loss/student is not finite; 3 bad") as raised:
        one.is_good(9, bad)
    assert "runs/step-00000040" in raised.value.remedy


def test_a_good_step_restores_patience() -> None:
    one = guard(patience=1)
    for step in range(10):
        assert one.is_good(2 * step, {"loss/student": 1.0})
        assert not one.is_good(2 * step + 1, {"loss/student": math.nan})


def test_a_resumed_run_judges_as_the_first_would_have() -> None:
    one, other = guard(), guard()
    warm(one)
    assert not one.is_good(100, {"loss/student": 1000.0})
    other.restore(one.to_json())
    assert other.in_doubt
    assert not other.is_good(101, {"loss/student": 1000.0})
    with pytest.raises(TrainingDiverged):
        other.is_good(102, {"loss/student": 1000.0})
