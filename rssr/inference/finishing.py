"""From assembled rows to stored ones: everything that is done to a scene after its network, by any process."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rssr.inference.engine import SrRows
from rssr.inference.prologue import ScenePrologue
from rssr.inference.stored_scene import StoredScene
from rssr.metrics.seams import SeamMeter
from rssr.tiling import TilePlan

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]

_ROWS = 256  # SR rows that are finished at a time: copies of whole tile rows would fill the memory of large scenes
_SLAB_VALUES = 1 << 18  # SR values that are converted at a time: they stay in the processor's cache


class FinishedRows(NamedTuple):
    """Rows as they are stored.

    Attributes:
        first: Number of the first row.
        pixels: [C, rows, W] of the product's type.
        valid_mask: Bool [rows, W].
    """

    first: int
    pixels: NDArray[Any]
    valid_mask: Mask


@dataclass(frozen=True, eq=False)
class Finishing:
    """How rows of a scene are finished.

    Attributes:
        scene: The LR scene, which knows the values' meaning and the mask.
        plan: How it was cut.
        prologue: What must be known of the whole scene.
        write_deviation: Takes deviations in stored units, float32 [C, rows, W], and their mask, if there are any.
        seams: Looks whether tiles show.
    """

    scene: StoredScene
    plan: TilePlan
    prologue: ScenePrologue
    write_deviation: Callable[[FloatArray, Mask], None]
    seams: SeamMeter

    def rows(self, assembled: Iterator[SrRows]) -> Iterator[FinishedRows]:
        """Finish rows from top to bottom.

        Args:
            assembled: Network values as they come out of windows, not yet matched.
        """
        for part in _portions(assembled):
            lr = self.scene.lr_rows(self.plan, part.first, part.values.shape[1])
            if part.deviation is not None:
                self.write_deviation(self.scene.values.deviation_from_network(part.deviation), lr.sr_mask)
            pixels = self._stored(part.values)
            self.seams.add(pixels, lr.sr_mask, (lr.first, lr.pixels))
            yield FinishedRows(part.first, pixels, lr.sr_mask)
            del part  # it is a view of a whole strip

    def _stored(self, values: FloatArray) -> NDArray[Any]:
        match, pixels = self.prologue.match, None
        num_rows = max(1, _SLAB_VALUES // (values.shape[0] * values.shape[2]))
        for start in range(0, values.shape[1], num_rows):
            slab = values[:, start : start + num_rows]
            stored = self.scene.values.from_network(slab if match is None else match.apply(slab))
            if pixels is None:
                pixels = np.empty(values.shape, stored.dtype)
            pixels[:, start : start + num_rows] = stored
        assert pixels is not None, "there is at least one row"
        return pixels


def _portions(assembled: Iterator[SrRows]) -> Iterator[SrRows]:
    """The same rows, a few at a time."""
    for first, values, deviation in assembled:
        for start in range(0, values.shape[1], _ROWS):
            part = slice(start, start + _ROWS)
            yield SrRows(first + start, values[:, part], None if deviation is None else deviation[:, part])
        del values, deviation  # before the next strip is made
