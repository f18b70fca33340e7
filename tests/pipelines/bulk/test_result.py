from dataclasses import replace

import pytest

from pipelines.bulk.result import by_state, km2, mpx
from tests.pipelines.bulk.made_runs import PLANNED_AT, good_run, make, mixed_run, record, scene


def test_every_scene_of_the_plan_has_one_outcome() -> None:
    counts = by_state(mixed_run())
    assert counts == {"done": 8, "marked": 1, "partial": 1, "failed": 1, "refused": 1, "waiting": 1}
    assert list(by_state(make([], []))) == list(counts) and sum(by_state(make([], [])).values()) == 0


def test_a_refused_scene_stays_refused_whatever_the_ledger_says() -> None:
    refused = replace(scene("a"), refusal="No such band.")
    result = make([refused], [record(refused, "failed")])
    assert by_state(result)["refused"] == 1 and result.scenes[0].reason == "No such band."


def test_entries_of_other_runs_do_not_count() -> None:
    assert by_state(make([scene("a")], [record(scene("b"))]))["waiting"] == 1


def test_the_worst_come_first() -> None:
    order = [(found.outcome, found.product.seam_score if found.product else 0) for found in mixed_run().worst_first]
    assert [outcome for outcome, _ in order[:5]] == ["failed", "refused", "partial", "marked", "done"]
    assert order[-1][0] == "waiting"
    seams = [seam for outcome, seam in order if outcome == "done"]
    assert seams == sorted(seams, reverse=True) and seams[0] == 1.03


def test_pixels_and_ground_are_those_of_products() -> None:
    one = scene("a", lr_size=(100, 200))
    result = make([one, scene("lost")], [record(one), record(scene("lost"), "failed")])
    assert mpx(result.scenes) == pytest.approx(400 * 800 / 1e6)
    assert km2(result.scenes) == pytest.approx(1.0 * 2.0 * 0.997), "what is without data does not count"
    nowhere = scene("b", bounds=None)
    assert km2(make([nowhere], [record(nowhere)]).scenes) == 0


def test_rates_are_those_of_this_command() -> None:
    """Products finish 90 s apart; the second command began before the last two."""
    result = good_run(4, started_at="2026-11-29T04:29:00Z", ended_at="2026-11-29T04:31:00Z")
    assert [found.name for found in result.made_now] == ["s2", "s3"]
    assert result.seconds == 120
    assert result.rates is not None
    assert result.rates.scenes_per_hour == pytest.approx(60)
    assert result.rates.mpx_per_s == pytest.approx(2 * 4392**2 / 1e6 / 120)
    assert result.worker_hours == pytest.approx(sum(76.5 + number for number in range(4)) / 3600), "of all commands"


@pytest.mark.parametrize(
    "times", [("", ""), (PLANNED_AT, ""), (PLANNED_AT, PLANNED_AT), ("2027-01-01T00:00:00Z", "2027-01-01T01:00:00Z")]
)
def test_without_time_or_products_there_are_no_rates(times: tuple[str, str]) -> None:
    assert good_run(2, started_at=times[0], ended_at=times[1]).rates is None
