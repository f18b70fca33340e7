"""Roads, streets, tracks, car parks, and the vehicles on them."""

from dataclasses import dataclass

import numpy as np

from rssr.scenes.canvas import Canvas, Colour, Points, strip, turned_rectangle

ASPHALT: Colour = (122, 122, 122)
PALE_ASPHALT: Colour = (150, 149, 146)
CONCRETE: Colour = (178, 175, 168)
GRAVEL: Colour = (176, 160, 132)
_MARKING: Colour = (214, 213, 206)
_CARS: tuple[Colour, ...] = (
    (210, 211, 212),
    (176, 178, 182),
    (62, 64, 70),
    (44, 46, 50),
    (128, 132, 138),
    (150, 52, 48),
    (58, 78, 124),
)


@dataclass(frozen=True)
class RoadStyle:
    """How a road looks: widths in metres, colours, traffic in cars per 100 m."""

    width_m: float
    surface: Colour
    verge: Colour | None = None
    verge_m: float = 1.5
    marked: bool = False
    cars_per_100_m: float = 0.0


STREET = RoadStyle(7.0, ASPHALT, verge=CONCRETE, verge_m=1.6, cars_per_100_m=1.5)
AVENUE = RoadStyle(12.0, ASPHALT, verge=CONCRETE, verge_m=2.2, marked=True, cars_per_100_m=3.0)
COUNTRY_ROAD = RoadStyle(6.5, PALE_ASPHALT, verge=(134, 132, 92), verge_m=2.0, marked=True, cars_per_100_m=0.5)
TRACK = RoadStyle(3.2, GRAVEL)


def paint_roads(canvas: Canvas, paths: list[tuple[Points, RoadStyle]]) -> None:
    """Paint a network so that crossings join: all verges, then all surfaces, then markings and cars.

    Args:
        canvas: Painted in place.
        paths: Centre lines [N, 2] in metres with a style each.
    """
    tone = canvas.rng.normal(0, 8)
    for path, style in paths:
        if style.verge is not None:
            canvas.paint(strip(path, style.width_m + 2 * style.verge_m), style.verge)
    for path, style in sorted(paths, key=lambda item: item[1].width_m):
        red, green, blue = style.surface
        canvas.paint(strip(path, style.width_m), (red + tone, green + tone, blue + tone))
    for path, style in paths:
        if style.marked:
            _paint_markings(canvas, path)
        _paint_traffic(canvas, path, style)


def _paint_markings(canvas: Canvas, path: Points, dash_m: float = 6.0) -> None:
    along = _along(path)
    for start in np.arange(4.0, along[-1] - dash_m, 2.2 * dash_m):
        points = _at(path, along, np.array([start, start + dash_m / 2, start + dash_m]))
        canvas.paint(strip(points, 0.55), _MARKING)


def _paint_traffic(canvas: Canvas, path: Points, style: RoadStyle) -> None:
    along = _along(path)
    count = canvas.rng.poisson(style.cars_per_100_m * along[-1] / 100)
    for at in canvas.rng.uniform(0, along[-1], count):
        here, ahead = _at(path, along, np.array([at, min(at + 2.0, along[-1] + 1e-6)]))
        heading = float(np.arctan2(*(ahead - here)[::-1]))
        side = style.width_m * 0.25 * (1 if canvas.rng.random() < 0.5 else -1)
        centre = here + side * np.array([-np.sin(heading), np.cos(heading)])
        paint_car(canvas, (float(centre[0]), float(centre[1])), heading)


def paint_car(canvas: Canvas, centre: tuple[float, float], heading: float) -> None:
    """One vehicle with a darker windscreen; metres and radians."""
    rng = canvas.rng
    colour = _CARS[rng.integers(len(_CARS))]
    length = float(rng.uniform(4.0, 5.0))
    body = turned_rectangle(centre, (length, 1.9), heading)
    canvas.paint(body, colour)
    canvas.raise_to(body, 1.4)
    glass = (colour[0] * 0.5 + 20, colour[1] * 0.5 + 22, colour[2] * 0.5 + 26)
    nose = (centre[0] + 0.7 * np.cos(heading), centre[1] + 0.7 * np.sin(heading))
    canvas.paint(turned_rectangle(nose, (0.9, 1.6), heading), glass)


def paint_car_park(canvas: Canvas, centre: tuple[float, float], size: tuple[float, float], angle: float) -> None:
    """An asphalt rectangle with marked bays in rows, about half of them taken."""
    rng = canvas.rng
    tone = rng.normal(-6, 7)
    canvas.paint(turned_rectangle(centre, size, angle), (ASPHALT[0] + tone, ASPHALT[1] + tone, ASPHALT[2] + tone))
    cos, sin = np.cos(angle), np.sin(angle)
    occupancy = rng.uniform(0.1, 0.6)
    for v in np.arange(-size[1] / 2 + 4, size[1] / 2 - 3.0, float(rng.uniform(10, 14))):
        for u in np.arange(-size[0] / 2 + 3, size[0] / 2 - 3, 2.7):
            spot = (centre[0] + cos * u - sin * v, centre[1] + sin * u + cos * v)
            edge = (spot[0] - cos * 1.35, spot[1] - sin * 1.35)
            canvas.paint(turned_rectangle(edge, (0.25, 4.8), angle), _MARKING)
            if rng.random() < occupancy:
                paint_car(canvas, spot, angle + np.pi / 2)


def _along(path: Points) -> Points:
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])


def _at(path: Points, along: Points, distances: Points) -> Points:
    return np.stack([np.interp(distances, along, path[:, 0]), np.interp(distances, along, path[:, 1])], axis=1)
