"""What LDCSR and LCMSR need to super-resolve: denoiser, condition encoder and decoder.

Source: measured facts about the published networks (conformance notes, sections 5 to 7).
"""

from typing import Any

import torch
from torch import Tensor, nn

from rssr.diffusion.schedule import one_an_image
from rssr.errors import ModelError
from rssr.models.architecture import plain_architecture
from rssr.models.latent.architecture import LatentArchitecture, read_latent_architecture
from rssr.models.latent.autoencoder import ResidualAutoencoder, build_decoder
from rssr.models.latent.encoder import ResidualEncoder
from rssr.models.latent.frame import Frame, enlarge
from rssr.models.latent.unet import LatentUNet, LatentUNetShape

_SCALE_SLACK = 1e-6  # a whole scale computed as the inverse of a step may come out just below itself


class LatentSR(nn.Module):
    """All that runs at inference; latents are at unit deviation until they are decoded.

    Parts may be of different types: LR images and latents are in the denoiser's, which is the network's first.

    Args:
        values: The architecture, or None for `architecture`.
        **architecture: Values of `LatentArchitecture`; the published LDCSR by default.

    Raises:
        ModelError: On unknown or contradicting values.
    """

    latent_scaling: Tensor
    exact_parts = ("denoiser", "latent_scaling")
    """What keeps its precision in a fast copy: walks multiply the denoiser's noise, and its rounding, by up to 40."""

    def __init__(self, values: LatentArchitecture | None = None, **architecture: object) -> None:
        super().__init__()
        values = values or read_latent_architecture(architecture)
        self.values = values
        self.denoiser = LatentUNet(_unet_shape(values))
        self.condition_encoder = ResidualEncoder(
            values.bands,
            values.latent_channels,
            values.condition_widths,
            values.condition_num_res_blocks or values.num_res_blocks,
            values.norm_num_groups,
        )
        self.post_quant_conv = nn.Conv2d(values.latent_channels, values.latent_channels, 1)
        self.decoder = build_decoder(values)
        self.register_buffer("latent_scaling", torch.ones(()))

    @property
    def architecture(self) -> dict[str, Any]:
        """All values as a model folder stores them; `LatentSR(**architecture)` builds the same network."""
        return plain_architecture(self.values)

    def adopt_decoder(self, autoencoder: ResidualAutoencoder) -> None:
        """Copy decoder and post-quantisation convolution from a first stage of the same architecture."""
        self.decoder.load_state_dict(autoencoder.decoder.state_dict())
        self.post_quant_conv.load_state_dict(autoencoder.post_quant_conv.state_dict())

    def encode_condition(self, lr: Tensor, output_size: tuple[int, int], frame: Frame | None = None) -> Tensor:
        """The condition code, which is also an estimate of the latent.

        Args:
            lr: LR images [B, bands, h, w] in [-1, 1].
            output_size: (H, W); padded to multiples of the latent's stride where the code shall cover all of it.
            frame: Where the output lies among the LR pixels; None: it covers them exactly.

        Returns:
            [B, latent_channels, H / 8, W / 8], rounded down.

        Raises:
            ModelError: Another number of bands.
        """
        if lr.shape[1] != self.values.bands:
            raise ModelError(
                f"The network got images of {lr.shape[1]} bands, but it takes {self.values.bands}.",
                "Give the bands it was trained on, or choose a model for these bands.",
            )
        enlarged = enlarge(lr, output_size, "bicubic", frame)
        out: Tensor = self.condition_encoder(enlarged.to(self.condition_encoder.conv_in.weight.dtype))
        return out.to(self.denoiser.conv_in.weight.dtype)

    def predict(
        self,
        noisy_latent: Tensor,
        condition: Tensor,
        timestep: Tensor | int,
        scale: Tensor | float,
        output_height: Tensor | int,
    ) -> Tensor:
        """The denoiser's output: noise or clean latent, as `prediction` says.

        Args:
            noisy_latent: [B, C, h, w].
            condition: Like `noisy_latent`.
            timestep: One for all, or [B].
            scale: HR height over LR height; truncated here where the architecture says so.
            output_height: HR height in pixels.
        """
        timestep, scale, output_height = (
            one_an_image(value, noisy_latent) for value in (timestep, scale, output_height)
        )
        told = (scale + _SCALE_SLACK).floor() if self.values.scale_embedding == "integer" else scale
        out: Tensor = self.denoiser(noisy_latent, condition, timestep, told, output_height)
        return out

    def decode(self, latent: Tensor, lr: Tensor, output_size: tuple[int, int], frame: Frame | None = None) -> Tensor:
        """Scaled latent and LR images to SR images [B, bands, H, W], about [-1, 1], not clamped."""
        code = (latent / self.latent_scaling).to(self.post_quant_conv.weight.dtype)
        out: Tensor = self.decoder(self.post_quant_conv(code), lr, output_size, frame)
        return out


def _unet_shape(values: LatentArchitecture) -> LatentUNetShape:
    return LatentUNetShape(
        values.latent_channels,
        values.denoiser_channels,
        values.denoiser_multipliers,
        values.denoiser_num_res_blocks,
        values.attention_resolutions,
        values.head_channels,
        values.norm_num_groups,
    )
