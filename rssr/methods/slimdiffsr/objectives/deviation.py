"""Phase `deviation`: how far each pixel of the student's SR image may be off, fitted on held-out images.

Not in the paper. Its uncertainty estimator (Eq. 5) describes latents of the autoencoder, serves the teacher and is
gone at inference; and Eq. 5, which carries a prior, is smallest at a third of the squared error. Here a head on the
frozen student's own latent learns the plain Gaussian likelihood, whose optimum is the squared error itself, so its
root is an error bar as it stands. At the end one common factor makes it the half-width that holds 68.3 % of the
errors; these have heavier tails than normal ones, and the root of their mean square holds more.

The images must be new to the student: on those it was trained on, its errors are smaller than elsewhere.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from rssr.losses.uncertainty import gaussian_nll
from rssr.methods.calibration import as_brightness, find_factor, likelihood_metrics
from rssr.methods.phase import Batch, Loss, Objective, Phase, PhaseInputs
from rssr.methods.slimdiffsr.config import DeviationConfig
from rssr.methods.slimdiffsr.inference import SlimDiffSRResolver
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.methods.validation import within_range_of
from rssr.models.loaded import load_model
from rssr.resampling import upsample_bicubic
from rssr.weights.folder import save_model_folder


class DeviationObjective(Objective):
    """Gaussian likelihood of the errors of a frozen student, within the range that images are stored in."""

    def __init__(self, student: SlimDiffSR) -> None:
        super().__init__()
        if student.deviation_head is None:
            raise ValueError("the student has no deviation head to train")
        self._student = [student.requires_grad_(False).eval()]  # in a list: frozen, and not part of a checkpoint
        self.head = student.deviation_head.requires_grad_(True)

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """See `Objective.forward`."""
        log_variance, squared_error = self.estimate(batch)
        loss = gaussian_nll(log_variance, squared_error)
        return Loss(loss, {"deviation_nll": loss.detach(), "mse": squared_error.mean()})

    def estimate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Predicted log variance and squared error of the SR images, both float32 [B, C, H, W] in network units."""
        with torch.no_grad():
            features = self._student[0].forward_features(upsample_bicubic(batch.lr, tuple(batch.hr.shape[-2:])))
            squared_error = (within_range_of(features.image.float(), batch.hr) - batch.hr).square()
        return self.head(features.latent), squared_error


class DeviationPhase(Phase):
    """Fit the deviation head of a finished student."""

    name = "deviation"

    def __init__(self, config: DeviationConfig, student: SlimDiffSR, inputs: PhaseInputs) -> None:
        self.config: DeviationConfig = config
        self.student = student
        self.student.attach_deviation_head(config.channels)
        self.student.to(inputs.device)
        self._objective = DeviationObjective(self.student)

    def objectives(self) -> Mapping[str, Objective]:
        """See `Phase.objectives`."""
        return {"deviation": self._objective}

    def networks(self) -> Mapping[str, nn.Module]:
        """See `Phase.networks`."""
        return {"student": self.student}

    def validate(self, batch: Batch) -> dict[str, float]:
        """See `likelihood_metrics`; of the head alone, without the common factor."""
        return likelihood_metrics(*self._objective.estimate(batch))

    def preview(self, batch: Batch) -> Tensor:
        """The deviation, mean of the bands, as brightness."""
        size = batch.hr.shape[-2], batch.hr.shape[-1]
        return as_brightness(SlimDiffSRResolver(self.student).with_deviation(batch.lr, size)[1])

    def calibrate(self, pairs: Iterable[Batch]) -> dict[str, float]:
        """Find the common factor; see `find_factor`."""
        self.student.eval()
        self.student.values = replace(self.student.values, deviation_factor=1.0)
        device = next(self.student.parameters()).device
        factor = find_factor(SlimDiffSRResolver(self.student), pairs, device)
        self.student.values = replace(self.student.values, deviation_factor=factor)
        return {"deviation_factor": factor}

    def export(self, folder: Path) -> None:
        """A model folder with student and head; the job that ran the phase adds the card."""
        save_model_folder(folder, "slimdiffsr", self.student.architecture, self.student, None)


def load_student(folder: Path) -> SlimDiffSR:
    """The student that the phase `student` exported."""
    network = load_model(folder).network
    assert isinstance(network, SlimDiffSR)  # the phase exports nothing else
    return network
