"""Rates with their spread."""

import pytest
from pydantic import ValidationError

from pipelines.estimate.speed import Duration, Rate, Rates, Spread
from tests.pipelines.estimate.known_rates import FOR, rates, spread


def test_slow_is_few_bytes_and_many_seconds() -> None:
    found = rates(tile_s=spread(1, 2, 4), upload_bytes_per_s=spread(10, 20, 40))
    assert [found.at(pace).tile_s for pace in ("fast", "usual", "slow")] == [1, 2, 4]
    assert [found.at(pace).upload_bytes_per_s for pace in ("fast", "usual", "slow")] == [40, 20, 10]


def test_the_usual_is_the_median() -> None:
    assert Duration.of([5.0, 1.0, 2.0]) == Duration(low=1, middle=2, high=5, count=3)
    assert Rate.of([7.0]).at("slow") == 7


def test_a_driver_that_was_not_asked_costs_nothing() -> None:
    assert rates().at("slow").dispatch_s == 0
    assert rates(dispatch_s=spread(1, 2, 3)).at("slow").dispatch_s == 3


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Spread, spread(2, 1, 3)),
        (Spread, spread(1, 2, 1.5)),
        (Duration, spread(-1, 1, 2)),
        (Rate, spread(0, 1, 2)),
        (Rate, spread(1, 2, float("inf"))),
    ],
)
def test_what_cannot_be_a_rate_is_refused(kind: type[Spread], values: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        kind(**values)


def test_rates_travel_as_json() -> None:
    found = rates(dispatch_s=spread(0.1, 0.2, 0.3))
    assert Rates.model_validate_json(found.model_dump_json()) == found


def test_what_differs_is_named() -> None:
    other = FOR.model_copy(update={"tile_size": 128, "products": {"consistency": False, "stretch": None}})
    assert FOR.differences(FOR) == []
    assert FOR.differences(other) == ["tile_size is 64, there 128", "products.consistency is True, there False"]
