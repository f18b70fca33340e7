"""How much faster the fast degradation is than plain float32 PyTorch, on one CPU thread.

Both make the same LR images from the same decisions: a 512 x 512 HR patch to x4, one image at a time, kernels and
noise included. Every round times both, in alternating order, so that a change of clock speed or load meets both, by
the CPU time of the process and by the wall clock, which other processes disturb. Prints the hardware, the versions,
the medians and the ratios; asserts nothing.

Run: python benchmarks/degradation.py [--kind slimdiffsr] [--side 512] [--scale 4] [--rounds 60]
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rssr.degradation import (
    DegradationConfig,
    configure_worker_threads,
    degradation_preset,
    degrade,
    draw_degradation,
)
from rssr.degradation.draws import NoiseDraw, Size
from rssr.degradation.reference import (
    GaussianDecision,
    PoissonDecision,
    decisions_from_draws,
    degrade_reference,
)
from rssr.seeds import numpy_generator

Levels = npt.NDArray[np.uint8]


def sample_patch(side: int) -> Levels:
    """A uint8 patch with structure at all sizes, about as smooth as an aerial photograph."""
    generator = numpy_generator("benchmark", "degradation")
    patch = np.zeros((side, side, 3))
    for level in range(1, 8):
        coarse = generator.normal(size=(max(2, side >> level), max(2, side >> level), 3))
        patch += cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC) * 1.6**level
    levels: Levels = np.clip(128 + 45 * patch / patch.std(), 0, 255).astype(np.uint8)
    return levels


def plain_noise(draw: NoiseDraw) -> GaussianDecision | PoissonDecision:
    """Noise drawn by PyTorch's own samplers."""
    generator = torch.Generator().manual_seed(draw.seed)
    strength, gray = torch.tensor([draw.strength]), torch.tensor([draw.gray])
    if draw.kind == "poisson":
        return PoissonDecision(strength, gray, *[lambda levels, base: _counts(levels, base, generator)] * 2)
    return GaussianDecision(
        strength,
        gray,
        gray_field=lambda size: torch.randn(size, generator=generator),
        colour_field=lambda size: torch.randn((1, 3, *size), generator=generator),
    )


def _counts(levels: Tensor, base: Tensor, generator: torch.Generator) -> Tensor:
    return torch.poisson(levels / 255 * base.view(-1, 1, 1, 1), generator=generator)


def degrade_plainly(hr: Levels, scale: float, config: DegradationConfig, seed: int) -> Levels:
    """The reference on one image, from and to uint8."""
    size: Size = (hr.shape[0], hr.shape[1])
    draws = draw_degradation(config, scale, seed, size)
    batch = torch.from_numpy(hr).permute(2, 0, 1).unsqueeze(0).float() / 255
    lr = degrade_reference(batch, decisions_from_draws(draws, plain_noise))
    return (lr[0] * 255).round().byte().permute(1, 2, 0).numpy()


class Timing(NamedTuple):
    """Seconds that one call takes, of this process's CPU time and of the clock."""

    cpu_s: float
    wall_s: float


def timed(run: Callable[[], object]) -> Timing:
    """Run once."""
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    run()
    return Timing(time.process_time() - cpu_s, time.perf_counter() - wall_s)


def timed_side_by_side(
    hr: Levels, scale: float, config: DegradationConfig, seeds: Iterable[int]
) -> dict[str, list[Timing]]:
    """Both on the same images, one a seed, in alternating order: timings of `fast` and of `plain`."""
    times: dict[str, list[Timing]] = {"fast": [], "plain": []}
    for seed in seeds:
        runs = [
            ("fast", lambda seed=seed: degrade(hr, scale, config, seed)),
            ("plain", lambda seed=seed: degrade_plainly(hr, scale, config, seed)),
        ]
        for name, run in runs if seed % 2 else reversed(runs):
            times[name].append(timed(run))
    return times


def main() -> None:
    """Time both and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", default="slimdiffsr", choices=["slimdiffsr", "real-esrgan"])
    parser.add_argument("--side", type=int, default=512, help="HR side, pixels")
    parser.add_argument("--scale", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=60, help="images that both degrade")
    options = parser.parse_args()
    torch.set_num_threads(1)
    configure_worker_threads()
    hr, config = sample_patch(options.side), degradation_preset(options.kind)
    timed_side_by_side(hr, options.scale, config, range(-5, 0))  # warms up
    _report(options, timed_side_by_side(hr, options.scale, config, range(options.rounds)))


def _report(options: argparse.Namespace, times: dict[str, list[Timing]]) -> None:
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"hardware: {_processor()}, {os.cpu_count()} cores, one thread used{load}")
    print(
        f"versions: python {platform.python_version()}, numpy {np.__version__}, "
        f"opencv {cv2.__version__}, torch {torch.__version__}"
    )
    print(f"task: {options.kind}, {options.side} x {options.side} HR to x{options.scale:g}, {options.rounds} images")
    for clock, figure in (("CPU time", "cpu_s"), ("wall clock", "wall_s")):
        seconds = {name: [getattr(timing, figure) for timing in values] for name, values in times.items()}
        for name, values in seconds.items():
            median, mean = 1e3 * statistics.median(values), 1e3 * statistics.fmean(values)
            print(f"{clock}, {name}: median {median:.1f} ms, mean {mean:.1f} ms an image")
        ratios = [plain / fast for fast, plain in zip(seconds["fast"], seconds["plain"], strict=True)]
        total = sum(seconds["plain"]) / sum(seconds["fast"])
        print(f"{clock}, speed-up: median of interleaved ratios {statistics.median(ratios):.1f}, of totals {total:.1f}")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
