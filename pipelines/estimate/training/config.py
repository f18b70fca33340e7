"""What an estimate of a training run is configured by: its preset, and what to assume of the machines."""

import json
from typing import Any, Literal

from pydantic import Field, field_validator

from rssr.configuration import Config, flatten

USUAL_FLOPS_PER_S = 30e12


class GpusConfig(Config):
    """GPUs and what is around them, all alike. Every figure is an assumption until it is measured."""

    flops_per_s: float | None = Field(default=None, gt=0)
    """Floating-point operations a second that one GPU sustains in training, a multiply-accumulate being two. Null takes
    those of `training.rates` where they were measured on a GPU, else 30e12."""
    memory_bytes: float = Field(default=80e9, gt=0)
    """Memory of one GPU, bytes."""
    usable_share: float = Field(default=0.9, gt=0, le=1)
    """Share of it that tensors may take; libraries and the memory allocator need the rest."""
    a_machine: int = Field(default=8, ge=1)
    """GPUs of one machine."""
    cores: float = Field(default=12.0, gt=0)
    """CPU cores beside each GPU. Training workers reserve some (worker.num_cpus of the preset), the rest make image
    pairs."""
    link_bytes_per_s: float = Field(default=100e9, gt=0)
    """Bytes a second that GPUs of one machine exchange, each with its neighbour."""
    network_bytes_per_s: float = Field(default=12.5e9, gt=0)
    """Bytes a second between machines, each way."""
    hidden_share: float = Field(default=0.5, ge=0, le=1)
    """Share of a micro-batch's arithmetic during which gradients travel already; the backward pass is some two thirds
    of it."""
    store_bytes_per_s: float = Field(default=12.5e9, gt=0)
    """Bytes a second that the store gives all GPUs together, for images and checkpoints."""


class TrainingEstimateConfig(Config):
    """A training run that is estimated in place of a bulk run."""

    preset: str
    """Preset of the training job: a path, or a name under jobs/presets."""
    method: Literal["slimdiffsr", "ldcsr", "lcmsr"] = "slimdiffsr"
    """Whose preset it is: the job jobs/METHOD.py takes it."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Keys of the training job that differ from the preset's: training.overrides.student.precision=bfloat16, or
    {student.precision: bfloat16, phases: [student]}."""
    num_gpus: tuple[int, ...] = Field(default=(1, 2, 4, 8, 16, 32), min_length=1)
    """Numbers of GPUs that are compared."""
    batch: Literal["kept", "grown"] = "kept"
    """What more GPUs do with a step's image pairs. kept: share out as many as the preset has, so that results stay
    those of the preset. grown: each GPU takes as many as with the fewest of num_gpus, in as many fewer steps, so that
    as many pairs are seen; the learning rate then needs a search of its own."""
    image_bytes: float | None = Field(default=None, gt=0)
    """Bytes that are read for one image pair; null takes those of the images that rates were measured with."""
    gpus: GpusConfig = GpusConfig()
    """What to assume of the machines."""
    rates: str | None = None
    """File with rates, as save_rates wrote it; null measures here and now, in a minute or two, with the training step
    and the data pipeline themselves."""
    save_rates: str | None = None
    """File to write the rates to that were used."""

    @field_validator("num_gpus")
    @classmethod
    def _at_least_one(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if min(value) < 1:
            raise ValueError("numbers of GPUs start at 1")
        return tuple(sorted(set(value)))

    def typed_overrides(self) -> list[str]:
        """`overrides` as they would be typed to the training job."""
        return [f"{name}={json.dumps(value)}" for name, value in flatten(self.overrides).items()]
