from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rssr.doctor import DoctorOptions, State
from rssr.doctor.golden import SCALE, Pixels, check_golden, compare, compute_golden, read_record, write_record

STEPS = ["scene", "degraded", "product"]


@pytest.fixture
def image() -> NDArray[np.uint8]:
    """Any picture."""
    return np.random.default_rng(1).integers(50, 200, (12, 40, 3), np.uint8)


def recorded(image: NDArray[np.uint8]) -> dict[str, Pixels]:
    return dict.fromkeys(STEPS, Pixels.of(image))


def test_the_golden_scene_is_as_recorded_but_for_rounding() -> None:
    finding = check_golden(DoctorOptions())
    assert finding.state is State.OK, finding.found


def test_what_is_as_recorded_is_told_step_by_step() -> None:
    record = read_record()
    finding = compare(record, record)
    assert finding.state is State.OK
    assert all(f"{step} {record[step].sha256[:8]}" in finding.found for step in STEPS)


def test_it_leaves_a_scene_and_its_product(tmp_path: Path) -> None:
    computed = compute_golden(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lr.tif", "product.tif"]
    assert list(computed) == list(read_record()) == STEPS
    (height, width, _), scene = computed["degraded"].shape, computed["scene"].shape
    assert computed["product"].shape == scene == (SCALE * height, SCALE * width, 3)


@pytest.mark.parametrize("step", STEPS)
def test_one_grey_level_of_one_pixel_breaks_the_checksum_and_counts_as_rounding(
    image: NDArray[np.uint8], step: str
) -> None:
    changed = image.copy()
    changed[5, 7, 1] += 1
    finding = compare(recorded(image) | {step: Pixels.of(changed)}, recorded(image))
    assert finding.state is State.OK
    assert f"but for rounding, which is each processor's own: '{step}' differs" in finding.found


def test_one_wrong_pixel_fails(image: NDArray[np.uint8]) -> None:
    changed = image.copy()
    changed[5, 7] += 50
    finding = compare(recorded(image) | {"degraded": Pixels.of(changed)}, recorded(image))
    assert finding.state is State.FAILED
    assert "'degraded' differs" in finding.found
    assert "constraints.txt" in finding.remedy


@pytest.mark.parametrize("spoil", [lambda image: image[::-1], lambda image: np.roll(image, 1, axis=0)])
def test_turned_and_shifted_pictures_fail(image: NDArray[np.uint8], spoil: "object") -> None:
    assert callable(spoil)
    finding = compare(recorded(image) | {"product": Pixels.of(spoil(image))}, recorded(image))
    assert finding.state is State.FAILED


def test_another_size_fails(image: NDArray[np.uint8]) -> None:
    finding = compare(recorded(image) | {"scene": Pixels.of(image[:, :-1])}, recorded(image))
    assert finding.state is State.FAILED


def test_rounding_in_one_step_hides_no_fault_in_the_next(image: NDArray[np.uint8]) -> None:
    rounded = image.copy()
    rounded[0, 0, 0] += 1
    computed = {"scene": Pixels.of(rounded), "degraded": Pixels.of(255 - image), "product": Pixels.of(image)}
    finding = compare(computed, recorded(image))
    assert finding.state is State.FAILED
    assert finding.found.startswith("'degraded' differs")


def test_the_first_step_that_differs_is_named(image: NDArray[np.uint8]) -> None:
    other = Pixels.of(255 - image)
    finding = compare({"scene": Pixels.of(image), "degraded": other, "product": other}, recorded(image))
    assert finding.found.startswith("'degraded' differs")


def test_a_record_is_read_as_it_was_written(image: NDArray[np.uint8], tmp_path: Path) -> None:
    write_record(recorded(image), tmp_path / "record.json")
    assert read_record(tmp_path / "record.json") == recorded(image)
