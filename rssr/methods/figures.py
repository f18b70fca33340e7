"""Figures that show what a method's networks do: plain pictures and maps, for whoever lays out a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rssr.methods.phase import Batch, PhaseInputs
from rssr.value_map import ValueMap

Picture = NDArray[np.uint8] | ValueMap


@dataclass(frozen=True, eq=False)
class HeldOutImage:
    """An image that no phase was trained on.

    Attributes:
        key: Its name.
        pair: LR and HR, a batch of one; HR sides are multiples of 16.
    """

    key: str
    pair: Batch


@dataclass(frozen=True, eq=False)
class FigureRow:
    """Pictures side by side.

    Attributes:
        label: What the row shows.
        pictures: uint8 [H, W, 3], or maps, by their own labels.
    """

    label: str
    pictures: Mapping[str, Picture]


@dataclass(frozen=True, eq=False)
class Figure:
    """Rows of pictures.

    Attributes:
        title: A few words.
        text: What is seen, how it was made, and with which units.
        rows: From top to bottom.
    """

    title: str
    text: str
    rows: Sequence[FigureRow]


@runtime_checkable
class Illustrated(Protocol):
    """A method that has figures to show."""

    def draw_figures(self, inputs: PhaseInputs, images: Sequence[HeldOutImage]) -> Sequence[Figure]:
        """Draw what the finished phases allow.

        Args:
            inputs: Outputs of finished phases, which need not be all.
            images: What to show it on, at least one.
        """
