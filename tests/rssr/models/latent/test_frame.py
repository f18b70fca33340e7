import pytest
import torch
from torch.nn import functional as F

from rssr.models.latent.frame import Frame, whole_frame


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(21, 40), (13, 13), (8, 9)])
def test_whole_frame_enlarges_as_usual(mode: str, size: tuple[int, int], generator: torch.Generator) -> None:
    image = torch.randn(2, 3, 8, 9, generator=generator)
    usual = F.interpolate(image, size=size, mode=mode, align_corners=False)
    torch.testing.assert_close(whole_frame((8, 9), size).enlarge(image, size, mode), usual, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
@pytest.mark.parametrize("scale", [4, 17 / 5, 343 / 101])
def test_parts_are_sampled_where_the_whole_is(mode: str, scale: float, generator: torch.Generator) -> None:
    image = torch.randn(1, 2, 40, 40, generator=generator)
    step = 1 / scale
    side = int(40 * scale)
    whole = Frame((step, step)).enlarge(image, (side, side), mode)
    first_sr, first_lr = 68, int(68 * step)
    part = Frame((step, step), (first_sr * step - first_lr, 0.0))
    there = part.enlarge(image[:, :, first_lr:], (40, side), mode)
    inner = slice(12, 40)  # taps of the first rows reach over the cut
    torch.testing.assert_close(
        there[:, :, inner], whole[:, :, first_sr : first_sr + 40][:, :, inner], atol=1e-3, rtol=0
    )


def test_beyond_the_image_its_edge_goes_on() -> None:
    image = torch.arange(4.0).expand(1, 1, 4, 4)
    enlarged = Frame((0.5, 0.5)).enlarge(image, (16, 16), "bicubic")
    assert torch.equal(enlarged[..., 12:], torch.full((1, 1, 16, 4), 3.0))


def test_latent_positions_follow_the_scene() -> None:
    scale, stride = 17 / 5, 8
    latent = torch.arange(34.0)[None, None, :, None].expand(1, 1, 34, 1)  # the scene's 80 LR rows are 272 SR rows
    whole = Frame((1 / scale, 1.0)).latent_at_lr(latent, (80, 1), stride)[0, 0, :, 0]
    tile = Frame((1 / scale, 1.0)).latent_at_lr(latent[:, :, 17:], (40, 1), stride)[0, 0, :, 0]
    assert torch.equal(tile, whole[40:])
    assert whole[40] == 17  # the edge falls on a position exactly
