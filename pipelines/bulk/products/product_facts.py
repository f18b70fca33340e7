"""What is known of a product when it is written, for all that accompanies it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from pipelines.bulk.records import FileRole, PlannedScene, SceneRecord
from rssr.inference.products import consistency_info, deviation_info
from rssr.inference.scene import SceneRun
from rssr.raster import RasterInfo

INTERPOLATION = "bicubic"
"""Source of bands that no network made."""


@dataclass(frozen=True)
class ProductFacts:
    """A product on its way out.

    Attributes:
        planned: The scene as it was planned.
        record: What became of it. Only what is the same in each run of the same inputs is used: no times, no worker.
        layers: Size, place and bands of the image (`data`) and of the layers beside it, as far as they are written.
        sources: Who made each band of the image: a model's name, or `INTERPOLATION`.
        projected: Whether the mean of each band over each LR pixel was made that pixel.
        acquired: Between which moments the scene was taken; None where it does not say so.
    """

    planned: PlannedScene
    record: SceneRecord
    layers: Mapping[FileRole, RasterInfo]
    sources: tuple[str, ...]
    projected: tuple[bool, ...]
    acquired: tuple[datetime, datetime] | None = None

    @classmethod
    def of(cls, run: SceneRun, planned: PlannedScene, record: SceneRecord) -> Self:
        """From the run that made the product."""
        made = [number is not None for number in run.bands.from_model]
        return cls(
            planned,
            record,
            {
                "data": run.info,
                "uncertainty": deviation_info(run.info, run.bands),
                "consistency": consistency_info(run.lr_info, run.bands),
            },
            tuple(run.engine.model.name if own else INTERPOLATION for own in made),
            tuple(run.options.project or not own for own in made),
            run.scene.acquired,
        )

    @property
    def info(self) -> RasterInfo:
        """Of the image."""
        return self.layers["data"]

    @property
    def scale(self) -> float:
        """Enlargement of each side as it came out: sizes are whole pixels."""
        (height, width), (sr_height, sr_width) = self.planned.lr_size, self.info.size
        return sr_height / height if height >= width else sr_width / width
