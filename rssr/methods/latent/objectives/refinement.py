"""Phase `refinement`: the decoder, trained further on codes as it gets them without HR. Not in the papers.

As published, the decoder has only ever seen latents of HR images, while at inference it gets codes that were
predicted from LR. At the published size these come close; a small network's do not, and its decoder then adds detail
that is not there. Here the decoder alone learns, with the mean absolute error, from the codes that it will get.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from rssr.losses.reconstruction import l1_loss
from rssr.methods.latent.config import Code, RefinementConfig
from rssr.methods.latent.paths import SampleCode, draw_latent, output_size_of, validate_paths
from rssr.methods.phase import Batch, Loss, Objective, Phase, PhaseInputs
from rssr.models.latent.architecture import LatentArchitecture
from rssr.models.latent.autoencoder import ResidualAutoencoder
from rssr.models.latent.network import LatentSR
from rssr.models.loaded import load_model
from rssr.weights.folder import save_model_folder


class RefinementObjective(Objective):
    """Mean absolute error of decoded codes, one kind of code a step."""

    def __init__(
        self, network: LatentSR, autoencoder: ResidualAutoencoder, sample_code: SampleCode, codes: tuple[Code, ...]
    ) -> None:
        super().__init__()
        self.decoder = network.decoder.requires_grad_(True)
        self.post_quant_conv = network.post_quant_conv.requires_grad_(True)
        self.codes = codes
        # In lists: frozen but for the decoder, and not part of what a checkpoint holds.
        network.denoiser.requires_grad_(False)
        network.condition_encoder.requires_grad_(False)
        self._network = [network]
        self._autoencoder = [autoencoder.requires_grad_(False).eval()]
        self._sample_code = sample_code

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """See `Objective.forward`."""
        kind = self.codes[step % len(self.codes)]
        code = self.code(kind, batch)
        loss = l1_loss(self._network[0].decode(code, batch.lr, output_size_of(batch)), batch.hr)
        return Loss(loss, {f"l1_{kind}": loss.detach()})

    @torch.no_grad()
    def code(self, kind: Code, batch: Batch) -> Tensor:
        """A scaled code [B, C, h, w] of a kind."""
        network = self._network[0]
        if kind == "posterior":
            return draw_latent(self._autoencoder[0], batch) * network.latent_scaling
        condition = network.encode_condition(batch.lr, output_size_of(batch))
        return condition if kind == "condition" else self._sample_code(network, condition, batch)


class RefinementPhase(Phase):
    """Fine-tune the decoder of a finished network."""

    name = "refinement"

    def __init__(
        self,
        config: RefinementConfig,
        model_name: str,
        network: LatentSR,
        autoencoder: ResidualAutoencoder,
        sample_code: SampleCode,
    ) -> None:
        self.config: RefinementConfig = config
        self.model_name = model_name
        self.network = network
        self.autoencoder = autoencoder
        self._sample_code = sample_code
        self._objective = RefinementObjective(network, autoencoder, sample_code, config.codes)

    def objectives(self) -> Mapping[str, Objective]:
        """See `Phase.objectives`."""
        return {"refinement": self._objective}

    def networks(self) -> Mapping[str, nn.Module]:
        """See `Phase.networks`."""
        return {"network": self.network, "autoencoder": self.autoencoder}

    def validate(self, batch: Batch) -> dict[str, float]:
        """See `validate_paths`."""
        return validate_paths(self.network, self.autoencoder, self._sample_code, batch)

    def preview(self, batch: Batch) -> Tensor:
        """The SR image of the sampled path."""
        size = output_size_of(batch)
        code = self._sample_code(self.network, self.network.encode_condition(batch.lr, size), batch)
        return self.network.decode(code, batch.lr, size)

    def export(self, folder: Path) -> None:
        """A model folder with the refined decoder; the job that ran the phase adds the card."""
        save_model_folder(folder, self.model_name, self.network.architecture, self.network, None)


def load_network(phase: str, values: LatentArchitecture, inputs: PhaseInputs) -> LatentSR:
    """The network that an earlier phase exported; without its weights where none are read."""
    if not inputs.reads_weights:
        return LatentSR(values).to(inputs.device)
    network = load_model(inputs.folder(phase)).network
    assert isinstance(network, LatentSR)  # the phase exports nothing else
    return network.to(inputs.device)
