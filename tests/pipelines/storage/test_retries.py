import dataclasses
import time

import pytest

from pipelines.storage.retries import Failure, RetryPolicy, call_with_retries
from pipelines.storage.s3 import S3Store
from pipelines.storage.settings import CONNECT_TIMEOUT_S, StorageSettings
from pipelines.storage.uris import parse_uri
from rssr.errors import StorageError
from tests.conftest import free_port

FAST = RetryPolicy(num_attempts=4, first_delay_s=0.001, unreachable_s=0.02, busy_s=10.0)


class Trouble(Exception):
    pass


def _count(
    num_failures: int, failure: Failure, policy: RetryPolicy, takes_s: float = 0.0, is_known: bool = False
) -> int:
    attempts: list[int] = []

    def request(attempt: int) -> int:
        attempts.append(attempt)
        time.sleep(takes_s)
        if len(attempts) <= num_failures:
            raise Trouble
        return len(attempts)

    try:
        return call_with_retries(request, lambda error: failure, policy, is_known)
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
    assert _count(20, Failure.UNREACHABLE, FAST, takes_s=0.003, is_known=True) == 21
    impatient = dataclasses.replace(FAST, gone_s=0.02)
    assert _count(20, Failure.UNREACHABLE, impatient, takes_s=0.03, is_known=True) == -1
    assert _count(9, Failure.TRANSIENT, FAST, is_known=True) == -4


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


def test_a_server_that_was_reached_by_other_means_is_waited_for() -> None:
    address = f"http://127.0.0.1:{free_port()}"
    settings = StorageSettings(endpoint_url=address, access_key_id="a" * 8, secret_access_key="b" * 8)
    policy = RetryPolicy(num_attempts=1, first_delay_s=0.1, longest_delay_s=0.2, gone_s=2.0)

    def seconds(store: S3Store) -> float:
        started_s = time.monotonic()
        with pytest.raises(StorageError, match="no connection"):
            store.read_bytes("key")
        return time.monotonic() - started_s

    first, second = (S3Store(parse_uri(f"s3://{name}"), settings, policy) for name in ("first", "second"))
    assert seconds(second) < 1.5
    first.expect_answers()
    assert seconds(second) > 1.5
