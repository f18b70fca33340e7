"""Parameter counts: what runs, what a paper counted, and which parts make the difference."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of one model.

    Attributes:
        live: Parameters that a forward pass reads; our network holds no others.
        published: What the paper's figure counts; None where there is no such figure.
        parts: What the paper counts beyond `live` (positive) or leaves out (negative), by name.
    """

    live: int
    published: int | None
    parts: Mapping[str, int]

    @property
    def difference(self) -> int | None:
        """Published minus live."""
        return None if self.published is None else self.published - self.live


def count_live(network: nn.Module) -> int:
    """Number of parameters, shared ones once; works on the device `meta`."""
    return sum(parameter.numel() for parameter in network.parameters())
