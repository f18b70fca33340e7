"""The convolutional encoder of LDCSR and LCMSR: an image to a code of an eighth of its size, without attention.

Source: measured facts about the published networks (conformance notes, section 5, "Encoder").
"""

from torch import Tensor, nn
from torch.nn import functional as F

from rssr.layers.design import BlockDesign
from rssr.layers.resampling import Downsample
from rssr.layers.residual import ResidualBlock

AUTOENCODER_EPS = 1e-6
_NUM_MIDDLE_BLOCKS = 2


class ResidualEncoder(nn.Module):
    """Residual blocks over levels of falling size.

    Args:
        in_channels: Channels of the input: 6 for LR beside HR, 3 for LR alone (with 3 bands).
        out_channels: Channels of the code.
        widths: Channels of the first convolution, then of each level; each level but the last halves the size,
            rounding down.
        num_res_blocks: Residual blocks of a level.
        norm_num_groups: Groups of every GroupNorm.
    """

    def __init__(
        self, in_channels: int, out_channels: int, widths: tuple[int, ...], num_res_blocks: int, norm_num_groups: int
    ) -> None:
        super().__init__()
        previous, *levels = widths
        self.conv_in = nn.Conv2d(in_channels, previous, 3, padding=1)
        self.levels = nn.ModuleList()
        for index, width in enumerate(levels):
            is_last = index + 1 == len(levels)
            self.levels.append(EncoderLevel(previous, width, num_res_blocks, norm_num_groups, halve=not is_last))
            previous = width
        self.mid_blocks = nn.Sequential(
            *[plain_residual(previous, previous, norm_num_groups) for _ in range(_NUM_MIDDLE_BLOCKS)]
        )
        self.norm_out = nn.GroupNorm(norm_num_groups, previous, eps=AUTOENCODER_EPS)
        self.conv_out = nn.Conv2d(previous, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H / 8, W / 8] (with four levels), rounded down."""
        x = self.conv_in(x)
        for level in self.levels:
            x = level(x)
        out: Tensor = self.conv_out(F.silu(self.norm_out(self.mid_blocks(x))))
        return out


class EncoderLevel(nn.Module):
    """Residual blocks of one size, then a halving where another level follows."""

    def __init__(
        self, in_channels: int, out_channels: int, num_res_blocks: int, norm_num_groups: int, *, halve: bool
    ) -> None:
        super().__init__()
        inputs = [in_channels, *[out_channels] * (num_res_blocks - 1)]
        self.blocks = nn.Sequential(*[plain_residual(width, out_channels, norm_num_groups) for width in inputs])
        self.downsample = Downsample(out_channels, symmetric=False) if halve else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H / 2, W / 2] or the same size."""
        out: Tensor = self.downsample(self.blocks(x))
        return out


def plain_residual(in_channels: int, out_channels: int, norm_num_groups: int) -> ResidualBlock:
    """A residual block of 3x3 convolutions with the autoencoder's epsilon."""
    design = BlockDesign(norm_num_groups=norm_num_groups, first_conv="standard", second_conv="standard")
    return ResidualBlock(in_channels, out_channels, design, eps=AUTOENCODER_EPS)
