"""What the blocks of one network have in common."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BlockDesign:
    """Choices shared by all residual and transformer blocks of a network."""

    norm_num_groups: int = 32
    """Groups of every GroupNorm."""
    first_conv: str = "fsc"
    """First convolution of a residual block: `fsc` or `standard` (3x3)."""
    second_conv: str = "dsc"
    """Second convolution of a residual block: `dsc` or `standard` (3x3)."""
    attention: str = "qgam"
    """Attention of a transformer block: `qgam` or `standard` (multi-head self-attention)."""
    fsc_rate: float = 0.25
    """Bottleneck share of FSC."""
    dsc_rate: float = 0.25
    """Bottleneck share of DSC."""
    num_queries: int = 32
    """Learned queries of QGAM."""
    query_channels: int = 64
    """Inner width of QGAM."""
    head_channels: int = 64
    """Width of one head of the standard attention, where `num_heads` is 0."""
    num_heads: int = 0
    """Heads of the standard attention at every width; 0 leaves their number to `head_channels`."""
