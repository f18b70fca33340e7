import numpy as np

from rssr.value_map import ValueMap


def values(*rows: list[float]) -> ValueMap:
    return ValueMap(np.array(rows, np.float32), "m")


def test_the_scale_ends_at_the_values_own_extremes_or_where_it_is_told() -> None:
    shown = values([1, -2.5], [7, 0])
    assert shown.extent == shown.scale_ends == (-2.5, 7.0)
    bounded = ValueMap(shown.values, "m", (0.0, 1.0))
    assert bounded.extent == (-2.5, 7.0)
    assert bounded.scale_ends == (0.0, 1.0)


def test_missing_values_have_no_say() -> None:
    assert values([np.nan, 2], [np.inf, 3]).extent == (2.0, 3.0)
    assert values([np.nan, np.nan]).extent == (0.0, 0.0)
