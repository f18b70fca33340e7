"""The residual autoencoder of LDCSR and LCMSR: what HR adds to the enlarged LR image, as a small latent.

Source: measured facts about the published networks (conformance notes, section 5).
"""

from typing import Any

import torch
from torch import Tensor, nn

from rssr.models.architecture import plain_architecture
from rssr.models.latent.architecture import LatentArchitecture, read_latent_architecture
from rssr.models.latent.decoder import ContinuousDecoder, DecoderShape, FixedScaleDecoder
from rssr.models.latent.encoder import ResidualEncoder
from rssr.models.latent.frame import Frame, enlarge

LOG_VARIANCE_RANGE = (-30.0, 20.0)


class ResidualAutoencoder(nn.Module):
    """Encoder of LR beside HR, and decoder of latent beside LR.

    Args:
        **architecture: Values of `LatentArchitecture`, or `values` with the whole of it.

    Raises:
        ModelError: On unknown or contradicting values.
    """

    def __init__(self, values: LatentArchitecture | None = None, **architecture: object) -> None:
        super().__init__()
        values = values or read_latent_architecture(architecture)
        self.values = values
        code = 2 * values.latent_channels
        self.encoder = ResidualEncoder(
            2 * values.bands,
            code,
            values.encoder_widths,
            values.num_res_blocks,
            values.norm_num_groups,
        )
        self.quant_conv = nn.Conv2d(code, code, 1)
        self.post_quant_conv = nn.Conv2d(values.latent_channels, values.latent_channels, 1)
        self.decoder = build_decoder(values)

    @property
    def architecture(self) -> dict[str, Any]:
        """All values as JSON holds them."""
        return plain_architecture(self.values)

    def encode(self, lr: Tensor, hr: Tensor, frame: Frame | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent.

        Args:
            lr: LR images [B, bands, h, w] in [-1, 1].
            hr: HR images [B, bands, H, W] in [-1, 1].
            frame: Where they lie among the LR pixels; None: they cover them exactly.

        Returns:
            Two [B, latent_channels, H / 8, W / 8], sizes rounded down.
        """
        enlarged = enlarge(lr, (hr.shape[2], hr.shape[3]), "bicubic", frame)
        moments = self.quant_conv(self.encoder(torch.cat([enlarged, hr], dim=1)))
        mean, log_variance = moments.chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    @staticmethod
    def sample(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
        """A latent of the posterior; `noise` is unit normal, like `mean`."""
        return mean + (0.5 * log_variance).exp() * noise

    def decode(self, latent: Tensor, lr: Tensor, output_size: tuple[int, int], frame: Frame | None = None) -> Tensor:
        """Latent and LR images to SR images [B, bands, H, W], about [-1, 1]; see `ContinuousDecoder.forward`."""
        out: Tensor = self.decoder(self.post_quant_conv(latent), lr, output_size, frame)
        return out


def build_decoder(values: LatentArchitecture) -> ContinuousDecoder | FixedScaleDecoder:
    """The decoder of an architecture."""
    shape = DecoderShape(
        values.bands,
        values.latent_channels,
        values.decoder_width,
        values.decoder_num_res_blocks or values.num_res_blocks,
        values.num_distillation_blocks,
        values.norm_num_groups,
        values.upsampler_channels,
        values.latent_stride,
    )
    if values.decoder == "fixed":
        return FixedScaleDecoder(shape, values.fixed_scale)
    return ContinuousDecoder(shape)
