"""A scene's product: its files written to a scratch folder, ready to be committed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipelines.bulk.config import BulkConfig
from pipelines.bulk.products.product_facts import ProductFacts
from pipelines.bulk.products.stac import item_bytes, stac_item
from pipelines.bulk.products.thumbnail import thumbnail_png
from pipelines.bulk.records import (
    MARKED_FOLDER,
    FailedWindow,
    FileRole,
    PlannedScene,
    ProductFile,
    RunIdentity,
    SceneRecord,
    SceneState,
)
from pipelines.bulk.work.kept_windows import KeptWindows
from pipelines.bulk.work.open_runs import OpenScene
from pipelines.bulk.work.work_objects import WindowObjects
from rssr.card import ModelCard
from rssr.inference import ComputedWindows, SceneFiles, SceneReport, SideProducts
from rssr.metrics.seams import SEAM_LIMIT
from rssr.raster import CogOptions, Window, open_raster

_ENDINGS: dict[FileRole, str] = {
    "data": ".tif",
    "uncertainty": "_uncertainty.tif",
    "consistency": "_consistency.tif",
    "thumbnail": ".png",
    "metadata": ".json",
}
"""Of a product's files after its scene's name, in the order in which they are committed: the item last."""

_CHUNK_BYTES = 8 * 2**20
_ROWS = 1024  # of a layer that are read at a time


@dataclass(frozen=True)
class WrittenProduct:
    """A product in a scratch folder.

    Attributes:
        record: Of the scene; times and worker are still missing.
        paths: The files, in the order of `record.files`.
    """

    record: SceneRecord
    paths: tuple[Path, ...]


class ProductWriter:
    """Writes products.

    Args:
        config: Of the run.
        identity: Of the run.
        card: Of the model; None where it has none.
        windows: Where computed windows are kept.
    """

    def __init__(
        self, config: BulkConfig, identity: RunIdentity, card: ModelCard | None, windows: WindowObjects
    ) -> None:
        self._config = config
        self._identity = identity
        self._card = card
        self._windows = windows

    def write(
        self, planned: PlannedScene, scene: OpenScene, failed: Sequence[tuple[str, str]], folder: Path
    ) -> WrittenProduct:
        """Write a scene's image, layers, thumbnail and STAC item.

        Args:
            planned: The scene.
            scene: The same, open.
            failed: Windows that failed, by key, with the reason. A scene whose windows are not kept is computed here.
            folder: Where to.

        Raises:
            RssrError: A window, the scene or the model is at fault, or the folder has no room.
        """
        paths = {role: folder / f"product{ending}" for role, ending in _ENDINGS.items()}
        beside = SideProducts(
            deviation=paths["uncertainty"] if self._config.products.uncertainty else None,
            consistency=paths["consistency"] if self._config.products.consistency else None,
        )
        files = SceneFiles(Path(planned.name), paths["data"], beside=beside)
        how = self._config.products
        scene.run.write(
            files,
            lambda finished, total: None,
            self._computed(planned.name, scene, failed),
            compression=CogOptions(how.compression, how.compression_level, self._config.worker.num_threads),
            tags=self._tags(planned),
        )
        paths["thumbnail"].write_bytes(thumbnail_png(paths["data"], how.thumbnail_side))
        record = self._record(planned, scene, failed, paths)
        return self._with_item(planned, scene, record, paths)

    def _computed(self, name: str, scene: OpenScene, failed: Sequence[tuple[str, str]]) -> ComputedWindows | None:
        windows = list(scene.windows.values())
        lost = [scene.windows[key] for key, _ in failed]
        if not scene.keeps_windows:
            return scene.computed_when_asked(lost) if lost else None
        kept = KeptWindows(self._windows, name, scene)
        counts = kept.counts(window.key for window in windows if window not in lost)
        prologue = scene.run.prologue(windows, kept.fetch, lost)
        return ComputedWindows(prologue, windows, kept.fetch, lost, counts)

    def _tags(self, planned: PlannedScene) -> dict[str, str]:
        run, how = self._identity, self._config.products
        return {
            "RSSR_RUN": run.digest,
            "RSSR_MODEL_URI": how.told(run.model),
            "RSSR_MODEL_DIGEST": run.model_digest,
            "RSSR_SOURCE_URI": how.told(planned.scene.uri),
            "RSSR_PLANNED_AT": run.planned_at,
        }

    def _record(
        self,
        planned: PlannedScene,
        scene: OpenScene,
        failed: Sequence[tuple[str, str]],
        paths: dict[FileRole, Path],
    ) -> SceneRecord:
        report = scene.run.report()
        state, reason = _state(report, len(failed), len(planned.windows))
        prefix = f"{MARKED_FOLDER}/" if state == "marked" else ""
        written = [role for role in _ENDINGS if paths[role].exists()]
        return SceneRecord(
            name=planned.name,
            state=state,
            reason=reason,
            input_uri=planned.scene.uri,
            input_version=planned.scene.version,
            files=tuple(_described(paths[role], role, f"{prefix}{planned.name}{_ENDINGS[role]}") for role in written),
            sr_size=report.sr_size,
            num_tiles=report.num_tiles,
            num_skipped_tiles=report.num_skipped_tiles,
            num_splits=report.num_splits + report.num_smaller_tiles,
            valid_share=report.valid_share,
            seam_score=report.seam_score,
            mean_consistency=_mean_of(paths["consistency"]) if "consistency" in written else None,
            failed_windows=tuple(_failed_window(scene, key, why) for key, why in failed),
        )

    def _with_item(
        self, planned: PlannedScene, scene: OpenScene, record: SceneRecord, paths: dict[FileRole, Path]
    ) -> WrittenProduct:
        how, identity = self._config.products, self._identity
        told = replace(planned, scene=replace(planned.scene, location=how.told(planned.scene.uri), key=""))
        run = replace(identity, model=how.told(identity.model))
        item = stac_item(ProductFacts.of(scene.run, told, record), run, self._card)
        paths["metadata"].write_bytes(item_bytes(item))
        prefix = f"{MARKED_FOLDER}/" if record.state == "marked" else ""
        described = _described(paths["metadata"], "metadata", f"{prefix}{planned.name}{_ENDINGS['metadata']}")
        whole = replace(record, files=(*record.files, described))
        return WrittenProduct(whole, tuple(paths[file.role] for file in whole.files))


def _state(report: SceneReport, num_failed: int, num_windows: int) -> tuple[SceneState, str]:
    if report.seam_score > SEAM_LIMIT:
        told = f"tiles show: its seam score is {report.seam_score:.2f}, and should be {SEAM_LIMIT:g} at most"
        if num_failed:
            told += f"; {num_failed} of {num_windows} windows failed and are masked"
        return "marked", told
    if num_failed:
        return "partial", f"{num_failed} of {num_windows} windows failed and are masked"
    return "done", ""


def _failed_window(scene: OpenScene, key: str, reason: str) -> FailedWindow:
    rows, columns = scene.windows[key].sr(scene.run.plan)
    return FailedWindow(key, reason, (rows.start, rows.stop), (columns.start, columns.stop))


def _described(path: Path, role: FileRole, key: str) -> ProductFile:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return ProductFile(key, role, path.stat().st_size, digest.hexdigest())


def _mean_of(layer: Path) -> float | None:
    """Mean over the valid pixels of a layer of one band; None where there are none."""
    total, count = 0.0, 0
    with open_raster(layer) as reader:
        height, width = reader.info.size
        for row in range(0, height, _ROWS):
            raster = reader.read(Window(row, 0, min(_ROWS, height - row), width))
            total += float(raster.pixels[0][raster.valid_mask].sum(dtype=np.float64))
            count += int(np.count_nonzero(raster.valid_mask))
    return total / count if count else None
