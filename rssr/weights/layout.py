"""Names and shapes of tensors: compare what a network expects with what a file holds, and load."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rssr.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

Shape = tuple[int, ...]
Layout = Mapping[str, Shape]

_WRAPPER_PREFIXES = ("module.", "_orig_mod.")  # data-parallel wrappers and torch.compile
_NUM_SHOWN = 6


@dataclass(frozen=True)
class LayoutDifference:
    """What does not fit.

    Attributes:
        missing: Names expected but not found.
        unexpected: Names found but not expected.
        misshaped: By name: expected and found shape.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshaped: Mapping[str, tuple[Shape, Shape]]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshaped)

    def __str__(self) -> str:
        parts = []
        if self.missing:
            parts.append(f"{len(self.missing)} missing ({_shortened(self.missing)})")
        if self.unexpected:
            parts.append(f"{len(self.unexpected)} unexpected ({_shortened(self.unexpected)})")
        if self.misshaped:
            shapes = [f"{key} is {list(found)}, not {list(want)}" for key, (want, found) in self.misshaped.items()]
            parts.append(f"{len(self.misshaped)} mis-shaped ({_shortened(shapes)})")
        return "; ".join(parts)


def layout_of(state: "Mapping[str, Tensor]") -> dict[str, Shape]:
    """Shapes by name."""
    return {name: tuple(value.shape) for name, value in state.items()}


def compare_layouts(expected: Layout, found: Layout) -> LayoutDifference:
    """Every name of either side is accounted for."""
    return LayoutDifference(
        missing=tuple(name for name in expected if name not in found),
        unexpected=tuple(name for name in found if name not in expected),
        misshaped={
            name: (tuple(expected[name]), tuple(found[name]))
            for name in expected
            if name in found and tuple(expected[name]) != tuple(found[name])
        },
    )


def without_wrapper_prefix(state: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Names as inside the network: prefixes that all names share through a wrapper are cut off."""
    plain = dict(state)
    stripped = True
    while plain and stripped:
        stripped = False
        for prefix in _WRAPPER_PREFIXES:
            if all(name.startswith(prefix) for name in plain):
                plain = {name[len(prefix) :]: value for name, value in plain.items()}
                stripped = True
    return plain


def fill_network(network: "nn.Module", state: "Mapping[str, Tensor]", source: str) -> None:
    """Copy a state into a network, strictly; values take the network's type.

    Args:
        network: Changed in place.
        state: Names and tensors.
        source: Where the state came from, for the message.

    Raises:
        WeightsError: Listing every name that is missing, unexpected or mis-shaped.
    """
    difference = compare_layouts(layout_of(network.state_dict()), layout_of(state))
    if difference:
        raise WeightsError(
            f"The weights in {source} do not fit {type(network).__name__}: {difference}.",
            "Check the architecture values beside them, or fetch the weights again.",
        )
    network.load_state_dict(dict(state))


def _shortened(names: Sequence[str]) -> str:
    more = len(names) - _NUM_SHOWN
    return ", ".join(names[:_NUM_SHOWN]) + (f" and {more} more" if more > 0 else "")
