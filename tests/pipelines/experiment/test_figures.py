from collections.abc import Sequence

import pytest

from pipelines.datasets.manifest import ImageRecord, Manifest
from pipelines.experiment.figures import choose_images, shown_side


def manifest(sides: Sequence[int]) -> Manifest:
    images = [
        ImageRecord(f"{number:02}.png", 0, "test", None, side + number, side, 1, f"{number:064}")
        for number, side in enumerate(sides)
    ]
    images.append(ImageRecord("seen.png", 0, "train", None, 4096, 4096, 1, "f" * 64))
    return Manifest(("images",), tuple(images))


@pytest.mark.parametrize(
    ("side", "shown"), [(15, 0), (16, 16), (47, 32), (63, 48), (64, 64), (130, 128), (256, 256), (5000, 256)]
)
def test_what_is_shown_fits_networks_without_padding(side: int, shown: int) -> None:
    assert shown_side(side) == shown


def test_three_of_the_largest_held_out_images_are_shown() -> None:
    chosen = choose_images(manifest([300, 40, 256, 200, 900, 256, 257]))
    assert [record.key for record in chosen] == ["00.png", "04.png", "06.png"]


def test_fewer_where_there_are_fewer_and_none_that_is_too_small() -> None:
    assert [record.key for record in choose_images(manifest([15, 70, 10]))] == ["01.png"]
    assert choose_images(manifest([15, 3])) == []
    assert choose_images(manifest([])) == []
