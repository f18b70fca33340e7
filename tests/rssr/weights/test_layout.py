import pytest
import torch
from torch import nn

from rssr.errors import WeightsError
from rssr.weights.layout import compare_layouts, fill_network, without_wrapper_prefix


def test_every_name_is_accounted_for() -> None:
    difference = compare_layouts({"a": (1,), "b": (2,), "c": (3,)}, {"b": (2,), "c": (4,), "d": (5,)})
    assert difference.missing == ("a",)
    assert difference.unexpected == ("d",)
    assert difference.misshaped == {"c": ((3,), (4,))}
    assert str(difference) == "1 missing (a); 1 unexpected (d); 1 mis-shaped (c is [4], not [3])"


def test_equal_layouts_do_not_differ() -> None:
    assert not compare_layouts({"a": (1, 2)}, {"a": (1, 2)})


def test_long_lists_are_cut() -> None:
    names = {f"n{i}": (1,) for i in range(9)}
    assert "and 3 more" in str(compare_layouts(names, {}))


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_wrapper_prefixes_are_cut(prefix: str) -> None:
    state = {f"{prefix}a.weight": torch.zeros(1), f"{prefix}module.b": torch.zeros(1)}
    assert set(without_wrapper_prefix(state)) == {"a.weight", "module.b"}


def test_a_network_is_filled_wholly_or_not_at_all() -> None:
    network = nn.Linear(2, 1)
    before = network.weight.clone()
    with pytest.raises(WeightsError, match=r"somewhere.*Linear.*1 missing \(bias\)"):
        fill_network(network, {"weight": torch.ones(1, 2)}, "somewhere")
    assert torch.equal(network.weight, before)
    fill_network(network, {"weight": torch.ones(1, 2).half(), "bias": torch.ones(1)}, "somewhere")
    assert network.weight.dtype == torch.float32
    assert torch.equal(network.weight, torch.ones(1, 2))
