"""Trees: closed canopy from a jittered grid of crowns, and single crowns with shaded sides."""

import cv2
import numpy as np
from numpy.typing import NDArray

from rssr.scenes.canvas import Canvas, FloatArray, Points
from rssr.scenes.texture import patches, slopes, smoothstep, spectral_field

_FOREST = np.array((62, 84, 50), np.float32)
_TONES = np.array([(0, 0, 0), (-12, -10, -6), (14, 12, 2), (26, 16, 6), (-8, 2, 4)], np.float32)
_LEAF_LIGHT = np.array([0.95, 1.0, 0.7], np.float32)
_UNDERGROWTH = np.float32(0.12)  # the dark ground between crowns


def forest_cover(canvas: Canvas, share: float, size_m: float = 90.0) -> FloatArray:
    """Where a wood stands: float32 [H, W] in [0, 1], ragged edges, about `share` of the picture."""
    relief = patches(canvas.rng, canvas.shape, size_m / canvas.gsd_m)
    relief = relief + np.float32(0.14) * spectral_field(canvas.rng, canvas.shape, exponent=1.2)
    level = float(np.quantile(relief, 1 - share))
    return smoothstep(relief, level - 0.02, level + 0.02)


def paint_canopy(canvas: Canvas, cover: FloatArray, spacing_m: float = 6.5) -> None:
    """Paint closed forest of crowns whose trunks stand where cover exceeds a half, on free ground.

    Each pixel takes the highest of the paraboloid crowns around it (nine cells of a jittered grid), shaded by
    the slope of the crown surface towards the sun.
    """
    rng = canvas.rng
    rooted = (cover > 0.5) & canvas.free
    spacing = max(spacing_m / canvas.gsd_m, 2.5)
    reach = 2 * int(spacing) + 1
    near = cv2.dilate(rooted.astype(np.uint8), np.ones((reach, reach), np.uint8)).astype(bool)
    crown, tone = _crowns(rng, rooted, near, spacing)
    deep = cv2.blur(rooted.astype(np.float32), (reach, reach)) > 0.8
    grown = (crown > _UNDERGROWTH) | (deep & canvas.free)
    down, right = slopes(crown * np.float32(3.0 / canvas.gsd_m))
    light = -(right * canvas.sun[0] + down * canvas.sun[1])
    light = np.clip(light, -1.6, 1.6) * np.float32(15) + (crown - np.float32(0.6)) * np.float32(38)
    stand = spectral_field(rng, canvas.shape, exponent=1.4)[..., None] * np.array([7, 6, 3], np.float32)
    colour = _FOREST + _TONES[tone] + stand + light[..., None] * _LEAF_LIGHT
    canvas.colour[grown] = colour[grown]
    tall = np.float32(rng.uniform(7, 13))
    canvas.height_m[grown] = tall * (np.float32(0.6) + np.float32(0.4) * crown[grown])
    canvas.free &= ~grown


def _crowns(
    rng: np.random.Generator, rooted: NDArray[np.bool_], near: NDArray[np.bool_], spacing: float
) -> tuple[FloatArray, NDArray[np.intp]]:
    """Height of the highest crown over each pixel, in [0, 1], and the kind of tree it belongs to."""
    rows, cols = int(rooted.shape[0] / spacing) + 4, int(rooted.shape[1] / spacing) + 4
    trunk_y = np.arange(rows, dtype=np.float32)[:, None] + rng.random((rows, cols), dtype=np.float32)
    trunk_x = np.arange(cols, dtype=np.float32) + rng.random((rows, cols), dtype=np.float32)
    at_y = np.clip((trunk_y - 1) * spacing, 0, rooted.shape[0] - 1).astype(np.intp)
    at_x = np.clip((trunk_x - 1) * spacing, 0, rooted.shape[1] - 1).astype(np.intp)
    top = rng.uniform(0.72, 1.0, (rows, cols)).astype(np.float32) * rooted[at_y, at_x]
    radius = rng.uniform(0.6, 1.05, (rows, cols)).astype(np.float32)
    kind = rng.choice(len(_TONES), (rows, cols), p=[0.4, 0.22, 0.2, 0.06, 0.12])
    y, x = np.nonzero(near)
    place_y, place_x = (y / spacing + 1).astype(np.float32), (x / spacing + 1).astype(np.float32)
    cell_y, cell_x = place_y.astype(np.intp), place_x.astype(np.intp)
    best, owner = np.full(len(y), _UNDERGROWTH, np.float32), np.ones(len(y), np.intp)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            i, j = cell_y + down, cell_x + right
            distance = np.square(trunk_y[i, j] - place_y) + np.square(trunk_x[i, j] - place_x)
            crown = top[i, j] * (1 - distance / np.square(radius[i, j]) * np.float32(0.8))
            higher = crown > best
            best = np.where(higher, crown, best)
            owner = np.where(higher, kind[i, j], owner)
    height, tone = np.full(rooted.shape, _UNDERGROWTH), np.ones(rooted.shape, np.intp)
    height[near], tone[near] = best, owner
    return height, tone


def plant_trees(canvas: Canvas, spots_m: Points, radius_m: tuple[float, float] = (1.8, 4.8)) -> None:
    """Single trees at given spots [N, 2], metres; those whose trunk stands on taken ground are left out."""
    rng = canvas.rng
    radii = rng.uniform(*radius_m, len(spots_m)) / canvas.gsd_m
    tones = _FOREST + _TONES[rng.integers(len(_TONES), size=len(spots_m))] * 0.8
    lumps = rng.uniform(0, 2 * np.pi, (len(spots_m), 2))
    for spot, radius, tone, lump in zip(spots_m / canvas.gsd_m, radii, tones, lumps, strict=True):
        row, col = int(spot[1]), int(spot[0])
        if 0 <= row < canvas.shape[0] and 0 <= col < canvas.shape[1] and canvas.free[row, col]:
            _stamp_crown(canvas, spot, float(radius), tone, lump)


def _stamp_crown(canvas: Canvas, spot: Points, radius: float, tone: FloatArray, lump: Points) -> None:
    reach = radius * 1.25 + 1
    y0, x0 = (max(int(np.floor(value - reach)), 0) for value in (spot[1], spot[0]))
    y1, x1 = int(np.ceil(spot[1] + reach)), int(np.ceil(spot[0] + reach))
    tile = canvas.colour[y0:y1, x0:x1]
    y, x = np.ogrid[y0 : y0 + tile.shape[0], x0 : x0 + tile.shape[1]]
    dy, dx = (y + 0.5 - spot[1]).astype(np.float32), (x + 0.5 - spot[0]).astype(np.float32)
    bearing = np.arctan2(dy, dx)
    outline = radius * (1 + 0.12 * np.sin(3 * bearing + lump[0]) + 0.08 * np.sin(5 * bearing + lump[1]))
    distance = np.sqrt(dx * dx + dy * dy)
    coverage = np.clip(outline - distance + 0.5, 0, 1)
    light = (dx * canvas.sun[0] + dy * canvas.sun[1]) / radius * 24 - (distance / radius) ** 2 * 10 + 6
    shade = tone + light[..., None] * _LEAF_LIGHT
    tile += (shade - tile) * coverage[..., None]
    crown = np.where(coverage > 0.5, radius * canvas.gsd_m * (2.2 - 0.8 * np.square(distance / radius)), 0)
    heights = canvas.height_m[y0:y1, x0:x1]
    np.maximum(heights, crown.astype(np.float32), out=heights)


def scatter(canvas: Canvas, density: FloatArray | float, spacing_m: float) -> Points:
    """Random spots [N, 2] in metres, one candidate per square of `spacing_m`, kept with probability `density`."""
    width, height = canvas.extent_m
    columns, rows = int(width / spacing_m) + 1, int(height / spacing_m) + 1
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)
    spots = (grid + canvas.rng.random(grid.shape)) * spacing_m
    spots = spots[(spots[:, 0] < width) & (spots[:, 1] < height)]
    chance = canvas.rng.random(len(spots))
    if isinstance(density, float):
        kept: Points = spots[chance < density]
        return kept
    y, x = (
        np.minimum((spots[:, axis] / canvas.gsd_m).astype(int), limit - 1)
        for axis, limit in ((1, canvas.shape[0]), (0, canvas.shape[1]))
    )
    kept = spots[chance < density[y, x]]
    return kept
