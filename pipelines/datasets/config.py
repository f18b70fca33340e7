"""What the data is, how it is split and how LR images are made from it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pipelines.catalogue import SplitName
from pipelines.datasets.scenes_config import ScenesConfig
from rssr.configuration import Config
from rssr.degradation.config import DegradationConfig

SAMPLE_URI = "sample"

LayoutName = Literal["auto", "aid", "nwpu-resisc45", "dota", "dior", "folder"]

_PUBLISHED_SCALES = (2.0, 3.4, 4.0, 8.0)  # where the papers report figures


def _as_tuple(uris: str | tuple[str, ...]) -> tuple[str, ...]:
    return (uris,) if isinstance(uris, str) else uris


def _require_scale(scale: float | tuple[float, float]) -> float | tuple[float, float]:
    low, high = scale if isinstance(scale, tuple) else (scale, scale)
    if not 1 <= low <= high:
        raise ValueError(f"a scale is at least 1 and a range is ordered, got {low:g} to {high:g}")
    return scale


class SampleConfig(Config):
    """The procedural images that `uri: sample` stands for."""

    num_images: int = Field(default=48, ge=2)
    """Images to make, classes in turn."""
    size: int = Field(default=192, ge=16)
    """Side, pixels."""
    gsd_m: float = Field(default=0.5, gt=0)
    """Ground sample distance, metres a pixel."""


class SplitListsConfig(Config):
    """Published lists of file names, one or several a split: .pkl, .json or .txt, local or remote."""

    train: str | tuple[str, ...]
    """Images to train on."""
    test: str | tuple[str, ...]
    """Images held out."""
    val: str | tuple[str, ...] = ()
    """Images that are neither trained on nor held out."""

    @property
    def uris(self) -> dict[SplitName, tuple[str, ...]]:
        """The lists of each split."""
        return {"train": _as_tuple(self.train), "val": _as_tuple(self.val), "test": _as_tuple(self.test)}


class DataConfig(Config):
    """Images and their use."""

    uri: str | tuple[str, ...] = SAMPLE_URI
    """Folder of images at any depth, or several: local paths or URIs such as s3://bucket/prefix. Also an archive (.zip,
    .tar, or .tar.gz, which every process has to unpack: ingest it first), a folder in one (AID.zip!/Airport), or a list
    of files (https://host/files.txt, one a line). The folder an image lies in is its class. `sample` stands for
    procedural images that need no download."""
    layout: LayoutName = "auto"
    """Dataset that `uri` holds, which tells classes and official splits. `auto` recognises it where it fits every
    image; asked for by name, images that do not belong to it are left out."""
    official_split: bool = False
    """Train on the official training split and hold out the official test split; official validation images are left
    out. Needs a layout that has them: dota, dior."""
    split_lists: SplitListsConfig | None = None
    """Published lists that say which images of `uri` are trained on and held out; images on none are left out."""
    test_uri: str | tuple[str, ...] = ()
    """Folders whose images are all held out for tests, e.g. another dataset. Where given, `num_test` defaults to 0."""
    test_layout: LayoutName = "auto"
    """Dataset that `test_uri` holds; see `layout`."""
    sample: SampleConfig = SampleConfig()
    """The procedural images of `sample`."""
    scale: Annotated[float | tuple[float, float], AfterValidator(_require_scale)]
    """HR/LR size ratio, or the range from which one is drawn for each micro-batch."""
    scales: tuple[float, ...] | None = None
    """Scales of `scale`'s range of which each micro-batch has one, all equally likely; null draws from all of it."""
    degradation: DegradationConfig
    """How LR images are made; a bare name stands for a preset: slimdiffsr, real-esrgan, bicubic, or sentinel2 for
    reflectance."""
    scenes: ScenesConfig | None = None
    """Sentinel-2 products in place of pictures; null for pictures."""
    patch_size: int | None = Field(default=None, ge=8)
    """Side that an image needs at least to be trained on, HR pixels; null leaves it to each phase's crops."""
    num_test: int | None = Field(default=None, ge=0)
    """Distinct images of `uri` held out, spread over the classes as the images are; null takes `test_fraction`."""
    test_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Share of distinct images held out where `num_test` is null; at least one unless it is 0."""
    max_corrupt_fraction: float = Field(default=0.05, ge=0, le=1)
    """Share of files that may be unreadable; they are skipped and listed. More is an error."""
    num_workers: int = Field(default=8, ge=1)
    """Threads that read and verify images when the manifest is made."""
    max_cached_bytes: int = Field(default=256 * 2**20, ge=0)
    """Decoded images that each data process keeps, bytes."""

    @property
    def uris(self) -> tuple[str, ...]:
        """`uri` as a tuple."""
        return _as_tuple(self.uri)

    @property
    def test_uris(self) -> tuple[str, ...]:
        """`test_uri` as a tuple."""
        return _as_tuple(self.test_uri)

    @property
    def scale_range(self) -> tuple[float, float]:
        """Smallest and largest scale; equal where it is fixed."""
        return self.scale if isinstance(self.scale, tuple) else (self.scale, self.scale)

    @property
    def test_scales(self) -> tuple[float, ...]:
        """Scales at which held-out images stand for the whole range, ascending.

        Both ends and the published scales between them, but for 1, at which nothing is enlarged; the one scale where
        it is fixed.
        """
        low, high = self.scale_range
        within = {low, high, *(scale for scale in _PUBLISHED_SCALES if low <= scale <= high)}
        return tuple(sorted(within - {1.0})) or (1.0,)

    @model_validator(mode="after")
    def _check_uris(self) -> "DataConfig":
        if not self.uris or not all((*self.uris, *self.test_uris)):
            raise ValueError("uri needs at least one folder, and none may be empty")
        return self

    @model_validator(mode="after")
    def _check_scales(self) -> "DataConfig":
        low, high = self.scale_range
        if self.scales is not None and not (self.scales and low <= min(self.scales) <= max(self.scales) <= high):
            raise ValueError(f"scales must name one at least, and lie within scale ({low:g} to {high:g})")
        return self

    @model_validator(mode="after")
    def _check_split(self) -> "DataConfig":
        chosen = {
            "official_split": self.official_split,
            "split_lists": self.split_lists is not None,
            "num_test": self.num_test is not None,
        }
        given = [name for name, is_chosen in chosen.items() if is_chosen]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: each says which images are held out")
        return self

    @model_validator(mode="after")
    def _check_degradation(self) -> "DataConfig":
        is_sensor = self.degradation.sensor is not None
        if is_sensor != (self.scenes is not None):
            found = "sets no data.scenes" if is_sensor else f"has data.degradation {self.degradation.kind}"
            raise ValueError(
                f"reflectance is degraded by kind sentinel2, pictures by the others, but this configuration {found}; "
                "set data.degradation=sentinel2 and data.scenes together"
            )
        if self.scenes is not None and SAMPLE_URI in self.uris:
            raise ValueError("the procedural sample holds no Sentinel-2 product; set data.uri")
        return self

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands that networks see."""
        return ("red", "green", "blue") if self.scenes is None else self.scenes.bands

    @property
    def has_given_split(self) -> bool:
        """Whether each image of `uri` has its split from the dataset or from lists, rather than by chance."""
        return self.official_split or self.split_lists is not None
