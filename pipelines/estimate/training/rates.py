"""How fast a machine trains and how fast it makes image pairs: rates as they are measured and handed on."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from pipelines.estimate.kept_rates import read_rates_file
from pipelines.estimate.speed import Rate
from rssr.configuration import Config
from rssr.publish import write_aside


class ArithmeticRates(Config):
    """What a training step sustains."""

    machine: str
    """Processor or accelerator, cores and memory."""
    on: Literal["cpu", "gpu"]
    """Where it ran: on one core, or on one GPU."""
    measured_at: str
    """When, e.g. 2026-11-29T04:25:00Z."""
    software: dict[str, str]
    """Versions of the libraries that decide."""
    phase: str
    """Whose step it was, e.g. slimdiffsr student."""
    precision: Literal["float32", "bfloat16"]
    """Of the arithmetic."""
    patch_size: int = Field(ge=1)
    """Side of the HR patches, pixels."""
    pairs: int = Field(ge=1)
    """Image pairs of a micro-batch."""
    flops_per_s: Rate
    """Floating-point operations a second of whole steps, optimizers included; a multiply-accumulate is two."""


class PairRates(Config):
    """What the data pipeline makes."""

    machine: str
    """Processor, cores and memory."""
    measured_at: str
    """When."""
    software: dict[str, str]
    """Versions of the libraries that decide."""
    degradation: str
    """How LR images were made."""
    scale: float = Field(ge=1)
    """HR/LR ratio."""
    patch_size: int = Field(ge=1)
    """Side of the HR patches, pixels."""
    image_size: int = Field(ge=1)
    """Side of the images that they were cut from, pixels; each is read and decoded for every pair."""
    image_bytes: float = Field(gt=0)
    """Bytes of such an image as it is stored."""
    pairs_per_core_s: Rate
    """Image pairs for each second of a CPU core."""


class TrainingRates(Config):
    """All that an estimate can be told from."""

    pairs: PairRates
    """Making image pairs."""
    arithmetic: ArithmeticRates | None = None
    """Training steps; null where none was measured."""


def read_training_rates(path: Path) -> TrainingRates:
    """Rates that `write_training_rates` wrote, here or on another machine.

    Raises:
        ConfigError: There is no such file, or it holds something else.
    """
    return read_rates_file(TrainingRates, path, "training", "rates of training")


def write_training_rates(rates: TrainingRates, path: Path) -> None:
    """Write a file for `read_training_rates`.

    Raises:
        StorageError: It cannot be written.
    """
    with write_aside(path) as aside:
        aside.write_text(rates.model_dump_json(indent=1) + "\n", encoding="utf-8")
