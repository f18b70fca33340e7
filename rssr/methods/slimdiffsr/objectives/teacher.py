"""Phase `teacher`: LoRA on the UNet and the decoder, with a learned noise level (section 3.5.1)."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rssr.errors import WeightsError
from rssr.losses.reconstruction import total_variation
from rssr.methods.phase import Batch, Loss, Objective, Phase, PhaseInputs
from rssr.methods.slimdiffsr.config import SlimDiffSRConfig
from rssr.methods.slimdiffsr.networks import NoiseLevelPredictor
from rssr.methods.slimdiffsr.objectives.reconstruction import (
    ReconstructionLoss,
    adversarial_objectives,
    build_reconstruction,
)
from rssr.methods.slimdiffsr.objectives.uncertainty import build_estimator, load_estimator
from rssr.methods.slimdiffsr.teacher import Teacher, TeacherOutput, TeacherParts, adapter_state
from rssr.methods.validation import psnr
from rssr.resampling import upsample_bicubic
from rssr.weights.base import BaseSource, load_autoencoder, load_prompt_embedding, load_schedule, load_unet
from rssr.weights.layout import compare_layouts, layout_of

WEIGHTS = "teacher.safetensors"


class TeacherObjective(Objective):
    """Reconstruction plus smoothness of the signal share (Eq. 22)."""

    def __init__(self, teacher: Teacher, reconstruction: ReconstructionLoss, tv_weight: float) -> None:
        super().__init__()
        self.teacher = teacher
        self.reconstruction = reconstruction
        self.tv_weight = tv_weight

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """See `Objective.forward`."""
        output = self.run(batch)
        total, terms = self.reconstruction(output.sr, batch.hr)
        variation = total_variation(output.signal_share)
        terms |= {"tv": variation.detach(), "timestep": output.timestep.mean().detach()}
        return Loss(total + self.tv_weight * variation, terms, {"sr": output.sr.detach()})

    def run(self, batch: Batch) -> TeacherOutput:
        """One teacher pass that sees HR, as in training."""
        output: TeacherOutput = self.teacher(upsample_bicubic(batch.lr, tuple(batch.hr.shape[-2:])), batch.hr)
        return output


class TeacherPhase(Phase):
    """Train the teacher's adapters and noise-level predictor."""

    name = "teacher"

    def __init__(self, config: SlimDiffSRConfig, locations: BaseSource, inputs: PhaseInputs) -> None:
        self.config = config.teacher
        self.teacher = build_teacher(config, locations, inputs)
        reconstruction = build_reconstruction(
            config.teacher.reconstruction, config.base_weights.auxiliary, inputs.device, inputs.reads_weights
        )
        self._objective = TeacherObjective(self.teacher, reconstruction, config.teacher.tv_weight)
        self._objectives: dict[str, Objective] = {
            "teacher": self._objective,
            **adversarial_objectives(reconstruction),
        }

    def objectives(self) -> Mapping[str, Objective]:
        """See `Phase.objectives`."""
        return self._objectives

    def validate(self, batch: Batch) -> dict[str, float]:
        """Held-out PSNR with the HR reference (as trained) and from LR alone."""
        lr_upsampled = upsample_bicubic(batch.lr, tuple(batch.hr.shape[-2:]))
        alone: TeacherOutput = self.teacher(lr_upsampled)
        return {
            "psnr_db": psnr(self._objective.run(batch).sr, batch.hr),
            "psnr_from_lr_alone_db": psnr(alone.sr, batch.hr),
        }

    def preview(self, batch: Batch) -> Tensor:
        """SR from LR alone."""
        output: TeacherOutput = self.teacher(upsample_bicubic(batch.lr, tuple(batch.hr.shape[-2:])))
        return output.sr

    def export(self, folder: Path) -> None:
        """Adapters and predictor; the frozen weights stay where they came from."""
        save_file({name: value.contiguous() for name, value in adapter_state(self.teacher).items()}, folder / WEIGHTS)


def build_teacher(config: SlimDiffSRConfig, locations: BaseSource, inputs: PhaseInputs) -> Teacher:
    """A teacher with fresh adapters."""
    autoencoder = load_autoencoder(locations)
    if inputs.reads_weights:
        estimator = load_estimator(config.uncertainty, autoencoder, inputs.folder("uncertainty"))
    else:
        estimator = build_estimator(config.uncertainty, autoencoder)
    parts = TeacherParts(
        unet=load_unet(locations),
        autoencoder=autoencoder,
        estimator=estimator,
        predictor=NoiseLevelPredictor(
            latent_channels=autoencoder.config.latent_channels,
            channels=config.teacher.predictor_channels,
            num_blocks=config.teacher.predictor_blocks,
        ),
        schedule=load_schedule(locations),
        prompt_embedding=load_prompt_embedding(locations),
    )
    return Teacher(parts, config.teacher).to(inputs.device)


def load_teacher(config: SlimDiffSRConfig, locations: BaseSource, inputs: PhaseInputs) -> Teacher:
    """The teacher that the phase exported, frozen."""
    teacher = build_teacher(config, locations, inputs)
    if inputs.reads_weights:
        _fill_trained(teacher, inputs.folder("teacher") / WEIGHTS)
    return teacher.requires_grad_(False).eval()


def _fill_trained(teacher: Teacher, path: Path) -> None:
    trained, own = load_file(path), adapter_state(teacher)
    difference = compare_layouts(layout_of(own), layout_of(trained))
    if difference:
        raise WeightsError(f"The weights in {path} do not fit this teacher: {difference}.", "Train the teacher again.")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(trained[name])
