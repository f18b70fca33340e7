"""The canvas a scene is painted on, and shapes in metres turned into pixels."""

import itertools
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Points = NDArray[np.float64]  # [N, 2], x then y
Colour = tuple[float, float, float]

_SUBPIXEL_BITS = 4  # cv2 takes fixed-point vertices; sixteenths of a pixel are below the sensor's blur


@dataclass
class Canvas:
    """A scene being painted: colours, heights for shadows, and which ground is still free.

    Attributes:
        colour: Sunlit appearance, float32 [H, W, 3], RGB, about 0 to 255.
        height_m: Height above ground, float32 [H, W], metres; casts shadows.
        free: Where trees and buildings may still stand, bool [H, W].
        gsd_m: Metres a pixel.
        rng: The scene's own generator.
        sun: Unit vector on the ground towards the sun, x right and y down.
        sun_slope: Tangent of the sun's elevation: metres of height lost per metre of shadow.
    """

    colour: FloatArray
    height_m: FloatArray
    free: NDArray[np.bool_]
    gsd_m: float
    rng: np.random.Generator
    sun: tuple[float, float]
    sun_slope: float

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height_m.shape[0], self.height_m.shape[1]

    @property
    def extent_m(self) -> tuple[float, float]:
        """Width and height in metres."""
        return self.shape[1] * self.gsd_m, self.shape[0] * self.gsd_m

    def fill(self, colour: FloatArray | Colour, coverage: FloatArray) -> None:
        """Blend a colour (or a coloured picture) over the whole canvas, coverage [H, W] in [0, 1]."""
        weight = coverage[..., None]
        self.colour += (np.asarray(colour, np.float32) - self.colour) * weight

    def paint(self, points_m: Points, colour: Colour, *, claim: bool = True) -> None:
        """Paint one antialiased polygon.

        Args:
            points_m: Vertices [N, 2] in metres from the upper left corner.
            colour: RGB, 0 to 255.
            claim: Whether the ground is taken, so that nothing grows there later.
        """
        stencil = rasterise(points_m / self.gsd_m, self.shape)
        if stencil is None:
            return
        rows, cols, coverage = stencil
        tile = self.colour[rows, cols]
        tile += (np.asarray(colour, np.float32) - tile) * coverage[..., None]
        if claim:
            self.free[rows, cols][coverage > 0] = False

    def raise_to(self, points_m: Points, height_m: float) -> None:
        """Let a polygon stand `height_m` metres high, so that it casts a shadow."""
        stencil = rasterise(points_m / self.gsd_m, self.shape)
        if stencil is not None:
            rows, cols, coverage = stencil
            tile = self.height_m[rows, cols]
            np.maximum(tile, np.where(coverage > 0.5, np.float32(height_m), 0), out=tile)

    def is_free(self, points_m: Points, *, share: float = 0.98) -> bool:
        """Whether at least `share` of a polygon lies inside the picture on free ground."""
        stencil = rasterise(points_m / self.gsd_m, self.shape)
        if stencil is None:
            return False
        rows, cols, coverage = stencil
        total = float(coverage.sum())
        return total > 0 and float(coverage[self.free[rows, cols]].sum()) >= share * total


@dataclass(frozen=True)
class Frame:
    """A rotated, gently bent ground frame: streets and fields are straight in it, not on the picture.

    Attributes:
        centre_m: Where the frame's origin lies, metres from the upper left corner.
        angle: Rotation, radians.
        bend_m: Amplitude of the bending, metres; 0 keeps lines straight.
        wavelength_m: Length of one bend, metres.
        phase: Phases of the two bends, radians.
    """

    centre_m: tuple[float, float]
    angle: float
    bend_m: float = 0.0
    wavelength_m: float = 400.0
    phase: tuple[float, float] = field(default=(0.0, 0.0))

    def place(self, local_m: Points) -> Points:
        """Frame coordinates [N, 2] to metres from the picture's upper left corner."""
        u, v = local_m[:, 0], local_m[:, 1]
        turn = 2 * np.pi / self.wavelength_m
        u, v = (
            u + self.bend_m * np.sin(v * turn + self.phase[0]),
            v + self.bend_m * np.sin(u * turn + self.phase[1]),
        )
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        x = self.centre_m[0] + cos * u - sin * v
        y = self.centre_m[1] + sin * u + cos * v
        return np.stack([x, y], axis=1)


def rasterise(points: Points, shape: tuple[int, int]) -> tuple[slice, slice, FloatArray] | None:
    """Antialiased coverage of a polygon, within its bounding box.

    Args:
        points: Vertices [N, 2] in pixels; pixel (0, 0) covers [0, 1).
        shape: Height and width of the picture.

    Returns:
        Row slice, column slice and coverage in [0, 1]; None where nothing of it is visible.
    """
    low = np.floor(points.min(axis=0)).astype(int) - 1
    high = np.ceil(points.max(axis=0)).astype(int) + 1
    x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
    x1, y1 = min(int(high[0]), shape[1]), min(int(high[1]), shape[0])
    if x0 >= x1 or y0 >= y1:
        return None
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    shifted = (points - (x0 + 0.5, y0 + 0.5)) * (1 << _SUBPIXEL_BITS)
    cv2.fillPoly(mask, [np.round(shifted).astype(np.int32)], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    return slice(y0, y1), slice(x0, x1), mask.astype(np.float32) / np.float32(255)


def rectangle(u: tuple[float, float], v: tuple[float, float], *, step: float = 0.0) -> Points:
    """Outline of an axis-parallel rectangle; `step` metres between vertices lets a frame bend its sides."""
    corners = np.array([(u[0], v[0]), (u[1], v[0]), (u[1], v[1]), (u[0], v[1])])
    return corners if step <= 0 else densify(np.vstack([corners, corners[:1]]), step)[:-1]


def turned_rectangle(centre: tuple[float, float], size: tuple[float, float], angle: float) -> Points:
    """A rectangle of size (length, width) about its centre, rotated by `angle` radians."""
    half_length, half_width = size[0] / 2, size[1] / 2
    corners = rectangle((-half_length, half_length), (-half_width, half_width))
    cos, sin = np.cos(angle), np.sin(angle)
    turned: Points = corners @ np.array([(cos, sin), (-sin, cos)]) + np.array(centre)
    return turned


def densify(path: Points, step: float) -> Points:
    """Insert vertices so that neighbours are at most `step` apart."""
    pieces = []
    for start, stop in itertools.pairwise(path):
        count = max(1, int(np.ceil(np.hypot(*(stop - start)) / step)))
        pieces.append(start + (stop - start) * (np.arange(count) / count)[:, None])
    return np.vstack([*pieces, path[-1:]])


def strip(path: Points, width: float) -> Points:
    """Outline of a band of constant width along a path."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.maximum(np.hypot(tangent[:, 0], tangent[:, 1]), 1e-9)[:, None]
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) * (width / 2)
    return np.vstack([path + normal, (path - normal)[::-1]])


def smooth_path(knots: Points, num_points: int = 64) -> Points:
    """A Catmull-Rom curve through the knots."""
    padded = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    t = np.linspace(0, len(knots) - 1, num_points)
    index = np.minimum(t.astype(int), len(knots) - 2)
    s = (t - index)[:, None]
    a, b, c, d = (padded[index + offset] for offset in range(4))
    curve: Points = 0.5 * (2 * b + (c - a) * s + (2 * a - 5 * b + 4 * c - d) * s**2 + (3 * b - 3 * c + d - a) * s**3)
    return curve
