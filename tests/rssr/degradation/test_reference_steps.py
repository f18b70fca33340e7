from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rssr.degradation.reference_steps import (
    add_gaussian_noise,
    add_poisson_noise,
    filter2d,
    resize_by_factor,
    unsharp_mask,
)

LoadVector = Callable[[str], tuple[dict[str, Tensor], dict[str, Any]]]


def _assert_close(result: Tensor, vector: tuple[dict[str, Tensor], dict[str, Any]], name: str) -> None:
    tensors, description = vector
    torch.testing.assert_close(result, tensors[name], rtol=0, atol=description["tolerance_atol"][name])


def test_filter_agrees_with_published_vectors(load_vector: LoadVector) -> None:
    vector = load_vector("degradation_filter2d")
    tensors = vector[0]
    _assert_close(filter2d(tensors["in/x"], tensors["in/kernels"]), vector, "out/per_sample")
    _assert_close(filter2d(tensors["in/x"], tensors["in/kernels"][:1]), vector, "out/shared")


def test_filter_does_not_assume_contiguous_memory(load_vector: LoadVector) -> None:
    vector = load_vector("degradation_filter2d")
    image = vector[0]["in/x"].to(memory_format=torch.channels_last)
    _assert_close(filter2d(image, vector[0]["in/kernels"]), vector, "out/per_sample")


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (4, 30)])
def test_filter_folds_the_reflection_of_images_smaller_than_the_kernel(size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size)
    kernel = torch.rand(1, 21, 21)
    padded = torch.from_numpy(np.pad(image.numpy(), ((0, 0), (0, 0), (10, 10), (10, 10)), mode="reflect"))
    expected = F.conv2d(padded.view(3, 1, size[0] + 20, size[1] + 20), kernel.unsqueeze(1)).view(1, 3, *size)
    torch.testing.assert_close(filter2d(image, kernel), expected)


def test_unsharp_mask_agrees_with_published_vectors(load_vector: LoadVector) -> None:
    vector = load_vector("degradation_filter2d")
    settings = vector[1]["config"]["usm"]
    column = torch.from_numpy(cv2.getGaussianKernel(settings["kernel"], 0)).float()
    sharpened = unsharp_mask(
        vector[0]["in/usm_x"], settings["weight"], settings["threshold"], (column @ column.T).unsqueeze(0)
    )
    _assert_close(sharpened, vector, "out/usm")


def test_gaussian_noise_agrees_with_published_vectors(load_vector: LoadVector) -> None:
    vector = load_vector("degradation_noise")
    tensors = vector[0]
    noisy = add_gaussian_noise(
        tensors["in/img"],
        tensors["in/gauss.sigma"],
        tensors["in/gauss.gray"] > 0,
        tensors["in/gauss.draw_gray"],
        tensors["in/gauss.draw_color"],
    )
    _assert_close(noisy, vector, "out/gauss.y")


def test_poisson_noise_agrees_with_published_vectors_and_asks_for_their_rates(load_vector: LoadVector) -> None:
    vector = load_vector("degradation_noise")
    tensors = vector[0]

    def given(kind: str) -> Callable[[Tensor, Tensor], Tensor]:
        def sample(levels: Tensor, base: Tensor) -> Tensor:
            rates = levels / 255 * base.view(-1, 1, 1, 1)
            torch.testing.assert_close(rates, tensors[f"in/poisson.rate_{kind}"])
            return tensors[f"in/poisson.count_{kind}"]

        return sample

    noisy = add_poisson_noise(
        tensors["in/img"],
        tensors["in/poisson.scale"],
        tensors["in/poisson.gray"] > 0,
        given("gray"),
        given("color"),
    )
    _assert_close(noisy, vector, "out/poisson.y")


def test_poisson_noise_of_a_ramp_has_the_published_variance(load_vector: LoadVector) -> None:
    vector = load_vector("degradation_noise")
    ramp = (torch.arange(256.0) / 255).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    generator = torch.Generator().manual_seed(0)

    def sample(levels: Tensor, base: Tensor) -> Tensor:
        assert base.tolist() == [256.0]
        return torch.poisson(levels / 255 * base.view(-1, 1, 1, 1), generator=generator)

    never = torch.tensor([False])
    draws = [add_poisson_noise(ramp, torch.ones(1), never, sample, sample)[0, 0] - ramp[0, 0] for _ in range(4000)]
    inner = torch.arange(256).view(16, 16) < 190  # brighter levels are clamped too often to compare
    measured, expected = torch.stack(draws).var(0), vector[0]["out/poisson.measured_variance_on_ramp"]
    tolerance = vector[1]["tolerance_atol"]["out/poisson.measured_variance_on_ramp"]
    torch.testing.assert_close(measured[inner], expected[inner], rtol=0, atol=tolerance)


def test_a_side_never_vanishes() -> None:
    for mode in ("area", "bilinear", "bicubic"):
        assert resize_by_factor(torch.rand(1, 3, 2, 9), 0.3, mode).shape == (1, 3, 1, 2)
