from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rssr.degradation.reference import (
    BatchDecisions,
    GaussianDecision,
    PoissonDecision,
    RoundDecisions,
    degrade_reference,
)

LoadVector = Callable[[str], tuple[dict[str, Tensor], dict[str, Any]]]
Tensors = dict[str, Tensor]


def _noise(tensors: Tensors, case: dict[str, Any], number: int) -> GaussianDecision | PoissonDecision:
    decisions, prefix = case["decisions"], f"in/{case['case']}.noise{number}"
    gray = torch.tensor(decisions[f"noise{number}_grey"])
    if decisions[f"noise{number}"] == "gaussian":
        return GaussianDecision(
            torch.tensor(decisions[f"noise{number}_sigma"]),
            gray,
            lambda size: tensors[f"{prefix}.normal_grey"],
            lambda size: tensors[f"{prefix}.normal_colour"],
        )
    return PoissonDecision(
        torch.tensor(decisions[f"noise{number}_scale"]),
        gray,
        lambda levels, base: tensors[f"{prefix}.count_grey"],
        lambda levels, base: tensors[f"{prefix}.count_colour"],
    )


def _decisions(tensors: Tensors, case: dict[str, Any]) -> BatchDecisions:
    given = case["decisions"]
    height, width = given["resize2_output_hw"]
    return BatchDecisions(
        first=RoundDecisions(
            tensors["in/kernel1"],
            given["resize1_scale"],
            given["resize1_mode"],
            _noise(tensors, case, 1),
            torch.tensor(given["jpeg1_quality"]),
        ),
        second=RoundDecisions(
            tensors["in/kernel2"] if given["second_blur"] else None,
            (height, width),
            given["resize2_mode"],
            _noise(tensors, case, 2),
            torch.tensor(given["jpeg2_quality"]),
        ),
        jpeg_first=given["final_order"].startswith("jpeg"),
        last_resize_mode=given["resize3_mode"],
        sinc_kernel=tensors["in/sinc_kernel"],
        lr_size=(16, 16),
    )


@pytest.mark.parametrize("index", range(4))
def test_whole_chain_agrees_with_published_vectors_step_by_step(load_vector: LoadVector, index: int) -> None:
    tensors, description = load_vector("degradation_pipeline")
    case = description["config"][index]
    atol = description["tolerance_atol"]
    steps: list[str] = []

    def inspect(step: str, image: Tensor) -> None:
        steps.append(step)
        name = f"mid/{case['case']}.{step}"
        if name in tensors:
            torch.testing.assert_close(image, tensors[name], rtol=0, atol=atol[name])

    lr = degrade_reference(tensors["in/gt"], _decisions(tensors, case), inspect)
    name = f"out/{case['case']}.lq"
    torch.testing.assert_close(lr, tensors[name], rtol=0, atol=atol[name])
    kinds = [step.rstrip("123") for step in steps]
    assert kinds == [step.rstrip("123") for step in case["stages"]]
