"""Where people work: yards, halls, car parks, tanks and containers."""

import numpy as np

from rssr.scenes import roads
from rssr.scenes.buildings import paint_containers, paint_hall, paint_tank
from rssr.scenes.canvas import Canvas, Frame, rectangle
from rssr.scenes.plots import Block


def paint_yard(canvas: Canvas, frame: Frame, block: Block) -> None:
    """Concrete or old asphalt over a whole block."""
    tone = canvas.rng.normal(0, 10)
    base = roads.CONCRETE if canvas.rng.random() < 0.5 else roads.PALE_ASPHALT
    yard = frame.place(rectangle(block.u, block.v))
    canvas.paint(yard, (base[0] + tone - 14, base[1] + tone - 14, base[2] + tone - 14), claim=False)


def paint_works(canvas: Canvas, frame: Frame, block: Block) -> None:
    """One works: a hall or two, and beside them a car park, tanks or containers."""
    rng = canvas.rng
    inner = block.inset(14)
    length, width = inner.size
    if min(length, width) < 18:
        return
    hall_length = min(float(rng.uniform(0.5, 0.72)) * length, 95.0)
    hall_u = inner.u[0], inner.u[0] + hall_length
    yard_u = hall_u[1] + 8, min(inner.u[1], hall_u[1] + 8 + 60)
    rows = max(int(width / 70) + 1, 1 if width < 60 or rng.random() < 0.4 else 2)
    for row in range(rows):
        v0 = inner.v[0] + row * width / rows
        size = (hall_u[1] - hall_u[0], width / rows - 8)
        spot = frame.place(np.array([(sum(hall_u) / 2, v0 + width / rows / 2)]))[0]
        paint_hall(canvas, (float(spot[0]), float(spot[1])), size, frame.angle)
    middle = frame.place(np.array([(sum(yard_u) / 2, sum(inner.v) / 2)]))[0]
    centre, size = (float(middle[0]), float(middle[1])), (yard_u[1] - yard_u[0], width)
    draw = rng.random()
    if draw < 0.5 and min(size) > 14:
        roads.paint_car_park(canvas, centre, size, frame.angle)
    elif draw < 0.7:
        paint_containers(canvas, centre, max(1, int(size[0] / 14)), max(2, int(size[1] / 3.4)), frame.angle)
    else:
        _paint_tank_farm(canvas, frame, Block(yard_u, inner.v))


def _paint_tank_farm(canvas: Canvas, frame: Frame, block: Block) -> None:
    radius = float(canvas.rng.uniform(5, 9))
    for u in np.arange(block.u[0] + radius, block.u[1] - radius * 0.6, radius * 2.9):
        for v in np.arange(block.v[0] + radius, block.v[1] - radius * 0.6, radius * 2.9):
            if canvas.rng.random() < 0.85:
                spot = frame.place(np.array([(u, v)]))[0]
                paint_tank(canvas, (float(spot[0]), float(spot[1])), radius)
