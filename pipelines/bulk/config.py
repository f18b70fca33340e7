"""What a bulk run is configured by."""

from typing import Any, Literal

from pydantic import Field, field_validator

from pipelines.cluster import RayConfig
from pipelines.experiment.config import OutputConfig
from pipelines.storage.allowed import AllowedPlaces
from pipelines.tracking.config import TrackingConfig
from rssr.configuration import Config
from rssr.inference import ColorMatching
from rssr.sentinel2 import Declared
from rssr.stretch import StretchConfig


class BulkTilingConfig(Config):
    """How scenes are cut; what is null is taken from the model's card."""

    tile_size: int | None = Field(default=None, ge=1)
    """Side of a tile with its halos, LR pixels."""
    halo: int | None = Field(default=None, ge=0)
    """Context on each side of a tile, LR pixels."""
    color_match: ColorMatching | None = None
    """Colours: none; scene (means and deviations, once for the scene); local (place by place, without seams); authors
    (a tile at a time, which makes seams)."""
    batch_size: int = Field(default=4, ge=1)
    """Tiles at a time on an accelerator; halved as often as needed when its memory is short."""
    tiles_a_side: int = Field(default=8, ge=1)
    """Tiles along each side of a window, the piece of work that is computed, kept and resumed."""


class ProductsConfig(Config):
    """What is written for each scene."""

    uncertainty: bool = False
    """Whether a layer tells how far each pixel and band may be off; the model must have a deviation head or draw
    samples."""
    consistency: bool = True
    """Whether a layer on the scene's own grid tells how far the result, taken back to it, is from the scene."""
    project: bool = False
    """Whether SR's mean over each LR pixel is made that pixel, so that indices such as NDVI keep."""
    other_bands: bool = False
    """Whether the product also has the bands that the model does not take, enlarged bicubically and projected."""
    stretch: StretchConfig | None = None
    """Values that a model of pictures sees as black and white, for scenes of another type than its training images:
    reflectance where the file declares scale and offset, else stored numbers. Null leaves it to scene and card."""
    compression: Literal["zstd", "deflate"] = "zstd"
    """Of the GeoTIFFs; deflate is read by everything, zstd by GDAL since 2.3."""
    compression_level: int = Field(default=1, ge=1, le=22)
    """Of the compression."""
    thumbnail_side: int = Field(default=512, ge=16)
    """Longer side of the thumbnail, pixels."""
    licence: str = Field(default="proprietary", pattern=r"^[\w.+-]+$")
    """Licence of the products in their STAC items, as an SPDX identifier (CC-BY-4.0), or `proprietary` or `other`."""
    called: dict[str, str] = Field(default_factory=dict)
    """What products call inputs and models whose address is nobody's business: the beginning of an address, and what
    stands for it, e.g. {/srv/uploads/7f.zip: upload://7f.zip}."""

    def told(self, address: str) -> str:
        """An address as products tell it."""
        beginnings = [beginning for beginning in self.called if address.startswith(beginning)]
        longest = max(beginnings, key=len, default="")
        return self.called[longest] + address.removeprefix(longest) if longest else address


class BulkWorkerConfig(Config):
    """Resources of one worker."""

    num_cpus: float = Field(default=1, gt=0)
    """CPU cores it reserves."""
    num_gpus: float = Field(default=0, ge=0)
    """GPUs it reserves."""
    num_threads: int = Field(default=1, ge=1)
    """Threads of CPU arithmetic; part of what makes results identical."""
    max_attempts: int = Field(default=3, ge=1)
    """How often one window is tried when the process or node that computes it dies."""


class BulkConfig(Config):
    """Keys of `jobs/bulk.py`."""

    input: tuple[str, ...] = Field(min_length=1)
    """Scenes: folders or prefixes (s3://bucket/in/), patterns (s3://bucket/in/**/*.tif), lists (.txt), STAC items or
    ItemCollections (.json), SAFE folders, zip or tar archives of images; one or several."""
    read_places: tuple[str, ...] | None = None
    """Folders and prefixes in which all must lie that is read: inputs, lines of lists, images of STAC items, and where
    web servers lead. For inputs that others name; null allows all."""
    inner_hosts: tuple[str, ...] = ()
    """With read_places: names of web servers that may lie in the own network."""
    output: OutputConfig = OutputConfig(uri="runs/bulk")
    """Where products, ledger and reports go: `output=URI`, or `output.uri=URI`."""
    model: str = "bicubic"
    """A name (see `rssr models`), a model folder, or a registered model such as models:/ldcsr@champion."""
    scale: float = Field(default=4.0, ge=1)
    """Enlargement of each side."""
    seed: int = Field(default=0, ge=0)
    """For models that draw noise: same seed, same products."""
    num_samples: int | None = Field(default=None, ge=1)
    """For models that draw noise: results that are averaged; null is one, or eight with uncertainty."""
    tiling: BulkTilingConfig = BulkTilingConfig()
    """How scenes are cut."""
    products: ProductsConfig = ProductsConfig()
    """What is written for each scene."""
    sentinel2: Declared = Declared()
    """What Sentinel-2 products do not say themselves, such as band files alone, or say wrongly."""
    num_workers: int = Field(default=0, ge=0)
    """Ray actors that compute windows and write products; 0 works in this process, without Ray. Products are the
    same to the byte."""
    worker: BulkWorkerConfig = BulkWorkerConfig()
    """Resources of one worker."""
    retry_failed: bool = False
    """Whether scenes and windows that failed in an earlier run of the same command are tried again."""
    verify: bool = True
    """Whether the finished run is checked: a product or a named failure for every scene, checksums, coverage."""
    verify_only: bool = False
    """Check a finished run and compute nothing."""
    keep_work: bool = False
    """Whether computed windows stay below `_work/` after verification."""
    keep_windows: bool = True
    """Whether computed windows are kept below `_work/` until their product is there, so that workers share a scene and
    an interrupted run goes on from them. Without, a scene is one piece of work: faster for interpolation, which
    computes windows as fast as they are read."""
    fresh: bool = False
    """Forget an earlier run in the same output: its ledger, windows and products."""
    ray: RayConfig = RayConfig()
    """How to reach Ray."""
    mlflow: TrackingConfig = TrackingConfig()
    """Where registered models are looked up."""

    @field_validator("input", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:  # noqa: ANN401  # whatever YAML holds; validated afterwards
        return (value,) if isinstance(value, str) else value

    def allowed_places(self) -> AllowedPlaces | None:
        """Where all must lie that is read; None allows all."""
        return None if self.read_places is None else AllowedPlaces(self.read_places, self.inner_hosts)

    @field_validator("output", mode="before")
    @classmethod
    def _plain_uri(cls, value: Any) -> Any:  # noqa: ANN401  # whatever YAML holds; validated afterwards
        return {"uri": value} if isinstance(value, str) else value

    @field_validator("sentinel2")
    @classmethod
    def _products_only(cls, value: Declared) -> Declared:
        if value.file_bands is not None:
            raise ValueError("a file with several bands is taken as it is; name its bands in the file")
        return value

    @property
    def keeps_windows(self) -> bool:
        """Whether windows are pieces of work of their own."""
        return self.keep_windows or self.keep_work

    def product_values(self) -> dict[str, Any]:
        """What decides the products' pixels and tags: another value of any of these is another run."""
        chosen = {"scale", "seed", "num_samples", "tiling", "products", "sentinel2"}
        values = self.model_dump(mode="json", include=chosen)
        del values["tiling"]["batch_size"]
        return {**values, "num_threads": self.worker.num_threads}
