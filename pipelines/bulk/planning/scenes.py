"""Look at each scene's header, refuse what cannot be run, and cut the rest into windows."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from pipelines.bulk.config import BulkConfig
from pipelines.bulk.inputs.opening import opened_scene
from pipelines.bulk.planning.options import scene_options
from pipelines.bulk.records import InputScene, PlannedScene, SceneKind
from pipelines.bulk.threads import in_threads
from pipelines.storage import StorageSettings, StoreUnavailable
from rssr.errors import DataError, RssrError
from rssr.inference.files import MemoryReader, SceneReader
from rssr.inference.scene import SceneRun
from rssr.models.loaded import LoadedModel
from rssr.raster import RasterReader, footprint, ground_sample_distance_m
from rssr.sentinel2 import Sentinel2Scene
from rssr.tiling import TilePlan

Progress = Callable[[int, int], None]
"""Called with the number of scenes planned and of all."""

NUM_THREADS = 8
_LARGE_BYTES = 16 * 2**20  # an encoded picture that may have several hundred megabytes of pixels
_ONE_LARGE = threading.Lock()
_NUM_REASONS = 5
_NUM_EXAMPLES = 3


def plan_scenes(
    scenes: Sequence[InputScene],
    model: LoadedModel,
    config: BulkConfig,
    settings: StorageSettings | None,
    progress: Progress,
) -> list[PlannedScene]:
    """Plan each of the scenes; those that cannot be run come back with the reason.

    Args:
        scenes: As they were found.
        model: Of the run.
        config: Of the run.
        settings: How to reach S3; None reads the environment.
        progress: Told of each scene.

    Raises:
        ModelError: The model does not do what is asked for, whatever the scene.
        StoreUnavailable: A store does not answer: that says nothing of its scenes.
    """
    scene_options(config, model)
    planned: list[PlannedScene] = []
    for one in in_threads(lambda scene: plan_scene_record(scene, model, config, settings), scenes, NUM_THREADS):
        planned.append(one)
        progress(len(planned), len(scenes))
    return planned


def plan_scene_record(
    scene: InputScene, model: LoadedModel, config: BulkConfig, settings: StorageSettings | None
) -> PlannedScene:
    """Open a scene, check that model and configuration fit it, and cut it.

    Of rasters the header and one pixel are read; of Sentinel-2 products a few windows, whose dark pixels tell whether
    the offset can be right; pictures are decoded.

    Args:
        scene: As it was found.
        model: Of the run.
        config: Of the run.
        settings: How to reach S3; None reads the environment.

    Raises:
        ModelError: The model does not do what is asked for, whatever the scene.
        StoreUnavailable: A store does not answer.
    """
    options = scene_options(config, model)
    try:
        with _turn_of(scene), opened_scene(scene, model, options, settings, checks_dark_pixels=True) as reader:
            run = SceneRun.prepare(reader, model, config.scale, options, scene.uri)
            if isinstance(reader, RasterReader):
                reader.check_end()  # better to know before work than in its last window
            windows = tuple(window.key for window in run.windows(config.tiling.tiles_a_side))
            return _planned(replace(scene, kind=_kind_of(reader)), run, windows, run.engine.options.halo)
    except StoreUnavailable:
        raise
    except RssrError as error:
        return PlannedScene(scene, refusal=_reason(error))
    except MemoryError:
        return PlannedScene(scene, refusal=f"{scene.uri} claims a size that no memory holds; is it damaged?")


def all_refused(planned: Sequence[PlannedScene]) -> DataError:
    """The error for a run without a scene that can be run: the reasons, each with how many scenes it is that of."""
    reasons = Counter(_without_name(scene) for scene in planned)
    examples = {_without_name(scene): scene.name for scene in reversed(planned)}
    told = [f"{number:,} (e.g. {examples[text]}): {text}" for text, number in reasons.most_common(_NUM_REASONS)]
    more = f" and {len(reasons) - _NUM_REASONS} other reasons" if len(reasons) > _NUM_REASONS else ""
    return DataError(
        f"None of the {len(planned):,} scenes can be run. {' '.join(told)}{more}",
        "Correct the input, or choose another model.",
    )


def _planned(scene: InputScene, run: SceneRun, windows: tuple[str, ...], halo: int) -> PlannedScene:
    lr, sr = run.lr_info, run.info
    place = footprint(lr.transform, lr.crs, lr.size)
    return PlannedScene(
        scene=scene,
        lr_size=lr.size,
        sr_size=sr.size,
        dtype=sr.dtype,
        band_names=sr.band_names,
        crs=lr.crs,
        bounds=None if place is None else place.bbox,
        gsd_m=ground_sample_distance_m(lr.transform, lr.crs, lr.size),
        tile_size=_largest_tile(run.plan),
        halo=halo,
        num_tiles=len(run.plan),
        windows=windows,
    )


def _largest_tile(plan: TilePlan) -> int:
    return max(span.lr[1] - span.lr[0] for span in (*plan.rows, *plan.columns))


def _kind_of(reader: SceneReader) -> SceneKind:
    if isinstance(reader, Sentinel2Scene):
        return "product"
    return "picture" if isinstance(reader, MemoryReader) else "raster"


def _turn_of(scene: InputScene) -> AbstractContextManager[object]:
    """Large pictures are decoded one after the other."""
    return _ONE_LARGE if scene.kind == "picture" and scene.num_bytes > _LARGE_BYTES else nullcontext()


def _reason(error: RssrError) -> str:
    """What is wrong and what to do, by the names of this job's keys."""
    return str(error).replace("data.scenes.", "sentinel2.")


def _without_name(planned: PlannedScene) -> str:
    return planned.refusal.replace(planned.scene.uri, "it")
