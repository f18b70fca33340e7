"""What the runner tells the process of an archive, and what that tells in the end: a line of JSON each."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from pipelines.bulk.config import BulkConfig, BulkTilingConfig, BulkWorkerConfig, ProductsConfig
from pipelines.cluster import RayConfig
from pipelines.experiment.config import OutputConfig
from pipelines.serving.archives.records import ArchiveRequest, Counts
from pipelines.storage import Store, is_local
from pipelines.tracking.config import TrackingConfig


@dataclass(frozen=True)
class BulkSettings:
    """What every archive's run has in common.

    Attributes:
        num_workers: Ray actors of one run; 0 for none.
        worker: Resources of each.
        ray: How workers are reached.
        mlflow: Where registered models are looked up.
        tiling: How scenes are cut.
        read_places: Where all must lie that a run reads, besides an archive's own upload; None allows all.
        inner_hosts: Names of web servers that may lie in the own network.
    """

    num_workers: int = 0
    worker: BulkWorkerConfig = field(default_factory=BulkWorkerConfig)
    ray: RayConfig = field(default_factory=RayConfig)
    mlflow: TrackingConfig = field(default_factory=TrackingConfig)
    tiling: BulkTilingConfig = field(default_factory=BulkTilingConfig)
    read_places: tuple[str, ...] | None = None
    inner_hosts: tuple[str, ...] = ()

    def config_of(self, request: ArchiveRequest, root: Store) -> BulkConfig:
        """The bulk run of an archive.

        Args:
            request: What was asked for.
            root: The service's own place.
        """
        options, own = request.options, (root.describe(request.upload),) if request.upload else ()
        values = {
            "input": request.input or own,
            "output": OutputConfig(uri=request.output or root.describe(str(request.products))),
            "model": request.model_source,
            "scale": request.scale,
            "seed": request.seed,
            "products": ProductsConfig(
                uncertainty=options.uncertainty,
                consistency=options.consistency,
                project=options.project,
                other_bands=options.other_bands,
                licence=options.licence,
                called=_called(request, root),
            ),
            "tiling": self.tiling,
            "num_workers": self.num_workers,
            "worker": self.worker,
            "ray": self.ray,
            "mlflow": self.mlflow,
        }
        if self.read_places is not None:
            values |= {"read_places": (*self.read_places, *own), "inner_hosts": self.inner_hosts}
        return BulkConfig.model_validate(values)


def _called(request: ArchiveRequest, root: Store) -> dict[str, str]:
    """Callers get products, but are not to see folders of the server in them."""
    called = {}
    if request.upload:
        called[root.describe(request.upload)] = f"upload://{request.upload.rpartition('/')[2]}"
    if is_local(request.model_source) and Path(request.model_source).is_absolute():
        called[request.model_source] = Path(request.model_source).name
    return called


@dataclass(frozen=True)
class Order:
    """What a process is to do.

    Attributes:
        archive_id: For its log.
        config: Of the bulk run, in plain values.
        niceness: By how much it stands back.
    """

    archive_id: str
    config: Mapping[str, Any]
    niceness: int = 0

    def to_line(self) -> bytes:
        """One line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """What `to_line` made."""
        return cls(**json.loads(line))


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        status: As in `rssr.errors.ExitCode`.
        kind: Name of the error's class; empty without one.
        problem: What was wrong; empty for nothing.
        remedy: What to do about it.
        passes: Whether the same may well succeed later.
        model_version: What the run was planned with.
        counts: Of the whole run.
    """

    status: int
    kind: str = ""
    problem: str = ""
    remedy: str = ""
    passes: bool = False
    model_version: str = ""
    counts: Counts = field(default_factory=Counts)

    def to_line(self) -> bytes:
        """One line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """What `to_line` made.

        Raises:
            ValueError: It is something else, e.g. cut off.
        """
        try:
            values = json.loads(line)
            return cls(**{**values, "counts": Counts(**values["counts"])})
        except (TypeError, KeyError):
            raise ValueError("no outcome") from None
