from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from rssr.sentinel2 import LocalFiles, Product, open_sentinel2
from rssr.sentinel2.product import moment, moments
from tests.sentinel2_products import FOUR, imagined_numbers, write_cog, write_item, write_safe

MOMENT = datetime(2023, 6, 3, 10, 26, 1, tzinfo=UTC)


def test_moments_are_in_utc() -> None:
    assert (
        moment("2023-06-03T10:26:01Z") == MOMENT == moment("2023-06-03T12:26:01+02:00") == moment("2023-06-03 10:26:01")
    )
    assert moment("2023-06-03T10:26:01.024Z") == MOMENT.replace(microsecond=24_000)


@pytest.mark.parametrize("text", [None, "", "2023-06-03", "yesterday", 7])
def test_what_is_no_moment_is_none(text: object) -> None:
    assert moment(text) is None


def test_one_moment_is_both_ends() -> None:
    assert moments("2023-06-03T10:26:01Z", None) == (MOMENT, MOMENT)
    assert moments("2023-06-03T10:26:01Z", "2023-06-03T10:00:00Z") == (MOMENT, MOMENT), "an end before the start"
    assert moments(None, "2023-06-03T10:26:01Z") is None


def test_a_day_is_known_from_its_first_to_its_last_second() -> None:
    product = Product("a", {}, taken=date(2023, 6, 3))
    first, last = product.acquired or (None, None)
    assert (first, last) == (datetime(2023, 6, 3, tzinfo=UTC), datetime(2023, 6, 3, 23, 59, 59, tzinfo=UTC))
    assert Product("a", {}).acquired is None


def test_scenes_tell_when_they_were_taken(tmp_path: Path) -> None:
    with open_sentinel2(write_safe(tmp_path), FOUR) as scene:
        assert scene.acquired == (MOMENT.replace(microsecond=24_000),) * 2
    (tmp_path / "item").mkdir()
    with open_sentinel2(
        write_item(tmp_path / "item", imagined_numbers(offset=0), {"scale": 1e-4, "offset": 0.0}), FOUR
    ) as scene:
        assert scene.acquired == (MOMENT, MOMENT)
    for band, values in imagined_numbers().items():
        write_cog(tmp_path / "files" / f"T32_20230603_N0509_{band}.tif", values)
    with open_sentinel2(LocalFiles(tmp_path / "files"), FOUR) as scene:
        assert scene.acquired is not None and scene.acquired[0].date() == date(2023, 6, 3)
