"""What training would take, told before anything is loaded, read or trained.

Every phase is built on the device `meta`, in the sizes of its configuration, and its losses run once on a pretended
device: counts are exact, memory is what PyTorch's tensors would take on one worker.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipelines.experiment.config import JobConfig
from pipelines.experiment.sharing import per_worker
from pipelines.experiment.training import selected_phases
from rssr.configuration import config_digest
from rssr.errors import ExitCode
from rssr.methods.method import Method
from rssr.methods.phase import Batch, Loss, Objective, Phase, PhaseInputs
from rssr.methods.training import TrainingConfig
from rssr.models.macs import count_macs
from rssr.models.memory import ActivationMemory, measure_activations, pretended_device
from rssr.plain_table import format_table

_META = torch.device("meta")
_SIDE = 512  # pixels; the papers' usual size
_MOMENTS = 2  # that Adam and AdamW keep for every trained parameter


@dataclass(frozen=True)
class PhaseEstimate:
    """One phase, on one worker.

    Attributes:
        phase: Its name.
        config: Batch and precision.
        patch_size: Side of the HR patches, pixels; of the largest where it follows the scale.
        num_parameters: Of all networks that a step runs, frozen ones included.
        num_trained: Of those, parameters that are trained.
        macs: Multiply-accumulates of one forward pass from an LR image to the phase's image of 512x512 pixels.
        weight_bytes: Parameters and buffers.
        gradient_bytes: One gradient a trained parameter.
        optimizer_bytes: The optimizer's moments.
        activations: Of a micro-batch, in whichever of the phase's losses takes most.
    """

    phase: str
    config: TrainingConfig
    patch_size: int
    num_parameters: int
    num_trained: int
    macs: int
    weight_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    activations: ActivationMemory

    @property
    def total_bytes(self) -> int:
        """Weights, gradients, optimizer and the peak of the activations."""
        return self.weight_bytes + self.gradient_bytes + self.optimizer_bytes + self.activations.peak


def run_dry(variants: Mapping[str, Method], config: JobConfig) -> ExitCode:
    """Print what each selected phase would take.

    Args:
        variants: The method, or several that differ in their configurations, by name; phases that they share are told
            once, under the first.
        config: The job's configuration.
    """
    device = torch.device("cuda" if config.worker.num_gpus > 0 else "cpu")
    estimates: dict[str, tuple[str, PhaseEstimate]] = {}
    for variant, method in variants.items():
        dealt = per_worker(method, config)
        for phase in selected_phases(method, config):
            key = _what_decides(method, phase)
            if key not in estimates:
                estimates[key] = variant, estimate_phase(dealt, phase, config.data.scale_range, device)
    print(_report(list(estimates.values()), device, len(variants) > 1))  # the job's answer, not a log line
    return ExitCode.DONE


def _what_decides(method: Method, phase: str) -> str:
    """Digest of the configuration of a phase and of all that come before it."""
    later = method.phases[method.phases.index(phase) + 1 :]
    sections = {name: values for name, values in method.dump().items() if name not in later}
    return config_digest(phase, sections)


def estimate_phase(method: Method, name: str, scale_range: tuple[float, float], device: torch.device) -> PhaseEstimate:
    """Build a phase without weights and measure it.

    Args:
        method: The method.
        name: One of its phases.
        scale_range: Smallest and largest HR/LR ratio of the images; what takes most of the two is told.
        device: What the phase would train on, `cpu` or `cuda`; it need not exist here.
    """
    num_bands = int(method.dump()["in_bands"])
    with _META:
        phase = method.build_phase(name, PhaseInputs({}, _META, reads_weights=False))
    networks = [*phase.networks().values(), *(average.target for average in phase.averages())]
    trained = _distinct(
        parameter for objective in phase.objectives().values() for parameter in objective.trained_parameters().values()
    )
    parameters = _distinct(parameter for network in networks for parameter in network.parameters())
    gradient_bytes = _num_bytes(trained)
    return PhaseEstimate(
        phase=name,
        config=phase.config,
        patch_size=phase.config.hr_patch_size(scale_range[1]),
        num_parameters=sum(parameter.numel() for parameter in parameters),
        num_trained=sum(parameter.numel() for parameter in trained),
        macs=_forward_macs(phase, networks, scale_range[0], num_bands),
        weight_bytes=_num_bytes(_held(networks)),
        gradient_bytes=gradient_bytes,
        optimizer_bytes=_MOMENTS * gradient_bytes,
        activations=_activations(phase, networks, costliest_scale(phase.config, scale_range), num_bands, device),
    )


def _forward_macs(phase: Phase, networks: Sequence[nn.Module], scale: float, num_bands: int) -> int:
    batch = example_batch((1, num_bands), _SIDE, scale, _META)
    for network in networks:
        network.eval()
    return count_macs(nn.ModuleList(networks), lambda: phase.preview(batch)).total


def _activations(
    phase: Phase, networks: Sequence[nn.Module], scale: float, num_bands: int, device: torch.device
) -> ActivationMemory:
    """The largest of all losses: each one's graph is gone when the next one is computed."""
    config = phase.config
    autocast = torch.bfloat16 if config.precision == "bfloat16" else None
    found: list[ActivationMemory] = []
    with pretended_device(networks, device, autocast):
        batch, held = (
            example_batch((config.batch_size, num_bands), config.hr_patch_size(scale), scale, device),
            _held(networks),
        )
        for step in _telling_steps(phase):
            carry: dict[str, Tensor] = {}
            for objective in phase.objectives().values():
                if step in objective.active_steps(config.num_steps):
                    loss = _Pass(objective, batch, step, carry)
                    found.append(measure_activations(loss.run, held))
    return ActivationMemory(max(each.saved for each in found), max(each.peak for each in found))


def costliest_scale(config: TrainingConfig, scale_range: tuple[float, float]) -> float:
    """Of patches: the LR side is largest at the smallest scale, or where it is fixed, the HR side at the largest.

    Args:
        config: Says which side is fixed.
        scale_range: Smallest and largest HR/LR ratio.
    """
    return scale_range[0] if config.lr_patch_size is None else scale_range[1]


@dataclass
class _Pass:
    """One loss of one micro-batch, as the training loop computes it."""

    objective: Objective
    batch: Batch
    step: int
    carry: dict[str, Tensor]

    def run(self) -> Loss:
        self.objective.train()
        loss: Loss = self.objective(self.batch, self.step, self.carry)
        self.carry.update(loss.carry)
        return loss


def _telling_steps(phase: Phase) -> list[int]:
    """The first step of every objective: what runs changes there, if anywhere."""
    ranges = [objective.active_steps(phase.config.num_steps) for objective in phase.objectives().values()]
    return sorted({steps.start for steps in ranges if len(steps) > 0})


def example_batch(pairs_and_bands: tuple[int, int], side: int, scale: float, device: torch.device) -> Batch:
    """A batch in its sizes alone; its values are whatever was there.

    Args:
        pairs_and_bands: Image pairs, and bands of each image.
        side: Of the HR images, pixels.
        scale: HR/LR ratio.
        device: Where it lies.
    """
    lr_side = max(1, round(side / scale))
    lr = torch.empty(*pairs_and_bands, lr_side, lr_side, device=device)
    return Batch(lr, torch.empty(*pairs_and_bands, side, side, device=device), scale)


def _held(networks: Iterable[nn.Module]) -> list[Tensor]:
    return _distinct(tensor for network in networks for tensor in (*network.parameters(), *network.buffers()))


def _distinct(tensors: Iterable[Tensor]) -> list[Tensor]:
    return list({id(tensor): tensor for tensor in tensors}.values())


def _num_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _report(estimates: Sequence[tuple[str, PhaseEstimate]], device: torch.device, names_variants: bool) -> str:
    header = ("PHASE", "BATCH", "PARAMETERS", "TRAINED", "GMAC", "WEIGHTS", "GRADIENTS", "OPTIMIZER")
    rows: list[tuple[str, ...]] = [(*header, "SAVED", "PEAK", "TOTAL")]
    for variant, estimate in estimates:
        phase, *cells = _row(estimate)
        rows.append((f"{phase} ({variant})" if names_variants else phase, *cells))
    titles = {"cpu": "CPU", "cuda": "GPU"}
    return "\n".join(
        [
            f"Dry run for one {titles[device.type]} worker; nothing was loaded, read or trained.",
            "",
            format_table(rows, right=set(range(2, len(rows[0])))),
            "",
            *_LEGEND,
        ]
    )


_LEGEND = (
    "BATCH       image pairs of a micro-batch, side of its HR patches in pixels, arithmetic",
    "PARAMETERS  of all networks that a training step runs, frozen ones included; TRAINED, of those, what is trained",
    f"GMAC        billions of multiply-accumulates from an LR image to the phase's image of {_SIDE}x{_SIDE} pixels",
    "In MiB: WEIGHTS, GRADIENTS and OPTIMIZER last the whole phase. SAVED is what autograd keeps of a micro-batch for",
    "its backward pass, PEAK all that is alive at once in its forward pass, SAVED included. TOTAL is the sum with",
    "PEAK; what libraries and the memory allocator take comes on top.",
)


def _row(estimate: PhaseEstimate) -> tuple[str, ...]:
    config, activations = estimate.config, estimate.activations
    sizes = (estimate.weight_bytes, estimate.gradient_bytes, estimate.optimizer_bytes)
    return (
        estimate.phase,
        f"{config.batch_size} x {estimate.patch_size} {config.precision}",
        f"{estimate.num_parameters:,}",
        f"{estimate.num_trained:,}",
        f"{estimate.macs / 1e9:,.1f}",
        *(_mebibytes(size) for size in (*sizes, activations.saved, activations.peak, estimate.total_bytes)),
    )


def _mebibytes(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:,.1f}"
