"""Bounded retries: a store that is busy is asked again, one that is not there is reported within seconds."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

Result = TypeVar("Result")


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
    """

    num_attempts: int = 7
    first_delay_s: float = 0.2
    longest_delay_s: float = 8.0
    unreachable_s: float = 10.0
    busy_s: float = 60.0

    def delay_s(self, attempt: int) -> float:
        """Pause after the given attempt (0-based): exponential, between half and full length.

        The jitter only spreads requests in time; nothing that is computed depends on it.
        """
        longest = min(self.first_delay_s * 2.0**attempt, self.longest_delay_s)
        return longest * random.uniform(0.5, 1.0)


def call_with_retries(
    request: Callable[[int], Result], classify: Callable[[Exception], Failure], policy: RetryPolicy
) -> Result:
    """Run a request until it succeeds, fails for good or the policy's bounds are met.

    Args:
        request: Called with the number of the attempt, from 0.
        classify: Sorts what it raises.
        policy: Bounds.

    Raises:
        Exception: The last one the request raised.
    """
    started_s = time.monotonic()
    for attempt in range(policy.num_attempts):
        try:
            return request(attempt)
        except Exception as error:
            failure = classify(error)
            last = attempt == policy.num_attempts - 1
            waited_s = time.monotonic() - started_s
            patience_s = policy.unreachable_s if failure is Failure.UNREACHABLE else policy.busy_s
            if failure is Failure.PERMANENT or last or waited_s > patience_s:
                raise
        time.sleep(policy.delay_s(attempt))
    raise AssertionError("a policy allows at least one attempt")
