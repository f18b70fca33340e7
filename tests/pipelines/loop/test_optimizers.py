import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pipelines.loop.optimizers import build_optimizer, clip_gradients, set_learning_rate
from rssr.methods.phase import Batch, Loss, Objective
from rssr.methods.training import TrainingConfig


class Partly(Objective):
    """Trains one of its two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.trained = nn.Linear(2, 2)

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        raise NotImplementedError


def config(**values: Any) -> TrainingConfig:
    return TrainingConfig(num_steps=1, batch_size=1, patch_size=16, learning_rate=3e-4, **values)


def gradients(values: list[list[float]]) -> list[nn.Parameter]:
    parameters = [nn.Parameter(torch.zeros(len(row))) for row in values]
    for parameter, row in zip(parameters, values, strict=True):
        parameter.grad = torch.tensor(row)
    return parameters


def joint_norm(parameters: list[nn.Parameter]) -> float:
    return math.sqrt(sum(float(p.grad.square().sum()) for p in parameters if p.grad is not None))


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_settings_reach_the_optimizer(name: str, kind: type[torch.optim.Optimizer]) -> None:
    optimizer = build_optimizer(Partly(), config(optimizer=name, betas=(0.5, 0.9), weight_decay=0.2))
    group = optimizer.param_groups[0]
    assert type(optimizer) is kind
    assert (group["lr"], group["betas"]) == (3e-4, (0.5, 0.9))
    assert group["weight_decay"] == (0.2 if name == "adamw" else 0.0)


def test_only_trained_parameters_are_updated() -> None:
    objective = Partly()
    (group,) = build_optimizer(objective, config()).param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in objective.trained.parameters()}


def test_the_learning_rate_is_set_for_all_parameters() -> None:
    groups: list[dict[str, Any]] = [{"params": [nn.Parameter(torch.ones(1))], "lr": rate} for rate in (1.0, 2.0)]
    optimizer = torch.optim.SGD(groups)
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


ROWS = st.lists(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=4), min_size=1, max_size=4)


@settings(deadline=None)
@given(ROWS, st.floats(0.01, 50))
def test_gradients_are_scaled_down_together_to_the_bound(rows: list[list[float]], bound: float) -> None:
    parameters = gradients(rows)
    norm = joint_norm(parameters)
    assert clip_gradients(parameters, bound) == pytest.approx(norm, rel=1e-4, abs=1e-30)
    assert joint_norm(parameters) <= bound * (1 + 1e-4)
    factor = min(1.0, bound / max(norm, 1e-30))
    for parameter, row in zip(parameters, rows, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, torch.tensor(row) * factor, rtol=1e-3, atol=1e-4)


def test_gradients_within_the_bound_keep_their_bits() -> None:
    parameters = gradients([[0.3, 0.4]])
    clip_gradients(parameters, 1.0)
    assert parameters[0].grad is not None
    assert torch.equal(parameters[0].grad, torch.tensor([0.3, 0.4]))


def test_a_bound_of_zero_only_measures() -> None:
    parameters = gradients([[3.0], [400.0, 0.0]])
    assert clip_gradients(parameters, 0) == pytest.approx((9 + 160_000) ** 0.5)
    assert parameters[1].grad is not None
    assert parameters[1].grad.tolist() == [400.0, 0.0]


def test_parameters_without_gradients_do_not_count() -> None:
    untouched = nn.Parameter(torch.ones(3))
    assert clip_gradients([untouched], 1.0) == 0.0
    assert clip_gradients([untouched, *gradients([[3.0, 4.0]])], 1.0) == pytest.approx(5.0)
    assert untouched.grad is None
