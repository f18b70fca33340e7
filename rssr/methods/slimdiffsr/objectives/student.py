"""Phase `student`: distil the teacher into the pruned network (sections 3.3, 3.4 and 3.5.2)."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
from rssr.methods.slimdiffsr.teacher import Teacher, merge_adapters
from rssr.methods.slimdiffsr.weights import student_from_diffusers
from rssr.methods.validation import psnr
from rssr.resampling import upsample_bicubic
from rssr.weights.base import BaseLocations, load_tiny_autoencoder, load_unet
from rssr.weights.folder import save_model_folder

log = logging.getLogger(__name__)

LEVELS = ("down0", "down1", "mid", "up0", "up1")


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
        # Student and teacher levels have equal widths by construction, so that the adapters are light.
        self.adapters = nn.ModuleDict(
            {level: nn.Conv2d(width, width, 1) for level, width in zip(LEVELS, _level_widths(student), strict=True)}
            if teacher is not None
            else {}
        )

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """See `Objective.forward`."""
        lr_upsampled = upsample_bicubic(batch.lr, tuple(batch.hr.shape[-2:]))
        features = self.student.forward_features(lr_upsampled)
        total, terms = self.reconstruction(features.image, batch.hr)
        teacher = self._teacher[0]
        if teacher is not None:
            with torch.no_grad():
                taught = teacher.denoise(lr_upsampled, batch.hr)
            pointwise, distribution = self.distances(features.levels, taught.features)
            distance = pointwise + self.config.mmd_weight * distribution
            total = total + self.config.distillation_weight * distance
            terms |= {"distillation_mse": pointwise.detach(), "distillation_mmd": distribution.detach()}
        return Loss(total, terms, {"sr": features.image.detach()})

    def distances(self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Means over the levels of Eq. 17 (mean squared difference) and Eq. 18 (MMD^2)."""
        pointwise, distribution = [], []
        for level, adapter in self.adapters.items():
            adapted, taught = adapter(student[level]), teacher[level]
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

    def __init__(self, config: SlimDiffSRConfig, locations: BaseLocations, inputs: PhaseInputs) -> None:
        self.config = config.student
        self.architecture, self.student = build_student(config.student, locations)
        self.student.to(inputs.device)
        distil = config.student.distillation_weight > 0
        teacher = merge_adapters(load_teacher(config, locations, inputs)) if distil else None
        reconstruction = build_reconstruction(
            config.student.reconstruction, config.base_weights.auxiliary, inputs.device
        )
        self._objective = StudentObjective(self.student, teacher, reconstruction, config.student).to(inputs.device)
        self._objectives: dict[str, Objective] = {
            "student": self._objective,
            **adversarial_objectives(reconstruction),
        }

    def objectives(self) -> Mapping[str, Objective]:
        """See `Phase.objectives`."""
        return self._objectives

    def validate(self, batch: Batch) -> dict[str, float]:
        """Held-out PSNR of the student and of bicubic."""
        lr_upsampled = upsample_bicubic(batch.lr, tuple(batch.hr.shape[-2:]))
        return {
            "psnr_db": psnr(self.preview(batch), batch.hr),
            "bicubic_psnr_db": psnr(lr_upsampled, batch.hr),
        }

    def preview(self, batch: Batch) -> Tensor:
        """The student's SR image."""
        return SlimDiffSRResolver(self.student)(batch.lr, (batch.hr.shape[-2], batch.hr.shape[-1]))

    def export(self, folder: Path) -> None:
        """A model folder; the job that ran the phase adds the card."""
        save_model_folder(folder, "slimdiffsr", self.architecture, self.student, None)


def build_student(config: StudentConfig, locations: BaseLocations) -> tuple[dict[str, Any], SlimDiffSR]:
    """A student whose retained modules start from the pretrained weights.

    Returns:
        Its architecture arguments, and the network.
    """
    unet, tiny = load_unet(locations), load_tiny_autoencoder(locations)
    architecture: dict[str, Any] = {
        "block_channels": list(unet.config.block_out_channels[:2]),
        "mid_channels": unet.config.block_out_channels[2],
        "layers_per_block": unet.config.layers_per_block,
        "taesd_channels": tiny.config.encoder_block_out_channels[0],
        "num_encoder_blocks": list(tiny.config.num_encoder_blocks),
        "num_decoder_blocks": list(tiny.config.num_decoder_blocks),
        "norm_num_groups": unet.config.norm_num_groups,
        "num_queries": config.num_queries,
        "query_channels": config.query_channels,
    }
    student = SlimDiffSR(**architecture)
    report = student_from_diffusers(unet.state_dict(), tiny.encoder.state_dict(), tiny.decoder.state_dict(), student)
    log.info("student: %d tensors from the pretrained networks, %d new", len(report.retained), len(report.fresh))
    log.debug("retained: %s", ", ".join(report.retained))
    log.debug("new: %s", ", ".join(report.fresh))
    return architecture, student


def _level_widths(student: SlimDiffSR) -> tuple[int, ...]:
    shallow, deep = student.block_channels
    return shallow, deep, student.mid_channels, deep, shallow
