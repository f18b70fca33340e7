"""Cutting patches: the right pixels, of the right image, within bounds."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pipelines.stages.read import ReadPatches, oriented
from pipelines.storage import ObjectMissing
from rssr.errors import DataError, ImageError
from rssr.images import encode_png
from rssr.seeds import numpy_generator


@dataclass(frozen=True)
class Stored:
    key: str
    sha256: str
    source: int = 0


@pytest.fixture
def stored(tmp_path: Path) -> tuple[list[Stored], list[np.ndarray]]:
    images, pictures = [], []
    for number in range(5):
        shape = (20 + number, 30 - number, 3)
        pixels = numpy_generator("picture", number).integers(0, 256, shape).astype(np.uint8)
        data = encode_png(pixels)
        folder = tmp_path / str(number % 2)
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.png").write_bytes(data)
        images.append(Stored(f"{number}.png", hashlib.sha256(data).hexdigest(), number % 2))
        pictures.append(pixels)
    return images, pictures


def _batch(image: list[int], flip: int = 0) -> dict[str, object]:
    count = len(image)
    return {
        "image": np.array(image),
        "top": np.arange(count) % 5,
        "left": (np.arange(count) * 2) % 7,
        "flip": np.full(count, flip),
        "patch_size": 16,
        "seed": np.arange(count),
    }


@pytest.mark.parametrize("max_cached_bytes", [0, 2000, 10**9])
def test_crops_hold_the_planned_pixels(
    stored: tuple[list[Stored], list[np.ndarray]], tmp_path: Path, max_cached_bytes: int
) -> None:
    images, pictures = stored
    reader = ReadPatches(images, [str(tmp_path / "0"), str(tmp_path / "1")], max_cached_bytes=max_cached_bytes)
    chosen = [3, 0, 3, 3, 1, 4, 2, 0, 0]
    for _ in range(2):
        batch = reader(_batch(chosen))
        assert batch["hr"].shape == (9, 16, 16, 3)
        assert batch["hr"].dtype == np.uint8
        assert batch["key"] == [f"{number}.png" for number in chosen]
        for hr, number, top, left in zip(batch["hr"], chosen, batch["top"], batch["left"], strict=True):
            assert np.array_equal(hr, pictures[number][top : top + 16, left : left + 16])
        assert batch["seed"] is not None, "what other stages need stays in the batch"


def test_cache_stays_within_its_bound(stored: tuple[list[Stored], list[np.ndarray]], tmp_path: Path) -> None:
    images, pictures = stored
    bound = pictures[0].nbytes + pictures[1].nbytes
    reader = ReadPatches(images, [str(tmp_path / "0"), str(tmp_path / "1")], max_cached_bytes=bound)
    for number in (0, 1, 2, 3, 4, 0):
        reader(_batch([number]))
        assert 0 < reader._cache.num_bytes <= bound
    for path in tmp_path.glob("*/0.png"):
        path.unlink()
    reader(_batch([0]))


def test_orientations_are_the_eight_of_the_square() -> None:
    patch = np.arange(9 * 3, dtype=np.uint8).reshape(3, 3, 3)
    seen = {oriented(patch, flip).tobytes() for flip in range(8)}
    assert len(seen) == 8
    turned = {np.rot90(patch, turns).tobytes() for turns in range(4)}
    mirrored = {np.rot90(patch[:, ::-1], turns).tobytes() for turns in range(4)}
    assert seen == turned | mirrored
    assert np.array_equal(oriented(patch, 1), patch[:, ::-1])
    assert np.array_equal(oriented(patch, 0), patch)


def test_changed_image_is_named(stored: tuple[list[Stored], list[np.ndarray]], tmp_path: Path) -> None:
    images, pictures = stored
    (tmp_path / "0" / "2.png").write_bytes(encode_png(255 - pictures[2]))
    with pytest.raises(DataError, match=r"0/2\.png has changed"):
        ReadPatches(images, [str(tmp_path / "0"), str(tmp_path / "1")])(_batch([0, 2]))


def test_missing_image_is_named(stored: tuple[list[Stored], list[np.ndarray]], tmp_path: Path) -> None:
    images, _ = stored
    (tmp_path / "1" / "3.png").unlink()
    with pytest.raises(ObjectMissing, match=r"1/3\.png"):
        ReadPatches(images, [str(tmp_path / "0"), str(tmp_path / "1")])(_batch([1, 3]))


def test_damaged_image_is_named(tmp_path: Path) -> None:
    data = b"not an image"
    (tmp_path / "bad.png").write_bytes(data)
    reader = ReadPatches([Stored("bad.png", hashlib.sha256(data).hexdigest())], [str(tmp_path)])
    with pytest.raises(ImageError, match=r"bad\.png"):
        reader.read_image(0)
