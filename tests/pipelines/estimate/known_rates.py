"""Rates that nobody measured, of round numbers."""

from typing import Any

from pipelines.estimate.config import PlanConfig
from pipelines.estimate.speed import Duration, MeasuredFor, ModelRates, Rate, Rates, StoreRates


def exactly(value: float) -> dict[str, float]:
    """A spread of nothing."""
    return {"low": value, "middle": value, "high": value}


def spread(low: float, middle: float, high: float) -> dict[str, float]:
    """A spread."""
    return {"low": low, "middle": middle, "high": high}


FOR = MeasuredFor(
    scale=4,
    num_threads=1,
    on="cpu",
    batch_size=1,
    num_bands=4,
    num_model_bands=4,
    tile_size=64,
    halo=8,
    color_match="none",
    num_samples=1,
    products={"consistency": True, "stretch": None},
)
"""What they are of."""


def rates(settings: MeasuredFor = FOR, **changes: dict[str, float]) -> Rates:
    """One second a tile, ten million values and bytes a second, and nothing else, but for what is given."""
    values = {
        "tile_s": exactly(1.0),
        "finish_values_per_s": exactly(10e6),
        "compression_ratio": exactly(0.5),
        "open_s": exactly(0.0),
        "input_bytes_per_s": exactly(10e6),
        "fetch_bytes_per_s": exactly(10e6),
        "upload_bytes_per_s": exactly(10e6),
        "commit_s": exactly(0.0),
        "verify_bytes_per_s": exactly(100e6),
        **changes,
    }
    model = {name: Duration(**values[name]) for name in ("tile_s", "compression_ratio")}
    stores = {name: Rate(**value) for name, value in values.items() if name.endswith("bytes_per_s")}
    seconds = ("open_s", "commit_s", "lease_s", "dispatch_s")
    stores_s = {name: Duration(**values[name]) for name in seconds if name in values}
    return Rates(
        model=ModelRates(
            machine="a machine of the tests",
            software={},
            measured_at="2026-11-29T04:25:00Z",
            model="bicubic",
            model_digest="",
            settings=settings,
            finish_values_per_s=Rate(**values["finish_values_per_s"]),
            **model,
        ),
        stores=StoreRates(
            machine="a machine of the tests",
            measured_at="2026-11-29T04:25:00Z",
            places="here to there",
            **stores,
            **stores_s,
        ),
    )


def config(**values: Any) -> PlanConfig:
    """A configuration of two scenes."""
    return PlanConfig.model_validate({"input": "/in", "output": "/out", **values})
