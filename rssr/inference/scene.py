"""One scene on its way through a model, in one process or by windows in many."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

import numpy as np

from rssr.inference.ahead import made_ahead
from rssr.inference.bands import select_bands
from rssr.inference.engine import Engine, SrRows
from rssr.inference.files import MemoryReader, SceneFiles, SceneReader
from rssr.inference.finishing import FinishedRows, Finishing, FloatArray
from rssr.inference.missing import MissingPixels, zeros_for
from rssr.inference.options import SceneOptions
from rssr.inference.planning import plan_scene
from rssr.inference.product_files import ProductFiles, write_as_picture
from rssr.inference.products import ProductBands, sr_info
from rssr.inference.prologue import ScenePrologue
from rssr.inference.stored_scene import StoredScene
from rssr.inference.tile_runner import MakeRunner, TileCounts, TileRunner
from rssr.metrics.seams import SeamMeter
from rssr.models.loaded import LoadedModel
from rssr.models.resolver import ArrayResolver
from rssr.raster import CogOptions, RasterInfo, ground_sample_distance_m
from rssr.tiling import TilePlan
from rssr.windows import TILES_A_SIDE, Fetch, TileWindow, assemble, plan_windows

_log = logging.getLogger(__name__)

_AHEAD_BYTES = 1 << 28  # of a strip that is computed while the one before it is finished


@dataclass(frozen=True)
class SceneReport:
    """What was done.

    Attributes:
        lr_size: (H, W) of the input.
        sr_size: (H, W) of the output.
        num_tiles: Tiles of the scene.
        num_skipped_tiles: Those of them that this run came upon without any data.
        valid_share: Share of the output's pixels that hold data.
        seam_score: How much tiles show, see `rssr.metrics.seams`; 1 where they do not, above `SEAM_LIMIT` they do.
        num_splits: How often a batch of tiles, or a tile, was halved because the accelerator's memory was short.
        num_smaller_tiles: Tiles that were put together from smaller ones therefore: their pixels differ a little.
        failed_windows: Keys of windows that could not be computed, and are masked.
    """

    lr_size: tuple[int, int]
    sr_size: tuple[int, int]
    num_tiles: int
    num_skipped_tiles: int
    valid_share: float
    seam_score: float = 1.0
    num_splits: int = 0
    num_smaller_tiles: int = 0
    failed_windows: tuple[str, ...] = ()


@dataclass(frozen=True)
class ComputedWindows:
    """Windows of a scene that were computed before, wherever that was.

    Attributes:
        prologue: Of the scene; `SceneRun.prologue` makes it of the same windows.
        windows: All of them.
        fetch: Reads a strip of one.
        failed: Those of them that could not be computed. They are never read; all that their tiles contribute to
            (`TileWindow.sr`) is masked in the product and left out of its figures.
        counts: What became of the tiles of all others together (`Engine.take_counts` after each).

    Raises:
        ValueError: Windows failed that are none of them.
    """

    prologue: ScenePrologue
    windows: Sequence[TileWindow]
    fetch: Fetch
    failed: Sequence[TileWindow] = ()
    counts: TileCounts = field(default_factory=TileCounts)

    def __post_init__(self) -> None:
        unknown = [window.key for window in self.failed if window not in self.windows]
        if unknown:
            raise ValueError(f"These failed, but are no windows of the scene: {', '.join(unknown)}.")


class SceneRun:
    """One scene on its way through a model: plan, prologue, windows, assembly, finishing, writing.

    Windows may be computed by many processes, each with a run of its own that was prepared alike
    (`run.engine.run_window(run.scene, run.plan, window)`), the prologue by any that can read them (`run.prologue`),
    and so the product (`run.write`); or one process does it all.

    Attributes:
        scene: The LR scene as the model sees it.
        engine: Runs the model.
        plan: How the scene is cut.
        bands: Of the product.
        options: How the scene is made into a product.
        lr_info: Of the scene.
        info: Of the product.
    """

    def __init__(
        self, scene: StoredScene, engine: Engine, plan: TilePlan, bands: ProductBands, options: SceneOptions
    ) -> None:
        self.scene = scene
        self.engine = engine
        self.plan = plan
        self.bands = bands
        self.options = options
        self.lr_info = scene.info
        self.info = sr_info(scene.info, plan, bands)
        self._num_valid = 0
        self._failed: tuple[TileWindow, ...] = ()
        self._counts_elsewhere = TileCounts()
        whole_numbers = bool(np.issubdtype(np.dtype(self.info.dtype), np.integer))
        self._seams = SeamMeter(plan, len(bands.of_model), whole_numbers=whole_numbers)

    @classmethod
    def prepare(
        cls,
        reader: SceneReader,
        model: LoadedModel,
        scale: float,
        options: SceneOptions,
        name: str,
        make_runner: MakeRunner = TileRunner,
    ) -> "SceneRun":
        """Check that model and scene fit, and plan the tiles.

        Args:
            reader: The scene.
            model: The model.
            scale: Enlargement of each side.
            options: How the scene is made into a product.
            name: What messages call the scene.
            make_runner: See `Engine`.

        Raises:
            ModelError: They do not fit.
            ConfigError: The tiles are too small.
        """
        info = reader.info
        taken = select_bands(model, info.band_names, name)
        bands = ProductBands.of(taken, info.num_bands, others=options.other_bands)
        left_out = [band for band in range(info.num_bands) if band not in bands.in_scene]
        _warn(model, info, left_out, name, is_picture=isinstance(reader, MemoryReader))
        complete = options.tiling.completed(model.card)
        plan = plan_scene(model, info.size, scale, complete)
        scene = StoredScene(reader, taken, model, options.stretch)
        engine = Engine(model, complete, options.with_deviation, options.draws, make_runner)
        return cls(scene, engine, plan, bands, options)

    def windows(self, tiles_a_side: int = TILES_A_SIDE) -> tuple[TileWindow, ...]:
        """The scene in pieces of work."""
        return plan_windows(self.plan, tiles_a_side)

    def prologue(self, windows: Sequence[TileWindow], fetch: Fetch, failed: Sequence[TileWindow] = ()) -> ScenePrologue:
        """What finishing needs to know of the whole scene, from windows that were computed before.

        Args:
            windows: All of them. They are read only where the prologue needs all rows of the scene.
            fetch: Reads a strip of one.
            failed: See `ComputedWindows`.
        """
        assembled = assemble(self.plan, windows, self._fetched(fetch, failed))
        return self.engine.prologue(self.scene, self.plan, assembled, failed)

    def write(
        self,
        files: SceneFiles,
        progress: Callable[[int, int], None],
        computed: ComputedWindows | None = None,
        *,
        compression: CogOptions | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write the image and, where asked for, its uncertainty and consistency, as rows get finished.

        The bytes of GeoTIFFs depend on scene, model, options, compression and tags alone: not on who computed which
        windows, nor on time or place.

        Args:
            files: Where to.
            progress: See `SceneArguments`.
            computed: The scene's windows; None computes them here.
            compression: Of GeoTIFFs.
            tags: What GeoTIFFs shall say beside what they always do, e.g. which run made them.
        """
        if computed is None:
            prologue, assembled = self.engine.begin(self.scene, self.plan)
        else:
            fetch, self._failed = self._fetched(computed.fetch, computed.failed), _in_order(computed.failed)
            prologue, assembled = computed.prologue, assemble(self.plan, computed.windows, fetch)
            self._counts_elsewhere = computed.counts
        compression = compression or CogOptions()
        product = self._product(compression, tags or {})
        with ExitStack() as opened:
            finishing = self._finishing(prologue, product, files, opened)
            if compression.threads > 1 and self._may_be_ahead():
                assembled = opened.enter_context(closing(made_ahead(assembled)))
            rows = self._counted(finishing.rows(self._parted(assembled)), progress)
            if files.makes_raster:
                image = product.image(files.target, opened, projected=self.options.project)
                for finished in rows:
                    image.write_rows(finished.pixels, finished.valid_mask)
                    del finished  # before the next rows are made
                image.tag({"RSSR_SEAM_SCORE": f"{self._seams.result().score:.4f}"})
            else:
                write_as_picture(files.target, self.info, rows)
            if self._counts.num_smaller_tiles:
                product.tag({"RSSR_SMALLER_TILES": str(self._counts.num_smaller_tiles)})

    def _may_be_ahead(self) -> bool:
        """Whether rows may be computed while those before are finished: two strips of them are in memory then.

        Networks fill all processors by themselves.
        """
        height = max(span.sr[1] - span.sr[0] for span in self.plan.rows)
        num_values = len(self.bands.of_model) * (1 + self.options.with_deviation) * height * self.plan.sr_size[1]
        return isinstance(self.engine.model.resolver, ArrayResolver) and 4 * num_values <= _AHEAD_BYTES

    def _finishing(
        self, prologue: ScenePrologue, product: ProductFiles, files: SceneFiles, opened: ExitStack
    ) -> Finishing:
        return Finishing(
            self.scene,
            self.plan,
            prologue,
            self.bands,
            self.options.project,
            self._seams,
            MissingPixels.of(self.plan, self._failed),
            product.deviation(files.beside.deviation, opened),
            product.consistency(files.beside.consistency, self.lr_info, opened),
        )

    def _product(self, compression: CogOptions, tags: Mapping[str, str]) -> ProductFiles:
        said = {**tags, **self.scene.tags}
        if self._failed:
            said["RSSR_FAILED_WINDOWS"] = " ".join(window.key for window in self._failed)
        return ProductFiles(self.info, self.bands, self.engine.model.name, said, compression)

    def _fetched(self, fetch: Fetch, failed: Sequence[TileWindow]) -> Fetch:
        num_bands = len(self.bands.of_model) * (1 + self.options.with_deviation)
        return zeros_for(failed, self.plan, num_bands, fetch) if failed else fetch

    def _parted(self, assembled: Iterator[tuple[int, FloatArray]]) -> Iterator[SrRows]:
        for first, both in assembled:
            yield self.engine.parted(first, both)
            del both  # before the next strip is made

    def report(self) -> SceneReport:
        """What was done so far."""
        height, width = self.plan.sr_size
        counts, share = self._counts, self._num_valid / (height * width)
        return SceneReport(
            lr_size=self.plan.lr_size,
            sr_size=self.plan.sr_size,
            num_tiles=len(self.plan),
            num_skipped_tiles=counts.num_skipped,
            valid_share=share,
            seam_score=self._seams.result().score,
            num_splits=counts.num_splits,
            num_smaller_tiles=counts.num_smaller_tiles,
            failed_windows=tuple(window.key for window in self._failed),
        )

    @property
    def _counts(self) -> TileCounts:
        return self.engine.counts + self._counts_elsewhere

    def _counted(self, rows: Iterator[FinishedRows], progress: Callable[[int, int], None]) -> Iterator[FinishedRows]:
        for finished in rows:
            self._num_valid += int(np.count_nonzero(finished.valid_mask))
            last = finished.first + finished.pixels.shape[1]
            yield finished
            del finished
            progress(last, self.plan.sr_size[0])


def _in_order(windows: Sequence[TileWindow]) -> tuple[TileWindow, ...]:
    return tuple(sorted(windows, key=lambda window: window.key))


def _warn(model: LoadedModel, info: RasterInfo, left_out: list[int], name: str, *, is_picture: bool) -> None:
    """Say what is possible but may surprise."""
    if left_out:
        names = ", ".join(info.band_names[band] for band in left_out)
        _log.warning(
            "%s does not take the bands %s of %s; they are left out. With --other-bands (other_bands=True) they are "
            "enlarged bicubically.",
            model.name,
            names,
            name,
        )
    if info.crs is None and not is_picture:
        _log.warning("%s has no CRS: where on the ground its product lies stays open.", name)
    gsd_m = ground_sample_distance_m(info.transform, info.crs, info.size)
    if gsd_m is not None and model.card is not None and model.card.gsd_range_m is not None:
        finest, coarsest = model.card.gsd_range_m
        if not 0.9 * finest <= gsd_m <= 1.1 * coarsest:
            _log.warning(
                "%s has %.3g m a pixel; %s was trained on %.3g to %.3g m.", name, gsd_m, model.name, finest, coarsest
            )
