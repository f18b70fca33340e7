"""TAESD's encoder and decoder with their latent convolutions optional.

Source: "Tiny AutoEncoder for Stable Diffusion" (TAESD); layer numbers are those of its published weights. SlimDiffSR
fuses the encoder's last and the decoder's first convolution with the U-Net's, so both can be left out.
"""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn


class TinyBlock(nn.Module):
    """Three 3×3 convolutions with ReLU between, plus the input, then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _conv(channels, channels), nn.ReLU(), _conv(channels, channels), nn.ReLU(), _conv(channels, channels)
        )
        self.fuse = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to the same shape."""
        out: Tensor = self.fuse(self.conv(x) + x)
        return out


class TinyEncoder(nn.Module):
    """Image to code, each stage after the first at half the size.

    Args:
        bands: Channels of the image.
        channels: Width of all layers.
        num_blocks: Blocks of each stage.
        latent_channels: Channels of the code; None leaves out the last convolution and gives `channels`.
    """

    def __init__(
        self, bands: int, channels: int, num_blocks: Sequence[int], latent_channels: int | None = None
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(bands, channels)]
        for stage, count in enumerate(num_blocks):
            if stage > 0:
                layers.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False))
            layers.extend(TinyBlock(channels) for _ in range(count))
        if latent_channels is not None:
            layers.append(_conv(channels, latent_channels))
        self.layers = _numbered(layers, first=0)

    def forward(self, x: Tensor) -> Tensor:
        """Map images [B, bands, H, W] to codes [B, latent_channels or channels, H/8, W/8] (for four stages)."""
        out: Tensor = self.layers(x)
        return out


class TinyDecoder(nn.Module):
    """Code to image, each stage but the last doubling the size.

    Args:
        bands: Channels of the image.
        channels: Width of all layers.
        num_blocks: Blocks of each stage.
        latent_channels: Channels of the code; None leaves out the first convolution and expects `channels`.
    """

    def __init__(
        self, bands: int, channels: int, num_blocks: Sequence[int], latent_channels: int | None = None
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [] if latent_channels is None else [_conv(latent_channels, channels)]
        layers.append(nn.ReLU())
        for stage, count in enumerate(num_blocks):
            layers.extend(TinyBlock(channels) for _ in range(count))
            if stage < len(num_blocks) - 1:
                layers.append(nn.Upsample(scale_factor=2.0, mode="nearest"))
                layers.append(_conv(channels, channels, bias=False))
        layers.append(_conv(channels, bands))
        self.layers = _numbered(layers, first=0 if latent_channels is not None else 1)

    def forward(self, code: Tensor) -> Tensor:
        """Map codes [B, latent_channels or channels, h, w] to images [B, bands, 8h, 8w] (for four stages)."""
        out: Tensor = self.layers(code)
        return out


class TinyAutoencoder(nn.Module):
    """TAESD's pair without its changes of range: images stay in [-1, 1] on both sides, codes are not clamped."""

    def __init__(
        self,
        bands: int,
        channels: int,
        num_encoder_blocks: Sequence[int],
        num_decoder_blocks: Sequence[int],
        latent_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder = TinyEncoder(bands, channels, num_encoder_blocks, latent_channels)
        self.decoder = TinyDecoder(bands, channels, num_decoder_blocks, latent_channels)

    @property
    def last_conv(self) -> nn.Conv2d:
        """The convolution that gives the image."""
        conv = self.decoder.layers[-1]
        assert isinstance(conv, nn.Conv2d)
        return conv

    def encode(self, x: Tensor) -> Tensor:
        """See `TinyEncoder.forward`."""
        code: Tensor = self.encoder(x)
        return code

    def decode(self, code: Tensor) -> Tensor:
        """See `TinyDecoder.forward`."""
        image: Tensor = self.decoder(code)
        return image


def _conv(in_channels: int, out_channels: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)


def _numbered(layers: Sequence[nn.Module], first: int) -> nn.Sequential:
    """A sequence whose key names start at `first`, so that published weights keep their numbers."""
    return nn.Sequential(OrderedDict((str(first + position), layer) for position, layer in enumerate(layers)))
