"""What an estimate is configured by: the keys of the bulk job, and what to assume of machines, stores and money.

Or, in place of a bulk run, a training run.
"""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from pipelines.bulk.config import BulkConfig
from pipelines.estimate.training.config import TrainingEstimateConfig
from rssr.configuration import Config

# Keys of `plan` that tell nothing about training.
_OF_SCENES = (
    "workers",
    "disk_bytes",
    "fresh_rates",
    "rates",
    "save_rates",
    "num_samples",
    "patience_s",
    "probe_bytes",
    "simulate",
    "store",
    "imagined",
)


class ImaginedScenesConfig(Config):
    """Scenes that nobody has yet, all alike."""

    num_scenes: int = Field(ge=1)
    """How many."""
    lr_size: tuple[int, int] = (10_980, 10_980)
    """Height and width of each, pixels; a Sentinel-2 tile where it is left out."""
    band_names: tuple[str, ...] = Field(default=("B02", "B03", "B04", "B08"), min_length=1)
    """Bands of the products."""
    dtype: Literal["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"] = "uint16"
    """Type of the pixels."""
    gsd_m: float | None = Field(default=10.0, gt=0)
    """Ground sample distance, metres."""
    scene_bytes: int | None = Field(default=None, ge=1)
    """Size of each as it is stored, bytes; null takes that of its pixels, uncompressed."""

    @field_validator("lr_size")
    @classmethod
    def _has_pixels(cls, value: tuple[int, int]) -> tuple[int, int]:
        if min(value) < 1:
            raise ValueError("both sides must be 1 or more")
        return value


class StoreLimitsConfig(Config):
    """What all workers together get from the stores; null where they do not get in one another's way."""

    input_bytes_per_s: float | None = Field(default=None, gt=0)
    """Bytes a second that the store of the scenes gives."""
    fetch_bytes_per_s: float | None = Field(default=None, gt=0)
    """Bytes a second that the output gives when computed windows are read back."""
    upload_bytes_per_s: float | None = Field(default=None, gt=0)
    """Bytes a second that the output takes."""
    requests_per_s: float | None = Field(default=3500.0, gt=0)
    """Objects a second that the output takes. S3 takes 3,500 below one prefix; null for no limit."""


class EstimateConfig(Config):
    """What is assumed, and how much is allowed."""

    workers: tuple[int, ...] = Field(default=(1, 2, 4, 8, 16, 32, 64), min_length=1)
    """Numbers of workers that are compared. All are taken to be like the one that was measured."""
    price_per_hour: float | None = Field(default=None, ge=0)
    """Price of one worker for one hour, from the run's begin to its end; null leaves money out."""
    currency: str = "USD"
    """Its currency, for the table."""
    budget: float | None = Field(default=None, ge=0)
    """Most that the run may cost with num_workers; more ends with exit status 4."""
    max_hours: float | None = Field(default=None, gt=0)
    """Longest that it may take with num_workers, hours; more ends with exit status 4."""
    disk_bytes: int | None = Field(default=None, ge=1)
    """Local disk of each worker, bytes; products that need more end with exit status 4. Null compares with the free
    space of this machine's folder for temporary files, and warns."""
    measure: bool = True
    """Whether rates that are not known yet are measured here and now, in about a minute. False ends with exit status 2
    instead."""
    fresh_rates: bool = False
    """Measure, whatever was measured before."""
    rates: str | None = None
    """File with rates of another machine, as save_rates wrote it there; nothing is measured then."""
    save_rates: str | None = None
    """File to write the rates to that were used."""
    num_samples: int = Field(default=3, ge=1)
    """Scenes that are looked into when rates are measured."""
    patience_s: float = Field(default=60.0, gt=0)
    """After so long measuring goes on only as far as it must, seconds."""
    probe_bytes: int = Field(default=8 * 2**20, ge=2**10)
    """Size of the object that is written to the output, read back and deleted to measure it, bytes."""
    simulate: bool = False
    """Whether to show where the time of more workers goes, and from how many on they get in one another's way."""
    store: StoreLimitsConfig = StoreLimitsConfig()
    """What all workers share."""
    imagined: ImaginedScenesConfig | None = None
    """Scenes to estimate for in place of `input`, with the model that `rates` were measured of, which need not be
    here."""
    json_file: str | None = None
    """File to write the estimate to as JSON."""

    @field_validator("workers")
    @classmethod
    def _at_least_one(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if min(value) < 1:
            raise ValueError("numbers of workers start at 1")
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.budget is not None and self.price_per_hour is None:
            raise ValueError("a budget needs price_per_hour")
        if self.rates is not None and self.fresh_rates:
            raise ValueError("rates from a file are not measured: leave fresh_rates or rates out")
        if self.imagined is not None and self.rates is None:
            raise ValueError("imagined scenes cannot be read: give plan.rates=FILE, as plan.save_rates wrote it")
        return self


class PlanConfig(BulkConfig):
    """Keys of `jobs/plan.py`: those of `jobs/bulk.py`, `plan` and `training`."""

    input: tuple[str, ...] = ()
    """Scenes, as of `jobs/bulk.py`; not needed where plan.imagined stands for them."""
    plan: EstimateConfig = EstimateConfig()
    """What is assumed, and how much is allowed."""
    training: TrainingEstimateConfig | None = None
    """A training run that is estimated in place of a bulk run. Of `plan` it takes price_per_hour (of a GPU), currency,
    budget and max_hours (what at least one of training.num_gpus must keep within), measure and json_file; all keys of
    `jobs/bulk.py` are ignored, and what `plan` has for scenes alone is refused beside it."""

    @model_validator(mode="after")
    def _has_scenes(self) -> Self:
        if not self.input and self.plan.imagined is None and self.training is None:
            raise ValueError("give the scenes (input=...) that shall be run")
        return self

    @model_validator(mode="after")
    def _one_kind_of_run(self) -> Self:
        of_scenes = [name for name in _OF_SCENES if name in self.plan.model_fields_set]
        if self.training is not None and of_scenes:
            raise ValueError(f"plan.{of_scenes[0]} is about scenes: leave it out beside training")
        return self
