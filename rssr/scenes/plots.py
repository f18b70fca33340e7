"""How land is divided: nested blocks, the lines between them, and what stands along a line."""

from dataclasses import dataclass

import numpy as np

from rssr.scenes.canvas import Canvas, Frame, Points

Span = tuple[float, float]


@dataclass(frozen=True)
class Block:
    """A rectangle of land in a frame: spans along u and v, metres."""

    u: Span
    v: Span

    @property
    def size(self) -> tuple[float, float]:
        """Lengths along u and v, metres."""
        return self.u[1] - self.u[0], self.v[1] - self.v[0]

    def inset(self, margin: float) -> "Block":
        """The block without a margin on every side."""
        return Block((self.u[0] + margin, self.u[1] - margin), (self.v[0] + margin, self.v[1] - margin))


@dataclass(frozen=True)
class Cut:
    """A line between two blocks: end points in a frame, and how early it was cut (0 = first)."""

    ends: Points
    depth: int


def split_land(
    rng: np.random.Generator, whole: Block, smallest_m: float, depth: int = 0
) -> tuple[list[Block], list[Cut]]:
    """Cut a rectangle again and again across its longer side, as land is inherited and built on."""
    length, width = whole.size
    if max(length, width) < 2 * smallest_m or (
        depth > 2 and max(length, width) < 2.8 * smallest_m and rng.random() < 0.25
    ):
        return [whole], []
    share = rng.uniform(0.36, 0.64)
    if length >= width:
        at = whole.u[0] + share * length
        halves = Block((whole.u[0], at), whole.v), Block((at, whole.u[1]), whole.v)
        ends = np.array([(at, whole.v[0]), (at, whole.v[1])])
    else:
        at = whole.v[0] + share * width
        halves = Block(whole.u, (whole.v[0], at)), Block(whole.u, (at, whole.v[1]))
        ends = np.array([(whole.u[0], at), (whole.u[1], at)])
    blocks, cuts = [], [Cut(ends, depth)]
    for half in halves:
        more_blocks, more_cuts = split_land(rng, half, smallest_m, depth + 1)
        blocks += more_blocks
        cuts += more_cuts
    return blocks, cuts


def covering_block(canvas: Canvas, margin: float = 1.05) -> Block:
    """A block about a frame's origin that covers the picture at any rotation."""
    reach = 0.5 * float(np.hypot(*canvas.extent_m)) * margin
    return Block((-reach, reach), (-reach, reach))


def random_frame(canvas: Canvas, bend_m: float) -> Frame:
    """A frame about the picture's middle at any angle, its lines bent by up to `bend_m` metres."""
    rng = canvas.rng
    width, height = canvas.extent_m
    centre = width * rng.uniform(0.4, 0.6), height * rng.uniform(0.4, 0.6)
    phases = rng.uniform(0, 2 * np.pi, 2)
    return Frame(centre, rng.uniform(0, np.pi), bend_m, rng.uniform(300, 600), (phases[0], phases[1]))


def line(frame: Frame, cut: Cut, step: float = 8.0) -> Points:
    """A cut as a path on the picture, metres, with a vertex about every `step` metres."""
    length = float(np.hypot(*(cut.ends[1] - cut.ends[0])))
    steps = np.linspace(0, 1, max(2, int(length / step) + 1))[:, None]
    return frame.place(cut.ends[0] + (cut.ends[1] - cut.ends[0]) * steps)


def beside(canvas: Canvas, path: Points, distance_m: float) -> Points:
    """Spots on one side of a path, a little irregular and with gaps."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.maximum(np.hypot(tangent[:, 0], tangent[:, 1]), 1e-9)[:, None]
    side = 1 if canvas.rng.random() < 0.5 else -1
    spots = path + side * distance_m * np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    spots += canvas.rng.normal(0, 0.8, spots.shape)
    return spots[canvas.rng.random(len(spots)) < 0.8]
