import pytest

from pipelines.catalogue import Label
from pipelines.catalogue.dota import DotaLayout


@pytest.mark.parametrize(
    ("key", "split"),
    [
        ("images/P0706.png", None),
        ("P0706.png", None),
        ("DOTA/train/images/P0001.png", "train"),
        ("DOTA/val/images/part1/images/P0003.png", "val"),
        ("test/P0006.PNG", "test"),
        ("DOTA-v1.0_Test/part 2/P0006.png", "test"),
        ("train/val/images/P0001.png", "val"),
    ],
)
def test_images_and_their_split(key: str, split: str | None) -> None:
    assert DotaLayout().label(key) == Label(None, split)  # type: ignore[arg-type]  # one of the literals above


@pytest.mark.parametrize(
    "key", ["train/labelTxt/P0706.txt", "images/demo.png", "images/P7.png", "forest/P0706.png", "images/.P0706.png"]
)
def test_what_is_no_image_of_the_dataset_has_no_label(key: str) -> None:
    assert DotaLayout().label(key) is None
