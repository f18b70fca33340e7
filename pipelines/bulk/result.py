"""What a bulk run has come to, from its plan and its ledger alone: a resumed run's result covers all of it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal, get_args

from pipelines.bulk.config import BulkConfig
from pipelines.bulk.records import PlannedScene, RunIdentity, SceneRecord
from rssr.card import ModelCard

Outcome = Literal["done", "marked", "partial", "failed", "refused", "waiting"]
"""A state of the ledger; or the scene cannot be run; or it has not been, yet."""

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

_WORST_FIRST: tuple[Outcome, ...] = ("failed", "refused", "partial", "marked", "done", "waiting")
_MEGA = 1e6
_HOUR_S = 3600.0


@dataclass(frozen=True)
class SceneResult:
    """One scene of the plan, and what became of it.

    Attributes:
        planned: As it was planned.
        record: The ledger's entry; None where there is none.
    """

    planned: PlannedScene
    record: SceneRecord | None = None

    @property
    def name(self) -> str:
        """Of the scene."""
        return self.planned.name

    @property
    def outcome(self) -> Outcome:
        """How it ended, or that it has not."""
        if self.planned.refusal:
            return "refused"
        return "waiting" if self.record is None else self.record.state

    @property
    def reason(self) -> str:
        """Why it is not as it should be; empty where it is."""
        return self.planned.refusal or ("" if self.record is None else self.record.reason)

    @property
    def product(self) -> SceneRecord | None:
        """The entry of a scene that has files; None for others."""
        return None if self.record is None or not self.record.files else self.record

    @property
    def mpx(self) -> float:
        """Millions of pixels of its product; 0 without one."""
        return 0.0 if self.product is None else self.product.sr_size[0] * self.product.sr_size[1] / _MEGA

    @property
    def km2(self) -> float:
        """Square kilometres of ground that its product has data of; 0 where there is none or its size is unknown."""
        if self.product is None or self.planned.gsd_m is None:
            return 0.0
        height, width = self.planned.lr_size
        return height * width * self.planned.gsd_m**2 / _MEGA * self.product.valid_share


def _no_thumbnail(record: SceneRecord) -> bytes | None:
    return None


@dataclass(frozen=True)
class BulkResult:
    """A bulk run.

    Attributes:
        identity: What it is a run of.
        planned: All scenes of the plan.
        records: The ledger, by names of scenes.
        config: Of the command.
        verification: What `verify` found wrong, in sentences; None where it did not look.
        card: Of the model; None where it has none.
        thumbnails: Reads the PNG of a product; None where there is none or it cannot be read.
        started_at: When this command began, e.g. `2026-11-29T04:25:00Z`; empty where unknown.
        ended_at: When it ended.
        hardware: What it ran on, e.g. `AMD EPYC 9B14, 2 cores, 24 GiB`.
    """

    identity: RunIdentity
    planned: Sequence[PlannedScene]
    records: Mapping[str, SceneRecord]
    config: BulkConfig
    verification: Sequence[str] | None = None
    card: ModelCard | None = None
    thumbnails: Callable[[SceneRecord], bytes | None] = _no_thumbnail
    started_at: str = ""
    ended_at: str = ""
    hardware: str = ""

    @cached_property
    def scenes(self) -> tuple[SceneResult, ...]:
        """All scenes of the plan, in its order."""
        return tuple(SceneResult(planned, self.records.get(planned.name)) for planned in self.planned)

    @cached_property
    def worst_first(self) -> tuple[SceneResult, ...]:
        """Those that failed, then those that lack windows or show their tiles, then the rest by their seam scores."""
        return tuple(sorted(self.scenes, key=_badness))

    @property
    def products(self) -> Iterator[SceneResult]:
        """Scenes whose products are there, published or marked."""
        return (scene for scene in self.scenes if scene.product is not None)

    @property
    def seconds(self) -> float | None:
        """Of this command; None where unknown."""
        if not self.started_at or not self.ended_at:
            return None
        return (datetime.fromisoformat(self.ended_at) - datetime.fromisoformat(self.started_at)).total_seconds()

    @cached_property
    def made_now(self) -> tuple[SceneResult, ...]:
        """Products that this command finished; earlier ones of a resumed run took no time of it."""
        if not self.started_at:
            return ()
        start = datetime.fromisoformat(self.started_at)
        finished = ((scene, scene.product.finished_at if scene.product else "") for scene in self.scenes)
        return tuple(scene for scene, at in finished if at and datetime.fromisoformat(at) >= start)

    @property
    def rates(self) -> "Rates | None":
        """How fast this command was; None where it made nothing or its time is unknown."""
        if not self.made_now or not self.seconds or self.seconds <= 0:
            return None
        return Rates(
            mpx(self.made_now) / self.seconds,
            km2(self.made_now) / self.seconds,
            len(self.made_now) * _HOUR_S / self.seconds,
        )

    @property
    def worker_hours(self) -> float:
        """Of all attempts together, on windows and on writing products."""
        return sum(record.compute_s + record.write_s for record in self.records.values()) / _HOUR_S

    @property
    def num_failed_windows(self) -> int:
        """Windows that are masked in products."""
        return sum(len(record.failed_windows) for record in self.records.values())


@dataclass(frozen=True)
class Rates:
    """How fast products came.

    Attributes:
        mpx_per_s: Millions of pixels of products a second.
        km2_per_s: Square kilometres a second; 0 where sizes on the ground are unknown.
        scenes_per_hour: Scenes an hour.
    """

    mpx_per_s: float
    km2_per_s: float
    scenes_per_hour: float


def by_state(result: BulkResult) -> dict[Outcome, int]:
    """Number of scenes of each outcome, all outcomes in their order."""
    counts = Counter(scene.outcome for scene in result.scenes)
    return {outcome: counts[outcome] for outcome in OUTCOMES}


def mpx(scenes: Sequence[SceneResult]) -> float:
    """Millions of pixels of their products."""
    return sum(scene.mpx for scene in scenes)


def km2(scenes: Sequence[SceneResult]) -> float:
    """Square kilometres of ground that their products have data of."""
    return sum(scene.km2 for scene in scenes)


def _badness(scene: SceneResult) -> tuple[int, float, str]:
    seams = 0.0 if scene.product is None else scene.product.seam_score
    return _WORST_FIRST.index(scene.outcome), -seams, scene.name
