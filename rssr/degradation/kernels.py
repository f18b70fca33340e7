"""Blur kernels of the degradation: Gaussian, generalised Gaussian, plateau and sinc.

Source: Real-ESRGAN (arXiv:2107.10833, sections 3.1 and 3.3). With d = [x y] S^-1 [x y]^T for the covariance S:
Gaussian exp(-d/2), generalised exp(-d^beta/2), plateau 1/(1 + d^beta); the sinc is the circular low-pass
w J1(w r) / (2 pi r). Kernels are float64 [size, size], rows are y, and add up to 1.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import j1

from rssr.degradation.config import MAX_KERNEL_SIZE
from rssr.degradation.draws import KernelDraw

Kernel = npt.NDArray[np.float64]


def build_kernel(draw: KernelDraw) -> Kernel:
    """The kernel of one draw, float64 [size, size], before padding."""
    if draw.kind == "sinc":
        return sinc_kernel(draw.size, draw.cutoff)
    if draw.kind.endswith("aniso"):
        distance = elliptic_distance(draw.size, draw.sigma_x, draw.sigma_y, draw.theta)
    else:
        distance = elliptic_distance(draw.size, draw.sigma_x, draw.sigma_x, 0.0)
    if draw.kind.startswith("plateau"):
        return _normalized(1 / (1 + distance**draw.beta))
    beta = draw.beta if draw.kind.startswith("generalized") else 1.0
    return _normalized(np.exp(-0.5 * distance**beta))


def elliptic_distance(size: int, sigma_x: float, sigma_y: float, theta: float) -> Kernel:
    """Squared Mahalanobis distance of every kernel pixel from the centre.

    Args:
        size: Side of the kernel, odd.
        sigma_x: Standard deviation along the axis at angle `theta`, pixels.
        sigma_y: Standard deviation across it, pixels.
        theta: Angle of the first axis, radians.
    """
    y, x = _grid(size)
    along = math.cos(theta) * x + math.sin(theta) * y
    across = math.cos(theta) * y - math.sin(theta) * x
    distance: Kernel = (along / sigma_x) ** 2 + (across / sigma_y) ** 2
    return distance


def sinc_kernel(size: int, cutoff: float) -> Kernel:
    """Ideal circular low-pass filter with a cutoff frequency in radians a pixel, cut to the window."""
    y, x = _grid(size)
    radius = np.hypot(x, y)
    centre = size // 2
    radius[centre, centre] = 1.0  # the limit at the centre is set below
    kernel = cutoff * j1(cutoff * radius) / (2 * math.pi * radius)
    kernel[centre, centre] = cutoff**2 / (4 * math.pi)
    return _normalized(kernel)


def pulse_kernel() -> Kernel:
    """The padded kernel that leaves an image as it is."""
    return pad_kernel(np.ones((1, 1)))


def pad_kernel(kernel: Kernel, side: int = MAX_KERNEL_SIZE) -> Kernel:
    """Zero-pad a kernel on all sides to [side, side], as the authors' batches need."""
    margin = (side - len(kernel)) // 2
    return np.pad(kernel, margin)


def _grid(size: int) -> tuple[Kernel, Kernel]:
    half = size // 2
    offsets = np.arange(-half, half + 1, dtype=np.float64)
    return offsets[:, None], offsets[None, :]


def _normalized(kernel: Kernel) -> Kernel:
    normalized: Kernel = kernel / kernel.sum()
    return normalized
