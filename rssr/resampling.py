"""Bicubic enlargement as the methods use it, and sampling at given steps."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def upsample_bicubic(image: Tensor, output_size: tuple[int, ...]) -> Tensor:
    """Resize to an explicit size: a = -0.75, half-pixel centres, no antialiasing, not clamped.

    Args:
        image: [B, C, h, w].
        output_size: (H, W) in pixels.
    """
    return F.interpolate(image, size=output_size, mode="bicubic", align_corners=False, antialias=False)


def upsample_bicubic_quickly(image: Tensor, output_size: tuple[int, int]) -> Tensor:
    """`upsample_bicubic` by OpenCV, ten times as fast on a CPU; the last bit may differ.

    Args:
        image: float32 [B, C, h, w] on the CPU; no gradient goes through.
        output_size: (H, W) in pixels.
    """
    from rssr.interpolation import enlarge_bicubic  # by OpenCV, which networks do without

    return torch.from_numpy(enlarge_bicubic(image.numpy(), output_size))


def interpolate_bicubic(image: Tensor, output_size: tuple[int, int]) -> Tensor:
    """The quicker of both where it can be had: on the CPU, where no gradient is asked for.

    Args:
        image: [B, C, h, w].
        output_size: (H, W) in pixels.
    """
    if image.device.type == "cpu" and image.dtype == torch.float32 and not image.requires_grad:
        return upsample_bicubic_quickly(image, output_size)
    return upsample_bicubic(image, output_size)


class BicubicNetwork(nn.Module):
    """Bicubic interpolation as a network without weights."""

    def forward(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        """Enlarge [B, C, h, w] to (H, W)."""
        return interpolate_bicubic(lr, output_size)


def resample(
    image: Tensor,
    output_size: tuple[int, int],
    mode: str,
    step: tuple[float, float],
    offset: tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    """Sample an image on a grid that need not cover it exactly; beyond its edges the edge goes on.

    Interpolation is that of `upsample_bicubic`, or bilinear; nothing is smoothed where the step exceeds 1.

    Args:
        image: [B, C, h, w].
        output_size: (H, W) in pixels.
        mode: `bicubic` or `bilinear`.
        step: Image pixels between neighbouring output pixels, rows then columns.
        offset: Image pixels from the image's upper left corner to the output's.

    Returns:
        [B, C, H, W], of which pixel j along an axis is taken at `offset + (j + 1/2) * step`.
    """
    if offset == (0.0, 0.0):
        kernels = {"bicubic": torch.ops.aten.upsample_bicubic2d, "bilinear": torch.ops.aten.upsample_bilinear2d}
        resized: Tensor = kernels[mode](image, output_size, False, 1 / step[0], 1 / step[1])
        return resized
    exact = image if image.dtype == torch.float64 else image.float()  # bfloat16 cannot tell neighbouring places apart
    rows, columns = (
        _grid_positions(output_size[axis], step[axis], offset[axis], image.shape[2 + axis], exact) for axis in (0, 1)
    )
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    grids = grid.expand(image.shape[0], -1, -1, -1)
    return F.grid_sample(exact, grids, mode=mode, padding_mode="border", align_corners=False).to(image.dtype)


def _grid_positions(length: int, step: float, offset: float, image_length: int, like: Tensor) -> Tensor:
    """Centres of output pixels where -1 and 1 are the edges of the image."""
    places = torch.arange(length, dtype=torch.float64, device=like.device)
    return (2 * (offset + (places + 0.5) * step) / image_length - 1).to(like.dtype)
