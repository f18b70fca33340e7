"""Where a raster lies on the globe: its outline in degrees, as GeoJSON has it (RFC 7946)."""

import math
from dataclasses import dataclass
from typing import Any

import rasterio.warp
from affine import Affine

from rssr.raster.georeference import parse_crs

Ring = list[tuple[float, float]]

_GLOBE = "EPSG:4326"
_PARTS_OF_AN_EDGE = 20  # straight lines on a map are curves on the globe
_DIGITS = 7  # of a degree: a centimetre
_SLACK = 1e-5  # degrees, within which points lie on a line: a metre
_ROUNDING = 1e-9  # degrees


@dataclass(frozen=True)
class Footprint:
    """An outline on the globe.

    Attributes:
        geometry: GeoJSON: a Polygon, or where the outline crosses the antimeridian a MultiPolygon that is cut there.
        bbox: West, south, east, north, degrees; west is larger than east where the antimeridian is crossed.
    """

    geometry: dict[str, Any]
    bbox: tuple[float, float, float, float]


def footprint(transform: Affine, crs: str | None, size: tuple[int, int]) -> Footprint | None:
    """The outline of a raster's pixels, turned or not.

    Args:
        transform: The raster's transform.
        crs: As in `Raster.crs`.
        size: (H, W), pixels.

    Returns:
        None where the CRS is unknown, or has no place on the globe for a part of the outline.
    """
    if crs is None:
        return None
    ring = _on_the_globe(_outline(transform, size), crs)
    if ring is None:
        return None
    ring = _closed_over_pole(_simplified(_unrolled(ring)))
    first = min(longitude for longitude, _ in ring)
    turns = 360.0 * math.floor((first + 180.0) / 360.0)
    ring = [(longitude - turns, latitude) for longitude, latitude in ring]
    west, east = (end(longitude for longitude, _ in ring) for end in (min, max))
    south, north = (end(latitude for _, latitude in ring) for end in (min, max))
    if east <= 180.0 + _ROUNDING:
        polygon = {"type": "Polygon", "coordinates": [_written(ring)]}
        return Footprint(polygon, (_rounded(west), _rounded(south), _rounded(east), _rounded(north)))
    parts = [_cut(ring, -180.0, 180.0), [(lon - 360.0, lat) for lon, lat in _cut(ring, 180.0, 540.0)]]
    geometry = {"type": "MultiPolygon", "coordinates": [[_written(part)] for part in parts]}
    if east - west >= 360.0 - _ROUNDING:
        west, east = -180.0, 540.0
    return Footprint(geometry, (_rounded(west), _rounded(south), _rounded(east - 360.0), _rounded(north)))


def _outline(transform: Affine, size: tuple[int, int]) -> Ring:
    """Points along the edges of the pixels, in the CRS's coordinates; the first is not repeated."""
    height, width = size
    corners = [(0, 0), (0, height), (width, height), (width, 0)]
    points = []
    for (column, row), (next_column, next_row) in zip(corners, [*corners[1:], corners[0]], strict=True):
        for part in range(_PARTS_OF_AN_EDGE):
            share = part / _PARTS_OF_AN_EDGE
            points.append(transform * (column + (next_column - column) * share, row + (next_row - row) * share))
    return points


def _on_the_globe(points: Ring, crs: str) -> Ring | None:
    xs, ys = zip(*points, strict=True)
    parsed = parse_crs(crs)
    try:
        longitudes, latitudes = rasterio.warp.transform(parsed, _GLOBE, list(xs), list(ys))[:2]
    except Exception:  # GDAL's errors about single points have no public base
        return None
    if not all(math.isfinite(value) for value in (*longitudes, *latitudes)):
        return None
    return [(lon, min(max(lat, -90.0), 90.0)) for lon, lat in zip(longitudes, latitudes, strict=True)]


def _unrolled(ring: Ring) -> Ring:
    """The ring, closed, with longitudes that never jump by a turn; one around a pole does not end where it began."""
    unrolled = [ring[0]]
    for longitude, latitude in [*ring[1:], ring[0]]:
        last = unrolled[-1][0]
        unrolled.append((last + math.remainder(longitude - last, 360.0), latitude))
    return unrolled


def _closed_over_pole(ring: Ring) -> Ring:
    """The ring, without its repeated first point; one that goes round a pole is led along it."""
    start, end = ring[0][0], ring[-1][0]
    if abs(end - start) < 180.0:
        return ring[:-1]
    pole = math.copysign(90.0, sum(latitude for _, latitude in ring))
    return [*ring, (end, pole), (start, pole)]


def _simplified(ring: Ring) -> Ring:
    """A closed ring without points that lie on straight lines, but with its corners."""
    kept = [ring[0]]
    for corner in range(0, len(ring) - 1, _PARTS_OF_AN_EDGE):
        kept += _bends(ring[corner : corner + _PARTS_OF_AN_EDGE + 1])
    return kept


def _bends(edge: Ring) -> Ring:
    """Points of a curve behind its first one: the last, and those without which it would be another curve."""
    distances = [_distance(point, edge[0], edge[-1]) for point in edge]
    farthest = max(distances)
    if farthest < _SLACK:
        return [edge[-1]]
    middle = distances.index(farthest)
    return _bends(edge[: middle + 1]) + _bends(edge[middle:])


def _distance(point: tuple[float, float], start: tuple[float, float], end: tuple[float, float]) -> float:
    """How far a point lies off the line between two others, degrees."""
    across, along = end[0] - start[0], end[1] - start[1]
    area = (point[0] - start[0]) * along - (point[1] - start[1]) * across
    return abs(area) / (math.hypot(across, along) or 1.0)


def _cut(ring: Ring, west: float, east: float) -> Ring:
    """The part of a ring between two meridians."""
    for meridian, side in ((west, 1.0), (east, -1.0)):
        part: Ring = []
        for point, after in zip(ring, [*ring[1:], ring[0]], strict=True):
            inside, next_inside = (side * (longitude - meridian) >= 0.0 for longitude in (point[0], after[0]))
            if inside:
                part.append(point)
            if inside != next_inside:
                share = (meridian - point[0]) / (after[0] - point[0])
                part.append((meridian, point[1] + share * (after[1] - point[1])))
        ring = part
    return ring


def _written(ring: Ring) -> list[list[float]]:
    """Closed, counterclockwise, rounded."""
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, [*ring[1:], ring[0]], strict=True))
    ordered = ring if area >= 0 else ring[::-1]
    return [[_rounded(longitude), _rounded(latitude)] for longitude, latitude in (*ordered, ordered[0])]


def _rounded(value: float) -> float:
    return round(value, _DIGITS) + 0.0  # no minus before a zero
