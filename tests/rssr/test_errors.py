import pickle
from collections.abc import Iterator

import pytest

from rssr import errors
from rssr.errors import ExitCode, RssrError, UserError


def all_errors(base: type[RssrError] = RssrError) -> Iterator[type[RssrError]]:
    yield base
    for derived in base.__subclasses__():
        yield from all_errors(derived)


def test_exit_codes_are_the_published_ones() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "OUR_FAULT": 1,
        "BAD_INPUT": 2,
        "COMPLETED_WITH_FAILURES": 3,
        "REFUSED": 4,
    }


@pytest.mark.parametrize("kind", list(all_errors()))
def test_errors_survive_the_way_between_processes(kind: type[RssrError]) -> None:
    error = pickle.loads(pickle.dumps(kind("It broke.", "Mend it.")))
    assert type(error) is kind
    assert (error.problem, error.remedy, str(error)) == ("It broke.", "Mend it.", "It broke. Mend it.")


def test_an_error_without_remedy_ends_with_its_problem() -> None:
    assert str(UserError("It broke.")) == "It broke."


@pytest.mark.parametrize("kind", [kind for kind in all_errors() if issubclass(kind, UserError)])
def test_what_a_reader_can_mend_ends_with_two(kind: type[RssrError]) -> None:
    assert kind.exit_code == 2


def test_other_errors_end_with_their_own_codes() -> None:
    assert errors.CompletedWithFailures.exit_code == 3
    assert errors.Refused.exit_code == 4
    assert errors.TrainingDiverged.exit_code == errors.CheckpointError.exit_code == 1
