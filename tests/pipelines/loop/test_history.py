import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.loop.history import History, as_reported

TERMS = st.dictionaries(st.sampled_from(["loss", "l1", "mmd"]), st.floats(allow_nan=False), min_size=1)


def through_json(history: History) -> History:
    return History.from_json(json.loads(json.dumps(history.to_json())))


def test_an_interval_reports_the_mean_of_each_term_over_the_steps_that_had_it() -> None:
    history = History()
    for terms in ({"loss": 1.0, "late": 5.0}, {"loss": 2.0}, {"loss": 6.0}):
        history.add(terms)
    logged = history.log(3, samples_per_step=8)
    assert (logged["loss"], logged["late"]) == (3.0, 5.0)
    assert history.losses == [{"step": 3.0, "loss": 3.0, "late": 5.0}]


def test_the_next_interval_starts_empty() -> None:
    history = History()
    history.add({"loss": 1.0})
    history.log(1, 1)
    history.add({"loss": 7.0})
    assert history.log(2, 1)["loss"] == 7.0


@settings(deadline=None)
@given(st.lists(TERMS, max_size=6), st.integers(0, 6))
def test_a_history_goes_on_exactly_after_json(steps: list[dict[str, float]], cut: int) -> None:
    undisturbed, resumed = History(), History()
    for number, terms in enumerate(steps):
        if number == cut:
            resumed = through_json(resumed)
        for history in (undisturbed, resumed):
            history.add(terms)
            if number % 3 == 2:
                history.log(number, 1)
                history.add_validation(number, terms)
    again = through_json(resumed)
    # As text, in which what is not a number equals itself.
    assert repr(again.losses) == repr(undisturbed.losses)
    assert repr(again.validations) == repr(undisturbed.validations)
    assert json.dumps(again.to_json(), sort_keys=True) == json.dumps(undisturbed.to_json(), sort_keys=True)


def test_floats_keep_every_bit() -> None:
    history = History()
    history.add({"loss": 0.1})
    history.add({"loss": 0.2})
    history.add_validation(2, {"psnr_db": 1 / 3})
    again = through_json(history)
    assert again.log(2, 1)["loss"].hex() == ((0.1 + 0.2) / 2).hex()
    assert again.last_validation()["psnr_db"].hex() == (1 / 3).hex()


def test_rates_are_reported_but_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 110.0, 110.0])
    monkeypatch.setattr("pipelines.loop.history.time.perf_counter", lambda: next(clock))
    history = History()
    history.add({"loss": 1.0})
    history.add({"loss": 1.0})
    history.add_wait(2.5)
    logged = history.log(2, samples_per_step=20)
    assert logged["samples_per_second"] == 4.0
    assert logged["data_wait_fraction"] == 0.25
    assert history.losses == [{"step": 2.0, "loss": 1.0}]


def test_rates_after_a_resume_count_the_steps_since_the_resume_only(monkeypatch: pytest.MonkeyPatch) -> None:
    before = History()
    for _ in range(7):
        before.add({"loss": 1.0})
    clock = iter([100.0, 110.0, 110.0])
    monkeypatch.setattr("pipelines.loop.history.time.perf_counter", lambda: next(clock))
    history = through_json(before)
    history.add({"loss": 1.0})
    assert history.log(8, samples_per_step=20)["samples_per_second"] == 2.0


def test_the_last_validation_is_the_newest_without_its_step() -> None:
    history = History()
    assert history.last_validation() == {}
    history.add_validation(5, {"psnr_db": 20.0})
    history.add_validation(9, {"psnr_db": 21.0})
    assert history.last_validation() == {"psnr_db": 21.0}
    assert [entry["step"] for entry in history.validations] == [5.0, 9.0]


def test_a_history_is_told_again_as_it_was_reported() -> None:
    history = History()
    for step in (1, 2):
        history.add({"loss": float(step)})
        history.log(step, 1)
    history.add_validation(2, {"psnr_db": 20.0})
    told = list(as_reported(history.losses, history.validations))
    assert told == [({"loss": 1.0}, 1), ({"loss": 2.0}, 2), ({"validation/psnr_db": 20.0}, 2)]
