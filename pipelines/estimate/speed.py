"""How fast one worker is: rates with their spread, as they are measured, kept and handed on."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from rssr.configuration import Config, flatten
from rssr.inference import ColorMatching

Pace = Literal["fast", "usual", "slow"]
"""Which end of the measured spread; `usual` is the median."""

PACES: tuple[Pace, ...] = ("fast", "usual", "slow")


class Spread(Config):
    """What several measurements came to."""

    low: float = Field(ge=0)
    """Smallest."""
    middle: float = Field(ge=0)
    """Median."""
    high: float = Field(ge=0)
    """Largest."""
    count: int = Field(default=1, ge=1)
    """Measurements."""

    @classmethod
    def of(cls, samples: Sequence[float]) -> Self:
        """The spread of some measurements, at least one."""
        return cls(low=min(samples), middle=statistics.median(samples), high=max(samples), count=len(samples))

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low <= self.middle <= self.high:
            raise ValueError("low, middle and high must not fall")
        return self


class Rate(Spread):
    """So much a second: the larger, the faster."""

    low: float = Field(gt=0)
    """Smallest, above zero."""

    def at(self, pace: Pace) -> float:
        """The value at a pace."""
        return {"fast": self.high, "usual": self.middle, "slow": self.low}[pace]


class Duration(Spread):
    """Seconds, or bytes a byte: the smaller, the faster."""

    def at(self, pace: Pace) -> float:
        """The value at a pace."""
        return {"fast": self.low, "usual": self.middle, "slow": self.high}[pace]


class MeasuredFor(Config):
    """What decides how long tiles and products take, besides the model and the machine."""

    scale: float = Field(ge=1)
    """Enlargement of each side."""
    num_threads: int = Field(ge=1)
    """Of arithmetic on the CPU."""
    on: Literal["cpu", "gpu"]
    """Where the model ran."""
    batch_size: int = Field(ge=1)
    """Tiles at a time."""
    num_bands: int = Field(ge=1)
    """Of products."""
    num_model_bands: int = Field(ge=1)
    """Of them, those that the model makes."""
    tile_size: int = Field(ge=1)
    """Side of a whole tile, LR pixels."""
    halo: int = Field(ge=0)
    """Context on each side of a tile, LR pixels."""
    color_match: ColorMatching
    """How colours were matched."""
    num_samples: int = Field(ge=1)
    """Results that were averaged."""
    products: dict[str, Any]
    """What was written for each scene, and how."""

    def differences(self, others: "MeasuredFor") -> list[str]:
        """What is not the same, e.g. `scale is 4, there 2`."""
        own, theirs = flatten(self.model_dump(mode="json")), flatten(others.model_dump(mode="json"))
        names = [name for name in own if own[name] != theirs.get(name)]
        return [f"{name} is {own[name]}, there {theirs.get(name)}" for name in names]


class ModelRates(Config):
    """What a model takes on a machine, and writing its products."""

    machine: str
    """Processor or accelerator, cores and memory."""
    software: dict[str, str]
    """Versions of the libraries that decide."""
    measured_at: str
    """When, e.g. 2026-11-29T04:25:00Z."""
    model: str
    """As it was configured."""
    model_digest: str
    """SHA-256 of its folder; empty for bicubic."""
    settings: MeasuredFor
    """What of the configuration decides."""
    tile_s: Duration
    """Seconds of the model for one whole tile."""
    finish_values_per_s: Rate
    """Values (pixels times bands) of the product a second, from assembled windows to a valid file: finishing, layers,
    overviews, compression and check."""
    compression_ratio: Duration
    """Bytes of the product's files for each byte of its values."""


class StoreRates(Config):
    """What one worker gets from the stores, as seen from a machine."""

    machine: str
    """Where from."""
    measured_at: str
    """When."""
    places: str
    """Which stores: of the scenes, then of the output."""
    open_s: Duration
    """Seconds to open a scene."""
    input_bytes_per_s: Rate
    """Bytes a second of scenes as they are stored, read by windows and decoded."""
    fetch_bytes_per_s: Rate
    """Bytes a second from the output."""
    upload_bytes_per_s: Rate
    """Bytes a second to the output."""
    commit_s: Duration
    """Seconds of a small object that must not exist yet."""
    lease_s: Duration | None = None
    """Seconds to take a lease for a product and give it back; null where the output itself refuses to overwrite."""
    verify_bytes_per_s: Rate
    """Bytes a second of products that one process reads and checks."""
    dispatch_s: Duration | None = None
    """Seconds of the driver to hand out one piece of work and take note of its end; null where no Ray was asked for."""


class Rates(Config):
    """All that an estimate needs to know of a worker."""

    model: ModelRates
    """Computing and writing."""
    stores: StoreRates
    """Reading and keeping."""

    def at(self, pace: Pace) -> "Speed":
        """Plain numbers at one end of the spread, or in its middle."""
        model, stores = self.model, self.stores
        return Speed(
            tile_s=model.tile_s.at(pace),
            finish_values_per_s=model.finish_values_per_s.at(pace),
            compression_ratio=model.compression_ratio.at(pace),
            open_s=stores.open_s.at(pace),
            input_bytes_per_s=stores.input_bytes_per_s.at(pace),
            fetch_bytes_per_s=stores.fetch_bytes_per_s.at(pace),
            upload_bytes_per_s=stores.upload_bytes_per_s.at(pace),
            commit_s=stores.commit_s.at(pace),
            lease_s=0.0 if stores.lease_s is None else stores.lease_s.at(pace),
            verify_bytes_per_s=stores.verify_bytes_per_s.at(pace),
            dispatch_s=0.0 if stores.dispatch_s is None else stores.dispatch_s.at(pace),
        )


@dataclass(frozen=True)
class Speed:
    """Rates of one worker as plain numbers; see `ModelRates` and `StoreRates`."""

    tile_s: float
    finish_values_per_s: float
    compression_ratio: float
    open_s: float
    input_bytes_per_s: float
    fetch_bytes_per_s: float
    upload_bytes_per_s: float
    commit_s: float
    lease_s: float
    verify_bytes_per_s: float
    dispatch_s: float
