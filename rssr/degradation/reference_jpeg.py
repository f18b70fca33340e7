"""JPEG without entropy coding, in plain float32 PyTorch: what the authors train with.

Differs from libjpeg: real-valued qualities without a floor of 1 on table entries, the luminance table transposed,
zero padding, and chroma upsampled by repetition.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# ITU-T T.81, Annex K: tables K.1 (luminance) and K.2 (chrominance) for quality 50.
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE_CORNER = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))  # 99 elsewhere

# ITU-R BT.601 as in JFIF; rows Y, Cb, Cr over columns R, G, B, and back.
_TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))

Rounding = Callable[[Tensor], Tensor]


def simulate_jpeg(image: Tensor, quality: Tensor, rounding: Rounding = torch.round) -> Tensor:
    """Quantise the image's DCT coefficients as JPEG does, with 4:2:0 chroma.

    Args:
        image: [B, 3, H, W] in [0, 1].
        quality: [B] real numbers up to 100; at 100 the tables vanish and nothing is quantised.
        rounding: `soft_round` lets gradients pass.

    Returns:
        [B, 3, H, W] in [0, 1].
    """
    height, width = image.shape[-2:]
    padded = F.pad(image, (0, -width % 16, 0, -height % 16)) * 255
    luma, *chroma = torch.chunk(_mix(padded, _TO_YCBCR), 3, dim=1)
    factor = quality_factor(quality)
    luminance = torch.tensor(_LUMINANCE, dtype=image.dtype).T  # transposed, as the authors apply it
    planes = [_quantize_plane(luma - 128, luminance, factor, rounding) + 128]
    for plane in chroma:
        small = _quantize_plane(F.avg_pool2d(plane, 2), _chrominance(image.dtype), factor, rounding)
        planes.append(F.interpolate(small, scale_factor=2.0, mode="nearest"))
    restored = _mix(torch.cat(planes, dim=1), _TO_RGB).clamp(0, 255) / 255
    return restored[..., :height, :width]


def quality_factor(quality: Tensor) -> Tensor:
    """Multiplier of the tables for qualities [B]: 1 at 50, 0 at 100."""
    return torch.where(quality < 50, 50 / quality, (200 - 2 * quality) / 100)


def soft_round(values: Tensor) -> Tensor:
    """Rounding with a gradient: round(v) + (v - round(v))^3."""
    rounded = torch.round(values)
    return rounded + (values - rounded) ** 3


def _quantize_plane(plane: Tensor, table: Tensor, factor: Tensor, rounding: Rounding) -> Tensor:
    batch, _, height, width = plane.shape
    dct = _dct_matrix(plane.dtype)
    blocks = plane.view(batch, height // 8, 8, width // 8, 8).transpose(2, 3)
    steps = (table * factor.view(-1, 1, 1)).view(batch, 1, 1, 8, 8)
    coefficients = dct @ blocks @ dct.T
    quantized = torch.where(steps > 0, rounding(coefficients / steps) * steps, coefficients)
    return (dct.T @ quantized @ dct).transpose(2, 3).reshape(batch, 1, height, width)


def _dct_matrix(dtype: torch.dtype) -> Tensor:
    """Orthonormal DCT-II of length 8; rows are frequencies."""
    frequency = torch.arange(8, dtype=torch.float64).unsqueeze(1)
    matrix = torch.cos((2 * torch.arange(8, dtype=torch.float64) + 1) * frequency * math.pi / 16) / 2
    matrix[0] /= math.sqrt(2)
    return matrix.to(dtype)


def _chrominance(dtype: torch.dtype) -> Tensor:
    table = torch.full((8, 8), 99.0, dtype=dtype)
    table[:4, :4] = torch.tensor(_CHROMINANCE_CORNER, dtype=dtype)
    return table


def _mix(image: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    return torch.einsum("oc,bchw->bohw", torch.tensor(matrix, dtype=image.dtype), image)
