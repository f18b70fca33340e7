"""SlimDiffSR's phases at a tiny size, each built on what the one before exported."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from rssr.methods.phase import Batch, Phase, PhaseInputs
from rssr.methods.slimdiffsr.method import SlimDiffSRMethod

CPU = torch.device("cpu")


@dataclass
class TrainingRecord:
    """What a few steps of training showed.

    Attributes:
        losses: Total of each objective at every step at which it was active.
        gradients: Names of the parameters that got a gradient at the last step, as `objective/parameter`.
    """

    losses: dict[str, list[float]] = field(default_factory=dict)
    gradients: set[str] = field(default_factory=set)


def training_values(**values: Any) -> dict[str, Any]:
    return {"num_steps": 20, "batch_size": 2, "patch_size": 64, "learning_rate": 1e-3, **values}


def tiny_values() -> dict[str, Any]:
    """All phases with every part, as narrow as they can be."""
    reconstruction = {"lpips_weight": 0, "gan_weight": 0}
    base = {
        "autoencoder_steps": 10,
        "autoencoder_channels": (4, 4, 8, 8),
        "tiny_channels": 8,
        "unet_channels": (8, 16, 16, 24),
        "norm_num_groups": 4,
        "prompt_width": 8,
    }
    teacher = {"unet_lora_rank": 2, "decoder_lora_rank": 3, "predictor_channels": 8, "predictor_blocks": 1}
    student = {"num_queries": 4, "query_channels": 8, "mmd_samples": 32}
    return {
        "base": training_values(**base),
        "uncertainty": training_values(channels=8, num_blocks=1),
        "teacher": training_values(reconstruction=reconstruction, **teacher),
        "student": training_values(reconstruction=reconstruction, **student),
        "deviation": training_values(channels=8),
    }


@pytest.fixture(scope="session")
def make_method() -> Callable[..., SlimDiffSRMethod]:
    """A tiny method; keyword arguments replace values within phases, e.g. `teacher={"timestep": "scalar"}`."""

    def make(**changes: Mapping[str, Any]) -> SlimDiffSRMethod:
        values = copy.deepcopy(tiny_values())
        for section, change in changes.items():
            values[section] = {**values.get(section, {}), **change}
        return SlimDiffSRMethod.from_values(values)

    return make


@pytest.fixture(scope="session")
def train() -> Callable[..., TrainingRecord]:
    """Optimise a phase on one fixed batch, objective by objective, as the training loop does."""

    def train(
        phase: Phase, batch: Batch, num_steps: int = 15, first_step: int = 0, learning_rate: float = 3e-3
    ) -> TrainingRecord:
        objectives = phase.objectives()
        optimizers = {
            name: torch.optim.Adam(objective.trained_parameters().values(), learning_rate)
            for name, objective in objectives.items()
        }
        record = TrainingRecord({name: [] for name in objectives})
        for step in range(first_step, first_step + num_steps):
            torch.manual_seed(0)  # equal draws at every step: what falls is the loss, not its noise
            carry: dict[str, torch.Tensor] = {}
            terms: dict[str, float] = {}
            end = first_step + num_steps
            active = [
                name
                for name, objective in objectives.items()
                if step in objective.active_steps(max(end, phase.config.num_steps))
            ]
            for objective in objectives.values():
                objective.zero_grad(set_to_none=True)
            for name in active:
                loss = objectives[name](batch, step, carry)
                loss.total.backward()
                carry.update(loss.carry)
                terms |= {term: float(value) for term, value in loss.terms.items()}
                record.losses[name].append(loss.total.item())
            record.gradients = {
                f"{name}/{parameter}"
                for name, objective in objectives.items()
                for parameter, value in objective.named_parameters()
                if value.grad is not None
            }
            for name in active:
                optimizers[name].step()
                objectives[name].finish_step(terms)
        return record

    return train


@pytest.fixture(scope="session")
def batch() -> Batch:
    """Two pairs of smooth images with fine stripes that LR cannot show, ×4, 64 pixels."""
    rows, columns = torch.meshgrid(torch.linspace(0, 6, 64), torch.linspace(0, 6, 64), indexing="ij")
    waves = [torch.sin(rows * a + columns * b) for a, b in ((1, 0), (0, 1), (1, 1), (2, -1), (0.5, 2), (3, 1))]
    stripes = torch.sin(rows * 20) * torch.sin(columns * 23)
    hr = 0.5 * torch.stack(waves).reshape(2, 3, 64, 64) + 0.4 * stripes
    return Batch(torch.nn.functional.avg_pool2d(hr, 4), hr, 4.0)


@pytest.fixture(scope="session")
def folders(
    tmp_path_factory: pytest.TempPathFactory,
    make_method: Callable[..., SlimDiffSRMethod],
    train: Callable[..., TrainingRecord],
    batch: Batch,
) -> dict[str, Path]:
    """Outputs of `base`, `uncertainty`, `teacher` and `student`, each after a few steps, by phase."""
    method, root = make_method(), tmp_path_factory.mktemp("phases")
    folders: dict[str, Path] = {}
    for name, num_steps in (("base", 20), ("uncertainty", 5), ("teacher", 3), ("student", 3)):
        torch.manual_seed(11)
        phase = method.build_phase(name, PhaseInputs(dict(folders), CPU))
        train(phase, batch, num_steps)
        folder = root / name
        folder.mkdir()
        phase.export(folder)
        folders[name] = folder
    return folders


@pytest.fixture
def build(folders: dict[str, Path], make_method: Callable[..., SlimDiffSRMethod]) -> Callable[..., Phase]:
    """Build a phase on the folders, from one seed."""

    def build(name: str, seed: int = 0, **changes: Mapping[str, Any]) -> Any:
        torch.manual_seed(seed)
        return make_method(**changes).build_phase(name, PhaseInputs(folders, CPU))

    return build


@pytest.fixture(scope="session")
def shaken() -> Callable[[torch.nn.Module], None]:
    """Give every trained parameter a random value, so that those which start at zero take part."""

    def shake(network: torch.nn.Module) -> None:
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.requires_grad:
                    parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))

    return shake
