"""Where people live: gardens, rows of houses with drives, farmsteads."""

import numpy as np

from rssr.scenes import roads
from rssr.scenes.buildings import paint_hall, paint_house, paint_pool
from rssr.scenes.canvas import Canvas, Frame, Points, rectangle, strip
from rssr.scenes.land import GRASS
from rssr.scenes.plots import Block
from rssr.scenes.vegetation import plant_trees


def paint_gardens(canvas: Canvas, frame: Frame, block: Block) -> None:
    """Lots: lawns of different green, some dry, divided at right angles to the street."""
    rng = canvas.rng
    inner = block.inset(5.5)
    if min(inner.size) < 8:
        return
    for u in np.arange(inner.u[0], inner.u[1] - 6, 17.0):
        for v in ((inner.v[0], sum(inner.v) / 2), (sum(inner.v) / 2, inner.v[1])):
            tone, dry = rng.normal(0, 7), rng.uniform(0, 26)
            lot = rectangle((u, min(u + 17.0, inner.u[1])), v, step=10)
            colour = (GRASS[0] + tone + dry, GRASS[1] + tone + 0.6 * dry, GRASS[2] + tone)
            canvas.paint(frame.place(lot), colour, claim=False)


def paint_houses(canvas: Canvas, frame: Frame, block: Block) -> None:
    """Houses along both long sides, each with a drive; now and then a pool behind."""
    rng = canvas.rng
    length, width = block.size
    lot = rng.uniform(16, 21)
    along_u = length >= width
    span, depth = (block.u, block.v) if along_u else (block.v, block.u)
    for side, street in ((1, depth[0]), (-1, depth[1])):
        for at in np.arange(span[0] + lot * 0.75, span[1] - lot * 0.6, lot):
            setback = 4 + rng.uniform(9, 12)
            spots = np.array(
                [(at, street + side * 4), (at, street + side * setback), (at + 4, street + side * (setback + 14))]
            )
            spots = frame.place(spots if along_u else spots[:, ::-1])
            toward = spots[1] - spots[0]
            angle = float(np.arctan2(toward[1], toward[0])) + np.pi / 2
            size = float(rng.uniform(10, min(15.5, lot - 3))), float(rng.uniform(7.5, 10.5))
            if rng.random() < 0.25:
                angle, size = angle + np.pi / 2, (size[0] * 0.95, size[1] * 0.9)
            if rng.random() < 0.95 and paint_house(canvas, (float(spots[1, 0]), float(spots[1, 1])), size, angle):
                _paint_drive(canvas, spots[0], toward)
                if rng.random() < 0.2 and width > 40:
                    paint_pool(canvas, (float(spots[2, 0]), float(spots[2, 1])), angle)


def _paint_drive(canvas: Canvas, start: Points, toward: Points) -> None:
    length = float(np.hypot(*toward))
    direction = toward / length
    across = np.array([-direction[1], direction[0]]) * 4.2
    ends = np.array([start + across, start + across + direction * (length - 2)])
    canvas.paint(strip(ends, 3.4), roads.CONCRETE)
    if canvas.rng.random() < 0.5:
        spot = ends[0] + direction * length * 0.45
        roads.paint_car(canvas, (float(spot[0]), float(spot[1])), float(np.arctan2(direction[1], direction[0])))


def paint_farmstead(canvas: Canvas, frame: Frame) -> None:
    """One or two farms: a few houses and barns about a yard, under trees."""
    rng = canvas.rng
    for _ in range(rng.integers(1, 3)):
        heart = rng.uniform(0.15, 0.85, 2) * canvas.extent_m
        for _ in range(rng.integers(3, 7)):
            spot = heart + rng.normal(0, 20, 2)
            centre, angle = (float(spot[0]), float(spot[1])), frame.angle + np.pi / 2 * rng.integers(0, 2)
            if rng.random() < 0.5:
                paint_house(canvas, centre, (float(rng.uniform(11, 18)), float(rng.uniform(8, 11))), angle)
            else:
                paint_hall(canvas, centre, (float(rng.uniform(20, 38)), float(rng.uniform(11, 16))), angle)
        plant_trees(canvas, heart + rng.normal(0, 26, (14, 2)), (2.0, 4.5))
