import torch
from torch.nn import functional as F

from rssr.models.bicubic import BicubicResolver


def test_bicubic_is_the_networks_own_enlargement(generator: torch.Generator) -> None:
    lr = torch.randn(2, 5, 6, 7, generator=generator)
    expected = F.interpolate(lr, scale_factor=4, mode="bicubic", align_corners=False)
    torch.testing.assert_close(BicubicResolver()(lr, (24, 28)), expected, atol=1e-5, rtol=1e-5)


def test_bicubic_keeps_a_constant_image() -> None:
    assert torch.allclose(BicubicResolver()(torch.full((1, 3, 1, 1), 0.3), (5, 9)), torch.tensor(0.3))
