import pytest
import torch
from torch import Tensor

from rssr.losses.lpips import LPIPS


@pytest.fixture(scope="module")
def metric() -> LPIPS:
    torch.manual_seed(5)
    metric = LPIPS()
    for weight in metric.linear:
        weight.data.uniform_(0, 1)  # published ones are not negative either
    return metric.eval()


@pytest.fixture
def images(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    first, second = torch.rand(2, 2, 3, 32, 48, generator=generator) * 2 - 1
    return first, second


def test_one_distance_an_image(metric: LPIPS, images: tuple[Tensor, Tensor]) -> None:
    first, second = images
    together = metric(first, second)
    assert together.shape == (2,)
    assert bool((together > 0).all())
    torch.testing.assert_close(together[1:], metric(first[1:], second[1:]), rtol=1e-4, atol=0)


def test_symmetric_and_zero_for_equal_images(metric: LPIPS, images: tuple[Tensor, Tensor]) -> None:
    first, second = images
    assert torch.equal(metric(first, second), metric(second, first))
    assert metric(first, first).tolist() == [0, 0]


def test_grows_with_the_difference(metric: LPIPS, images: tuple[Tensor, Tensor]) -> None:
    first, second = images
    distances = torch.stack([metric(first, first.lerp(second, part)) for part in (0.05, 0.2, 0.5, 1.0)])
    assert bool((distances[1:] > distances[:-1]).all())


@pytest.mark.parametrize("value", [None, 0.0, -1.0])
def test_gradient_is_finite_for_equal_images(metric: LPIPS, images: tuple[Tensor, Tensor], value: float | None) -> None:
    """Also for constant ones, where whole feature vectors are zero and their norms have no slope."""
    hr = images[0] if value is None else torch.full_like(images[0], value)
    sr = hr.clone().requires_grad_()
    metric(sr, hr).sum().backward()
    assert sr.grad is not None
    assert sr.grad.isfinite().all()


def test_gradient_is_finite_where_features_vanish(images: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(6)
    dead = LPIPS()
    for weight in dead.linear:
        weight.data.fill_(1)
    for convolution in dead.features.values():
        assert isinstance(convolution, torch.nn.Conv2d)
        assert convolution.bias is not None
        convolution.bias.data.fill_(-50)  # every rectified feature is zero, and so is every norm
    sr = images[0].clone().requires_grad_()
    with torch.autograd.set_detect_anomaly(True):  # no intermediate gradient may be undefined either
        dead(sr, images[1]).sum().backward()
    assert sr.grad is not None
    assert sr.grad.isfinite().all()


def test_gradient_points_to_the_other_image(metric: LPIPS, images: tuple[Tensor, Tensor]) -> None:
    hr = images[0]
    sr = images[1].clone().requires_grad_()
    before = metric(sr, hr).sum()
    before.backward()
    assert sr.grad is not None
    step = 1e-3 * sr.grad / sr.grad.norm()
    assert float(metric(sr.detach() - step, hr).sum()) < before.item()


def test_nothing_in_it_is_trained(metric: LPIPS) -> None:
    assert [name for name, p in metric.named_parameters() if p.requires_grad] == []


def test_half_precision_stays_close(metric: LPIPS, images: tuple[Tensor, Tensor]) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = metric(*images)
    assert coarse.dtype == torch.float32
    torch.testing.assert_close(coarse, metric(*images), rtol=0.02, atol=0)
