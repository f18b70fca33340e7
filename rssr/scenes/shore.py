"""The shore: sea, beach and surf, the coastal road and its houses, a jetty with boats."""

import cv2
import numpy as np

from rssr.scenes.buildings import paint_house
from rssr.scenes.canvas import Canvas, FloatArray, Points, smooth_path, strip
from rssr.scenes.roads import COUNTRY_ROAD, paint_roads
from rssr.scenes.texture import patches, slopes, smoothstep, spectral_field
from rssr.scenes.water import SAND, ripples, signed_distance


def paint_sea(canvas: Canvas, share: float) -> FloatArray:
    """Sea along one side, with a beach and lines of surf.

    Returns:
        Distance from the water line, float32 [H, W], metres, positive at sea.
    """
    rng = canvas.rng
    height, width = canvas.shape
    bearing = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    ramp = (x - width / 2) * np.float32(np.cos(bearing)) + (y - height / 2) * np.float32(np.sin(bearing))
    ramp += patches(rng, canvas.shape, 0.5 * max(canvas.shape)) * np.float32(0.16 * max(canvas.shape))
    ramp += spectral_field(rng, canvas.shape, exponent=1.6) * np.float32(3 / canvas.gsd_m)
    offshore = signed_distance(canvas, ramp > np.quantile(ramp, 1 - share))
    shallow, deep = np.array((122, 168, 158), np.float32), np.array((34, 76, 98), np.float32)
    depth = smoothstep(offshore, 0, float(rng.uniform(60, 160)))[..., None]
    sea = shallow + (deep - shallow) * depth + ripples(canvas, 3.2)
    beach = float(rng.uniform(14, 32))
    sand = np.asarray(SAND, np.float32) + spectral_field(rng, canvas.shape, exponent=1.0)[..., None] * np.float32(5)
    wet = smoothstep(offshore, -6, 0)[..., None] * np.array([-42, -44, -40], np.float32)
    edge = offshore + spectral_field(rng, canvas.shape, exponent=1.2) * np.float32(3)
    canvas.fill(sand + wet, smoothstep(edge, -beach - 2, -beach + 2))
    canvas.fill(sea, smoothstep(offshore, -0.6, 0.6))
    _paint_surf(canvas, offshore)
    canvas.free &= edge < -beach
    return offshore


def _paint_surf(canvas: Canvas, offshore: FloatArray) -> None:
    broken = smoothstep(spectral_field(canvas.rng, canvas.shape, exponent=1.1), -0.4, 0.8)
    waver = patches(canvas.rng, canvas.shape, 30 / canvas.gsd_m) * np.float32(4)
    for distance, strength in ((1.5, 0.85), (12.0, 0.6), (26.0, 0.35)):
        line = np.exp(-np.square((offshore + waver - np.float32(distance)) / np.float32(1.6)))
        canvas.fill((238, 242, 240), (line * broken * np.float32(strength)).astype(np.float32))


def paint_coastal_road(canvas: Canvas, offshore: FloatArray) -> None:
    """A road that follows the beach, with houses on both sides."""
    rng = canvas.rng
    road = _contour(canvas, offshore, float(rng.uniform(50, 75)))
    if road is None:
        return
    paint_roads(canvas, [(road, COUNTRY_ROAD)])
    for index in range(2, len(road) - 2, 2):
        heading = float(np.arctan2(*(road[index + 1] - road[index - 1])[::-1]))
        side = 16.0 if rng.random() < 0.5 else -16.0
        spot = road[index] + side * np.array([-np.sin(heading), np.cos(heading)])
        if rng.random() < 0.6:
            paint_house(canvas, (float(spot[0]), float(spot[1])), (float(rng.uniform(9, 16)), 8.5), heading)


def paint_jetty(canvas: Canvas, offshore: FloatArray) -> None:
    """A pier from the water line out to sea, with boats moored on both sides."""
    rng = canvas.rng
    shore = _contour(canvas, offshore, -1.0)
    if shore is None:
        return
    start = shore[len(shore) // 2]
    down, right = slopes(cv2.GaussianBlur(offshore, (0, 0), 8 / canvas.gsd_m))
    row, col = (min(max(int(start[axis] / canvas.gsd_m), 0), canvas.shape[1 - axis] - 1) for axis in (1, 0))
    bearing = float(np.arctan2(down[row, col], right[row, col]))
    length = float(rng.uniform(40, 80))
    direction = np.array([np.cos(bearing), np.sin(bearing)])
    across = np.array([-direction[1], direction[0]])
    deck = strip(start + direction * np.linspace(-4, length, 12)[:, None], 2.6)
    canvas.paint(deck, (168, 156, 138))
    canvas.raise_to(deck, 1.5)
    hull = np.array([(-3.5, -1.2), (1.5, -1.3), (4.0, 0.0), (1.5, 1.3), (-3.5, 1.2)])
    for at in np.arange(length * 0.35, length, 5.0):
        for side in (-1, 1):
            if rng.random() < 0.6:
                mooring = start + direction * at + across * side * 5.6
                boat = mooring + hull[:, :1] * across * side + hull[:, 1:] * direction
                canvas.paint(boat, (230, 230, 228))
                canvas.raise_to(boat, 1.2)


def _contour(canvas: Canvas, offshore: FloatArray, inland_m: float) -> Points | None:
    """The longest line `inland_m` metres behind the water line, metres; None where none is long enough."""
    outlines, _ = cv2.findContours((offshore > -inland_m).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    limit = np.array([canvas.shape[1] - 2, canvas.shape[0] - 2])
    best = np.zeros((0, 2))
    for outline in outlines:
        points = outline[:, 0].astype(np.float64)
        inner = np.nonzero(((points > 1) & (points < limit)).all(axis=1))[0]
        runs = np.split(points[inner], np.nonzero(np.diff(inner) > 1)[0] + 1)
        best = max([best, *runs], key=len)
    if len(best) * canvas.gsd_m < 60:
        return None
    knots = np.vstack([best[: -int(20 / canvas.gsd_m) : int(35 / canvas.gsd_m) + 1], best[-1:]]) * canvas.gsd_m
    return smooth_path(knots, 4 * len(knots))
