"""Bounded retries: a store that is busy is asked again, one that is not there is reported within seconds.

One that was there and has gone is waited for: a server that is started anew costs a training run nothing.
"""

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

Result = TypeVar("Result")

_answered: set[str] = set()  # servers that this process has reached, or knows to have been reached


class Failure(Enum):
    """Why a request failed, as far as it decides what to do next."""

    UNREACHABLE = "unreachable"  # no connection: wrong address, server down
    TRANSIENT = "transient"  # throttled, 5xx, reset or timed out after connecting
    PERMANENT = "permanent"


@dataclass(frozen=True)
class RetryPolicy:
    """When to ask again.

    Args:
        num_attempts: Requests in all, the first included.
        first_delay_s: Pause before the second request; doubles each time, with jitter.
        longest_delay_s: Upper bound of one pause.
        unreachable_s: No new attempt after this time where no connection could be made.
        busy_s: No new attempt after this time where the store answers badly or too late.
        gone_s: The same where no connection can be made any more, however many attempts that takes.
    """

    num_attempts: int = 7
    first_delay_s: float = 0.2
    longest_delay_s: float = 8.0
    unreachable_s: float = 10.0
    busy_s: float = 60.0
    gone_s: float = 120.0

    def allows(self, num_made: int, waited_s: float, failure: Failure, is_known: bool) -> bool:
        """Whether there is to be another attempt; `is_known` tells whether the server has been reached before."""
        if failure is Failure.UNREACHABLE and is_known:
            return waited_s <= self.gone_s
        patience_s = self.unreachable_s if failure is Failure.UNREACHABLE else self.busy_s
        return num_made < self.num_attempts and waited_s <= patience_s

    def delay_s(self, attempt: int) -> float:
        """Pause after the given attempt (0-based): exponential, between half and full length.

        The jitter only spreads requests in time; nothing that is computed depends on it.
        """
        longest = min(self.first_delay_s * 2.0**attempt, self.longest_delay_s)
        return longest * random.uniform(0.5, 1.0)


def has_answered(server: str) -> bool:
    """Whether a server has been reached by this job before."""
    return server in _answered


def note_answer(server: str) -> None:
    """Take note that a server has been reached."""
    _answered.add(server)


def call_with_retries(
    request: Callable[[int], Result],
    classify: Callable[[Exception], Failure],
    policy: RetryPolicy,
    is_known: bool = False,
) -> Result:
    """Run a request until it succeeds, fails for good or the policy's bounds are met.

    Args:
        request: Called with the number of the attempt, from 0.
        classify: Sorts what it raises.
        policy: Bounds.
        is_known: Whether the server has been reached before.

    Raises:
        Exception: The last one the request raised.
    """
    started_s = time.monotonic()
    for attempt in itertools.count():
        try:
            return request(attempt)
        except Exception as error:
            failure = classify(error)
            waited_s = time.monotonic() - started_s
            if failure is Failure.PERMANENT or not policy.allows(attempt + 1, waited_s, failure, is_known):
                raise
        time.sleep(policy.delay_s(attempt))
    raise AssertionError("counting does not end")
