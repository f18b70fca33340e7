"""From what came of a process to how its archive stands."""

import pytest

from pipelines.serving.archives.endings import ending_of
from pipelines.serving.archives.order import Outcome
from pipelines.serving.problems import KINDS
from rssr.errors import ExitCode

DEATH = "was killed by signal 9"


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_what_is_complete_is_complete_even_if_it_was_to_be_cancelled(is_cancelled: bool) -> None:
    assert ending_of(Outcome(ExitCode.DONE), "", is_cancelled, 0).state == "completed"
    partly = ending_of(Outcome(ExitCode.COMPLETED_WITH_FAILURES), "", is_cancelled, 0)
    assert partly.state == "completed_with_failures"


def test_a_process_that_died_is_tried_again_a_few_times() -> None:
    assert ending_of(None, DEATH, False, 1).state is None
    last = ending_of(None, DEATH, False, 0)
    assert last.state == "failed"
    assert last.problem is not None and "killed by signal 9" in last.problem["detail"]


def test_storage_that_is_away_is_waited_for() -> None:
    away = Outcome(ExitCode.BAD_INPUT, "StoreUnavailable", "It is away.", "Wait.", passes=True)
    assert ending_of(away, "", False, 1).state is None
    last = ending_of(away, "", False, 0)
    assert last.problem == {"slug": "busy", "detail": "It is away.", "remedy": "Wait."}


def test_bad_input_fails_at_once_and_says_why() -> None:
    bad = Outcome(ExitCode.BAD_INPUT, "DataError", "It is empty.", "Put scenes there.")
    ending = ending_of(bad, "", False, 5)
    assert ending.state == "failed"
    assert ending.problem == {"slug": "invalid-request", "detail": "It is empty.", "remedy": "Put scenes there."}


def test_our_own_faults_tell_nothing_but_their_kind() -> None:
    ending = ending_of(Outcome(ExitCode.OUR_FAULT, "ZeroDivisionError"), "", False, 5)
    assert ending.state == "failed" and ending.problem is not None
    assert ending.problem["slug"] == "internal" and "ZeroDivisionError" in ending.problem["detail"]


@pytest.mark.parametrize("outcome", [None, Outcome(ExitCode.BAD_INPUT, "DataError", "It is empty.")])
def test_what_was_to_be_cancelled_is(outcome: Outcome | None) -> None:
    assert ending_of(outcome, DEATH, True, 5).state == "cancelled"


@pytest.mark.parametrize("kind", ["ModelError", "WeightsError", "LeaseHeld", "LeaseLost", "StoreUnavailable", "Other"])
def test_every_problem_is_of_a_known_kind(kind: str) -> None:
    problem = ending_of(Outcome(ExitCode.BAD_INPUT, kind, "It."), "", False, 0).problem
    assert problem is not None and problem["slug"] in KINDS
