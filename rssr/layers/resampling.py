"""Changes of size inside networks: learned halving and doubling, and the padding that makes sizes divisible."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Downsample(nn.Module):
    """Halve height and width by a 3×3 convolution of stride 2.

    Args:
        channels: Channels in and out.
        symmetric: Pad one pixel on all sides (U-Net); otherwise one on the right and bottom only (autoencoder).
    """

    def __init__(self, channels: int, symmetric: bool = True) -> None:
        super().__init__()
        self.symmetric = symmetric
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1 if symmetric else 0)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, C, ceil(H/2), ceil(W/2)], rounded down where padding is one-sided."""
        out: Tensor = self.conv(x if self.symmetric else F.pad(x, (0, 1, 0, 1)))
        return out


class Upsample(nn.Module):
    """Double height and width by repetition, then a 3×3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, C, 2H, 2W]."""
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


def with_broad_colors_of(image: Tensor, source: Tensor, cell: int = 8) -> Tensor:
    """Give images the slow variation of other images: `image + smooth(source - image)`.

    Smooth is: means over square cells, twice averaged over 3×3 cells, enlarged bilinearly. Nothing farther than four
    cells away counts; a constant difference is removed exactly.

    Args:
        image: [B, C, H, W].
        source: The same shape.
        cell: Side of a cell, pixels.
    """
    height, width = image.shape[2], image.shape[3]
    difference = F.avg_pool2d(source - image, cell, ceil_mode=True, count_include_pad=False)
    for _ in range(2):
        difference = F.avg_pool2d(F.pad(difference, [1] * 4, mode="replicate"), 3, stride=1)
    broad = F.interpolate(difference, scale_factor=float(cell), mode="bilinear", align_corners=False)
    return image + broad[:, :, :height, :width]


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Extend right and bottom by reflection until both sides are multiples.

    The edge pixel is not repeated. Where the image is too small to be reflected once, the reflection goes back
    and forth; a side of one pixel is repeated. So any size of at least 1×1 can be padded.

    Args:
        x: Images [B, C, H, W].
        multiple: Positive number of pixels.
    """
    height, width = x.shape[2], x.shape[3]
    padded_height, padded_width = (-(-side // multiple) * multiple for side in (height, width))
    if padded_height > height:
        x = x.index_select(2, _reflected_positions(height, padded_height, x.device))
    if padded_width > width:
        x = x.index_select(3, _reflected_positions(width, padded_width, x.device))
    return x


def pad_before(x: Tensor, rows: int, columns: int) -> Tensor:
    """Extend top and left by reflection as `pad_to_multiple` does right and bottom.

    Args:
        x: Images [B, C, H, W].
        rows: Pixels to add on top.
        columns: Pixels to add on the left.
    """
    if rows > 0:
        x = x.index_select(2, _reflected_positions(x.shape[2], x.shape[2], x.device, first=-rows))
    if columns > 0:
        x = x.index_select(3, _reflected_positions(x.shape[3], x.shape[3], x.device, first=-columns))
    return x


def _reflected_positions(side: int, padded_side: int, device: torch.device, first: int = 0) -> Tensor:
    period = max(1, 2 * (side - 1))
    phase = torch.arange(first, padded_side, device=device) % period
    return torch.minimum(phase, period - phase)
