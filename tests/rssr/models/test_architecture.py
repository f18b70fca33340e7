import json
from dataclasses import dataclass
from typing import Any

import pytest

from rssr.errors import ModelError
from rssr.models.architecture import plain_architecture, read_architecture


@dataclass(frozen=True)
class Example:
    widths: tuple[int, ...] = (1, 2)
    rate: float = 0.25
    kind: str = "a"
    depth: int = 3
    cap: int | None = None


def test_values_survive_json() -> None:
    example = Example(widths=(4, 5, 6), rate=1.0, cap=2)
    assert read_architecture(Example, json.loads(json.dumps(plain_architecture(example)))) == example


def test_whole_numbers_serve_as_floats() -> None:
    assert isinstance(read_architecture(Example, {"rate": 1}).rate, float)


@pytest.mark.parametrize(
    "values",
    [{"widths": 3}, {"widths": []}, {"widths": [1, "2"]}, {"depth": 1.5}, {"depth": True}, {"kind": 1}, {"cap": "x"}],
)
def test_ill_typed_values_are_named(values: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=next(iter(values))):
        read_architecture(Example, values)


def test_lists_may_be_empty_where_that_is_said() -> None:
    assert read_architecture(Example, {"widths": []}, may_be_empty=["widths"]).widths == ()


def test_unknown_values_name_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"'width'.*'widths'"):
        read_architecture(Example, {"width": [1]})
