"""Speed and memory of the SlimDiffSR student, beside its teacher, Stable Diffusion 2.1 and ESRGAN's RRDB network.

All make one image of 512 x 512 pixels (or eight at a time) with random weights at published sizes, in one process,
in turn. Each runs as PyTorch runs it by default (eager, float32, channels first, no TF32) and as `prepare_fast`
makes it; RRDB also in the modes between, so that its best counts. Shares refer to a large matrix product in the same
type, timed in the same rounds. Nothing but PyTorch, NumPy and safetensors is needed. Asserts nothing.

Run: python benchmarks/student.py [--device cpu] [--repeats 3] [--only student,rrdb,teacher,sd]
"""

import argparse
import copy
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

if not __package__:  # started as a file, perhaps where rssr is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import Subject, describe_machine, markdown_table, matmul_subject, measure
from benchmarks.rrdb import RRDB
from benchmarks.stable_diffusion import PROMPT_TOKENS, create_teacher
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.models.fast import compile_fast, fast_dtype, prepare_fast
from rssr.models.macs import count_macs

PARTS = ("student", "rrdb", "teacher", "sd")
STUDENT, ESRGAN, TEACHER = "student", "RRDB", "teacher"
SD_PARTS = {"SD 2.1 encoder": 1, "SD 2.1 U-Net step": 50, "SD 2.1 decoder": 1}  # how often an image needs each
EAGER, CHANNELS_LAST, FAST = "eager", "channels last", "fast"

Inputs = tuple[Tensor, ...]
Make = Callable[[nn.Module], nn.Module]


@dataclass(frozen=True)
class Mode:
    """How a network runs.

    Attributes:
        kind: `eager`, `fast`, or something between.
        precision: What products are made in.
        prepare: Makes the network that runs.
        compiled: Whether that is compiled.
    """

    kind: str
    precision: str
    prepare: Make
    compiled: bool = False

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.kind} {self.precision}{', compiled' if self.compiled else ''}"

    @property
    def dtype(self) -> torch.dtype:
        """Type of inputs."""
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32


def modes(options: argparse.Namespace) -> tuple[list[Mode], list[Mode]]:
    """Modes of every network, and those between eager and fast in which RRDB is tried as well."""
    device, native = options.device, fast_dtype(options.device)
    precision = str(native).removeprefix("torch.")
    between = [
        Mode(CHANNELS_LAST, str(dtype).removeprefix("torch."), functools.partial(_channels_last, dtype=dtype))
        for dtype in dict.fromkeys([torch.float32, native])
    ]
    prepare: Make = functools.partial(prepare_fast, device=device, dtype=native, compiled=False)
    eager = Mode(EAGER, "float32", _as_it_is)
    fast, compiled = Mode(FAST, precision, prepare), Mode(FAST, precision, prepare, compiled=True)
    if device.type == "cuda":
        return [eager, Mode(EAGER, "TF32", _as_it_is), compiled], between
    return [eager, fast, *([compiled] if options.compile else [])], between


def build_subjects(options: argparse.Namespace) -> list[Subject]:
    """Everything to time."""
    torch.manual_seed(0)
    every, more = modes(options)
    side, wanted = options.size, set(options.only)
    precisions = dict.fromkeys(mode.precision for mode in every)
    subjects = [matmul_subject(precision, options.device) for precision in precisions]
    if STUDENT in wanted:
        images = [_images(batch, side) for batch in options.batches]
        subjects += _subjects(STUDENT, SlimDiffSR, images, every, options)
    if "rrdb" in wanted:
        subjects += _subjects(ESRGAN, RRDB, [_images(1, side // 4)], [*every, *more], options)
    if wanted & {"teacher", "sd"}:
        subjects += _large_subjects(every, options)
    return subjects


def _subjects(
    name: str,
    build: Callable[[], nn.Module],
    inputs: Sequence[Tensor],
    every: Sequence[Mode],
    options: argparse.Namespace,
) -> Iterator[Subject]:
    """One network in several modes."""
    network = build().to(options.device).eval()
    with torch.device("meta"):
        on_meta = build()
    for mode in every:
        prepared = _prepared(network, mode, options)
        for images in inputs:
            yield _subject(name, mode, prepared, (images,), _macs(on_meta, (images,)), options)


def _large_subjects(every: Sequence[Mode], options: argparse.Namespace) -> Iterator[Subject]:
    """The teacher whole, and the parts of Stable Diffusion, which are parts of the teacher."""
    side = options.size
    image, context = _images(1, side), torch.randn(1, PROMPT_TOKENS, 1024)
    latent, timestep = torch.randn(1, 4, side // 8, side // 8), torch.full((1, 1, 1, 1), 321.0)
    runs: list[tuple[str, Callable[[nn.Module], nn.Module], Inputs]] = []
    if "teacher" in options.only:
        runs.append((TEACHER, lambda teacher: teacher, (image, context)))
    if "sd" in options.only:
        makers = (lambda t: _Half(t.vae, "encode"), lambda t: t.unet, lambda t: _Half(t.vae, "decode"))
        runs += zip(SD_PARTS, makers, ((image,), (latent, timestep, context), (latent,)), strict=True)
    teacher = create_teacher().to(options.device).eval()
    with torch.device("meta"):
        on_meta = create_teacher()
    for mode in every:
        prepared = mode.prepare(teacher)
        for name, part, inputs in runs:
            network = part(prepared)
            if mode.compiled:
                compile_fast(network, options.device, options.autotune)
            yield _subject(name, mode, network, inputs, _macs(part(on_meta), inputs), options)


class _Half(nn.Module):
    """One half of an autoencoder as a network."""

    def __init__(self, vae: nn.Module, method: str) -> None:
        super().__init__()
        self.vae, self.method = vae, method

    def forward(self, x: Tensor) -> Tensor:
        coded: Tensor = getattr(self.vae, self.method)(x)
        return coded


def _as_it_is(network: nn.Module) -> nn.Module:
    return network


def _channels_last(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    return copy.deepcopy(network).to(dtype).to(memory_format=torch.channels_last)


def _prepared(network: nn.Module, mode: Mode, options: argparse.Namespace) -> nn.Module:
    prepared = mode.prepare(network)
    if mode.compiled:
        compile_fast(prepared, options.device, options.autotune)
    return prepared


def _subject(
    name: str, mode: Mode, network: nn.Module, inputs: Inputs, macs: int, options: argparse.Namespace
) -> Subject:
    placed = [value.to(options.device, mode.dtype) for value in inputs]
    if mode.kind != EAGER:
        placed = [value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value for value in placed]
    weights_bytes = sum(parameter.nbytes for parameter in network.parameters())
    return Subject(name, mode.name, lambda: network(*placed), len(inputs[0]), macs, mode.precision, weights_bytes)


def _macs(on_meta: nn.Module, inputs: Inputs) -> int:
    return count_macs(on_meta, lambda: on_meta(*(value.to("meta") for value in inputs))).total


def _images(batch: int, side: int) -> Tensor:
    return torch.rand(batch, 3, side, side) * 2 - 1


def rows(subjects: Sequence[Subject]) -> list[list[str]]:
    """The table of all measurements."""
    rates = {subject.precision: subject.flops_per_s for subject in subjects if subject.name == "matmul"}
    found = [
        ["network", "mode", "batch", "ms an image", "images/s", "GMAC an image", "TFLOP/s", "of matmul", "peak memory"]
    ]
    for subject in subjects:
        memory = (
            "" if subject.peak_bytes is None or subject.name == "matmul" else f"{subject.peak_bytes / 2**30:.2f} GiB"
        )
        found.append(
            [
                subject.name,
                subject.mode if subject.name != "matmul" else f"{subject.mode} {subject.precision}",
                str(subject.images),
                f"{1e3 * subject.median_s / subject.images:.4g}",
                f"{subject.images / subject.median_s:.4g}",
                f"{subject.macs / subject.images / 1e9:.1f}",
                f"{subject.flops_per_s / 1e12:.4g}",
                f"{subject.flops_per_s / rates[subject.precision]:.0%}",
                memory,
            ]
        )
    return found


class Times:
    """Median seconds an image, by network and kind of mode."""

    def __init__(self, subjects: Sequence[Subject]) -> None:
        self.subjects = subjects

    def of(self, name: str, kind: str, batch: int = 1) -> float | None:
        """The fastest mode of this kind, without TF32; None where it was not measured."""
        found = [
            subject.median_s / subject.images
            for subject in self.subjects
            if (subject.name, subject.images) == (name, batch)
            and subject.mode.startswith(kind)
            and subject.precision != "TF32"
        ]
        return min(found, default=None)

    def stable_diffusion(self, kind: str) -> float | None:
        """Encoding, 50 steps and decoding."""
        parts = [(self.of(name, kind), times) for name, times in SD_PARTS.items()]
        known = [time * times for time, times in parts if time is not None]
        return sum(known) if len(known) == len(parts) else None


def comparisons(times: Times, shares: Sequence[float], options: argparse.Namespace) -> list[list[str]]:
    """What was asked for or claimed, beside what was measured."""
    cuda = options.device.type == "cuda"
    found = [["ratio or figure", "measured", "target or claim"]]
    for batch in options.batches:
        ratio = _ratio(times.of(STUDENT, EAGER, batch), times.of(STUDENT, FAST, batch))
        found.append([f"student, batch {batch}: eager float32 / fast", ratio, f"at least {8 if cuda else 1.4}"])
    if shares:
        found.append(
            ["student, fast: best share of the matmul rate", f"{max(shares):.0%}", "" if cuda else "at least 75 %"]
        )
    fast = times.of(STUDENT, FAST, max(options.batches))
    if cuda and fast is not None:
        found.append(
            [f"student, fast, batch {max(options.batches)}", f"{1e3 * fast:.2f} ms an image", "at most 2 on Hopper"]
        )
    rrdb = min(
        (time for time in (times.of(ESRGAN, kind) for kind in (EAGER, CHANNELS_LAST, FAST)) if time), default=None
    )
    found.append(
        [
            "RRDB in its best mode / student, fast",
            _ratio(rrdb, times.of(STUDENT, FAST)),
            "at least 1.3; ESRGAN in the paper 1.19",
        ]
    )
    for kind in (EAGER, FAST):
        student = times.of(STUDENT, kind)
        found.append(
            [f"teacher / student, both {kind}", _ratio(times.of(TEACHER, kind), student), "S3Diff in the paper 20"]
        )
        steps = times.stable_diffusion(kind)
        found.append(
            [f"SD 2.1 with 50 steps / student, both {kind}", _ratio(steps, student), 'DiffBIR in the paper 233, "200x"']
        )
    return found


def _ratio(slow: float | None, fast: float | None) -> str:
    return "left out" if slow is None or fast is None else f"{slow / fast:.2f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, help="timings of each, in turn (default 3 on a CPU, else 20)")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PARTS), help=",".join(PARTS))
    parser.add_argument("--batches", type=lambda text: [int(part) for part in text.split(",")], default=[1, 8])
    parser.add_argument("--size", type=int, default=512, help="side of the SR image, pixels (default 512)")
    parser.add_argument("--compile", action="store_true", help="on a CPU, also time compiled networks (takes minutes)")
    parser.add_argument("--autotune", action="store_true", help="on CUDA, let the compiler try kernels (takes minutes)")
    options = parser.parse_args()
    unknown = set(options.only) - set(PARTS)
    if unknown:
        parser.error(f"--only knows {', '.join(PARTS)}, not {', '.join(sorted(unknown))}")
    options.repeats = options.repeats or (20 if options.device.type == "cuda" else 3)
    return options


def main() -> None:
    """Time everything and print the result as Markdown."""
    options = _options()
    torch.backends.cudnn.benchmark = True  # for every mode alike
    subjects = build_subjects(options)
    measure(subjects, options.repeats, options.device)
    times = Times(subjects)
    rates = {subject.precision: subject.flops_per_s for subject in subjects if subject.name == "matmul"}
    shares = [s.flops_per_s / rates[s.precision] for s in subjects if s.name == STUDENT and s.mode.startswith(FAST)]
    print(describe_machine(options.device))
    print(f"- output {options.size} x {options.size}; medians of {options.repeats} timings in turn; random weights\n")
    print(markdown_table(rows(subjects)) + "\n")
    if STUDENT in options.only:
        print(f"{_folded_line(options)}\n")
    if times.stable_diffusion(EAGER) is not None:
        print("SD 2.1 with 50 steps is scaled: one encoding, 50 times the U-Net step that was timed, one decoding.\n")
    print(markdown_table(comparisons(times, shares, options)))


def _folded_line(options: argparse.Namespace) -> str:
    with torch.device("meta"):
        network = SlimDiffSR()
    image = (_images(1, options.size),)
    published, folded = _macs(network, image), _macs(prepare_fast(network, "meta", torch.float32), image)
    return (
        f"GMAC and TFLOP/s count the published network. The fast student, whose layers are folded, executes "
        f"{folded / 1e9:.1f} of its {published / 1e9:.1f} GMAC."
    )


if __name__ == "__main__":
    main()
