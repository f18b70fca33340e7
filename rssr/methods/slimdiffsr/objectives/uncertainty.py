"""Phase `uncertainty`: how far the HR latent may lie from what the LR latent tells (section 3.2.1)."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from rssr.losses.uncertainty import uncertainty_loss
from rssr.methods.phase import Batch, Loss, Objective, Phase, PhaseInputs
from rssr.methods.slimdiffsr.config import UncertaintyConfig
from rssr.methods.slimdiffsr.latents import decode_latent, encode_image
from rssr.methods.slimdiffsr.networks import UncertaintyEstimator
from rssr.methods.validation import psnr
from rssr.resampling import upsample_bicubic
from rssr.weights.base import BaseSource, Component, freeze, load_autoencoder
from rssr.weights.layout import fill_network

WEIGHTS = "uncertainty.safetensors"


class UncertaintyObjective(Objective):
    """Eq. 5 on latents of the frozen autoencoder."""

    def __init__(self, autoencoder: Component, estimator: UncertaintyEstimator) -> None:
        super().__init__()
        self.autoencoder: Component = freeze(autoencoder)
        self.estimator = estimator

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """See `Objective.forward`."""
        mean, log_variance = self.estimate(batch)
        target = encode_image(self.autoencoder, batch.hr)
        loss = uncertainty_loss(mean, log_variance, target)
        return Loss(loss, {"uncertainty": loss.detach(), "latent_mse": (mean - target).square().mean().detach()})

    def estimate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the HR latent from the LR images."""
        lr_upsampled = upsample_bicubic(batch.lr, tuple(batch.hr.shape[-2:]))
        mean, log_variance = self.estimator(encode_image(self.autoencoder, lr_upsampled))
        return mean, log_variance


class UncertaintyPhase(Phase):
    """Train the uncertainty estimator."""

    name = "uncertainty"

    def __init__(self, config: UncertaintyConfig, locations: BaseSource, inputs: PhaseInputs) -> None:
        self.config: UncertaintyConfig = config
        autoencoder = load_autoencoder(locations).to(inputs.device)
        self.estimator = build_estimator(config, autoencoder).to(inputs.device)
        self._objective = UncertaintyObjective(autoencoder, self.estimator)

    def objectives(self) -> Mapping[str, Objective]:
        """See `Phase.objectives`."""
        return {"estimator": self._objective}

    def validate(self, batch: Batch) -> dict[str, float]:
        """Eq. 5 and how the predicted variance compares with the squared error."""
        mean, log_variance = self._objective.estimate(batch)
        target = encode_image(self._objective.autoencoder, batch.hr)
        squared_error = (target - mean).square()
        # At the optimum of Eq. 5 three times the variance equals the squared error.
        return {
            "uncertainty_loss": float(uncertainty_loss(mean, log_variance, target)),
            "calibration_ratio": float((3 * log_variance.exp()).mean() / squared_error.mean().clamp_min(1e-12)),
            "restored_psnr_db": psnr(self.preview(batch), batch.hr),
        }

    def preview(self, batch: Batch) -> Tensor:
        """The decoded mean: a first restoration of the LR image."""
        mean, _ = self._objective.estimate(batch)
        return decode_latent(self._objective.autoencoder, mean)

    def export(self, folder: Path) -> None:
        """The estimator's weights."""
        save_file({name: value.contiguous() for name, value in self.estimator.state_dict().items()}, folder / WEIGHTS)


def build_estimator(config: UncertaintyConfig, autoencoder: Component) -> UncertaintyEstimator:
    """An estimator for the latents of this autoencoder."""
    return UncertaintyEstimator(
        latent_channels=autoencoder.config.latent_channels, channels=config.channels, num_blocks=config.num_blocks
    )


def load_estimator(config: UncertaintyConfig, autoencoder: Component, folder: Path) -> UncertaintyEstimator:
    """The estimator that the phase exported."""
    estimator = build_estimator(config, autoencoder)
    fill_network(estimator, load_file(folder / WEIGHTS), str(folder / WEIGHTS))
    return estimator
