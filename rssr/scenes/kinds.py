"""The kinds of scene: what each is composed of, from the ground up."""

from collections.abc import Callable

import numpy as np

from rssr.scenes import land, roads
from rssr.scenes.canvas import Canvas, smooth_path
from rssr.scenes.plots import beside, covering_block, line, random_frame, split_land
from rssr.scenes.settlement import paint_farmstead, paint_gardens, paint_houses
from rssr.scenes.shore import paint_coastal_road, paint_jetty, paint_sea
from rssr.scenes.texture import patches, smoothstep
from rssr.scenes.vegetation import forest_cover, paint_canopy, plant_trees, scatter
from rssr.scenes.water import paint_lake, paint_river
from rssr.scenes.works import paint_works, paint_yard


def compose_farmland(canvas: Canvas) -> None:
    """Fields of varied crops, tracks, hedges, a wood, a farmstead, sometimes a river."""
    rng = canvas.rng
    frame = random_frame(canvas, bend_m=6)
    blocks, cuts = split_land(rng, covering_block(canvas), float(rng.uniform(55, 95)))
    land.paint_fields(canvas, frame, blocks)
    land.paint_boundaries(canvas, frame, cuts)
    if rng.random() < 0.3:
        spot = rng.uniform(0.25, 0.75, 2) * canvas.extent_m
        land.paint_pivot(canvas, (float(spot[0]), float(spot[1])), float(rng.uniform(60, 110)))
    if rng.random() < 0.35:
        paint_river(canvas, float(rng.uniform(6, 22)))
    network = [(line(frame, cut), roads.TRACK) for cut in cuts if cut.depth > 1 and rng.random() < 0.25]
    network += [(line(frame, cut), roads.COUNTRY_ROAD) for cut in cuts if cut.depth == 0 and rng.random() < 0.8]
    roads.paint_roads(canvas, network)
    paint_farmstead(canvas, frame)
    if rng.random() < 0.6:
        paint_canopy(canvas, forest_cover(canvas, float(rng.uniform(0.04, 0.16)), 70))
    for cut in cuts:
        if rng.random() < 0.35:
            plant_trees(canvas, beside(canvas, line(frame, cut, step=5.0), 4.5), (1.6, 3.6))
    plant_trees(canvas, scatter(canvas, 0.05, 22), (2.0, 5.0))


def compose_suburb(canvas: Canvas) -> None:
    """Bent streets, rows of houses in gardens, pools, many trees, a small park."""
    rng = canvas.rng
    land.paint_ground(canvas, land.GRASS, mottle=8)
    land.paint_bare_soil(canvas, float(rng.uniform(0.02, 0.1)))
    frame = random_frame(canvas, bend_m=float(rng.uniform(0, 16)))
    blocks, cuts = split_land(rng, covering_block(canvas), float(rng.uniform(46, 62)))
    if rng.random() < 0.15:
        paint_lake(canvas, 0.06)
    roads.paint_roads(canvas, [(line(frame, cut), roads.AVENUE if cut.depth == 0 else roads.STREET) for cut in cuts])
    for block in blocks:
        if rng.random() < 0.93:
            paint_gardens(canvas, frame, block)
            paint_houses(canvas, frame, block)
    cover = smoothstep(patches(rng, canvas.shape, 60 / canvas.gsd_m), -0.6, 1.2) * np.float32(rng.uniform(0.3, 0.75))
    plant_trees(canvas, scatter(canvas, cover, 7.0))
    for cut in cuts:
        if rng.random() < 0.5:
            plant_trees(canvas, beside(canvas, line(frame, cut, step=11.0), 6.6), (1.8, 3.4))


def compose_industrial(canvas: Canvas) -> None:
    """Large halls, yards of concrete, car parks, tanks, containers, bare ground."""
    rng = canvas.rng
    land.paint_ground(canvas, (128, 124, 96), mottle=9)
    land.paint_bare_soil(canvas, float(rng.uniform(0.15, 0.4)))
    frame = random_frame(canvas, bend_m=0)
    blocks, cuts = split_land(rng, covering_block(canvas), float(rng.uniform(75, 110)))
    for block in blocks:
        if rng.random() < 0.85:
            paint_yard(canvas, frame, block.inset(9))
    roads.paint_roads(canvas, [(line(frame, cut), roads.AVENUE if cut.depth < 2 else roads.STREET) for cut in cuts])
    for block in blocks:
        paint_works(canvas, frame, block)
    for cut in cuts:
        if rng.random() < 0.4:
            plant_trees(canvas, beside(canvas, line(frame, cut, step=10.0), 9.5), (1.6, 3.2))
    plant_trees(canvas, scatter(canvas, 0.12, 16), (1.5, 3.8))


def compose_coast(canvas: Canvas) -> None:
    """Sea, surf and beach; scrub, a coastal road and a few houses behind; sometimes a jetty."""
    rng = canvas.rng
    land.paint_ground(canvas, (124, 128, 88), mottle=10)
    land.paint_bare_soil(canvas, 0.2)
    offshore = paint_sea(canvas, float(rng.uniform(0.3, 0.6)))
    paint_coastal_road(canvas, offshore)
    if rng.random() < 0.6:
        paint_jetty(canvas, offshore)
    if rng.random() < 0.7:
        paint_canopy(canvas, forest_cover(canvas, float(rng.uniform(0.15, 0.4)), 60), 5.0)
    plant_trees(canvas, scatter(canvas, 0.3, 10), (1.0, 3.0))


def compose_forest(canvas: Canvas) -> None:
    """Closed canopy with clearings, forest tracks, sometimes a river or a lake."""
    rng = canvas.rng
    land.paint_ground(canvas, (112, 116, 78), mottle=10)
    land.paint_bare_soil(canvas, 0.15)
    draw = rng.random()
    if draw < 0.45:
        paint_river(canvas, float(rng.uniform(8, 30)))
    elif draw < 0.65:
        paint_lake(canvas, float(rng.uniform(0.08, 0.2)))
    knots = np.linspace(-0.1, 1.1, 6)[:, None] * canvas.extent_m
    if rng.random() < 0.5:
        knots[:, 0] = canvas.extent_m[0] - knots[:, 0]
    wander = knots + rng.normal(0, 0.07, knots.shape) * canvas.extent_m
    roads.paint_roads(canvas, [(smooth_path(wander, 60), roads.TRACK if rng.random() < 0.6 else roads.COUNTRY_ROAD)])
    paint_canopy(canvas, forest_cover(canvas, float(rng.uniform(0.55, 0.82)), 110), float(rng.uniform(5, 8)))
    plant_trees(canvas, scatter(canvas, 0.25, 9), (1.2, 3.2))


KINDS: dict[str, Callable[[Canvas], None]] = {
    "farmland": compose_farmland,
    "suburb": compose_suburb,
    "industrial": compose_industrial,
    "coast": compose_coast,
    "forest": compose_forest,
}
