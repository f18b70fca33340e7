"""Phase `student`: distil the teacher into the pruned network (sections 3.3, 3.4 and 3.5.2)."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rssr.layers.resampling import pad_to_multiple
from rssr.losses.distillation import mmd_squared, sample_positions
from rssr.methods.phase import Batch, Loss, Objective, Phase, PhaseInputs
from rssr.methods.slimdiffsr.config import SlimDiffSRConfig, StudentConfig
from rssr.methods.slimdiffsr.inference import SlimDiffSRResolver
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.methods.slimdiffsr.objectives.reconstruction import (
    ReconstructionLoss,
    adversarial_objectives,
    build_reconstruction,
)
from rssr.methods.slimdiffsr.objectives.teacher import load_teacher
from rssr.methods.slimdiffsr.student_design import student_architecture
from rssr.methods.slimdiffsr.teacher import Teacher, merge_adapters
from rssr.methods.slimdiffsr.teacher_unet import feature_widths, taught_levels
from rssr.methods.slimdiffsr.weights import student_from_diffusers
from rssr.resampling import upsample_bicubic
from rssr.weights.base import BaseOutline, BaseSource, load_autoencoder, load_tiny_autoencoder, load_unet
from rssr.weights.folder import save_model_folder

log = logging.getLogger(__name__)


class StudentObjective(Objective):
    """Reconstruction plus distillation of the retained levels (Eq. 23)."""

    def __init__(
        self, student: SlimDiffSR, teacher: Teacher | None, reconstruction: ReconstructionLoss, config: StudentConfig
    ) -> None:
        super().__init__()
        self.student = student
        self.reconstruction = reconstruction
        self.config = config
        self._teacher = [teacher]  # in a list: frozen, and not part of what a checkpoint holds
        self.taught_levels = _taught_levels(student, teacher)
        self.adapters = nn.ModuleDict(_adapters(student, teacher, self.taught_levels))

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """See `Objective.forward`."""
        height, width = batch.hr.shape[-2:]
        lr_upsampled = upsample_bicubic(batch.lr, (height, width))
        # Padded as in inference, where the crop is no multiple of what a student of full depth takes.
        features = self.student.forward_features(pad_to_multiple(lr_upsampled, self.student.stride))
        sr = features.image[..., :height, :width]
        total, terms = self.reconstruction(sr, batch.hr)
        teacher = self._teacher[0]
        interval = self.config.distill_every_n_steps
        if teacher is not None and step % interval == 0:
            with torch.no_grad():
                taught = teacher.denoise(lr_upsampled, batch.hr)
            pointwise, distribution = self.distances(features.levels, taught.features)
            distance = pointwise + self.config.mmd_weight * distribution
            total = total + interval * self.config.distillation_weight * distance
            terms |= {"distillation_mse": pointwise.detach(), "distillation_mmd": distribution.detach()}
        return Loss(total, terms, {"sr": sr.detach()})

    def distances(self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Means over the levels of Eq. 17 (mean squared difference) and Eq. 18 (MMD^2).

        Args:
            student: Level outputs by the student's names; what lies beyond the teacher's size is padding.
            teacher: Level outputs by the names of `predict_noise`.
        """
        pointwise, distribution = [], []
        for level, adapter in self.adapters.items():
            taught = teacher[self.taught_levels[level]]
            adapted = adapter(student[level][..., : taught.shape[-2], : taught.shape[-1]])
            pointwise.append(F.mse_loss(adapted, taught))
            if self.config.mmd_weight > 0:
                first = sample_positions(adapted, self.config.mmd_samples)
                second = sample_positions(taught, self.config.mmd_samples)
                distribution.append(mmd_squared(first, second))
        mmd = torch.stack(distribution).mean() if distribution else pointwise[0].new_zeros(())
        return torch.stack(pointwise).mean(), mmd


class StudentPhase(Phase):
    """Train the student."""

    name = "student"

    def __init__(self, config: SlimDiffSRConfig, locations: BaseSource, inputs: PhaseInputs) -> None:
        self.config = config.student
        self.architecture, self.student = build_student(config.student, locations)
        # Channels last is what convolutions want: a sixth less time on a CPU, more on a GPU.
        self.student.to(inputs.device)
        self.student.to(memory_format=torch.channels_last)
        distil = config.student.distillation_weight > 0
        teacher = merge_adapters(load_teacher(config, locations, inputs)) if distil else None
        reconstruction = build_reconstruction(
            config.student.reconstruction, config.base_weights.auxiliary, inputs.device, inputs.reads_weights
        )
        self._objective = StudentObjective(self.student, teacher, reconstruction, config.student).to(inputs.device)
        self._objectives: dict[str, Objective] = {
            "student": self._objective,
            **adversarial_objectives(reconstruction),
        }
        self._teacher = teacher

    def objectives(self) -> Mapping[str, Objective]:
        """See `Phase.objectives`."""
        return self._objectives

    def networks(self) -> Mapping[str, nn.Module]:
        """See `Phase.networks`."""
        return {**self._objectives, **({} if self._teacher is None else {"teacher": self._teacher})}

    def preview(self, batch: Batch) -> Tensor:
        """The student's SR image."""
        return SlimDiffSRResolver(self.student)(batch.lr, (batch.hr.shape[-2], batch.hr.shape[-1]))

    def export(self, folder: Path) -> None:
        """A model folder; the job that ran the phase adds the card."""
        save_model_folder(folder, "slimdiffsr", self.architecture, self.student, None)


def build_student(config: StudentConfig, locations: BaseSource) -> tuple[dict[str, Any], SlimDiffSR]:
    """A student, published or ablated, whose retained modules start from the pretrained weights.

    Returns:
        Its architecture arguments, and the network.
    """
    load = load_autoencoder if config.autoencoder == "vae" else load_tiny_autoencoder
    unet, autoencoder = load_unet(locations), load(locations)
    architecture = student_architecture(config, unet, autoencoder)
    student = SlimDiffSR(**architecture)
    if isinstance(locations, BaseOutline):
        return architecture, student  # there are no weights to start from
    report = student_from_diffusers(unet.state_dict(), autoencoder.state_dict(), student)
    if config.pruning == "uniform":
        log.info("student: no weight of the pretrained UNet fits three quarters of its widths; the U-Net starts anew")
    if config.skip == "image":
        student.start_at_input()
    log.info("student: %d tensors from the pretrained networks, %d new", len(report.retained), len(report.fresh))
    log.debug("retained: %s", ", ".join(report.retained))
    log.debug("new: %s", ", ".join(report.fresh))
    return architecture, student


def _taught_levels(student: SlimDiffSR, teacher: Teacher | None) -> Mapping[str, str]:
    if teacher is None:
        return {}
    return taught_levels(len(student.block_channels), len(teacher.unet.config.block_out_channels))


def _adapters(student: SlimDiffSR, teacher: Teacher | None, levels: Mapping[str, str]) -> dict[str, nn.Module]:
    """One light convolution a level, to the teacher's width (section 3.4)."""
    if teacher is None:
        return {}
    own, taught = student.level_channels, feature_widths(teacher.unet)
    return {level: nn.Conv2d(own[level], taught[name], 1) for level, name in levels.items()}
