"""Phase `deviation`: how far SR images may be off, told from how much samples differ. Not in the papers.

Samples of one input differ where the network is unsure, but by less than it errs: what all of them get wrong does not
show. The deviation is therefore sqrt((factor * spread)^2 + floor^2), in which spread is the deviation between samples.
The two numbers are fitted to the errors of the mean of samples, by their Gaussian likelihood, on held-out images; at
the end one common factor makes the deviation the half-width that holds 68.3 % of the errors.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from rssr.losses.uncertainty import gaussian_nll
from rssr.methods.calibration import as_brightness, find_factor, likelihood_metrics
from rssr.methods.latent.config import LatentDeviationConfig
from rssr.methods.latent.paths import SampleCode, output_size_of
from rssr.methods.phase import Batch, Loss, Objective, Phase
from rssr.methods.validation import within_range_of
from rssr.models.latent.network import LatentSR
from rssr.models.latent.resolver import USUAL_SAMPLES, LatentResolver
from rssr.weights.folder import save_model_folder

_FIRST_FLOOR = 0.1  # network units; about what small networks err by


class LatentDeviationObjective(Objective):
    """Gaussian likelihood of the errors of the mean of samples, given how much these differ."""

    def __init__(self, network: LatentSR, sample_code: SampleCode) -> None:
        super().__init__()
        self.log_factor = nn.Parameter(torch.zeros(()))
        self.log_floor = nn.Parameter(torch.full((), math.log(_FIRST_FLOOR)))
        self._network = [network.requires_grad_(False).eval()]  # in a list: frozen, and not part of a checkpoint
        self._sample_code = sample_code

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """See `Objective.forward`."""
        log_variance, squared_error = self.estimate(batch)
        loss = gaussian_nll(log_variance, squared_error)
        return Loss(loss, {"deviation_nll": loss.detach(), "mse": squared_error.mean()})

    def estimate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Predicted log variance and squared error of the mean of samples, float32 [B, C, H, W] in network units."""
        with torch.no_grad():
            samples = self._draw(batch)
            squared_error = (within_range_of(samples.mean(dim=0), batch.hr) - batch.hr).square()
            spread_variance = samples.var(dim=0)
        variance = (2 * self.log_factor).exp() * spread_variance + (2 * self.log_floor).exp()
        return variance.log(), squared_error

    def _draw(self, batch: Batch) -> Tensor:
        """Samples [S, B, C, H, W] of the SR images."""
        network, size = self._network[0], output_size_of(batch)
        condition = network.encode_condition(batch.lr, size)
        codes = [self._sample_code(network, condition, batch) for _ in range(USUAL_SAMPLES)]
        return torch.stack([network.decode(code, batch.lr, size).float() for code in codes])


class LatentDeviationPhase(Phase):
    """Fit factor and floor of a finished network.

    Args:
        config: Optimisation settings.
        model_name: Name under which the exported model is known.
        network: Finished, on the device to fit on.
        sample_code: How the method samples in training.
        resolver: How it samples at inference; runs `network`.
    """

    name = "deviation"

    def __init__(
        self,
        config: LatentDeviationConfig,
        model_name: str,
        network: LatentSR,
        sample_code: SampleCode,
        resolver: LatentResolver,
    ) -> None:
        self.config: LatentDeviationConfig = config
        self.model_name = model_name
        self.network = network
        self._resolver = resolver
        self._objective = LatentDeviationObjective(network, sample_code).to(next(network.parameters()).device)

    def objectives(self) -> Mapping[str, Objective]:
        """See `Phase.objectives`."""
        return {"deviation": self._objective}

    def networks(self) -> Mapping[str, nn.Module]:
        """See `Phase.networks`."""
        return {"network": self.network, **self.objectives()}

    def validate(self, batch: Batch) -> dict[str, float]:
        """See `likelihood_metrics`; without the common factor."""
        return likelihood_metrics(*self._objective.estimate(batch))

    def preview(self, batch: Batch) -> Tensor:
        """The deviation, mean of the bands, as brightness."""
        log_variance, _ = self._objective.estimate(batch)
        return as_brightness((0.5 * log_variance).exp())

    def calibrate(self, pairs: Iterable[Batch]) -> dict[str, float]:
        """Find the common factor of images as users get them, and give the network its values."""
        logarithms = self._objective.log_factor, self._objective.log_floor
        factor, floor = (math.exp(float(each.detach())) for each in logarithms)
        self._set(factor, floor)
        common = find_factor(self._resolver, pairs, next(self.network.parameters()).device)
        self._set(common * factor, common * floor)
        return {
            "common_factor": common,
            "deviation_factor": self.network.values.deviation_factor,
            "deviation_floor": self.network.values.deviation_floor,
        }

    def export(self, folder: Path) -> None:
        """A model folder with the fitted values; the job that ran the phase adds the card."""
        save_model_folder(folder, self.model_name, self.network.architecture, self.network, None)

    def _set(self, factor: float, floor: float) -> None:
        self.network.values = replace(self.network.values, deviation_factor=factor, deviation_floor=floor)
