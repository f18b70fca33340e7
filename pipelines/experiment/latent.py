"""What the jobs of LDCSR and LCMSR check beyond their methods: that the data fits the decoder."""

from pipelines.datasets.config import DataConfig
from rssr.methods.latent.config import AutoencoderConfig


def require_scale_of_decoder(data: DataConfig, autoencoder: AutoencoderConfig) -> None:
    """Refuse scales that a decoder of fixed scale cannot learn.

    Raises:
        ValueError: Naming both keys.
    """
    scale = autoencoder.fixed_scale
    if autoencoder.decoder == "fixed" and data.scale_range != (scale, scale):
        low, high = data.scale_range
        found = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        raise ValueError(
            f"a decoder of fixed scale knows autoencoder.fixed_scale ({scale}) alone, but data.scale is {found}; make "
            "them equal, or set autoencoder.decoder to continuous"
        )
