"""A result as an evaluation of two datasets would find it, and its page read back."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.evaluation.findings import Findings
from pipelines.evaluation.result import (
    DatasetFacts,
    EvaluationResult,
    Failure,
    ImageRow,
    MethodFacts,
    PublishedCell,
    SetValue,
    SharedImage,
    ShownImage,
)
from pipelines.report import Part
from rssr.metrics import METRICS
from rssr.metrics.reliability import ReliabilityTally
from rssr.value_map import ValueMap
from rssr.weights.missing import MissingWeights
from tests.page_reader import PageReader

SIZES = {"town": 24, "sea": 8}
# By how much each method is better than bicubic, and how much that varies.
GAINS = {"bicubic": (0.0, 0.0), "ours": (1.0, 0.1), "theirs": (0.5, 0.1), "outside": (-0.2, 0.1)}
NAMES = ("psnr_y", "lpips", "dists", "fid", "lr_error", "hallucination")

Change = Callable[..., EvaluationResult]


def rows() -> list[ImageRow]:
    """Ours has the best PSNR, theirs the best LPIPS; the field is easier than the harbour."""
    rng = np.random.default_rng(0)
    found = []
    for dataset, size in SIZES.items():
        for number in range(size):
            kind = None if dataset == "sea" else ("field", "harbour")[number % 2]
            ease = 25 + 5 * (kind == "field") + rng.normal()
            for method, (gain, spread) in GAINS.items():
                psnr = ease + gain + spread * rng.normal()
                lpips = 0.4 - 0.1 * (method == "ours") - 0.2 * (method == "theirs") + 0.01 * rng.normal()
                values = {"psnr_y": psnr, "lpips": lpips, "lr_error": 2.0 - gain, "hallucination": 0.1 + 0.1 * gain}
                seconds = math.nan if method == "outside" else 0.1 + gain
                found.append(ImageRow(dataset, f"{number:03d}.png", kind, 4.0, method, values, seconds, seconds + 0.5))
    return found


def methods() -> tuple[MethodFacts, ...]:
    return (
        MethodFacts("bicubic", "baseline", "bicubic interpolation"),
        MethodFacts("ours", "model", "models:/ours@candidate", "ab" * 32, 45_000_000, 61.5, 2**30, "Apache-2.0"),
        MethodFacts("theirs", "model", "theirs.pth", "cd" * 32, 1_200_000, None, None, "", True, ("ef" * 32,)),
        MethodFacts("outside", "images", "sr/outside", licence="CC BY 4.0"),
    )


def shown_image(row: ImageRow, why: str, *, with_maps: bool = True) -> ShownImage:
    """An image of noise; the methods differ in one corner alone."""
    hr = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    lr = np.ascontiguousarray(hr[::4, ::4])
    sr = {name: hr.copy() for name in GAINS}
    sr["ours"][-32:, -32:] = 255
    errors = {name: ValueMap(np.full((24, 32), number, np.float32), "grey levels") for number, name in enumerate(sr)}
    bars = {"ours": ValueMap(np.linspace(1, 5, 96 * 128, dtype=np.float32).reshape(96, 128), "grey levels")}
    return ShownImage(row, why, lr, hr, sr, errors if with_maps else {}, bars if with_maps else {})


@pytest.fixture
def change() -> Change:
    """The result, with other attributes where they are given."""
    found = rows()
    tally = ReliabilityTally()
    tally.add(np.linspace(1, 9, 1000), np.linspace(0, 12, 1000))
    one = next(row for row in found if row.method == "ours")
    usual: dict[str, Any] = {
        "title": "Which model for our images?",
        "rows": found,
        "methods": methods(),
        "datasets": (
            DatasetFacts("town", "data/town", "runs/town/manifest", "12" * 32, 24, ("field", "harbour")),
            DatasetFacts("sea", "data/sea", "runs/sea/manifest", "34" * 32, 8, licence="CC BY-NC 4.0"),
        ),
        "scales": (4.0,),
        "metrics": tuple(METRICS[name] for name in NAMES),
        "reference": "bicubic",
        "rank_by": "psnr_y",
        "seed": 7,
        "failures": [
            Failure("sea", "cut.png", "it cannot be decoded"),
            *(Failure("town", f"x{n}.png", "SR is larger than HR", 4.0, "outside") for n in range(7)),
        ],
        "set_values": [
            SetValue("town", 4.0, "ours", "fid", 70.5, math.nan, math.nan, 24, "FID of 24 images is biased")
        ],
        "gaps": {"dists": MissingWeights("dists.pth", "not in weights", "fetch dists", "metrics.weights=DIR", "wait")},
        "reliability": {"ours": tally.result()},
        "published": (
            PublishedCell("Ours", "town", 4.0, "psnr_y", 27.19, "A paper, Table 2"),
            PublishedCell("OtherSR", "town", 4.0, "lpips", 0.31, "A paper, Table 2"),
        ),
        "shared": (SharedImage("town", "003.png", "theirs", "training/9.png", 4),),
        "notices": ("What ours was trained on is not known: its card does not say.",),
        "shown": [shown_image(one, "worst PSNR (Y) of ours"), shown_image(one, "worst LPIPS of theirs")],
        "config": "methods: [bicubic, ours]\n",
        "versions": {"rssr": "1.2.3", "torch": "2.9"},
        "hardware": "2 cores",
        "date": "2026-11-29",
        "promotion": "ours is champion in place of old",
    }
    return lambda **values: EvaluationResult(**{**usual, **values})


@pytest.fixture
def result(change: Change) -> EvaluationResult:
    return change()


@pytest.fixture
def found(result: EvaluationResult) -> Findings:
    return Findings(result)


@pytest.fixture
def read() -> Callable[[Part | Iterable[Part]], PageReader]:
    """One part or several."""
    return lambda parts: PageReader(parts if isinstance(parts, str) else "\n".join(parts))


@pytest.fixture
def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
