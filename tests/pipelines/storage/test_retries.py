import dataclasses
import time

import pytest

from pipelines.storage.retries import Failure, RetryPolicy, call_with_retries
from pipelines.storage.settings import CONNECT_TIMEOUT_S

FAST = RetryPolicy(num_attempts=4, first_delay_s=0.001, unreachable_s=0.02, busy_s=10.0)


class Trouble(Exception):
    pass


def _count(
    num_failures: int, failure: Failure, policy: RetryPolicy, takes_s: float = 0.0, has_answered: bool = False
) -> int:
    attempts: list[int] = []

    def request(attempt: int) -> int:
        attempts.append(attempt)
        time.sleep(takes_s)
        if len(attempts) <= num_failures:
            raise Trouble
        return len(attempts)

    try:
        return call_with_retries(request, lambda error: failure, policy, has_answered)
    except Trouble:
        return -len(attempts)


@pytest.mark.parametrize(("num_failures", "outcome"), [(0, 1), (1, 2), (3, 4), (4, -4)])
def test_attempts_are_bounded(num_failures: int, outcome: int) -> None:
    assert _count(num_failures, Failure.TRANSIENT, FAST) == outcome


def test_permanent_failures_are_final() -> None:
    assert _count(1, Failure.PERMANENT, FAST) == -1


def test_patience_with_unreachable_stores_is_shorter() -> None:
    assert _count(9, Failure.UNREACHABLE, FAST, takes_s=0.03) == -1
    assert _count(9, Failure.TRANSIENT, FAST, takes_s=0.03) == -4


def test_a_store_that_has_gone_is_waited_for_however_many_attempts_that_takes() -> None:
    assert _count(20, Failure.UNREACHABLE, FAST, takes_s=0.003, has_answered=True) == 21
    impatient = dataclasses.replace(FAST, gone_s=0.02)
    assert _count(20, Failure.UNREACHABLE, impatient, takes_s=0.03, has_answered=True) == -1
    assert _count(9, Failure.TRANSIENT, FAST, has_answered=True) == -4


def test_default_bounds_an_unreachable_store_below_half_a_minute() -> None:
    policy = RetryPolicy()
    waited_s = 0.0
    for attempt in range(policy.num_attempts):
        waited_s += CONNECT_TIMEOUT_S
        if waited_s > policy.unreachable_s:
            break
        waited_s += min(policy.first_delay_s * 2**attempt, policy.longest_delay_s)
    assert waited_s < 30


def test_pauses_double_up_to_a_bound_and_are_spread() -> None:
    policy = RetryPolicy(first_delay_s=0.5, longest_delay_s=3.0)
    for attempt, longest in enumerate((0.5, 1.0, 2.0, 3.0, 3.0)):
        pauses = [policy.delay_s(attempt) for _ in range(200)]
        assert longest / 2 <= min(pauses) < 0.6 * longest
        assert 0.9 * longest < max(pauses) <= longest


def test_all_pauses_together_are_bounded() -> None:
    policy = RetryPolicy()
    longest = [min(policy.first_delay_s * 2**attempt, policy.longest_delay_s) for attempt in range(policy.num_attempts)]
    assert sum(longest[:-1]) < 30, "a busy store is given up within half a minute beyond its own answers"
