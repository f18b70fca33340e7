"""Pairs of hashes that differ in few bits, found through buckets instead of comparing every pair.

The 64 bits are cut into four bands of 16. Two hashes that differ in at most `d` bits differ in at most `d // 4` bits
in one of the bands, so looking up every value that near in every band finds them all: 68 lookups a hash for `d` up to
7, 548 up to 11.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.ingest.fingerprint import (
    NUM_BITS,
    NUM_ORIENTATIONS,
    Hashes,
    Thumbnails,
    aligned_correlation,
    correlations,
    oriented_hashes,
    oriented_thumbnails,
)

MAX_DISTANCE = 15  # more bits make buckets useless, and pairs chance

_NUM_BANDS = 4
_BAND_BITS = NUM_BITS // _NUM_BANDS
_NUM_VALUES = 2**_BAND_BITS
_PAIRS_AT_ONCE = 2_000_000  # compared in one step: 80 MB
_QUERIES_AT_ONCE = 65_536

Ints = NDArray[np.int64]


class NearPairs(NamedTuple):
    """Pairs that look alike, sorted; arrays of one length.

    Attributes:
        one: Position in the first collection.
        other: Position in the second.
        distance: Bits in which the hashes differ, in the orientation where they differ least.
        orientation: Of the first that looks like the second, see `fingerprint.oriented_hashes`.
        correlation: Of the thumbnails in that orientation; where that is low, of one with a part of the other.
    """

    one: Ints
    other: Ints
    distance: Ints
    orientation: Ints
    correlation: NDArray[np.float64]


class Fingerprints(NamedTuple):
    """Of a collection of pictures: hashes uint64 [N] and thumbnails uint8 [N, 16, 16]."""

    hashes: Hashes
    thumbnails: Thumbnails


def near_pairs(one: Fingerprints, other: Fingerprints | None, max_distance: int, min_correlation: float) -> NearPairs:
    """Pairs that look alike in any of the eight orientations.

    Args:
        one: The first collection.
        other: The second; None looks for pairs within the first, each once.
        max_distance: Bits in which hashes may differ, up to 15.
        min_correlation: What the thumbnails must reach.
    """
    buckets = _Buckets((other or one).hashes, max_distance)
    found: list[tuple[Ints, Ints, Ints, Ints]] = []
    for orientation in range(NUM_ORIENTATIONS):
        hashes = oriented_hashes(one.hashes, orientation)
        for queries, matches, distance in buckets.matches(hashes):
            kept = queries < matches if other is None else np.ones(len(queries), bool)
            turned = np.full(int(kept.sum()), orientation, np.int64)
            found.append((queries[kept], matches[kept], distance[kept], turned))
    pairs = _nearest(found)
    likeness = _confirm(one.thumbnails, (other or one).thumbnails, pairs, min_correlation)
    sure = likeness >= min_correlation
    first, second, apart, turned_by = (column[sure] for column in pairs)
    return NearPairs(first, second, apart, turned_by, likeness[sure])


class _Buckets:
    """Hashes sorted by the value of each band."""

    def __init__(self, hashes: Hashes, max_distance: int) -> None:
        if not 0 <= max_distance <= MAX_DISTANCE:
            raise ValueError(f"max_distance is 0 to {MAX_DISTANCE}, got {max_distance}")
        self._hashes = hashes
        self._max_distance = max_distance
        self._order: list[Ints] = []
        self._starts: list[Ints] = []
        for band in range(_NUM_BANDS):
            values = _band(hashes, band)
            self._order.append(np.argsort(values, kind="stable"))
            counts = np.bincount(values, minlength=_NUM_VALUES)
            self._starts.append(np.concatenate([[0], np.cumsum(counts)]))

    def matches(self, queries: Hashes) -> Iterator[tuple[Ints, Ints, Ints]]:
        """Positions of queries, of hashes and their distances; a pair may come several times."""
        for first in range(0, len(queries), _QUERIES_AT_ONCE):
            part = queries[first : first + _QUERIES_AT_ONCE]
            for band in range(_NUM_BANDS):
                values = _band(part, band)
                for mask in _masks(self._max_distance // _NUM_BANDS):
                    for rows, found in self._members(values ^ mask, band):
                        distance = np.bitwise_count(part[rows] ^ self._hashes[found]).astype(np.int64)
                        near = distance <= self._max_distance
                        yield rows[near] + first, found[near], distance[near]

    def _members(self, values: Ints, band: int) -> Iterator[tuple[Ints, Ints]]:
        """For each value the hashes of its bucket, as rows of `values` and positions, some millions at a time."""
        starts = self._starts[band]
        counts = starts[values + 1] - starts[values]
        ends = np.cumsum(counts)
        row = 0
        while row < len(values):
            before = int(ends[row - 1]) if row else 0
            last = max(row + 1, int(np.searchsorted(ends, before + _PAIRS_AT_ONCE, side="right")))
            share = counts[row:last]
            rows = np.repeat(np.arange(row, last), share)
            within = np.arange(len(rows)) - np.repeat(np.cumsum(share) - share, share)
            if len(rows):
                yield rows, self._order[band][starts[values[rows]] + within]
            row = last


def _band(hashes: Hashes, band: int) -> Ints:
    shift = np.uint64(band * _BAND_BITS)
    return ((hashes >> shift) & np.uint64(_NUM_VALUES - 1)).astype(np.int64)


def _masks(radius: int) -> list[int]:
    """All values of a band with at most `radius` bits."""
    chosen = (bits for count in range(radius + 1) for bits in itertools.combinations(range(_BAND_BITS), count))
    return [sum(1 << bit for bit in bits) for bits in chosen]


def _nearest(found: list[tuple[Ints, Ints, Ints, Ints]]) -> tuple[Ints, Ints, Ints, Ints]:
    """Each pair once, in the orientation in which it differs least, sorted."""
    columns = [np.concatenate([part[number] for part in found] or [np.empty(0, np.int64)]) for number in range(4)]
    one, other, distance, orientation = columns
    order = np.lexsort((orientation, distance, other, one))
    one, other, distance, orientation = (column[order] for column in columns)
    is_first = np.ones(len(one), bool)
    is_first[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
    return one[is_first], other[is_first], distance[is_first], orientation[is_first]


def _confirm(
    one: Thumbnails, other: Thumbnails, pairs: tuple[Ints, Ints, Ints, Ints], min_correlation: float
) -> NDArray[np.float64]:
    first, second, _, orientation = pairs
    likeness = np.zeros(len(first))
    for turned in range(NUM_ORIENTATIONS):
        chosen = orientation == turned
        likeness[chosen] = correlations(oriented_thumbnails(one[first[chosen]], turned), other[second[chosen]])
    for pair in np.nonzero(likeness < min_correlation)[0]:
        seen = oriented_thumbnails(one[first[pair]][None], int(orientation[pair]))[0]
        likeness[pair] = aligned_correlation(seen, other[second[pair]])
    return likeness
