"""Does SR still say what LR said? SR taken back to the LR grid and compared with LR; no HR image is needed."""

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from rssr.degradation import downsample_bicubic, lr_size
from rssr.errors import ImageError
from rssr.metrics.known import Image, Mask, filled, known_pixels, reached_by_unknown, require_alike
from rssr.metrics.shift import Shift, Values, spatial_shift
from rssr.tiling import output_size


@dataclass(frozen=True, eq=False)
class Consistency:
    """How far SR, taken back to the LR grid, is from LR.

    Attributes:
        band_errors: Mean absolute error of each band, grey levels or in the unit of float input.
        shift: Where SR lies beside LR, LR pixels; None where that cannot be told (see `spatial_shift`).
        spectral_angle_deg: Mean angle between the spectra of a pixel in SR and LR, degrees; None where no pixel has
            one: a single band, or nothing but black.
        num_pixels: LR pixels that were compared.
        error_map: [h, w], mean over the bands of the absolute error, in the unit of `band_errors`; not a number where
            SR or LR is unknown.
    """

    band_errors: tuple[float, ...]
    shift: Shift | None
    spectral_angle_deg: float | None
    num_pixels: int
    error_map: NDArray[np.float32]

    @property
    def error(self) -> float:
        """Mean over the bands of their errors."""
        return float(np.mean(self.band_errors))

    def metrics(self) -> dict[str, float]:
        """All single numbers by name of their metric; what cannot be told is not in it."""
        values = {
            "lr_error": self.error,
            "lr_shift_px": None if self.shift is None else self.shift.length,
            "spectral_angle_deg": self.spectral_angle_deg,
        }
        return {name: value for name, value in values.items() if value is not None}


def consistency(
    sr: Image, lr: Image, scale: float, *, valid_mask: Mask | None = None, black: float = 0.0
) -> Consistency:
    """Compare SR with the LR image that it was made from.

    SR is taken back by the antialiased bicubic downsampling that also makes LR images (`downsample_bicubic`), to the
    size of the LR image, both being taken to cover the same ground; scales need not be whole, nor divide the sides.
    An LR image that was made otherwise (blurred, noisy, by a sensor) differs from the downsampled truth as well:
    there the error is one to compare methods by, and its floor is that of the HR image.

    Unknown pixels (masked, or not a number in any band) do not spread: an LR pixel is left out if it is unknown or if
    its bicubic kernel touches unknown SR pixels, those on unknown LR ground included.

    The three parts are those of the consistency group of OpenSR-test (Aybar et al. 2024, IEEE GRSL,
    doi:10.1109/LGRS.2024.3401394): reflectance, spectral and spatial consistency.

    Args:
        sr: uint8 [H, W, C] or float32 [H, W, C].
        lr: [h, w, C] of the same type and unit.
        scale: HR/LR size ratio, at least 1.
        valid_mask: [h, w] on the LR grid, true where data is real; None takes all as real.
        black: Value of no light at all, from which spectral angles are measured: -1 for network values.

    Raises:
        ImageError: Types, bands or sizes do not fit, or no pixel is known in both.
        DataError: The scale is below 1 or leaves no LR pixel.
    """
    known_lr, known_sr = known_pixels(lr, "LR", valid_mask), known_pixels(sr, "SR")
    require_alike(sr, lr, "SR and LR")
    _require_same_ground(sr, lr, scale)
    known_sr &= _on_finer_grid(known_lr, known_sr.shape)
    known = known_lr & ~reached_by_unknown(known_sr, known_lr.shape)
    if not known.any():
        raise ImageError("No pixel is known in both the SR and the LR image.", "Leave the image out.")
    back, truth = _taken_back(sr, known_sr, known_lr.shape), filled(lr, known_lr).astype(np.float64)
    error = np.abs(back - truth)
    return Consistency(
        band_errors=tuple(error[known].mean(axis=0).tolist()),
        shift=spatial_shift(back, truth, known),
        spectral_angle_deg=spectral_angle_deg(back[known] - black, truth[known] - black),
        num_pixels=int(known.sum()),
        error_map=np.where(known, error.mean(axis=2), np.nan).astype(np.float32),
    )


def spectral_angle_deg(spectra: NDArray[np.float64], others: NDArray[np.float64]) -> float | None:
    """Mean spectral angle (Kruse et al. 1993), which changes of brightness leave as it is.

    Args:
        spectra: [n, C], measured from black.
        others: [n, C].

    Returns:
        Degrees; pixels that are black in either have no angle and are left out. None if none is left, or for a single
        band, which has no direction.
    """
    lengths = [np.linalg.norm(values, axis=1, keepdims=True) for values in (spectra, others)]
    lit = (np.minimum(*lengths) > 0).ravel()
    if not lit.any() or spectra.shape[1] < 2:
        return None
    one, other = (values[lit] / length[lit] for values, length in zip((spectra, others), lengths, strict=True))
    # Not arccos of the product, of which half the digits are lost where spectra are nearly alike.
    half = np.arctan2(np.linalg.norm(one - other, axis=1), np.linalg.norm(one + other, axis=1))
    return float(np.degrees(2 * half).mean())


def _require_same_ground(sr: Image, lr: Image, scale: float) -> None:
    """Check sizes; at fractional scales LR may come from SR's size rounded down, or SR from LR's rounded to nearest."""
    sr_shape, lr_shape = (sr.shape[0], sr.shape[1]), (lr.shape[0], lr.shape[1])
    if output_size(lr_shape, scale) != sr_shape and lr_size(sr_shape, scale) != lr_shape:
        raise ImageError(
            f"The SR image is {sr_shape}, the LR image {lr_shape} pixels: not a ratio of {scale:g}.",
            "Give the scale that the SR image was made at, and crop both to the same ground.",
        )


def _on_finer_grid(mask: Mask, size: tuple[int, ...]) -> Mask:
    """Each pixel of [H, W] as its nearest in [h, w]."""
    rows, columns = (
        (2 * np.arange(fine) + 1) * coarse // (2 * fine) for fine, coarse in zip(size, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]


def _taken_back(sr: Image, known: Mask, size: tuple[int, int]) -> Values:
    whole = np.ascontiguousarray(filled(sr, known))
    # float32 bands pass through it as well, neither rounded nor clipped.
    return downsample_bicubic(cast("NDArray[np.uint8]", whole), size).astype(np.float64)
