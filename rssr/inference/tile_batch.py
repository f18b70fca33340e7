"""Tiles of one shape on their way through a model."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rssr.models.resolver import TilePlace
from rssr.tiling import SrGrid, Tile

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TileBatch:
    """Tiles of one shape.

    Attributes:
        lr: Values as networks see them, float32 [B, C, h, w].
        size: (H, W) of the results.
        places: Where each lies in its scene.
        count: How many shall run together.
        grid: Where smaller tiles may begin in them; None: anywhere.
    """

    lr: FloatArray
    size: tuple[int, int]
    places: list[TilePlace]
    count: int
    grid: SrGrid | None = None

    @property
    def side(self) -> int:
        """The longer side of a tile, LR pixels."""
        return int(max(self.lr.shape[2:]))

    def filled_up(self) -> "TileBatch":
        """With the last tile repeated until there are `count`."""
        missing = self.count - len(self.lr)
        if missing <= 0:
            return self
        lr = np.concatenate([self.lr, np.repeat(self.lr[-1:], missing, axis=0)])
        return replace(self, lr=lr, places=[*self.places, *[self.places[-1]] * missing])

    def parts(self, count: int) -> list["TileBatch"]:
        """The same tiles, `count` at a time."""
        starts = range(0, len(self.lr), count)
        parts = [slice(start, start + count) for start in starts]
        return [replace(self, lr=self.lr[part], places=self.places[part], count=count) for part in parts]

    def within(self, tile: Tile, usual_rows: int) -> "TileBatch":
        """A part of the first tile."""
        place = self.places[0]
        lr, sr = (place.lr_origin, tile.lr), (place.sr_origin, tile.sr)
        origins = [tuple(start + part.start for start, part in zip(*axis, strict=True)) for axis in (lr, sr)]
        inner = replace(place, lr_origin=origins[0], sr_origin=origins[1], usual_rows=usual_rows)
        return TileBatch(self.lr[:1, :, *tile.lr], tile.sr_size, [inner], 1)
