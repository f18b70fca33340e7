"""The estimate of a run: what there is, what it takes, and what that costs with how many workers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.estimate.config import PlanConfig
from pipelines.estimate.scaling import Worker, Workload, find_limit, lost_to, most_at_once, run_with
from pipelines.estimate.simulation import Outcome
from pipelines.estimate.speed import PACES, Rates

_HOUR_S = 3600.0


@dataclass(frozen=True)
class Range:
    """A figure, and what it is with the fastest and the slowest of all measured rates."""

    low: float
    usual: float
    high: float

    def times(self, factor: float) -> "Range":
        """All three multiplied."""
        return Range(self.low * factor, self.usual * factor, self.high * factor)


@dataclass(frozen=True)
class Refusal:
    """A scene that cannot be run, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Totals:
    """What there is to do.

    Attributes:
        num_scenes: That can be run.
        refused: Those that cannot, and why.
        num_windows: Pieces of work.
        num_tiles: Tiles.
        lr_pixels: Of all scenes.
        sr_pixels: Of all products.
        area_km2: On the ground, of scenes that know it.
        input_bytes: Of the scenes as they are stored.
        read_bytes: Of them that is read: windows overlap, and finishing reads a scene again.
        product_raw_bytes: Of all products, uncompressed.
        product_bytes: The same compressed.
        work_bytes: Of all computed windows that are kept until their products are there.
        scratch_bytes: Local disk of a worker, while it writes the largest product.
    """

    num_scenes: int
    refused: tuple[Refusal, ...]
    num_windows: int
    num_tiles: int
    lr_pixels: int
    sr_pixels: int
    area_km2: float
    input_bytes: int
    read_bytes: float
    product_raw_bytes: float
    product_bytes: Range
    work_bytes: float
    scratch_bytes: Range


@dataclass(frozen=True)
class WithWorkers:
    """The run with some number of workers.

    Attributes:
        num_workers: How many.
        hours: From begin to end.
        money: For all of them, from begin to end; None without a price.
        efficiency: Share of their time that is work.
        scenes_per_hour: Finished.
        lost_to: What most of the rest of their time goes to: waiting for `driver`, `input`, `fetch`, `upload`,
            `requests` or `plan`, or `end` where nothing is left to do; empty where that is little.
        lost_shares: Share of their time that each of these takes.
        work_bytes: Of computed windows that lie in the output at a time, at most.
    """

    num_workers: int
    hours: Range
    money: Range | None
    efficiency: float
    scenes_per_hour: float
    lost_to: str
    lost_shares: Mapping[str, float]
    work_bytes: float


@dataclass(frozen=True)
class Estimate:
    """All of it.

    Attributes:
        totals: What there is.
        worker_hours: Of one worker that is alone.
        accelerated: Whether these are hours of a GPU.
        shares: Share of them by what they go to, the largest first.
        driver_hours: Of the driver, before the work of the others, by what it does.
        chosen: With the number of workers that is configured, one where that is 0.
        table: With the numbers of workers that are compared.
        limit: With the fewest workers of whose time less than four fifths is work; None where that was not asked for,
            or there are none.
        most_at_once: For each thing that is shared, so many workers keep it busy all the time; for what the driver does
            alone, so many take as long for all the rest.
        rates: What it was told from.
    """

    totals: Totals
    worker_hours: Range
    accelerated: bool
    shares: Mapping[str, float]
    driver_hours: Mapping[str, float]
    chosen: WithWorkers
    table: tuple[WithWorkers, ...]
    limit: WithWorkers | None
    most_at_once: Mapping[str, float]
    rates: Rates

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        values = asdict(self)
        return {**values, "rates": self.rates.model_dump(mode="json")}


def estimate_run(workload: Workload, refused: Sequence[Refusal], rates: Rates, config: PlanConfig) -> Estimate:
    """Tell what a run takes.

    Args:
        workload: All there is to do; one scene at least.
        refused: What cannot be done.
        rates: Of one worker.
        config: Numbers of workers, money, and what is shared.
    """
    workers = [Worker(rates.at(pace), config.plan.store) for pace in PACES]
    told = _Telling(workload, workers, config)
    chosen = told.with_workers(max(1, config.num_workers))
    table = tuple(
        chosen if number == chosen.num_workers else told.with_workers(number) for number in config.plan.workers
    )
    limit = find_limit(workload, workers[1]) if config.plan.simulate else None
    return Estimate(
        totals=_totals(workload, tuple(refused), workers),
        worker_hours=Range(*(worker.demand_s(workload) / _HOUR_S for worker in workers)),
        accelerated=config.worker.num_gpus > 0,
        shares=workers[1].shares(workload),
        driver_hours={name: seconds / _HOUR_S for name, seconds in workers[1].alone_s(workload).items()},
        chosen=chosen,
        table=table,
        limit=None if limit is None else told.about(limit, limit, limit),
        most_at_once=most_at_once(workload, workers[1]),
        rates=rates,
    )


@dataclass(frozen=True)
class _Telling:
    """Runs with some number of workers, at the three paces."""

    workload: Workload
    workers: Sequence[Worker]
    config: PlanConfig

    @property
    def all_work_bytes(self) -> float:
        return sum(work.work_bytes * count for work, count in self.workload.scenes)

    def with_workers(self, num_workers: int) -> WithWorkers:
        return self.about(*(run_with(self.workload, worker, num_workers) for worker in self.workers))

    def about(self, fast: Outcome, usual: Outcome, slow: Outcome) -> WithWorkers:
        hours = Range(*(outcome.makespan_s / _HOUR_S for outcome in (fast, usual, slow)))
        price, number = self.config.plan.price_per_hour, usual.num_workers
        spent_s = number * usual.makespan_s
        num_scenes = sum(count for _, count in self.workload.scenes)
        lost_s = {**usual.waiting_s, "end": usual.idle_s}
        return WithWorkers(
            num_workers=number,
            hours=hours,
            money=None if price is None else hours.times(price * number),
            efficiency=usual.efficiency,
            scenes_per_hour=num_scenes / hours.usual,
            lost_to=lost_to(usual),
            lost_shares={name: seconds / spent_s for name, seconds in lost_s.items()},
            work_bytes=self.all_work_bytes if self.config.keep_work else usual.most_kept_bytes,
        )


def _totals(workload: Workload, refused: tuple[Refusal, ...], workers: Sequence[Worker]) -> Totals:
    scenes, ratios = workload.scenes, [worker.speed.compression_ratio for worker in workers]
    raw_bytes = sum(work.product_raw_bytes * count for work, count in scenes)
    return Totals(
        num_scenes=sum(count for _, count in scenes),
        refused=refused,
        num_windows=workload.num_windows,
        num_tiles=sum(work.num_tiles * count for work, count in scenes),
        lr_pixels=sum(work.lr_pixels * count for work, count in scenes),
        sr_pixels=sum(work.sr_pixels * count for work, count in scenes),
        area_km2=sum((work.area_km2 or 0.0) * count for work, count in scenes),
        input_bytes=sum(work.input_bytes * count for work, count in scenes),
        read_bytes=sum(work.input_bytes * (work.read_share + 1) * count for work, count in scenes),
        product_raw_bytes=raw_bytes,
        product_bytes=Range(*(raw_bytes * ratio for ratio in ratios)),
        work_bytes=sum(work.work_bytes * count for work, count in scenes),
        scratch_bytes=Range(*(max(work.scratch_bytes(ratio) for work, _ in scenes) for ratio in ratios)),
    )
