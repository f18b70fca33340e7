"""Buildings: houses under pitched roofs, flat-roofed halls, tanks, pools."""

import numpy as np

from rssr.scenes.canvas import Canvas, Colour, strip, turned_rectangle

Spot = tuple[float, float]

ROOFS: tuple[Colour, ...] = (
    (158, 92, 72),  # clay tile
    (172, 112, 86),
    (138, 84, 70),
    (112, 110, 112),  # slate
    (90, 90, 94),
    (150, 142, 132),  # bitumen shingle
    (128, 114, 100),
    (182, 174, 162),
)
FLAT_ROOFS: tuple[Colour, ...] = (
    (206, 206, 204),
    (188, 190, 192),
    (160, 162, 164),
    (134, 150, 166),  # blue sheet metal
    (170, 118, 100),
    (112, 114, 118),
)
_POOL: Colour = (96, 178, 196)
_PAVING: Colour = (190, 184, 174)


def paint_house(canvas: Canvas, centre: Spot, size: tuple[float, float], angle: float) -> bool:
    """One house with a pitched roof lit by the sun; False where there is no room for it.

    Args:
        canvas: Painted in place.
        centre: Metres from the upper left corner.
        size: Length along the ridge and width, metres.
        angle: Direction of the ridge, radians.
    """
    if not canvas.is_free(turned_rectangle(centre, size, angle)):
        return False
    rng = canvas.rng
    roof = np.array(ROOFS[rng.integers(len(ROOFS))]) + rng.normal(0, 8)
    height = float(rng.uniform(4.0, 7.5))
    if rng.random() < 0.45:  # a wing at right angles, its ridge a little lower
        side = size[1] * (0.55 if rng.random() < 0.5 else -0.55)
        spot = _offset(centre, angle, size[0] * float(rng.uniform(-0.28, 0.28)), side)
        _pitched_roof(canvas, spot, (size[1] * 0.95, size[0] * 0.42), angle + np.pi / 2, roof)
        canvas.raise_to(turned_rectangle(spot, (size[1] * 0.95, size[0] * 0.42), angle + np.pi / 2), height * 0.9)
    _pitched_roof(canvas, centre, size, angle, roof)
    canvas.raise_to(turned_rectangle(centre, size, angle), height)
    if rng.random() < 0.6:  # chimney
        _box(
            canvas,
            _offset(centre, angle, size[0] * float(rng.uniform(-0.3, 0.3)), 0.6),
            (0.9, 0.9),
            angle,
            (110, 84, 76),
        )
    return True


def paint_hall(canvas: Canvas, centre: Spot, size: tuple[float, float], angle: float) -> bool:
    """A flat-roofed hall with seams, skylights and roof machinery; False where there is no room."""
    outline = turned_rectangle(centre, size, angle)
    if not canvas.is_free(outline, share=0.9):
        return False
    rng = canvas.rng
    base = np.array(FLAT_ROOFS[rng.integers(len(FLAT_ROOFS))]) + rng.normal(0, 8)
    height = float(rng.uniform(7, 14))
    canvas.paint(outline, _colour(base - 22))
    canvas.raise_to(outline, height)
    canvas.paint(turned_rectangle(centre, (size[0] - 1.6, size[1] - 1.6), angle), _colour(base))
    for u in np.arange(-size[0] / 2 + 5, size[0] / 2 - 4, float(rng.uniform(5, 9))):
        ends = np.array([_offset(centre, angle, u, -size[1] / 2 + 1), _offset(centre, angle, u, size[1] / 2 - 1)])
        canvas.paint(strip(ends, 0.5), _colour(base - 12))
    if rng.random() < 0.65:
        _skylights(canvas, centre, size, angle, base)
    for _ in range(rng.poisson(size[0] * size[1] / 450)):
        spot = _offset(centre, angle, *(rng.uniform(-0.42, 0.42, 2) * size))
        machine = tuple(rng.uniform(1.5, 4.5, 2))
        _box(canvas, spot, (machine[0], machine[1]), angle, _colour(base + rng.normal(-10, 30)), height + 2)
    return True


def paint_tank(canvas: Canvas, centre: Spot, radius_m: float) -> bool:
    """A round storage tank with its shaded inner rim; False where there is no room."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if not canvas.is_free(np.array(centre) + ring * radius_m, share=0.95):
        return False
    base = np.array((208.0, 208.0, 204.0)) + canvas.rng.normal(0, 10)
    canvas.paint(np.array(centre) + ring * (radius_m + 2.5), (150, 140, 124))
    canvas.paint(np.array(centre) + ring * radius_m, _colour(base + 14))
    canvas.raise_to(np.array(centre) + ring * radius_m, float(canvas.rng.uniform(8, 14)))
    towards_sun = np.array(canvas.sun) * radius_m * 0.1
    canvas.paint(np.array(centre) + towards_sun + ring * radius_m * 0.88, _colour(base - 26))
    canvas.paint(np.array(centre) + ring * radius_m * 0.84, _colour(base))
    spokes = np.array([np.array(centre) - ring[6] * radius_m * 0.8, np.array(centre) + ring[6] * radius_m * 0.8])
    canvas.paint(strip(spokes, 0.6), _colour(base - 30))
    return True


def paint_pool(canvas: Canvas, centre: Spot, angle: float) -> None:
    """A garden pool with a paved rim."""
    size = canvas.rng.uniform(5, 9), canvas.rng.uniform(3, 4.5)
    outline = turned_rectangle(centre, (size[0] + 2, size[1] + 2), angle)
    if canvas.is_free(outline):
        canvas.paint(outline, _PAVING)
        canvas.paint(turned_rectangle(centre, (size[0], size[1]), angle), _POOL)


def paint_containers(canvas: Canvas, centre: Spot, rows: int, columns: int, angle: float) -> None:
    """Stacks of coloured shipping containers (12.2 m by 2.4 m)."""
    colours: tuple[Colour, ...] = ((150, 70, 58), (70, 96, 140), (92, 116, 84), (196, 168, 84), (176, 176, 178))
    for row in range(rows):
        for column in range(columns):
            if canvas.rng.random() < 0.75:
                spot = _offset(centre, angle, (row - rows / 2) * 12.8, (column - columns / 2) * 2.7)
                colour = np.array(colours[canvas.rng.integers(len(colours))]) + canvas.rng.normal(0, 8)
                _box(canvas, spot, (12.2, 2.4), angle, _colour(colour), 2.6 * float(canvas.rng.integers(1, 4)))


def _pitched_roof(canvas: Canvas, centre: Spot, size: tuple[float, float], angle: float, colour: np.ndarray) -> None:
    """Four planes of a roof: bright towards the sun, dark away from it."""
    half_length, half_width = size[0] / 2, size[1] / 2
    hip = half_width * (0.9 if canvas.rng.random() < 0.5 else 0.0)
    ridge = [_offset(centre, angle, -half_length + hip, 0), _offset(centre, angle, half_length - hip, 0)]
    corners = [tuple(corner) for corner in turned_rectangle(centre, size, angle)]
    planes = (
        ([corners[0], corners[1], ridge[1], ridge[0]], angle - np.pi / 2),
        ([corners[2], corners[3], ridge[0], ridge[1]], angle + np.pi / 2),
        ([corners[1], corners[2], ridge[1]], angle),
        ([corners[3], corners[0], ridge[0]], angle + np.pi),
    )
    for outline, faces in planes:
        if len(outline) == 3 and hip == 0:
            continue  # a gable wall, invisible from above
        light = 1.0 + 0.26 * float(np.cos(faces) * canvas.sun[0] + np.sin(faces) * canvas.sun[1])
        canvas.paint(np.array(outline), _colour(colour * light))


def _skylights(canvas: Canvas, centre: Spot, size: tuple[float, float], angle: float, base: np.ndarray) -> None:
    tone = _colour(base + (34 if canvas.rng.random() < 0.5 else -40))
    for u in np.arange(-size[0] / 2 + 7, size[0] / 2 - 6, 9.0):
        for v in (-size[1] / 4, size[1] / 4):
            canvas.paint(turned_rectangle(_offset(centre, angle, float(u), v), (1.6, size[1] * 0.32), angle), tone)


def _box(
    canvas: Canvas, centre: Spot, size: tuple[float, float], angle: float, colour: Colour, height_m: float = 0.0
) -> None:
    outline = turned_rectangle(centre, size, angle)
    canvas.paint(outline, colour)
    if height_m > 0:
        canvas.raise_to(outline, height_m)


def _offset(centre: Spot, angle: float, along: float, across: float) -> Spot:
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    return centre[0] + cos * along - sin * across, centre[1] + sin * along + cos * across


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = np.clip(values, 12, 248)
    return float(red), float(green), float(blue)
