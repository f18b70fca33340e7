from fractions import Fraction
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rssr.metrics.exact_sum import ExactSum


@settings(max_examples=80)
@given(st.lists(st.tuples(*[st.floats(-1e200, 1e200)] * 3), max_size=30), st.randoms())
def test_sums_are_the_exact_ones_rounded_once_whatever_the_order_and_the_parts(
    rows: list[tuple[float, float, float]], order: Random
) -> None:
    expected = [float(sum((Fraction(row[column]) for row in rows), Fraction())) for column in range(3)]
    whole = ExactSum((3,))
    for row in rows:
        whole.add(np.array(row))
    assert whole.rounded().tolist() == expected
    order.shuffle(rows)
    parts = [ExactSum((3,)) for _ in range(3)]
    for number, row in enumerate(rows):
        parts[number % 3].add(np.array(row))
    parts[2].merge(parts[0])
    parts[2].merge(parts[1])
    assert parts[2].rounded().tolist() == expected


def test_many_summands_take_no_more_memory_than_a_few() -> None:
    generator = np.random.default_rng(0)
    total = ExactSum((100,))
    for _ in range(2000):
        total.add(np.exp(generator.normal(0, 8, 100)))
    assert len(total.parts) <= 4


def test_what_is_added_stays_as_it_was() -> None:
    total, values = ExactSum((2,)), np.array([1.0, 1e-30])
    total.add(np.array([1e30, 1.0]))
    total.add(values)
    total.add(values)
    assert values.tolist() == [1.0, 1e-30]
    total.merge(total)
    assert total.rounded().tolist() == [2 * (1e30 + 2), 2.0]
