"""What a replica does with one image, as `rssr sr` does it to the byte. Knows no Ray."""

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.models import ModelSource
from pipelines.serving.models.batching import NobodyWaits, Runners, SharedTiles, Submit, Waiting
from pipelines.serving.models.request import MEDIA_TYPES, SUFFIXES, ImageFormat, SrRequest, SrResult
from pipelines.serving.models.uncertainty import uncertainty_picture, zipped
from pipelines.serving.problems import Problem
from rssr.errors import ConfigError, DataError, ImageError, ModelError, RasterError, RssrError
from rssr.images import is_raster
from rssr.inference import (
    SceneFiles,
    SceneOptions,
    SceneReader,
    SceneReport,
    SceneRun,
    SideProducts,
    TilingOptions,
    check_scale,
    open_scene,
)
from rssr.inference.chosen_model import check_deviation
from rssr.inference.options import CompleteOptions
from rssr.inference.planning import plan_draws
from rssr.models.loaded import LoadedModel
from rssr.models.resolver import Draws
from rssr.raster import ByteSource, RasterInfo, ground_sample_distance_m

log = logging.getLogger(__name__)

_JPEG_SIGNATURE = b"\xff\xd8\xff"
_SQUARE_METRES = 1e6  # in a square kilometre


@dataclass(frozen=True)
class ServedModel:
    """A version of a model, loaded; requests keep the one they began with.

    Attributes:
        source: Where it came from.
        label: What callers are told.
        model: Ready to run.
        runners: Of its tiles.
    """

    source: ModelSource
    label: str
    model: LoadedModel
    runners: Runners = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "runners", Runners(self.model))


@dataclass(frozen=True)
class SceneWork:
    """One image on its way through a model.

    Attributes:
        served: The model.
        request: What is asked for.
        batch_size: Tiles at a time on an accelerator.
        submit: Hands tiles to the model, among those of others.
        waiting: Whether somebody still waits.
    """

    served: ServedModel
    request: SrRequest
    batch_size: int
    submit: Submit
    waiting: Waiting

    def run(self) -> SrResult:
        """Super-resolve the image.

        Raises:
            Problem: What the caller is told where it does not work.
        """
        started = time.perf_counter()
        tiles: list[SharedTiles] = []
        options = self._options()
        source = _in_memory(self.request.image, self.request.name)
        with tempfile.TemporaryDirectory(prefix="rssr-sr-") as scratch, _reading(), open_scene(source) as reader:
            run = self._prepared(reader, options, tiles)
            files = self._files(Path(scratch))
            with _computing():
                run.write(files, lambda finished, total: self.waiting.require())
            return self._result(run, files, sum(part.seconds for part in tiles), started)

    def _options(self) -> SceneOptions:
        request, model = self.request, self.served.model
        with _fitting():
            check_scale(model, request.scale)
            if request.uncertainty:
                check_deviation(model)
            draws = plan_draws(model, request.seed, None, with_deviation=request.uncertainty)
        return SceneOptions(TilingOptions(batch_size=self.batch_size), draws, request.uncertainty)

    def _prepared(self, reader: SceneReader, options: SceneOptions, tiles: list[SharedTiles]) -> SceneRun:
        def make_runner(
            model: LoadedModel, complete: CompleteOptions, with_deviation: bool, draws: Draws
        ) -> SharedTiles:
            kind, runner = self.served.runners.get(complete, with_deviation, draws)
            tiles.append(SharedTiles(kind, runner, self.submit, self.waiting))
            return tiles[-1]

        with _fitting():
            return SceneRun.prepare(
                reader, self.served.model, self.request.scale, options, self.request.name, make_runner
            )

    def _files(self, scratch: Path) -> SceneFiles:
        wanted = self.request.format or family_of(self.request.image)
        beside = SideProducts(deviation=scratch / "uncertainty.tif") if self.request.uncertainty else SideProducts()
        return SceneFiles(scratch / "image", scratch / f"sr{SUFFIXES[wanted]}", beside=beside)

    def _result(self, run: SceneRun, files: SceneFiles, model_s: float, started: float) -> SrResult:
        report, data, name = run.report(), files.target.read_bytes(), files.target.name
        media_type = _media_type(files.target)
        if files.beside.deviation is not None:
            data = self._with_uncertainty(data, files, run.info, report)
            media_type, name = "application/zip", "sr.zip"
        return SrResult(
            data=data,
            media_type=media_type,
            file_name=name,
            version=self.served.label,
            seam_score=report.seam_score,
            megapixels=report.sr_size[0] * report.sr_size[1] / 1e6,
            area_km2=_area_km2(run.info) * report.valid_share,
            num_tiles=report.num_tiles,
            num_splits=report.num_splits,
            model_s=model_s,
            replica_s=time.perf_counter() - started,
        )

    def _with_uncertainty(self, data: bytes, files: SceneFiles, info: RasterInfo, report: SceneReport) -> bytes:
        path = files.beside.deviation or Path()
        picture = uncertainty_picture(path)
        members = {files.target.name: data, path.name: path.read_bytes(), "uncertainty.png": picture.png}
        about = {
            "unit": f"stored values ({info.dtype})",
            "low": picture.low,
            "high": picture.high,
            "model": self.served.label,
            "seam_score": report.seam_score,
        }
        return zipped(members, about)


def family_of(image: bytes) -> ImageFormat:
    """The kind of file that an image comes back as: its own; PNG for kinds that are only read."""
    if is_raster(image):
        return "tiff"
    return "jpeg" if image.startswith(_JPEG_SIGNATURE) else "png"


def _in_memory(image: bytes, name: str) -> ByteSource:
    """Read as a file that lies elsewhere: nothing beside it is looked for, and it names no other files."""
    return ByteSource(name, len(image), lambda start, num_bytes: image[start : start + num_bytes])


def _media_type(path: Path) -> str:
    formats: dict[str, ImageFormat] = {suffix: name for name, suffix in SUFFIXES.items()}
    return MEDIA_TYPES[formats[path.suffix]]


def _area_km2(info: RasterInfo) -> float:
    gsd_m = ground_sample_distance_m(info.transform, info.crs, info.size)
    return 0.0 if gsd_m is None else info.size[0] * info.size[1] * gsd_m**2 / _SQUARE_METRES


@contextmanager
def _reading() -> Iterator[None]:
    """What goes wrong is the image's fault, unless somebody further in knows better."""
    with _told_as("unreadable-image", (ImageError, RasterError, DataError)):
        yield


@contextmanager
def _fitting() -> Iterator[None]:
    """What goes wrong is that image, model and request do not fit."""
    with _told_as("model-mismatch", (ModelError, RasterError, ImageError, ConfigError)):
        yield


@contextmanager
def _computing() -> Iterator[None]:
    """An image that fits no file of the kind that is asked for, or a model that fails."""
    try:
        yield
    except NobodyWaits:
        raise Problem("timed-out", "The image took longer than it may.", headers={"Retry-After": "5"}) from None
    except ImageError as error:
        raise Problem("invalid-request", error.problem, "Ask for format=tiff.") from error
    except RasterError as error:
        raise Problem("unreadable-image", error.problem, error.remedy) from error
    except (RssrError, MemoryError, OSError) as error:
        log.exception("An image could not be computed.")
        raise Problem("internal", "The model failed on this image.") from error


@contextmanager
def _told_as(slug: str, kinds: tuple[type[RssrError], ...]) -> Iterator[None]:
    try:
        yield
    except kinds as error:
        remedy = "" if "--" in error.remedy else error.remedy  # options of commands help no caller
        raise Problem(slug, error.problem, remedy) from error
