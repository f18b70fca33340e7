"""How fast this machine makes image pairs and trains, with the data pipeline and the training step themselves."""

import itertools
import logging
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from pipelines.datasets import DataConfig, build_manifest
from pipelines.estimate.speed import Rate
from pipelines.estimate.stopwatch import Stopwatch
from pipelines.estimate.training.arithmetic import count_flops
from pipelines.estimate.training.pace import largest_micro_batch
from pipelines.estimate.training.rates import ArithmeticRates, PairRates, TrainingRates
from pipelines.estimate.training.work import PhaseWork
from pipelines.experiment.config import JobConfig
from pipelines.experiment.dry_run import costliest_scale, example_batch
from pipelines.loop.optimizers import build_optimizer
from pipelines.machine import describe_machine
from pipelines.plan import StreamSpec
from pipelines.stream import MakeBatch, StreamInputs
from pipelines.timestamps import timestamp
from rssr.images import decode_image, encode_jpeg
from rssr.methods import build_method
from rssr.methods.method import Method
from rssr.methods.phase import Batch, Phase, PhaseInputs
from rssr.scenes import write_scene_dataset

log = logging.getLogger(__name__)

_LIBRARIES = ("torch", "numpy")
_NUM_IMAGES = 10
_MARGIN = 88  # pixels around a patch: images of 600 give patches of 512, as those of AID do
_PAIRS_A_ROUND = 32
_NUM_ROUNDS = 5
_SIDE_ON_CPU = 256  # pixels; a step of published size takes a minute there
_NUM_STEPS = 3
_USABLE_SHARE = 0.9  # of a GPU's memory


def measure_rates(method: Method, job: JobConfig, phases: Sequence[PhaseWork]) -> TrainingRates:
    """Make image pairs and take training steps, with one thread, and on a GPU where there is one.

    Args:
        method: The method, at the size in question; its weights need not be there, and are random.
        job: How images are degraded.
        phases: What there is to do; steps are of the one that computes most.
    """
    work = max(phases, key=lambda each: each.all_flops)
    log.info("measuring: image pairs, then steps of phase %s", work.phase)
    scale = costliest_scale(method.training_config(work.phase), job.data.scale_range)
    pairs = _measure_pairs(job.data, work.patch_size, scale)
    return TrainingRates(pairs=pairs, arithmetic=_measure_steps(method, work, job))


def _measure_pairs(data: DataConfig, patch_size: int, scale: float) -> PairRates:
    with tempfile.TemporaryDirectory(prefix="rssr-rates-") as name:
        size = patch_size + _MARGIN
        image_bytes = _write_images(Path(name), size)
        plain = data.model_copy(update={"uri": name, "test_uri": (), "num_test": 0, "layout": "folder"})
        manifest = build_manifest([name], plain, seed=0)
        spec = StreamSpec(0, _NUM_ROUNDS + 1, 1, _PAIRS_A_ROUND, patch_size, (scale, scale))
        images = manifest.training_images(patch_size)
        make = MakeBatch(StreamInputs(images, manifest.sources, spec, data.degradation, max_cached_bytes=0))
        make(0)  # warms up
        rates = [_PAIRS_A_ROUND / _processor_s(make, number) for number in range(1, _NUM_ROUNDS + 1)]
    return PairRates(
        machine=describe_machine("cpu"),
        measured_at=timestamp(),
        software=_software(),
        degradation=data.degradation.kind,
        scale=scale,
        patch_size=patch_size,
        image_size=size,
        image_bytes=image_bytes,
        pairs_per_core_s=Rate.of(rates),
    )


def _write_images(folder: Path, size: int) -> float:
    """Procedural scenes as JPEG files; returns their mean size, bytes."""
    sizes = []
    for path in write_scene_dataset(folder, 0, _NUM_IMAGES, size):
        data = encode_jpeg(decode_image(path.read_bytes(), path.name).pixels)
        path.with_suffix(".jpg").write_bytes(data)
        path.unlink()
        sizes.append(len(data))
    return statistics.mean(sizes)


def _processor_s(make: MakeBatch, number: int) -> float:
    began_s = time.process_time()
    make(number)
    return max(1e-9, time.process_time() - began_s)


def _measure_steps(method: Method, work: PhaseWork, job: JobConfig) -> ArithmeticRates:
    device, name = torch.device("cuda" if torch.cuda.is_available() else "cpu"), work.phase
    measured = _measurable(method, work, device)
    num_bands = int(method.dump()["in_bands"])
    with torch.device("meta"):
        outline = measured.build_phase(name, PhaseInputs({}, torch.device("meta"), reads_weights=False))
    scales = job.data.scale_range
    flops = count_flops(outline, scales, num_bands) * outline.config.batch_size
    with _one_thread():
        phase = measured.build_phase(name, PhaseInputs({}, device, reads_weights=False))
        scale = costliest_scale(phase.config, scales)
        side = phase.config.hr_patch_size(scale)
        batch = example_batch((phase.config.batch_size, num_bands), side, scale, device)
        batch = Batch(torch.rand_like(batch.lr) * 2 - 1, torch.rand_like(batch.hr) * 2 - 1, scale)
        seconds = list(itertools.islice(_steps(phase, batch, device), 1, _NUM_STEPS + 1))
    return ArithmeticRates(
        machine=describe_machine(device.type),
        on="gpu" if device.type == "cuda" else "cpu",
        measured_at=timestamp(),
        software=_software(),
        phase=f"{method.name} {name}",
        precision=phase.config.precision,
        patch_size=side,
        pairs=phase.config.batch_size,
        flops_per_s=Rate.of([flops / each for each in seconds]),
    )


def _measurable(method: Method, work: PhaseWork, device: torch.device) -> Method:
    """The same method with a micro-batch that takes seconds: as many pairs as fit on a GPU, a smaller one on a CPU."""
    values = method.dump()
    section = values[work.phase]
    if device.type == "cpu":
        section = {**section, "batch_size": 1, "patch_size": min(section["patch_size"], _SIDE_ON_CPU)}
    else:
        room = _USABLE_SHARE * torch.cuda.get_device_properties(device).total_memory
        section = {**section, "batch_size": max(1, min(section["batch_size"], largest_micro_batch(work, room)))}
    return build_method(method.name, {**values, work.phase: section})


def _steps(phase: Phase, batch: Batch, device: torch.device) -> Iterator[float]:
    """Seconds of one step after another: losses, gradients and optimizers as the training loop has them."""
    objectives = phase.objectives()
    optimizers = {name: build_optimizer(objective, phase.config) for name, objective in objectives.items()}
    step = phase.config.num_steps - 1
    active = [name for name, one in objectives.items() if step in one.active_steps(phase.config.num_steps)]
    while True:
        with Stopwatch() as watch:
            carry: dict[str, Tensor] = {}
            for name in active:
                optimizers[name].zero_grad(set_to_none=True)
                enabled = phase.config.precision == "bfloat16"
                with torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled):
                    loss = objectives[name].train()(batch, step, carry)
                torch.autograd.backward(loss.total)
                carry |= loss.carry
            for name in active:
                optimizers[name].step()
            if device.type == "cuda":
                torch.cuda.synchronize()
        yield watch.seconds


def _software() -> dict[str, str]:
    return {name: version(name) for name in _LIBRARIES}


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
