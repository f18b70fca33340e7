"""From a file to a file: GeoTIFF scenes of any size, and ordinary pictures."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from rssr.errors import ImageError
from rssr.inference.bands import select_bands
from rssr.inference.chosen_model import check_deviation, check_scale, resolve_model
from rssr.inference.engine import (
    Engine,
    FloatArray,
    Mask,
    SamplingArguments,
    TilingArguments,
    TilingOptions,
    nearest_lr,
)
from rssr.inference.files import SceneFiles, SceneReader, open_scene, write_picture
from rssr.inference.planning import plan_draws, plan_scene
from rssr.inference.reflectance import bands_for, values_of
from rssr.inference.values import check_values
from rssr.models.loaded import LoadedModel
from rssr.models.resolver import Draws
from rssr.raster import Radiometry, RasterInfo, Window, create_geotiff, ground_sample_distance_m, scaled_transform
from rssr.stretch import Stretch
from rssr.tiling import TilePlan

_log = logging.getLogger(__name__)

Strips = Iterator[tuple[NDArray[Any], Mask]]

_KEPT_BYTES = 1 << 30  # SR scenes up to this size are held in memory, for exact colour statistics


class SceneArguments(SamplingArguments, total=False):
    """How a scene is run: the fields of `TilingOptions`, those of `SamplingArguments`, and these.

    Attributes:
        device: Where to run. None: where the model is, or an accelerator if there is one.
        overwrite: Whether existing outputs are replaced.
        uncertainty_path: GeoTIFF for how far each pixel and band may be off: the half-width that holds 68 % of errors,
            float32 in the scene's own stored units, e.g. grey levels; NaN where there is no data. None for none.
        progress: Called with the number of finished SR rows and of all.
    """

    device: str | torch.device | None
    overwrite: bool
    uncertainty_path: Path | str | None
    progress: Callable[[int, int], None]


@dataclass(frozen=True)
class SceneReport:
    """What was done.

    Attributes:
        lr_size: (H, W) of the input.
        sr_size: (H, W) of the output.
        num_tiles: Tiles that were run or skipped.
        num_skipped_tiles: Tiles without any data.
        valid_share: Share of the output's pixels that hold data.
    """

    lr_size: tuple[int, int]
    sr_size: tuple[int, int]
    num_tiles: int
    num_skipped_tiles: int
    valid_share: float


def super_resolve_scene(
    input_path: Path | str,
    output_path: Path | str,
    model: LoadedModel | str | Path,
    scale: float,
    **arguments: Unpack[SceneArguments],
) -> SceneReport:
    """Super-resolve a file into a file that appears whole or not at all.

    A GeoTIFF keeps its CRS, ground, data type, scaling, nodata number and mask; memory holds one row of tiles (all
    of a scene below 1 GiB). PNG and JPEG come out of pictures and of 8-bit rasters without holes.

    Args:
        input_path: GeoTIFF, JPEG 2000, VRT or picture; or a Sentinel-2 product, a SAFE folder or STAC item, which gives
            reflectance in float32.
        output_path: Ends .tif, .tiff, .png, .jpg or .jpeg.
        model: A loaded model, a name such as `bicubic`, a model folder or a URI.
        scale: Enlargement of each side; the size is rounded to whole pixels.
        **arguments: See `SceneArguments`.

    Raises:
        DataError: There is no input, or the output exists or is the input.
        RasterError: The raster cannot be read or written.
        ImageError: The picture cannot be read, or the output cannot be a picture.
        ModelError: The model does not fit the bands, the type, the values or the scale, or gives no uncertainty.
    """
    deviation = arguments.pop("uncertainty_path", None)
    files = SceneFiles(
        Path(input_path),
        Path(output_path),
        arguments.pop("overwrite", False),
        None if deviation is None else Path(deviation),
    )
    progress = arguments.pop("progress", _no_progress)
    device = arguments.pop("device", None)
    files.check()
    loaded = resolve_model(model, device)
    check_scale(loaded, scale)
    if files.deviation is not None:
        check_deviation(loaded)
    draws = plan_draws(
        loaded,
        arguments.pop("seed", 0),
        arguments.pop("num_samples", None),
        with_deviation=files.deviation is not None,
    )
    options: TilingArguments = {**arguments}  # type: ignore[typeddict-unknown-key]  # what is left after the pops above
    with open_scene(files.source, bands_for(loaded)) as reader:
        run = SceneRun.prepare(reader, loaded, scale, TilingOptions(**options), str(files.source))
        run.use(draws)
        run.write(files, progress)
        return run.report()


class SceneRun:
    """One scene on its way through a model."""

    def __init__(self, scene: "StoredScene", engine: Engine, plan: TilePlan, info: RasterInfo) -> None:
        self._scene = scene
        self._engine = engine
        self._plan = plan
        self._info = info
        self._num_valid = 0

    @classmethod
    def prepare(
        cls, reader: SceneReader, model: LoadedModel, scale: float, options: TilingOptions, name: str
    ) -> "SceneRun":
        """Check that model and scene fit, and plan the tiles."""
        info = reader.info
        bands = select_bands(model, info.band_names, name)
        _warn(model, info, bands, name)
        complete = options.completed(model.card)
        plan = plan_scene(model, info.size, scale, complete)
        scene = StoredScene(reader, bands, model)
        return cls(scene, Engine(model, complete), plan, _sr_info(info, plan, bands))

    def use(self, draws: Draws) -> None:
        """Take seed and number of samples for what is written next."""
        self._engine.draws = draws

    def write(self, files: SceneFiles, progress: Callable[[int, int], None]) -> None:
        """Write the image and, where asked for, its uncertainty, as rows get finished."""
        self._engine.with_deviation = files.deviation is not None
        with self._deviation_writer(files.deviation) as write_deviation:
            strips = self._strips(progress, write_deviation)
            if files.makes_raster:
                self._write_raster(files.target, strips)
            else:
                self._write_picture(files.target, strips)

    @contextmanager
    def _deviation_writer(self, path: Path | None) -> Iterator[Callable[[FloatArray, Mask], None]]:
        if path is None:
            yield _write_nothing
            return
        note = "How far each pixel may be off: half-width that holds 68 % of errors, in units of the stored numbers."
        with create_geotiff(path, _deviation_info(self._info), tags=self._tags(note)) as writer:
            yield writer.write_rows

    def _tags(self, note: str) -> dict[str, str]:
        tags = {"TIFFTAG_SOFTWARE": "rssr", "RSSR_MODEL": self._engine.model.name, "RSSR_NOTE": note}
        return tags | self._scene.tags

    def _write_raster(self, path: Path, strips: Strips) -> None:
        note = "Super-resolved: detail beyond the input's resolution is estimated, not measured."
        with create_geotiff(path, self._info, tags=self._tags(note)) as writer:
            for pixels, mask in strips:
                writer.write_rows(pixels, mask)

    def _write_picture(self, path: Path, rows: Strips) -> None:
        if self._info.dtype != "uint8" or self._info.num_bands not in (1, 3):
            raise ImageError(
                f"{self._info.num_bands} bands of {self._info.dtype} do not fit into {path.suffix}.", "Write a .tif."
            )
        if self._info.crs is not None:
            _log.warning("%s does not keep the scene's place on the ground; a .tif would.", path)
        strips = []
        for pixels, mask in rows:
            if not mask.all():
                raise ImageError(f"The scene has holes without data, which {path.suffix} cannot hold.", "Write a .tif.")
            strips.append(pixels)
        write_picture(path, np.concatenate(strips, axis=1))

    def report(self) -> SceneReport:
        """What was done so far."""
        height, width = self._plan.sr_size
        share = self._num_valid / (height * width)
        return SceneReport(
            self._plan.lr_size, self._plan.sr_size, self._engine.num_tiles, self._engine.num_skipped_tiles, share
        )

    def _strips(
        self, progress: Callable[[int, int], None], write_deviation: Callable[[FloatArray, Mask], None]
    ) -> Strips:
        """Finished rows from top to bottom: stored values [C, rows, W] and mask [rows, W]."""
        height, width = self._plan.sr_size
        num_values = (1 + self._engine.with_deviation) * self._info.num_bands * height * width
        for row, strip, deviation in self._engine.run(self._scene, self._plan, keep=4 * num_values <= _KEPT_BYTES):
            mask = self._scene.enlarged_mask(self._plan, row, strip.shape[1])
            self._num_valid += int(np.count_nonzero(mask))
            if deviation is not None:
                write_deviation(self._scene.values.deviation_from_network(deviation), mask)
            yield self._scene.values.from_network(strip), mask
            progress(row + strip.shape[1], height)


class StoredScene:
    """An LR scene in a file or in memory, shown to the model as its card asks; see `LrScene`."""

    def __init__(self, reader: SceneReader, bands: list[int], model: LoadedModel) -> None:
        self._reader = reader
        self._bands = bands
        self._card = model.card
        self.values, self.tags = values_of(reader, bands, model)

    def read(self, part: tuple[slice, slice]) -> tuple[FloatArray, Mask]:
        """Values as networks see them, and which are real."""
        rows, columns = part
        window = Window(rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
        raster = self._reader.read(window)
        pixels = np.where(raster.valid_mask, raster.pixels[self._bands], 0).astype(raster.pixels.dtype)
        if not isinstance(self.values, Stretch):  # reflectance far above 1 is a bright cloud, not a mistake
            check_values(pixels, self._card)
        return self.values.to_network(pixels), raster.valid_mask

    def enlarged_mask(self, plan: TilePlan, first_row: int, num_rows: int) -> Mask:
        """Mask of some SR rows, bool [num_rows, W]."""
        lr_rows = nearest_lr(plan.lr_size[0], plan.sr_size[0])[first_row : first_row + num_rows]
        window = Window(int(lr_rows[0]), 0, int(lr_rows[-1] - lr_rows[0]) + 1, plan.lr_size[1])
        mask = self._reader.read(window).valid_mask
        enlarged: Mask = mask[(lr_rows - lr_rows[0])[:, None], nearest_lr(plan.lr_size[1], plan.sr_size[1])]
        return enlarged


def _sr_info(info: RasterInfo, plan: TilePlan, bands: list[int]) -> RasterInfo:
    radiometry = info.radiometry
    return replace(
        info,
        size=plan.sr_size,
        num_bands=len(bands),
        transform=scaled_transform(info.transform, plan.lr_size, plan.sr_size),
        band_names=tuple(info.band_names[index] for index in bands),
        radiometry=Radiometry(
            tuple(radiometry.scales[index] for index in bands),
            tuple(radiometry.offsets[index] for index in bands),
            radiometry.declared,
        ),
    )


def _deviation_info(info: RasterInfo) -> RasterInfo:
    """Deviations over the same ground. They scale as the values do, but an offset does not shift them."""
    scales = info.radiometry.scales
    return replace(
        info,
        dtype="float32",
        nodata=float("nan"),
        band_names=tuple(f"{name} deviation" for name in info.band_names),
        radiometry=Radiometry(scales, (0.0,) * len(scales), info.radiometry.declared),
    )


def _write_nothing(deviation: FloatArray, mask: Mask) -> None:
    pass


def _warn(model: LoadedModel, info: RasterInfo, bands: list[int], name: str) -> None:
    """Say what is possible but may surprise."""
    left_out = [band for index, band in enumerate(info.band_names) if index not in bands]
    if left_out:
        _log.warning("%s does not take the bands %s of %s; they are left out.", model.name, ", ".join(left_out), name)
    gsd_m = ground_sample_distance_m(info.transform, info.crs, info.size)
    if gsd_m is not None and model.card is not None and model.card.gsd_range_m is not None:
        finest, coarsest = model.card.gsd_range_m
        if not 0.9 * finest <= gsd_m <= 1.1 * coarsest:
            _log.warning(
                "%s has %.3g m a pixel; %s was trained on %.3g to %.3g m.", name, gsd_m, model.name, finest, coarsest
            )


def _no_progress(finished_rows: int, num_rows: int) -> None:
    pass
