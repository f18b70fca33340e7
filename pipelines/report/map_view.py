"""The part of the globe that a map shows, and where on the map places lie."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

Bounds = tuple[float, float, float, float]
"""West, south, east, north, degrees; west is larger than east across the antimeridian."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, units of the drawing."""

_WIDTH = 1000.0
_MARGIN = 0.08  # of what is shown, left free on each side
_SMALLEST_SPAN = 0.002  # degrees: a scene of a few pixels is no map
_FLATTEST, _STEEPEST = 0.42, 0.75  # height by width
_WHOLE_TURN = 300.0  # degrees of longitude from which all of them are shown
_STEPS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 45.0)
_MOST_LINES = 6  # of the graticule in each direction
_NEAR_EDGE = 4.0  # percent of the drawing


@dataclass(frozen=True)
class GraticuleLine:
    """A meridian or parallel.

    Attributes:
        at: Its place, units of the drawing.
        share: The same as percentage of the drawing's width or height.
        text: Its name, e.g. `12.5° E`; empty near the drawing's corners.
    """

    at: float
    share: float
    text: str


@dataclass(frozen=True)
class MapView:
    """A rectangle of longitudes and latitudes as a drawing in which a degree is as long in both directions.

    Attributes:
        west: Left edge, degrees from -180.
        east: Right edge; may lie beyond 180.
        south: Lower edge.
        north: Upper edge.
    """

    west: float
    east: float
    south: float
    north: float

    @classmethod
    def around(cls, scenes: Sequence[Bounds]) -> "MapView":
        """What shows all scenes, in one piece if they do not go all round the globe.

        Args:
            scenes: One at least.
        """
        west, east = _longitudes(scenes)
        south, north = min(bounds[1] for bounds in scenes), max(bounds[3] for bounds in scenes)
        across, along = max(east - west, _SMALLEST_SPAN), max(north - south, _SMALLEST_SPAN)
        shrink = _shrink((south + north) / 2)
        ratio = min(max(along / (across * shrink), _FLATTEST), _STEEPEST)
        across = min(max(across, along / ratio / shrink) * (1 + 2 * _MARGIN), 360.0)
        along = max(along * (1 + 2 * _MARGIN), across * shrink * ratio)
        middle = ((west + east) / 2, min(max((south + north) / 2, along / 2 - 90.0), 90.0 - along / 2))
        if across >= _WHOLE_TURN:
            return cls(-180.0, 180.0, max(middle[1] - along / 2, -90.0), min(middle[1] + along / 2, 90.0))
        left = middle[0] - across / 2
        left -= 360.0 * math.floor((left + 180.0) / 360.0)
        return cls(left, left + across, max(middle[1] - along / 2, -90.0), min(middle[1] + along / 2, 90.0))

    @property
    def width(self) -> float:
        """Of the drawing."""
        return _WIDTH

    @cached_property
    def height(self) -> float:
        """Of the drawing."""
        return round((self.north - self.south) * self._units_along, 1)

    @property
    def _units_across(self) -> float:
        return _WIDTH / (self.east - self.west)

    @property
    def _units_along(self) -> float:
        return self._units_across / _shrink((self.south + self.north) / 2)

    def boxes(self, bounds: Bounds) -> list[Box]:
        """Where a scene lies: two pieces where the map's edge cuts it."""
        left, right = self._ends(bounds)
        top, bottom = (self.north - bounds[3]) * self._units_along, (self.north - bounds[1]) * self._units_along
        if right <= self.east + 1e-9:
            return [(self._x(left), top, self._x(right), bottom)]
        return [
            (self._x(left), top, self._x(self.east), bottom),
            (self._x(self.west), top, self._x(right - 360.0), bottom),
        ]

    def middle(self, bounds: Bounds) -> tuple[float, float]:
        """The middle of a scene, within the drawing."""
        left, right = self._ends(bounds)
        longitude = (left + right) / 2
        x = self._x(longitude - 360.0 if longitude > self.east else longitude)
        return x, (self.north - (bounds[1] + bounds[3]) / 2) * self._units_along

    @cached_property
    def meridians(self) -> list[GraticuleLine]:
        """Lines of longitude."""
        lines = []
        for value in _ticks(self.west, self.east):
            plain = math.remainder(value, 360.0)
            lines.append(self._line(self._x(value), _WIDTH, plain, ("E", "W")))
        return lines

    @cached_property
    def parallels(self) -> list[GraticuleLine]:
        """Lines of latitude."""
        ticks = _ticks(self.south, self.north)
        return [self._line((self.north - at) * self._units_along, self.height, at, ("N", "S")) for at in ticks]

    def _line(self, at: float, length: float, degrees: float, sides: tuple[str, str]) -> GraticuleLine:
        is_plain = abs(degrees) < 1e-9 or abs(abs(degrees) - 180.0) < 1e-9
        side = "" if is_plain else f" {sides[0] if degrees > 0 else sides[1]}"
        share = 100 * at / length
        is_named = _NEAR_EDGE <= share <= 100 - _NEAR_EDGE
        text = f"{abs(round(degrees, 4)):g}°{side}" if is_named else ""
        return GraticuleLine(round(at, 2), round(share, 2), text)

    def _ends(self, bounds: Bounds) -> tuple[float, float]:
        """West and east end, the first within the view."""
        west, _, east, _ = bounds
        left = west - 360.0 * math.floor((west - self.west) / 360.0 + 1e-12)
        return left, left + _across(west, east)

    def _x(self, longitude: float) -> float:
        return (longitude - self.west) * self._units_across


def _longitudes(scenes: Sequence[Bounds]) -> tuple[float, float]:
    """West and east end of all scenes: the circle without the widest gap between them."""
    spans = sorted((west % 360.0, west % 360.0 + _across(west, east)) for west, _, east, _ in scenes)
    reach, widest, begin = max(spans[0][1], max(east for _, east in spans) - 360.0), 0.0, -180.0
    for west, east in [*spans[1:], (spans[0][0] + 360.0, 0.0)]:
        if west - reach > widest:
            widest, begin = west - reach, west
        reach = max(reach, east)
    return begin, begin + 360.0 - widest


def _across(west: float, east: float) -> float:
    """Degrees from west to east."""
    return east - west + (360.0 if east < west else 0.0)


def _ticks(low: float, high: float) -> list[float]:
    step = next((step for step in _STEPS if (high - low) / step <= _MOST_LINES), 90.0)
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _shrink(latitude: float) -> float:
    """Length of a degree of longitude by that of a degree of latitude."""
    return max(math.cos(math.radians(latitude)), 0.2)
