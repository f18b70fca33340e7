"""Water: rivers along a curve, lakes from a relief, and a shore with beach and surf."""

import cv2
import numpy as np
from numpy.typing import NDArray

from rssr.scenes.canvas import Canvas, Colour, FloatArray, Points, smooth_path
from rssr.scenes.texture import patches, smoothstep, spectral_field

_RIVERS: tuple[Colour, ...] = ((74, 92, 88), (88, 98, 78), (58, 78, 84), (104, 106, 84))
SAND: Colour = (206, 190, 156)


def paint_river(canvas: Canvas, width_m: float) -> None:
    """A winding river from one side of the picture to the other, with sandy and wooded banks."""
    path = _course(canvas)
    swell = 1 + 0.25 * np.sin(np.linspace(0, canvas.rng.uniform(6, 14), len(path)) + canvas.rng.uniform(0, 6))
    bed = np.zeros(canvas.shape, np.uint8)
    for index in range(len(path) - 1):
        start, stop = (tuple(int(v) for v in point / canvas.gsd_m * 8) for point in path[index : index + 2])
        cv2.line(bed, start, stop, 255, max(1, round(width_m * float(swell[index]) / canvas.gsd_m)), cv2.LINE_8, 3)
    outside = cv2.distanceTransform(255 - bed, cv2.DIST_L2, 5) * np.float32(canvas.gsd_m)
    inside = cv2.distanceTransform(bed, cv2.DIST_L2, 5) * np.float32(canvas.gsd_m)
    ragged = spectral_field(canvas.rng, canvas.shape, exponent=1.3) * np.float32(1.6)
    from_bank = inside - outside + ragged  # positive in the water, metres
    colour = np.array(_RIVERS[canvas.rng.integers(len(_RIVERS))], np.float32)
    _paint_water(canvas, from_bank, colour, bank_m=float(canvas.rng.uniform(1.5, 5)), depth_m=width_m / 3)


def paint_lake(canvas: Canvas, share: float) -> None:
    """A lake or pond over about `share` of the picture."""
    relief = patches(canvas.rng, canvas.shape, 0.45 * max(canvas.shape))
    relief = relief + np.float32(0.05) * spectral_field(canvas.rng, canvas.shape, exponent=1.5)
    level = float(np.quantile(relief, 1 - share))
    colour = np.array(_RIVERS[canvas.rng.integers(len(_RIVERS))], np.float32)
    _paint_water(canvas, signed_distance(canvas, relief > level), colour, bank_m=3.0, depth_m=22.0)


def _paint_water(canvas: Canvas, from_bank: FloatArray, colour: FloatArray, *, bank_m: float, depth_m: float) -> None:
    bank = np.asarray(SAND if canvas.rng.random() < 0.5 else (118, 112, 82), np.float32)
    canvas.fill(
        bank + np.float32(0) * from_bank[..., None], smoothstep(from_bank, -bank_m - 1, -bank_m + 1) * np.float32(0.8)
    )
    depth = smoothstep(from_bank, 0, max(depth_m, 2.0))[..., None]
    water = colour + np.array([18, 16, 6], np.float32) * (1 - depth) + ripples(canvas, 1.6)
    canvas.fill(water, smoothstep(from_bank, -0.6, 0.6))
    canvas.free &= from_bank < -bank_m


def ripples(canvas: Canvas, amplitude: float) -> FloatArray:
    """Unevenness of a water surface, float32 [H, W, 3], `amplitude` grey levels of deviation."""
    waves = spectral_field(canvas.rng, canvas.shape, exponent=0.9) * np.float32(amplitude)
    return waves[..., None] * np.array([0.9, 1.0, 1.0], np.float32)


def signed_distance(canvas: Canvas, wet: NDArray[np.bool_]) -> FloatArray:
    """Distance from the edge of `wet`, metres, positive inside."""
    mask = wet.astype(np.uint8)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    signed: FloatArray = (inside - outside) * np.float32(canvas.gsd_m)
    return np.clip(signed, -1e4, 1e4)


def _course(canvas: Canvas) -> Points:
    """Centre line across the picture, metres."""
    rng = canvas.rng
    width, height = canvas.extent_m
    reach = 0.5 * float(np.hypot(width, height)) * 1.2
    angle = rng.uniform(0, np.pi)
    along = np.linspace(-reach, reach, 8)
    across = rng.normal(0, 0.13 * reach, 8) + rng.uniform(-0.35, 0.35) * reach
    knots = np.stack(
        [along * np.cos(angle) - across * np.sin(angle), along * np.sin(angle) + across * np.cos(angle)], 1
    )
    return smooth_path(knots + np.array([(width / 2, height / 2)]), 160)
