"""The files of a product: image, uncertainty and consistency, each with what it says of itself."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from rssr.errors import ImageError
from rssr.inference.files import write_picture
from rssr.inference.finishing import FinishedRows, WriteRows
from rssr.inference.products import ProductBands, consistency_info, deviation_info
from rssr.raster import CogOptions, CogWriter, RasterInfo, create_cog

_log = logging.getLogger(__name__)

_OF_IMAGE = "Super-resolved: detail beyond the input's resolution is estimated, not measured."
_OF_DEVIATION = "How far each pixel may be off: half-width that holds 68 % of errors, in units of the stored numbers."
_OF_CONSISTENCY = (
    "How far the super-resolved image, taken back to this grid, is from the scene: mean over the model's bands of the "
    "absolute error, in units of the stored numbers."
)


class ProductFiles:
    """Creates a product's GeoTIFFs. Their bytes depend on what is written and said alone.

    Args:
        info: Of the image.
        bands: Of the image.
        model_name: Who makes the bands that the model takes.
        tags: What every file says.
        compression: Of all of them.
    """

    def __init__(
        self, info: RasterInfo, bands: ProductBands, model_name: str, tags: Mapping[str, str], compression: CogOptions
    ) -> None:
        self._info = info
        self._bands = bands
        self._model_name = model_name
        own = {"TIFFTAG_SOFTWARE": "rssr", "RSSR_MODEL": model_name}
        self._tags = {**tags, **own}
        self._compression = compression
        self._open: list[CogWriter] = []

    def image(self, path: Path, opened: ExitStack, *, projected: bool) -> CogWriter:
        """The image's file; complete when `opened` closes.

        Args:
            path: Where it appears.
            opened: What closes it.
            projected: Whether the model's bands have the LR scene's means.
        """
        writer = self._create(path, self._info, _OF_IMAGE, opened)
        made_by = {}
        for band, number in enumerate(self._bands.from_model):
            source = "bicubic" if number is None else self._model_name
            made_by[self._info.band_names[band]] = source
            is_projected = projected or number is None
            writer.tag_band(band, {"RSSR_SOURCE": source, "RSSR_PROJECTED": "yes" if is_projected else "no"})
        writer.tag({"RSSR_BANDS": json.dumps(made_by), "RSSR_PROJECTED": "yes" if projected else "no"})
        return writer

    def deviation(self, path: Path | None, opened: ExitStack) -> WriteRows | None:
        """Takes the rows of the uncertainty's file, if there shall be one."""
        if path is None:
            return None
        return self._create(path, deviation_info(self._info, self._bands), _OF_DEVIATION, opened).write_rows

    def consistency(self, path: Path | None, lr_info: RasterInfo, opened: ExitStack) -> WriteRows | None:
        """Takes the rows of the consistency's file, on the scene's own grid, if there shall be one."""
        if path is None:
            return None
        return self._create(path, consistency_info(lr_info, self._bands), _OF_CONSISTENCY, opened).write_rows

    def tag(self, tags: Mapping[str, str]) -> None:
        """Add what is known at the end to all files."""
        for writer in self._open:
            writer.tag(tags)

    def _create(self, path: Path, info: RasterInfo, note: str, opened: ExitStack) -> CogWriter:
        tags = {**self._tags, "RSSR_NOTE": note}
        writer = opened.enter_context(create_cog(path, info, tags=tags, options=self._compression))
        self._open.append(writer)
        return writer


def write_as_picture(path: Path, info: RasterInfo, rows: Iterator[FinishedRows]) -> None:
    """Write an image as PNG or JPEG, by the path's ending.

    Raises:
        ImageError: It has other bands, another type or holes.
    """
    if info.dtype != "uint8" or info.num_bands not in (1, 3):
        raise ImageError(f"{info.num_bands} bands of {info.dtype} do not fit into {path.suffix}.", "Write a .tif.")
    if info.crs is not None:
        _log.warning("%s does not keep the scene's place on the ground; a .tif would.", path)
    strips = []
    for finished in rows:
        if not finished.valid_mask.all():
            raise ImageError(f"The scene has holes without data, which {path.suffix} cannot hold.", "Write a .tif.")
        strips.append(finished.pixels)
    write_picture(path, np.concatenate(strips, axis=1))
