from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rssr.degradation.reference_jpeg import quality_factor, simulate_jpeg, soft_round

LoadVector = Callable[[str], tuple[dict[str, Tensor], dict[str, Any]]]


def test_simulated_jpeg_agrees_with_published_vectors(load_vector: LoadVector) -> None:
    tensors, description = load_vector("degradation_jpeg")
    cases = [case for case in description["config"] if isinstance(case["case"], int)]
    assert len(cases) == 6
    for case in cases:
        name = f"out/case{case['case']}.y"
        result = simulate_jpeg(tensors[f"in/case{case['case']}.x"], torch.tensor(case["quality"]))
        torch.testing.assert_close(result, tensors[name], rtol=0, atol=description["tolerance_atol"][name])


def test_soft_rounding_agrees_with_published_vectors_and_passes_gradients(load_vector: LoadVector) -> None:
    tensors, description = load_vector("degradation_jpeg")
    name = "out/differentiable_case1.y"
    image = tensors["in/case1.x"].requires_grad_()
    result = simulate_jpeg(image, torch.tensor([62.5]), soft_round)
    torch.testing.assert_close(result, tensors[name], rtol=0, atol=description["tolerance_atol"][name])
    (gradient,) = torch.autograd.grad(result.sum(), image)
    assert gradient.abs().max() > 0


def test_quality_scales_the_tables() -> None:
    factors = quality_factor(torch.tensor([25.0, 50.0, 75.0, 100.0]))
    assert factors.tolist() == [2.0, 1.0, 0.5, 0.0]


def test_full_quality_only_averages_chroma() -> None:
    gray = torch.rand(1, 1, 20, 13).expand(1, 3, 20, 13)
    torch.testing.assert_close(simulate_jpeg(gray, torch.tensor([100.0])), gray, rtol=0, atol=1e-5)
