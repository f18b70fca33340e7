"""What a picture looks like in 64 bits, and in 16 by 16 grey levels: for finding it again after small changes.

The 64 bits are the signs of the 64 lowest frequencies (but the mean) of a discrete cosine transform of the picture's
luminance at 32 by 32 pixels: JPEG and resizing move few of them. Turning or mirroring the picture swaps or negates
frequencies, so the hash of each of the eight orientations follows from the hash alone. The small picture confirms what
the hash suggests. Both together take 264 bytes.
"""

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rssr.images import RgbImage

Hashes = NDArray[np.uint64]
Thumbnails = NDArray[np.uint8]  # [N, 16, 16]

NUM_BITS = 64
NUM_ORIENTATIONS = 8
THUMBNAIL_SIDE = 16

_SIDE = 32
_LAST_DIAGONAL = 10
_SMALLEST_SIDE = 8  # pixels; below that there are not 64 frequencies to speak of
_LEAST_CONTRAST = 1.0  # grey levels; flatter pictures differ by noise alone
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_FIRST_SIDE = 128  # reduced to in 8 bits, which bounds memory; the rest is done in floating point
_LEVELS_PER_DEVIATION = 32.0
_ALIGNED_SIDE = 64  # thumbnails are enlarged to this, so that places a quarter of their pixels apart are tried
_PART_SIDES = (1.0, 0.97, 0.94, 0.91, 0.88)


class Fingerprint(NamedTuple):
    """Of one picture.

    Attributes:
        phash: 64 bits.
        thumbnail: uint8 [16, 16]: luminance less its mean, 32 levels a standard deviation, around 128.
    """

    phash: int
    thumbnail: NDArray[np.uint8]


def fingerprint(pixels: RgbImage) -> Fingerprint | None:
    """The fingerprint of a picture, uint8 [H, W, 3]; None where it is too small or too flat to be told from others."""
    if min(pixels.shape[:2]) < _SMALLEST_SIDE:
        return None
    luminance = _small_luminance(pixels)
    rows, columns = _frequencies()
    cosines = _cosines()
    low = (cosines @ luminance @ cosines.T)[rows, columns]
    if np.sqrt(np.sum(low**2)) / _SIDE < _LEAST_CONTRAST:
        return None
    return Fingerprint(int(_pack(low[None] > 0)[0]), _thumbnail(luminance))


def oriented_hashes(hashes: Hashes, orientation: int) -> Hashes:
    """Hashes of the same pictures in one of eight orientations.

    Args:
        hashes: uint64 [N].
        orientation: 4 swaps rows and columns, then 2 mirrors top to bottom, then 1 left to right; sums combine.
    """
    bits = _unpack(hashes)
    rows, columns = _frequencies()
    if orientation & 4:
        place = {pair: number for number, pair in enumerate(zip(rows.tolist(), columns.tolist(), strict=True))}
        swapped = [place[column, row] for row, column in zip(rows.tolist(), columns.tolist(), strict=True)]
        bits = bits[:, swapped]
    negated = np.zeros(NUM_BITS, bool)
    if orientation & 2:
        negated ^= rows % 2 == 1
    if orientation & 1:
        negated ^= columns % 2 == 1
    return _pack(bits ^ negated)


def oriented_thumbnails(thumbnails: Thumbnails, orientation: int) -> Thumbnails:
    """Thumbnails [N, 16, 16] in one of eight orientations, see `oriented_hashes`."""
    if orientation & 4:
        thumbnails = thumbnails.transpose(0, 2, 1)
    if orientation & 2:
        thumbnails = thumbnails[:, ::-1]
    return thumbnails[:, :, ::-1] if orientation & 1 else thumbnails


def correlations(one: Thumbnails, other: Thumbnails) -> NDArray[np.float64]:
    """Correlation of each pair of thumbnails, [N, 16, 16] each, -1 to 1."""
    vectors = []
    for thumbnails in (one, other):
        flat = thumbnails.reshape(len(thumbnails), THUMBNAIL_SIDE**2).astype(np.float64)
        flat -= flat.mean(axis=1, keepdims=True)
        vectors.append(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9))
    result: NDArray[np.float64] = np.sum(vectors[0] * vectors[1], axis=1)
    return result


def aligned_correlation(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Correlation of two thumbnails [16, 16] where either may be a part of the other's picture, -1 to 1.

    The part is looked for at several sizes, down to three quarters of the whole's area, and at every place.
    """
    side = (_ALIGNED_SIDE, _ALIGNED_SIDE)
    large, also_large = (
        cv2.resize(thumbnail.astype(np.float32), side, interpolation=cv2.INTER_CUBIC) for thumbnail in (one, other)
    )
    highest = -1.0
    for whole, part in ((large, also_large), (also_large, large)):
        for share in _PART_SIDES:
            size = round(_ALIGNED_SIDE * share)
            small = cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA)
            highest = max(highest, float(cv2.matchTemplate(whole, small, cv2.TM_CCOEFF_NORMED).max()))
    return highest


def _small_luminance(pixels: RgbImage) -> NDArray[np.float32]:
    """float32 [32, 32], grey levels."""
    height, width = pixels.shape[:2]
    first = min(width, _FIRST_SIDE), min(height, _FIRST_SIDE)
    reduced = cv2.resize(pixels, first, interpolation=cv2.INTER_AREA) if first != (width, height) else pixels
    luminance = reduced.astype(np.float32) @ _LUMA
    grows = min(first) < _SIDE
    return np.asarray(
        cv2.resize(luminance, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR if grows else cv2.INTER_AREA), np.float32
    )


def _thumbnail(luminance: NDArray[np.float32]) -> NDArray[np.uint8]:
    pooled = luminance.reshape(THUMBNAIL_SIDE, 2, THUMBNAIL_SIDE, 2).mean(axis=(1, 3))
    centred = (pooled - pooled.mean()) / max(float(pooled.std()), 1e-6)
    levels: NDArray[np.uint8] = np.clip(np.round(centred * _LEVELS_PER_DEVIATION + 128), 0, 255).astype(np.uint8)
    return levels


@cache
def _frequencies() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column frequencies of the 64 bits: whole anti-diagonals, and the last without its middle.

    The set is closed under swapping rows and columns, which the orientations rely on.
    """
    pairs = [(row, total - row) for total in range(1, _LAST_DIAGONAL + 1) for row in range(total + 1)]
    kept = [pair for pair in pairs if pair != (_LAST_DIAGONAL // 2, _LAST_DIAGONAL // 2)]
    rows, columns = zip(*kept, strict=True)
    return np.array(rows), np.array(columns)


@cache
def _cosines() -> NDArray[np.float32]:
    """Orthonormal DCT-II of length 32, its first 11 rows."""
    frequency = np.arange(_LAST_DIAGONAL + 1)[:, None]
    position = np.arange(_SIDE)[None] + 0.5
    scale = np.where(frequency == 0, np.sqrt(1 / _SIDE), np.sqrt(2 / _SIDE))
    return np.asarray(scale * np.cos(np.pi / _SIDE * frequency * position), np.float32)


def _pack(bits: NDArray[np.bool_]) -> Hashes:
    """Bits [N, 64] to uint64 [N], the first bit lowest."""
    octets = np.ascontiguousarray(np.packbits(bits, axis=1, bitorder="little"))
    return octets.view("<u8")[:, 0].astype(np.uint64)


def _unpack(hashes: Hashes) -> NDArray[np.bool_]:
    octets = np.ascontiguousarray(hashes, dtype="<u8").view(np.uint8).reshape(len(hashes), 8)
    return np.unpackbits(octets, axis=1, bitorder="little").astype(bool)
