"""Where tiles fade into each other, and where to look for steps there."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rssr.tiling import Span

SEGMENT = 64
"""SR pixels along a line whose mean is looked at: texture averages out, and a seam seldom changes its sign."""

_NARROW_NEIGHBOURS = {16: 2, 1: 4}
"""LR pixels between places that a step from pixel to pixel is compared with, and how many to either side; the first for
which there is ample room. JPEG leaves steps at every 8 or 16 pixels, where tiles often end: so do the places beside."""
_WIDE_NEIGHBOURS = 2  # the same for a step over the whole fading
_NARROWEST_FADING = 4  # SR pixels; below, a step over the fading is nearly one from pixel to pixel
_BOX_SHARE = 4  # of a fading's width, on either side of it, whose mean is taken


@dataclass(frozen=True)
class Probe:
    """A step across a line, and places to compare it with.

    Attributes:
        gap: SR pixels between the two sides.
        box: SR pixels of each side whose mean is taken.
        shifts: SR pixels from the line to the places that it is compared with.
    """

    gap: int
    box: int
    shifts: tuple[int, ...]

    @property
    def is_wide(self) -> bool:
        """Whether it goes over the whole fading."""
        return self.gap > 0

    def extent(self, middle: int) -> tuple[int, int]:
        """First and one-past-last place that is looked at, where the line lies before place `middle`."""
        before, after = self._halves
        return middle + min(0, *self.shifts) - before - self.box, middle + max(0, *self.shifts) + after + self.box

    def steps(self, means: NDArray[np.float64], middle: int) -> NDArray[np.float64]:
        """Steps of means [..., K] on the line and at the other places, [..., 1 + shifts]."""
        before, after = self._halves
        found = []
        for place in (middle, *(middle + shift for shift in self.shifts)):
            right, left = self._mean_from(means, place + after), self._mean_from(means, place - before - self.box)
            found.append(right - left)
        return np.stack(found, axis=-1)

    def _mean_from(self, means: NDArray[np.float64], place: int) -> NDArray[np.float64]:
        """Of the places of a box [..., K]."""
        if self.box == 1:
            return means[..., place]
        total: NDArray[np.float64] = np.add.reduce(means[..., place : place + self.box], axis=-1)
        return total / self.box

    @property
    def _halves(self) -> tuple[int, int]:
        return self.gap // 2, self.gap - self.gap // 2


@dataclass(frozen=True)
class SeamLine:
    """A line between two rows or columns of tiles.

    Attributes:
        place: SR row or column before which it lies: there both tiles count for half.
        reach: SR pixels to either side that the probes look at.
        probes: What is looked at.
    """

    place: int
    reach: int
    probes: tuple[Probe, ...]


def lines_of(spans: Sequence[Span], scale: float) -> list[SeamLine]:
    """All lines of an axis that have room beside them to compare with.

    Args:
        spans: The tiles along it.
        scale: SR pixels to an LR pixel.
    """
    places = [_fading(one, other) for one, other in pairwise(spans)]
    ends = [0, *((one + other) // 2 for (one, _), (other, _) in pairwise(places)), spans[-1].sr[1]]
    lines = []
    for index, (place, width) in enumerate(places):
        room = min(place - ends[index], ends[index + 1] - place)
        probes = tuple(probe for probe in (_narrow(room, scale), _wide(room, scale, width)) if probe.shifts)
        if probes:
            reach = max(abs(end) for probe in probes for end in probe.extent(0))
            lines.append(SeamLine(place, reach, probes))
    return lines


def middles_of(spans: Sequence[Span]) -> list[int]:
    """Where along an axis one tile after the other begins to count for more than the one before, SR pixels."""
    return [_fading(one, other)[0] for one, other in pairwise(spans)]


def _fading(one: Span, other: Span) -> tuple[int, int]:
    """Where the second of two tiles begins to count for more than the first, and the width over which both count."""
    start, stop = other.sr[0], one.sr[1]
    shared = stop - start
    if shared <= 0:
        return start, 0
    before, after = one.weight[len(one.weight) - shared :], other.weight[:shared]
    return start + int(np.argmax(after >= before)), int(np.count_nonzero((before > 0) & (after > 0)))


def _narrow(room: int, scale: float) -> Probe:
    for period, count in _NARROW_NEIGHBOURS.items():
        distances = {round(number * period * scale) for number in range(1, count + 1)}
        if period == 1 or 3 * max(distances) <= 2 * room:
            break
    shifts = sorted({sign * distance for distance in distances if distance < room for sign in (-1, 1)})
    return Probe(0, 1, tuple(shifts))


def _wide(room: int, scale: float, width: int) -> Probe:
    """Neighbours lie beyond the fading, so that what it hides is in none of them."""
    if width < _NARROWEST_FADING:
        return Probe(width, 1, ())
    box = max(1, width // _BOX_SHARE)
    step = scale * -(-(width + box) // scale)
    distances = {round(number * step) for number in range(1, _WIDE_NEIGHBOURS + 1)}
    farthest = room - box - (width + 1) // 2
    shifts = sorted({sign * distance for distance in distances if distance <= farthest for sign in (-1, 1)})
    return Probe(width, box, tuple(shifts))
