"""What the data is, how it is split and how LR images are made from it."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from rssr.configuration import Config
from rssr.degradation.config import DegradationConfig

SAMPLE_URI = "sample"

_PUBLISHED_SCALES = (2.0, 3.4, 4.0, 8.0)  # where the papers report figures


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


class DataConfig(Config):
    """Images and their use."""

    uri: str | tuple[str, ...] = SAMPLE_URI
    """Folder of images at any depth, or several: local paths or URIs such as s3://bucket/prefix. The folder an image
    lies in is its class. `sample` stands for procedural images that need no download."""
    test_uri: str | tuple[str, ...] = ()
    """Folders whose images are all held out for tests, e.g. another dataset. Where given, `num_test` defaults to 0."""
    sample: SampleConfig = SampleConfig()
    """The procedural images of `sample`."""
    scale: Annotated[float | tuple[float, float], AfterValidator(_require_scale)]
    """HR/LR size ratio, or the range from which one is drawn for each micro-batch."""
    degradation: DegradationConfig
    """How LR images are made; a bare name stands for a preset: slimdiffsr, real-esrgan or bicubic."""
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
        return (self.uri,) if isinstance(self.uri, str) else self.uri

    @property
    def test_uris(self) -> tuple[str, ...]:
        """`test_uri` as a tuple."""
        return (self.test_uri,) if isinstance(self.test_uri, str) else self.test_uri

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
