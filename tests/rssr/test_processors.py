"""How many threads a process works with."""

import os

import pytest

from rssr.processors import usual_threads


@pytest.mark.parametrize("told", ["1", "1,2", " 1 "])
def test_fewer_threads_may_be_asked_for(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert usual_threads() == 1


@pytest.mark.parametrize("told", ["", "many", "100000"])
def test_there_are_never_more_than_processors(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert usual_threads() == len(os.sched_getaffinity(0))


def test_none_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "0")
    assert usual_threads() == 1
