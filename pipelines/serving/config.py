"""What the service is configured by."""

import re
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from pipelines.cluster import RayConfig
from pipelines.experiment.config import OutputConfig
from pipelines.models import BUILT_IN
from pipelines.serving.archives.config import ArchivesConfig
from pipelines.serving.security.config import LimitsConfig, SecurityConfig
from pipelines.serving.telemetry.config import TelemetryConfig
from pipelines.tracking.config import TrackingConfig
from rssr.configuration import Config

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
_NAME_IN_SOURCE = re.compile(r"models:/+([^/@]+)[/@].*")


class ScalingConfig(Config):
    """How many replicas there are, and when that changes."""

    min_replicas: int = Field(default=1, ge=0)
    """Fewest replicas; 0 frees everything while nobody asks, and makes the first request wait for a start."""
    max_replicas: int = Field(default=2, ge=1)
    """Most replicas; one that finds no room waits until there is some."""
    target_ongoing_requests: float = Field(default=2.0, gt=0)
    """Requests that each replica should have in hand, running and waiting."""
    look_back_s: float = Field(default=15.0, gt=10)
    """Time over which requests are averaged, seconds; Ray counts them every ten."""
    upscale_delay_s: float = Field(default=10.0, ge=0)
    """How long there must be too many requests before replicas are added, seconds."""
    downscale_delay_s: float = Field(default=120.0, ge=0)
    """How long there must be too few before one is taken away, seconds; far longer than it takes to add one, so that
    their number does not swing."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas is {self.min_replicas}, but max_replicas {self.max_replicas}")
        return self


class ReplicaConfig(Config):
    """What one replica takes and does."""

    num_cpus: float = Field(default=1, ge=0)
    """CPU cores it reserves; 0 shares those of others."""
    num_gpus: float = Field(default=0, ge=0)
    """GPUs it reserves, or a share of one; with any, it computes there."""
    num_threads: int = Field(default=1, ge=1)
    """Threads of CPU arithmetic; part of what makes results identical."""
    max_ongoing_requests: int = Field(default=8, ge=1)
    """Requests it has in hand at a time: one is computed while others are read and written."""
    max_queued_requests: int = Field(default=64, ge=0)
    """Requests that wait at each ingress replica while all replicas are full; more are told to come again."""
    batch_size: int = Field(default=4, ge=1)
    """Tiles of all requests that are computed together on an accelerator, where smaller batches are filled up; the CPU
    takes one at a time. Halved as often as needed when memory is short."""
    batch_wait_s: float = Field(default=0.005, ge=0)
    """How long an accelerator waits for tiles of other requests to join a batch, seconds; the CPU does not wait."""


class ModelConfig(Config):
    """A model that is served."""

    name: str = Field(default="", pattern=_NAME + "|^$")
    """What callers call it; by default made from the source: ldcsr for models:/ldcsr@champion."""
    source: str = BUILT_IN
    """A name (see `rssr models`), a model folder, a URI, or a registered model such as models:/ldcsr@champion."""
    scale: float = Field(default=4.0, ge=1)
    """Enlargement of each side where a request does not say."""
    scaling: ScalingConfig = ScalingConfig()
    """How many replicas there are."""
    replica: ReplicaConfig = ReplicaConfig()
    """What one replica takes and does."""

    @model_validator(mode="before")
    @classmethod
    def _source_alone(cls, value: Any) -> Any:  # noqa: ANN401  # whatever YAML holds; validated afterwards
        values = {"source": value} if isinstance(value, str) else value
        if isinstance(values, dict) and not values.get("name") and isinstance(values.get("source", BUILT_IN), str):
            return {**values, "name": name_of(values.get("source", BUILT_IN))}
        return values


class IngressConfig(Config):
    """The replicas that take requests and hand them on."""

    num_replicas: int = Field(default=1, ge=1)
    """How many."""
    max_ongoing_requests: int = Field(default=200, ge=1)
    """Requests that each has in hand at a time."""
    max_queued_requests: int = Field(default=200, ge=0)
    """Requests that wait at each proxy beyond these; more are told to come again."""


class SelfTestConfig(Config):
    """What a version of a model must show before it is served."""

    min_psnr_db: float | None = Field(default=15.0, ge=0)
    """How near to bicubic interpolation it must come on a smooth picture, PSNR in dB: real models reach far more than
    this, broken weights do not. Null does not ask."""
    require_card: bool = True
    """Whether a model with weights must have a card."""


class ServeConfig(Config):
    """Keys of `jobs/serve.py`."""

    host: str = "127.0.0.1"
    """Address to listen at; anything but this machine's own (127.0.0.1, localhost, ::1) needs keys."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Port to listen at."""
    model: str | None = None
    """One model to serve instead of `models`, by its source."""
    models: tuple[ModelConfig, ...] = Field(default=(ModelConfig(name=BUILT_IN),), min_length=1)
    """Models to serve; the first is taken where a request names none."""
    output: OutputConfig = OutputConfig(uri="runs/serve")
    """Where the service keeps its state and archives' products: `output=URI`, or `output.uri=URI`. One that other
    machines reach, where the cluster has several."""
    request_timeout_s: float = Field(default=60.0, gt=0)
    """How long one image may take from its arrival on, seconds."""
    refresh_s: float = Field(default=30.0, gt=0)
    """How often it is looked whether a model has a new version, seconds."""
    ingress: IngressConfig = IngressConfig()
    """The replicas that take requests."""
    self_test: SelfTestConfig = SelfTestConfig()
    """What a version must show before it is served."""
    security: SecurityConfig = SecurityConfig()
    """Who may ask, and which places archives may name."""
    limits: LimitsConfig = LimitsConfig()
    """How much one request may bring."""
    archives: ArchivesConfig = ArchivesConfig()
    """How whole archives are run, and how many at a time."""
    telemetry: TelemetryConfig = TelemetryConfig()
    """What the service tells its operator."""
    wait: bool = True
    """Whether the command stays until it is stopped, and ends the service then. False leaves the service on a running
    cluster, as for `ray job submit`."""
    drain_s: float = Field(default=20.0, ge=0)
    """How long replicas that are stopped may finish what they have in hand, seconds."""
    write_config: str | None = None
    """Only write a Ray Serve config file with these settings to this path, for `serve deploy`."""
    ray: RayConfig = RayConfig()
    """How to reach Ray."""
    mlflow: TrackingConfig = TrackingConfig()
    """Where registered models are looked up."""

    @field_validator("output", mode="before")
    @classmethod
    def _plain_uri(cls, value: Any) -> Any:  # noqa: ANN401  # whatever YAML holds; validated afterwards
        return {"uri": value} if isinstance(value, str) else value

    @field_validator("models", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:  # noqa: ANN401  # whatever YAML holds; validated afterwards
        return (value,) if isinstance(value, str | dict) else value

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [model.name for model in self.models]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two of the models are called {twice[0]}: give them names that differ")
        return self

    @property
    def served(self) -> tuple[ModelConfig, ...]:
        """The models, the default first."""
        return self.models if self.model is None else (ModelConfig(source=self.model),)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the service."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


def name_of(source: str) -> str:
    """What a model is called that is given by its source alone."""
    registered = _NAME_IN_SOURCE.fullmatch(source)
    name = registered[1] if registered else source.rstrip("/").rpartition("/")[2]
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:63]
    return cleaned or "model"
