"""From assembled rows to stored ones: everything that is done to a scene after its network, by any process."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rssr.inference.engine import SrRows
from rssr.inference.missing import MissingPixels
from rssr.inference.products import ProductBands
from rssr.inference.prologue import ScenePrologue
from rssr.inference.stored_scene import StoredScene
from rssr.metrics.consistency_rows import ConsistencyRows, ReadLr
from rssr.metrics.seams import SeamMeter
from rssr.tiling import TilePlan, nearest_lr

if TYPE_CHECKING:  # what most scenes do without, and what needs SciPy
    from rssr.inference.other_bands import BicubicRows

FloatArray = NDArray[np.float32]
Rows = NDArray[np.floating]
Mask = NDArray[np.bool_]
WriteRows = Callable[[FloatArray, Mask], None]
"""Takes the next rows [C, rows, W] of a file, and their mask."""

_ROWS = 256  # SR rows that are finished at a time: copies of whole tile rows would fill the memory of large scenes
_EXACT_ROWS = 64  # the same where decimal numbers are kept
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
        bands: Of the product.
        project: Whether the model's bands shall have the LR scene's means; see `rssr.projection`. Bands that the model
            does not take always get them.
        seams: Looks whether tiles show.
        missing: Pixels that could not be computed.
        write_deviation: Takes deviations in stored units; None where there are none.
        write_consistency: Takes how far SR is from LR on its grid; None where nobody asks.
    """

    scene: StoredScene
    plan: TilePlan
    prologue: ScenePrologue
    bands: ProductBands
    project: bool
    seams: SeamMeter
    missing: MissingPixels = field(default_factory=MissingPixels)
    write_deviation: WriteRows | None = None
    write_consistency: WriteRows | None = None

    def rows(self, assembled: Iterator[SrRows]) -> Iterator[FinishedRows]:
        """Finish rows from top to bottom.

        Args:
            assembled: Network values as they come out of windows, not yet matched.
        """
        first, of_model = 0, self.bands.of_model
        consistency = None if self.write_consistency is None else self._consistency()
        for pixels in self._stored_rows(assembled):
            mask, compared, lr = self._behind(first, pixels.shape[1])
            made = pixels if len(of_model) == len(pixels) else pixels[of_model]
            self.seams.add(made, compared, lr)
            if consistency is not None and self.write_consistency is not None:
                for error, known in consistency.add(made if mask.all() else np.where(mask, made, 0)):
                    self.write_consistency(error, known)
            yield FinishedRows(first, pixels, mask)
            first += pixels.shape[1]
            del pixels, made  # before the next ones are made

    def _stored_rows(self, assembled: Iterator[SrRows]) -> Iterator[NDArray[Any]]:
        projected = range(len(self.bands.in_scene)) if self.project else self.bands.others
        if not projected:
            for part in self._portions(assembled, _ROWS):
                yield self._converted(part.values, self.scene.values.from_network)
                del part  # it is a view of a whole strip
            return
        from rssr.projection import LowFrequencyProjection

        projection = LowFrequencyProjection(
            self.plan.lr_size, self.plan.sr_size, self._read_known(self.bands.in_scene), projected
        )
        for rows in projection.rows(self._exact_rows(assembled)):
            if rows.shape[1]:
                yield self.scene.values.stored(rows)
            del rows

    def _exact_rows(self, assembled: Iterator[SrRows]) -> Iterator[Rows]:
        """All bands in stored units, not rounded."""
        bicubic = self._bicubic_rows() if self.bands.others else None
        for part in self._portions(assembled, _EXACT_ROWS):
            made = self._converted(part.values, self.scene.values.exact_from_network)
            if bicubic is None:
                yield made
            else:
                rows = np.empty((len(self.bands.in_scene), *made.shape[1:]), made.dtype)
                rows[self.bands.of_model] = made[[number for number in self.bands.from_model if number is not None]]
                rows[self.bands.others] = bicubic.rows(part.first, made.shape[1], made.dtype.type)
                yield rows
                del rows
            del part, made

    def _bicubic_rows(self) -> "BicubicRows":
        from rssr.inference.other_bands import BicubicRows

        others = [self.bands.in_scene[band] for band in self.bands.others]
        return BicubicRows(self.plan.lr_size, self.plan.sr_size, partial(self.scene.read_rows, bands=others))

    def _portions(self, assembled: Iterator[SrRows], num_rows: int) -> Iterator[SrRows]:
        """The same rows, a few at a time, after their deviations have been written."""
        for first, values, deviation in assembled:
            for start in range(0, values.shape[1], num_rows):
                part = slice(start, start + num_rows)
                if deviation is not None and self.write_deviation is not None:
                    doubt = self.scene.values.deviation_from_network(deviation[:, part])
                    self.write_deviation(doubt, self._behind(first + start, doubt.shape[1])[0])
                yield SrRows(first + start, values[:, part], None)
            del values, deviation  # before the next strip is made

    def _converted(self, values: FloatArray, convert: Callable[[FloatArray], NDArray[Any]]) -> NDArray[Any]:
        match, result = self.prologue.match, None
        num_rows = max(1, _SLAB_VALUES // (values.shape[0] * values.shape[2]))
        for start in range(0, values.shape[1], num_rows):
            slab = values[:, start : start + num_rows]
            converted = convert(slab if match is None else match.apply(slab))
            if result is None:
                result = np.empty(values.shape, converted.dtype)
            result[:, start : start + num_rows] = converted
        assert result is not None, "there is at least one row"
        return result

    def _behind(self, first: int, num_rows: int) -> tuple[Mask, Mask, tuple[int, NDArray[np.number]]]:
        """What lies behind SR rows.

        Returns:
            Where they hold data; where they can be compared with LR pixels, of which all is known then; and these LR
            pixels of the model's bands, with their first row's number.
        """
        rows = self._nearest[0][first : first + num_rows]
        top = int(rows[0])
        bands = [self.bands.in_scene[band] for band in self.bands.of_model]
        pixels, mask = self.scene.read_rows(top, int(rows[-1]) + 1, bands)
        enlarged = self._enlarged(mask, rows - top)
        known = self.missing.known_lr(mask, top)
        if known is mask:
            return enlarged, enlarged, (top, pixels)
        compared = self._enlarged(known, rows - top)
        return self.missing.known_sr(enlarged, first), compared, (top, np.where(known, pixels, 0))

    def _enlarged(self, mask: Mask, rows: NDArray[np.intp]) -> Mask:
        """LR rows of a mask at SR size, given the LR row behind each SR row."""
        columns = self._nearest[1]
        if mask.all():
            return np.ones((len(rows), len(columns)), np.bool_)
        return np.asarray(mask.take(columns, axis=1).take(rows, axis=0))

    def _consistency(self) -> ConsistencyRows:
        bands = tuple(self.bands.in_scene[band] for band in self.bands.of_model)
        return ConsistencyRows(self.plan.lr_size, self.plan.sr_size, self._read_known(bands))

    def _read_known(self, bands: Sequence[int]) -> ReadLr:
        """LR rows of some bands, and where there are results for them."""

        def read(first: int, stop: int) -> tuple[NDArray[np.number], Mask]:
            pixels, mask = self.scene.read_rows(first, stop, bands)
            return pixels, self.missing.known_lr(mask, first)

        return read

    @cached_property
    def _nearest(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        rows, columns = (nearest_lr(lr, sr) for lr, sr in zip(self.plan.lr_size, self.plan.sr_size, strict=True))
        return rows, columns
