"""How far one image lies beside another of the same ground, to a fraction of a pixel."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rssr.metrics.known import Mask

Values = NDArray[np.float64]  # [h, w, C]
Spectrum = NDArray[np.complex128]  # [h, w]

SMALLEST_SIDE = 8  # pixels; below, hardly a frequency is left to tell a shift from
_HIGHEST_FREQUENCY = 0.3  # cycles a pixel; above, images taken to a coarser grid hold aliases, which stand still
_SMALLEST_COHERENCE = 0.6
_NUM_FITS = 8
_TAPER = 4.0  # pixels over which weights fall to 0 towards unknown ones


class Shift(NamedTuple):
    """Where an image lies, in pixels.

    Attributes:
        dy: How far below its reference.
        dx: How far to the right of it.
    """

    dy: float
    dx: float

    @property
    def length(self) -> float:
        """Of the way, pixels."""
        return float(np.hypot(self.dy, self.dx))


def spatial_shift(image: Values, reference: Values, known: Mask) -> Shift | None:
    """Find a shift by phase correlation.

    The whole pixels are where the inverse transform of the cross-power spectrum, of which only the phase is kept, is
    largest (Kuglin and Hines 1975). The fraction is the slope of the phase that remains, fitted by least squares with
    the spectrum's magnitude as weight, over frequencies free of aliasing (after Stone et al. 2001, IEEE TGRS 39(10)).
    Bands add their spectra, each at equal energy, so that bands of opposite contrast do not cancel.

    Args:
        image: float64 [h, w, C]; values where it is unknown play no part, but must be numbers.
        reference: float64 [h, w, C].
        known: [h, w], true where both are known.

    Returns:
        The shift; None where there is nothing to tell it from: sides below 8 pixels, no structure, or images that
        have so little in common that any shift would be chance.
    """
    whole = _whole_shift(_cross_power(image, reference, _window(known)))
    image, reference, known = _shared(image, reference, known, whole)
    if min(known.shape) < SMALLEST_SIDE:
        return None
    cross = _cross_power(image, reference, _window(known))
    rows, columns = (np.fft.fftfreq(side) for side in known.shape)
    frequency = np.hypot(rows[:, None], columns)
    used = (frequency > 0) & (frequency <= _HIGHEST_FREQUENCY)
    if not np.abs(cross[used]).any():
        return None
    waves = np.stack(np.broadcast_arrays(rows[:, None], columns), axis=-1)[used]
    fraction, coherence = _fitted(cross[used], waves)
    return Shift(*(whole + fraction).tolist()) if coherence >= _SMALLEST_COHERENCE else None


def _shared(image: Values, reference: Values, known: Mask, shift: NDArray[np.int64]) -> tuple[Values, Values, Mask]:
    """What both show of the same ground at a shift by whole pixels, where what is known is known in both."""
    sides = np.array(known.shape)
    start, stop = np.maximum(shift, 0), sides + np.minimum(shift, 0)
    here = tuple(slice(*ends) for ends in zip(start, stop, strict=True))
    there = tuple(slice(*ends) for ends in zip(start - shift, stop - shift, strict=True))
    return image[here], reference[there], known[here] & known[there]


def _window(known: Mask) -> NDArray[np.float64]:
    """Weights [h, w] that fall to 0 at the edges and towards what is unknown: jumps there would stand still."""
    rows, columns = (np.hanning(side + 2)[1:-1] for side in known.shape)
    window: NDArray[np.float64] = np.outer(rows, columns)
    if not known.all():
        distance = cv2.distanceTransform(known.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        window *= np.clip(distance / _TAPER, 0, 1)
    return window


def _cross_power(image: Values, reference: Values, window: NDArray[np.float64]) -> Spectrum:
    spectra = [_spectra(values, window) for values in (image, reference)]
    energy = np.sqrt(np.prod([np.square(np.abs(spectrum)).sum(axis=(0, 1)) for spectrum in spectra], axis=0))
    product = spectra[0] * spectra[1].conj()
    cross: Spectrum = np.divide(product, energy, out=np.zeros_like(product), where=energy > 0).sum(axis=2)
    return cross


def _spectra(values: Values, window: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Of each band about its mean, [h, w, C]; all 0 where a band does not vary."""
    weights = window[..., None]
    centred = weights * (values - (weights * values).sum(axis=(0, 1)) / max(window.sum(), 1e-12))
    varies = np.abs(centred).max(axis=(0, 1)) > 1e-9 * np.abs(values * weights).max(axis=(0, 1))  # but for rounding
    spectra: NDArray[np.complex128] = np.fft.fft2(np.where(varies, centred, 0), axes=(0, 1))
    return spectra


def _whole_shift(cross: Spectrum) -> NDArray[np.int64]:
    magnitude = np.abs(cross)
    phases = np.divide(cross, magnitude, out=np.zeros_like(cross), where=magnitude > 1e-9 * magnitude.max())
    correlation = np.fft.ifft2(phases).real
    peak = np.array(np.unravel_index(int(correlation.argmax()), correlation.shape))
    sides = np.array(correlation.shape)
    return np.where(peak > sides / 2, peak - sides, peak)


def _fitted(cross: Spectrum, waves: Values) -> tuple[NDArray[np.float64], float]:
    """The shift, and how well the phases agree with it: from about 0 (by chance) to 1.

    Args:
        cross: Frequencies to use, [n].
        waves: Those frequencies, cycles a pixel, [n, 2].
    """
    shift = np.zeros(2)
    weights = np.abs(cross)
    normal = (waves * weights[:, None]).T @ waves
    for _ in range(_NUM_FITS):  # phases beyond half a turn come into reach as the fit improves
        residual = np.angle(cross * np.exp(2j * np.pi * (waves @ shift)))
        shift = shift - np.linalg.lstsq(normal, waves.T @ (weights * residual), rcond=None)[0] / (2 * np.pi)
    residual = np.angle(cross * np.exp(2j * np.pi * (waves @ shift)))
    return shift, float((weights * np.cos(residual)).sum() / weights.sum())
