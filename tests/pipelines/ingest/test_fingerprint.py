"""What of a picture the fingerprint keeps, and what it lets go."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.ingest.fingerprint import (
    NUM_ORIENTATIONS,
    Fingerprint,
    correlations,
    fingerprint,
    oriented_hashes,
    oriented_thumbnails,
)
from pipelines.stages.read import oriented
from tests.pipelines.ingest.conftest import Pixels, picture


def mark(pixels: Pixels) -> Fingerprint:
    found = fingerprint(pixels)
    assert found is not None
    return found


def bits_apart(one: Fingerprint, other: Fingerprint) -> int:
    return int.bit_count(one.phash ^ other.phash)


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


@pytest.mark.parametrize("quality", [95, 60, 30])
def test_jpeg_moves_few_bits(quality: int) -> None:
    distances = [
        bits_apart(mark(pixels), mark(jpeg(pixels, quality)))
        for pixels in (picture("jpeg", n, height=256, width=256) for n in range(20))
    ]
    assert max(distances) <= 4


@pytest.mark.parametrize("size", [(128, 128), (100, 100), (400, 400), (37, 37), (300, 200)])
def test_resizing_moves_few_bits(size: tuple[int, int]) -> None:
    distances = [
        bits_apart(mark(pixels), mark(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)))
        for pixels in (picture("resize", n, height=256, width=256) for n in range(20))
    ]
    assert max(distances) <= 6


def test_brightness_and_contrast_move_few_bits() -> None:
    pixels = picture("brightness", height=200, width=200)
    changed = np.clip(pixels * 0.7 + 30, 0, 255).astype(np.uint8)
    assert bits_apart(mark(pixels), mark(changed)) <= 2


def test_different_pictures_differ_in_about_half_of_the_bits() -> None:
    marks = [mark(picture("different", n, height=96, width=96)) for n in range(40)]
    distances = [bits_apart(one, other) for n, one in enumerate(marks) for other in marks[:n]]
    assert 30 < np.mean(distances) < 34
    assert min(distances) > 10


@pytest.mark.parametrize("orientation", range(NUM_ORIENTATIONS))
def test_the_hash_of_an_orientation_follows_from_the_hash(orientation: int) -> None:
    for size in (64, 256):
        pixels = picture("turned", height=size, width=size)
        upright, turned = mark(pixels), mark(np.ascontiguousarray(oriented(pixels, orientation)))
        [derived] = oriented_hashes(np.array([upright.phash], np.uint64), orientation)
        assert int.bit_count(int(derived) ^ turned.phash) <= 1
        thumbnails = oriented_thumbnails(upright.thumbnail[None], orientation)
        assert correlations(thumbnails, turned.thumbnail[None])[0] > 0.999


def test_pictures_that_are_not_square_are_found_turned() -> None:
    pixels = picture("wide", height=120, width=300)
    turned = mark(np.ascontiguousarray(np.rot90(pixels)))
    hashes = [int(oriented_hashes(np.array([mark(pixels).phash], np.uint64), n)[0]) for n in range(NUM_ORIENTATIONS)]
    assert min(int.bit_count(value ^ turned.phash) for value in hashes) <= 2


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 400, 3), (400, 7, 3)])
def test_tiny_pictures_have_none(shape: tuple[int, int, int]) -> None:
    assert fingerprint(np.arange(np.prod(shape), dtype=np.uint32).astype(np.uint8).reshape(shape)) is None


def test_flat_pictures_have_none() -> None:
    flat = np.full((64, 64, 3), 130, np.uint8)
    noisy = flat + np.random.default_rng(0).integers(-2, 3, flat.shape).astype(np.uint8)
    assert fingerprint(flat) is None
    assert fingerprint(noisy) is None


def test_a_large_picture_is_like_itself_made_small() -> None:
    small = picture("large", height=300, width=300)
    large = cv2.resize(small, (4000, 4000), interpolation=cv2.INTER_CUBIC)
    assert bits_apart(mark(small), mark(large)) <= 2


def test_likeness_of_what_has_no_contrast_is_nothing() -> None:
    flat = np.full((1, 16, 16), 128, np.uint8)
    assert correlations(flat, flat)[0] == 0
