"""Speed and memory of LDCSR and LCMSR, beside DDIM with the same denoiser and ESRGAN's RRDB network.

Everything enlarges one image four times, with random weights at published sizes, in one process, in turn. Each runs as
PyTorch runs it by default (eager, float32, channels first, no TF32) and as `prepare_fast` makes it, where the denoiser
stays in float32; on CUDA that is compiled, recorded as a CUDA graph, and its denoiser may use TF32. RRDB also runs in
the modes between, so that its best counts. On a CPU the walk of 1000 steps is composed of its parts. Nothing but
PyTorch, NumPy and safetensors is needed. Asserts nothing.

Run: python benchmarks/latent.py [--device cpu] [--repeats 3] [--sizes 64,128] [--only ldcsr,lcmsr,rrdb]
"""

import argparse
import copy
import functools
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

if not __package__:  # started as a file, perhaps where rssr is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.latent_walks import (
    CONTINUOUS,
    DDIM_50,
    DDIM_1000,
    FIXED,
    LCMSR,
    LCMSR_X4,
    LDCSR,
    SCALE,
    WALKS,
    Pipeline,
    RecordedRun,
    Walk,
    compile_parts,
    create_networks,
    schedule_tables,
    share_parts,
)
from benchmarks.measuring import Subject, describe_machine, markdown_table, measure, tensor_cores
from benchmarks.rrdb import RRDB
from rssr.models.fast import fast_dtype, prepare_fast
from rssr.models.latent.network import LatentSR
from rssr.models.macs import count_macs
from rssr.resampling import upsample_bicubic

ESRGAN = "RRDB"
PARTS: dict[str, Walk | None] = {
    "ldcsr": LDCSR,
    "lcmsr": LCMSR,
    "lcmsr-x4": LCMSR_X4,
    "ddim-50": DDIM_50,
    "ddim-1000": DDIM_1000,
    "rrdb": None,
}
ENCODER, STEP, DECODER, FIXED_DECODER = "LR encoder", "denoiser, a step", "decoder", "decoder x4"
EAGER, BETWEEN, FAST = "eager", "channels last", "fast"
COMPARISONS = (
    (ESRGAN, LDCSR.name, '"comparable to non-diffusion methods" (LDCSR)'),
    (ESRGAN, LCMSR.name, '"comparable to non-diffusion models" (LCMSR)'),
    (ESRGAN, LCMSR_X4.name, '"comparable to non-diffusion models" (LCMSR)'),
    (DDIM_50.name, LDCSR.name, ""),
    (DDIM_50.name, LCMSR.name, '"from 50-1000 or more to just a single step" (LCMSR)'),
    (DDIM_1000.name, LCMSR.name, '"from 50-1000 or more to just a single step" (LCMSR)'),
)
_LEAST_SIDE = 8
_ROUGHNESS = 4  # LR pixels along one feature of the image


@dataclass(frozen=True)
class Mode:
    """How networks run.

    Attributes:
        kind: `eager`, `channels last` or `fast`.
        precision: What its products are made in, for tables.
        dtype: Type of RRDB's input.
        allow_tf32: Whether float32 products may be rounded to TF32.
    """

    kind: str
    precision: str
    dtype: torch.dtype = torch.float32
    allow_tf32: bool = False

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.kind} {self.precision}"


@dataclass(frozen=True)
class Row:
    """What was found about one network, or a walk composed of its parts, in one mode.

    Attributes:
        name: What it is.
        mode: How it ran.
        seconds: Median time of an image.
        macs: Multiply-accumulates of an image.
        peak_bytes: Largest memory, weights included; None where that cannot be told.
        agreement_db: PSNR between its 8-bit image and that of eager float32; None for eager float32 and for parts.
        composed: Whether it is a sum of medians.
    """

    name: str
    mode: Mode
    seconds: float
    macs: int
    peak_bytes: int | None = None
    agreement_db: float | None = None
    composed: bool = False


@dataclass(frozen=True)
class Trial:
    """A subject of the timing, with what its modes are compared by."""

    subject: Subject
    mode: Mode
    run: Callable[[], Tensor]
    has_image: bool


class Job(NamedTuple):
    """What is to be timed: a whole network, or a part of one."""

    name: str
    run: Callable[[], Tensor]
    network: nn.Module
    macs: int
    has_image: bool


def modes(device: torch.device) -> list[Mode]:
    """Modes of every network."""
    native = fast_dtype(device)
    precision = str(native).removeprefix("torch.")
    if device.type == "cuda":
        fast = Mode(FAST, f"{precision}, denoiser TF32", native, allow_tf32=True)
        return [Mode(EAGER, "float32"), Mode(EAGER, "TF32", allow_tf32=True), fast]
    return [Mode(EAGER, "float32"), Mode(FAST, precision, native)]


def rrdb_modes(device: torch.device) -> list[Mode]:
    """Modes of RRDB: also those between eager and fast, and no denoiser in any."""
    found = []
    for mode in modes(device):
        if mode.kind == FAST:
            precision = str(mode.dtype).removeprefix("torch.")
            found += [
                Mode(BETWEEN, name, dtype) for name, dtype in {"float32": torch.float32, precision: mode.dtype}.items()
            ]
            mode = Mode(FAST, precision, mode.dtype)
        found.append(mode)
    return found


def image_of(side: int) -> Tensor:
    """A smooth image with some noise, [1, 3, side, side] in [-1, 1]."""
    smooth = upsample_bicubic(torch.rand(1, 3, -(-side // _ROUGHNESS), -(-side // _ROUGHNESS)), (side, side))
    return (2 * smooth - 1 + 0.05 * torch.randn_like(smooth)).clamp(-1, 1)


def costs(side: int) -> dict[str, int]:
    """Multiply-accumulates of the parts, by name."""
    with torch.device("meta"):
        networks = create_networks()
        image = torch.empty(1, 3, side, side)
    tables = {CONTINUOUS: schedule_tables(CONTINUOUS)}
    pipelines = {name: Pipeline(network, image, tables) for name, network in networks.items()}
    return {name: count_macs(part, run).total for name, run, part in _part_runs(pipelines)}


def walk_parts(walk: Walk) -> dict[str, int]:
    """How often a walk needs each part."""
    return {ENCODER: 1, STEP: walk.num_steps, FIXED_DECODER if walk.model == FIXED else DECODER: 1}


def latent_trials(lr: Tensor, options: argparse.Namespace) -> Iterator[Trial]:
    """Walks and their parts at one size, in every mode."""
    walks = [walk for key, walk in PARTS.items() if walk is not None and key in options.only]
    if not walks:
        return
    torch.manual_seed(0)
    networks = {name: network.to(options.device) for name, network in create_networks().items()}
    macs = costs(lr.shape[2])
    tables = {walk.schedule: schedule_tables(walk.schedule) for walk in WALKS}
    for mode in modes(options.device):
        prepared = _in_mode(networks, mode, options.device)
        pipelines = {name: Pipeline(network, lr, tables) for name, network in prepared.items()}
        for walk in walks:
            if walk is DDIM_1000 and options.device.type != "cuda":
                continue
            cost = sum(macs[part] * times for part, times in walk_parts(walk).items())
            run = functools.partial(pipelines[walk.model].run, walk)
            yield _trial(Job(walk.name, run, pipelines[walk.model].network, cost, True), mode, options)
        for name, part_run, network in _part_runs(pipelines):
            yield _trial(Job(name, part_run, network, macs[name], False), mode, options)


def _part_runs(pipelines: Mapping[str, Pipeline]) -> Iterator[tuple[str, Callable[[], Tensor], nn.Module]]:
    """Name, call and network of each part."""
    continuous, fixed = pipelines[CONTINUOUS], pipelines[FIXED]
    yield ENCODER, continuous.encode, continuous.network.condition_encoder
    yield STEP, continuous.step, continuous.network.denoiser
    yield DECODER, continuous.decode, continuous.network.decoder
    yield FIXED_DECODER, fixed.decode, fixed.network.decoder


def _in_mode(networks: Mapping[str, LatentSR], mode: Mode, device: torch.device) -> dict[str, LatentSR]:
    if mode.kind == EAGER:
        return dict(networks)
    prepared = {name: prepare_fast(network, device, mode.dtype, compiled=False) for name, network in networks.items()}
    share_parts(prepared)
    if device.type == "cuda":
        compile_parts(prepared[CONTINUOUS])
        prepared[FIXED].decoder.compile(fullgraph=True, dynamic=False)
    return prepared


def _trial(job: Job, mode: Mode, options: argparse.Namespace) -> Trial:
    run = job.run
    if options.device.type == "cuda" and mode.kind == FAST:
        run = RecordedRun(run, mode.allow_tf32)
    weights_bytes = sum(parameter.nbytes for parameter in job.network.parameters())
    precision = "TF32" if mode.allow_tf32 else "float32"  # decides about TF32 alone: no rates are compared here
    subject = Subject(job.name, mode.name, run, 1, job.macs, precision, weights_bytes)
    return Trial(subject, mode, run, job.has_image)


def rrdb_trials(lr: Tensor, options: argparse.Namespace) -> Iterator[Trial]:
    """RRDB at one size, in every mode."""
    torch.manual_seed(0)
    network = RRDB().to(options.device).eval()
    with torch.device("meta"):
        on_meta, image = RRDB(), torch.empty(lr.shape)
    macs = count_macs(on_meta, lambda: on_meta(image)).total
    for mode in rrdb_modes(options.device):
        prepared, placed = network, lr.to(mode.dtype)
        if mode.kind == FAST:
            prepared = prepare_fast(network, options.device, mode.dtype, compiled=False)
        elif mode.kind == BETWEEN:
            prepared = copy.deepcopy(network).to(mode.dtype).to(memory_format=torch.channels_last)
        if mode.kind != EAGER:
            placed = placed.contiguous(memory_format=torch.channels_last)
        if mode.kind == FAST and options.device.type == "cuda":
            prepared.compile(fullgraph=True, dynamic=False)
        yield _trial(Job(ESRGAN, functools.partial(prepared, placed), prepared, macs, True), mode, options)


def agreements(trials: Sequence[Trial]) -> dict[int, float]:
    """PSNR between images of 8 bit and those of eager float32, in dB, by position of the trial."""
    expected: dict[str, Tensor] = {}
    found = {}
    for position, trial in enumerate(trials):
        if not trial.has_image:
            continue
        with torch.inference_mode(), tensor_cores(trial.mode.allow_tf32):
            levels = ((trial.run().float().clamp(-1, 1) + 1) * 127.5).round()
        if trial.subject.name in expected:
            error = (levels - expected[trial.subject.name]).square().mean().item()
            found[position] = 10 * math.log10(255**2 / error) if error else math.inf
        else:
            expected[trial.subject.name] = levels
    return found


def measured_rows(trials: Sequence[Trial], agreement_db: Mapping[int, float]) -> list[Row]:
    """One row a subject."""
    return [
        Row(s.name, trial.mode, s.median_s, s.macs, s.peak_bytes, agreement_db.get(position))
        for position, trial in enumerate(trials)
        for s in [trial.subject]
    ]


def composed_rows(rows: Sequence[Row], walks: Sequence[Walk]) -> list[Row]:
    """Walks as sums of the medians of their parts, in every mode in which these were timed."""
    found = []
    for mode in dict.fromkeys(row.mode for row in rows):
        known = {row.name: row for row in rows if row.mode == mode}
        for walk in walks:
            parts = [(known[name], times) for name, times in walk_parts(walk).items() if name in known]
            if len(parts) == len(walk_parts(walk)):
                seconds = sum(part.seconds * times for part, times in parts)
                macs = sum(part.macs * times for part, times in parts)
                found.append(Row(walk.name, mode, seconds, macs, composed=True))
    return found


def table(rows: Sequence[Row]) -> list[list[str]]:
    """The table of all measurements at one size."""
    found = [["network", "mode", "ms an image", "GMAC", "TFLOP/s", "peak memory", "PSNR beside eager float32"]]
    for row in rows:
        memory = "" if row.peak_bytes is None else f"{row.peak_bytes / 2**30:.2f} GiB"
        agreement = "" if row.agreement_db is None else f"{row.agreement_db:.1f} dB"
        found.append(
            [
                row.name,
                f"{row.mode.name}{', composed' if row.composed else ''}",
                f"{1e3 * row.seconds:.4g}",
                f"{row.macs / 1e9:.1f}",
                f"{2e-12 * row.macs / row.seconds:.4g}",
                memory,
                agreement,
            ]
        )
    return found


def ratios(rows: Sequence[Row]) -> list[list[str]]:
    """How many times as long one takes as the other: above 1, the second is faster."""
    found = [["ratio of times", "eager float32", "each in its best mode", "claim"]]
    for slow, fast, claim in COMPARISONS:
        eager = [_seconds(rows, name, [EAGER]) for name in (slow, fast)]
        best = [_seconds(rows, name, [EAGER, BETWEEN, FAST]) for name in (slow, fast)]
        found.append([f"{slow} / {fast}", _ratio(*eager), _ratio(*best), claim])
    return found


def _seconds(rows: Sequence[Row], name: str, kinds: Sequence[str]) -> float | None:
    """The shortest time in these kinds of modes; eager alone means float32 alone."""
    found = [
        row.seconds
        for row in rows
        if row.name == name and row.mode.kind in kinds and not (kinds == [EAGER] and row.mode.allow_tf32)
    ]
    return min(found, default=None)


def _ratio(slow: float | None, fast: float | None) -> str:
    return "left out" if slow is None or fast is None else f"{slow / fast:.2f}"


def report(side: int, options: argparse.Namespace) -> str:
    """Measure everything at one size and say what came out, as Markdown."""
    torch.manual_seed(0)
    lr = image_of(side).to(options.device)
    trials = list(latent_trials(lr, options))
    if "rrdb" in options.only:
        trials += rrdb_trials(lr, options)
    measure([trial.subject for trial in trials], options.repeats, options.device)
    rows = measured_rows(trials, agreements(trials))
    lines = [f"## LR {side} x {side} to {side * SCALE} x {side * SCALE}", ""]
    if "ddim-1000" in options.only and options.device.type != "cuda":
        lines += [_composed_line(rows), ""]
        rows += composed_rows(rows, [DDIM_1000])
    return "\n".join([*lines, markdown_table(table(rows)), "", markdown_table(ratios(rows)), ""])


def _composed_line(rows: Sequence[Row]) -> str:
    """How a long walk was composed, and what the same sum gives where it was measured too."""
    line = "The walk of 1000 steps is composed: one encoding, 1000 times the step that was timed, one decoding."
    measured = _seconds(rows, DDIM_50.name, [EAGER])
    if measured is None:
        return line
    composed = _seconds(composed_rows(rows, [DDIM_50]), DDIM_50.name, [EAGER])
    return f"{line} For 50 steps, eager float32, that sum is {_ratio(composed, measured)} of what was measured."


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=5, help="timings of each, in turn (default 5)")
    parser.add_argument("--sizes", type=_sizes, default=[64, 128], help="sides of the LR image (default 64,128)")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PARTS), help=",".join(PARTS))
    options = parser.parse_args()
    unknown = set(options.only) - set(PARTS)
    if unknown:
        parser.error(f"--only knows {', '.join(PARTS)}, not {', '.join(sorted(unknown))}")
    return options


def _sizes(text: str) -> list[int]:
    sizes = [int(part) for part in text.split(",")]
    if min(sizes) < _LEAST_SIDE or any(side % 2 for side in sizes):
        raise argparse.ArgumentTypeError(f"sides must be even and at least {_LEAST_SIDE}")
    return sizes


def main() -> None:
    """Time everything, size by size, and print the result as Markdown."""
    options = _options()
    torch.backends.cudnn.benchmark = True  # for every mode alike
    print(describe_machine(options.device))
    print(f"- medians of {options.repeats} timings in turn; random weights; all noise drawn beforehand\n")
    for side in options.sizes:
        print(report(side, options), flush=True)
        torch.compiler.reset()  # what was compiled for one size must not count against the next


if __name__ == "__main__":
    main()
