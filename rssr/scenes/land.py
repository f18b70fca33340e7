"""Open land: parcels of crops with row texture, meadows, bare soil."""

import cv2
import numpy as np
from numpy.typing import NDArray

from rssr.scenes.canvas import Canvas, Colour, FloatArray, Frame, rectangle, strip
from rssr.scenes.plots import Block, Cut, line
from rssr.scenes.texture import patches, smoothstep, spectral_field

CROPS: tuple[Colour, ...] = (
    (96, 118, 66),  # green cereal
    (70, 94, 54),  # maize
    (122, 136, 82),  # pasture
    (162, 156, 92),  # rape going over
    (192, 174, 128),  # stubble
    (142, 116, 90),  # ploughed brown soil
    (172, 150, 120),  # pale dry soil
    (134, 140, 98),  # young crop on soil
    (84, 108, 72),  # beet
)
GRASS: Colour = (108, 122, 76)
SOIL: Colour = (156, 132, 104)


def paint_ground(canvas: Canvas, colour: Colour, *, mottle: float = 9.0) -> None:
    """Grass or soil everywhere, with natural mottling (grey levels of deviation)."""
    canvas.colour[:] = np.asarray(colour, np.float32)
    texture = spectral_field(canvas.rng, canvas.shape, exponent=1.1)
    canvas.colour += texture[..., None] * np.array([mottle, mottle * 0.85, mottle * 0.7], np.float32)


def paint_fields(canvas: Canvas, frame: Frame, blocks: list[Block]) -> None:
    """Every block becomes a field: its own crop, rows, tramlines and unevenness."""
    rng, shape = canvas.rng, canvas.shape
    labels = np.zeros(shape, np.int32)
    for index, block in enumerate(blocks):
        outline = frame.place(rectangle(block.u, block.v, step=15)) / canvas.gsd_m
        cv2.fillPoly(labels, [np.round(outline * 16 - 8).astype(np.int32)], index, cv2.LINE_8, 4)
    crops = np.array([CROPS[rng.integers(len(CROPS))] for _ in blocks], np.float32)
    crops += rng.normal(0, 7, (len(blocks), 1)).astype(np.float32) + rng.normal(0, 4, crops.shape).astype(np.float32)
    canvas.colour[:] = crops[labels]
    unevenness = spectral_field(rng, shape, exponent=1.25)
    strength = rng.uniform(4, 11, len(blocks)).astype(np.float32)[labels]
    shading = unevenness * strength + _rows(canvas, frame, labels, len(blocks))
    canvas.colour += shading[..., None] * np.array([1.0, 0.95, 0.8], np.float32)


def _rows(canvas: Canvas, frame: Frame, labels: NDArray[np.int32], num_fields: int) -> FloatArray:
    rng = canvas.rng
    turned = rng.integers(0, 2, num_fields) * (np.pi / 2) + rng.normal(0, 0.02, num_fields)
    direction = (frame.angle + turned).astype(np.float32)
    spacing = rng.uniform(2.5, 7.0, num_fields).astype(np.float32)
    amplitude = (rng.uniform(1.0, 5.5, num_fields) * (rng.random(num_fields) < 0.75)).astype(np.float32)
    tramline_every = rng.uniform(18, 30, num_fields).astype(np.float32)
    tramline_depth = (rng.uniform(5, 14, num_fields) * (rng.random(num_fields) < 0.6)).astype(np.float32)
    y, x = np.mgrid[: canvas.shape[0], : canvas.shape[1]].astype(np.float32) * np.float32(canvas.gsd_m)
    across = (x * np.cos(direction)[labels] + y * np.sin(direction)[labels]).astype(np.float32)
    visible = np.clip(spacing / (2.5 * canvas.gsd_m) - 1, 0, 1).astype(np.float32)  # rows finer than the pixels vanish
    rows: FloatArray = np.sin(across * (np.float32(2 * np.pi) / spacing)[labels]) * (amplitude * visible)[labels]
    from_tramline = np.abs(np.mod(across, tramline_every[labels]) - tramline_every[labels] / 2)
    rows -= smoothstep(-from_tramline, -1.6, -0.6) * tramline_depth[labels]
    return rows


def paint_boundaries(canvas: Canvas, frame: Frame, cuts: list[Cut]) -> None:
    """Grassy banks and unpaved tracks between fields."""
    for cut in cuts:
        outline = strip(line(frame, cut, step=12), canvas.rng.uniform(1.2, 3.0))
        tone = canvas.rng.normal(0, 6)
        base = GRASS if canvas.rng.random() < 0.6 else SOIL
        canvas.paint(outline, (base[0] + tone, base[1] + tone, base[2] + tone), claim=False)


def paint_pivot(canvas: Canvas, centre: tuple[float, float], radius_m: float) -> None:
    """A field under centre-pivot irrigation: a disc with sectors and wheel rings."""
    rng = canvas.rng
    angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    base = np.array(CROPS[rng.integers(3)]) + rng.normal(0, 5)
    start = rng.uniform(0, 2 * np.pi)
    canvas.paint(np.array(centre) + ring * radius_m, (base[0], base[1], base[2]), claim=False)
    sweep = start + np.linspace(0, rng.uniform(1.0, 3.0), 40)
    sector = np.vstack([(0.0, 0.0), np.stack([np.cos(sweep), np.sin(sweep)], axis=1) * radius_m])
    canvas.paint(np.array(centre) + sector, (base[0] + 16, base[1] + 12, base[2] + 10), claim=False)
    for wheel in np.arange(radius_m / 6, radius_m, radius_m / 6):
        circle = np.array(centre) + np.vstack([ring, ring[:1]]) * wheel
        canvas.paint(strip(circle, 1.2), (base[0] - 12, base[1] - 12, base[2] - 10), claim=False)


def paint_bare_soil(canvas: Canvas, share: float) -> None:
    """Irregular patches of bare ground over about `share` of the picture."""
    rng = canvas.rng
    relief = patches(rng, canvas.shape, 70 / canvas.gsd_m) + 0.25 * spectral_field(rng, canvas.shape, exponent=1.3)
    level = float(np.quantile(relief, 1 - share))
    tone = rng.normal(0, 6)
    grain = spectral_field(rng, canvas.shape, exponent=0.9)[..., None] * np.float32(7)
    soil = np.array([SOIL[0] + tone, SOIL[1] + tone, SOIL[2] + tone], np.float32) + grain
    canvas.fill(soil, smoothstep(relief, level - 0.06, level + 0.06) * np.float32(0.85))
