"""What must be known of a whole scene before any of its rows can be finished: a small value that travels as JSON."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from rssr.color import BandStatistics, ColorMatch, match_colors
from rssr.configuration import Config
from rssr.inference.missing import MissingPixels
from rssr.masks import enlarge_mask
from rssr.tiling import TilePlan

if TYPE_CHECKING:
    from rssr.inference.engine import LrScene

FloatArray = NDArray[np.float32]


class ScenePrologue(Config):
    """What finishing a scene takes from all of it; computed once, equal for whoever finishes."""

    gains: tuple[float, ...] | None = None
    """Colours are matched by value * gain + offset, in network values, a band at a time; null where they are not
    matched over the whole scene."""
    offsets: tuple[float, ...] | None = None
    """Of the same map."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.gains is None) != (self.offsets is None) or len(self.gains or ()) != len(self.offsets or ()):
            raise ValueError("gains and offsets go together, one of each a band")
        return self

    @classmethod
    def of(cls, match: ColorMatch) -> Self:
        """The prologue with this map."""
        return cls(gains=tuple(match.gain.tolist()), offsets=tuple(match.offset.tolist()))

    @property
    def match(self) -> ColorMatch | None:
        """The map of colours, to the bit as it was computed; None for none."""
        if self.gains is None or self.offsets is None:
            return None
        return ColorMatch(np.array(self.gains, np.float64), np.array(self.offsets, np.float64))

    def to_json(self) -> str:
        """One line of JSON; floats keep all their bits."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote."""
        return cls.model_validate_json(text)


def match_whole(
    scene: "LrScene", plan: TilePlan, rows: Iterable[tuple[int, FloatArray]], missing: MissingPixels
) -> ColorMatch:
    """The map that gives the whole SR scene its LR scene's means and deviations.

    Args:
        scene: The LR scene.
        plan: How it is cut.
        rows: First row and SR values, float32 [C, rows, W], from top to bottom.
        missing: What does not count of both.
    """
    lr, mask = scene.read((slice(0, plan.lr_size[0]), slice(0, plan.lr_size[1])))
    mask = missing.known_lr(mask, 0)
    lr_statistics, sr_statistics = BandStatistics(lr.shape[0]), BandStatistics(lr.shape[0])
    lr_statistics.add(lr, mask)
    sr_mask = enlarge_mask(mask, plan.sr_size)
    for row, values in rows:
        sr_statistics.add(values, sr_mask[row : row + values.shape[1]])
    return match_colors(sr_statistics, lr_statistics)
