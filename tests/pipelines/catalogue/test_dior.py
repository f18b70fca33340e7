import pytest

from pipelines.catalogue import Label, recognise
from pipelines.catalogue.dior import DiorLayout
from rssr.errors import DataError

IMAGES = [
    "DIOR/JPEGImages-trainval/00001.jpg",
    "DIOR/JPEGImages-trainval/00002.jpg",
    "DIOR/JPEGImages-test/11726.jpg",
]
LISTS = {"DIOR/ImageSets/Main/train.txt": b"00001\r\n", "DIOR/ImageSets/Main/val.txt": b"00002\n"}


def labels_with(lists: dict[str, bytes]) -> list[Label | None]:
    layout = recognise([*IMAGES, *lists], read=lists.__getitem__)
    assert layout.name == "dior"
    return [layout.label(key) for key in IMAGES]


def test_folders_tell_training_and_test() -> None:
    assert labels_with({}) == [Label(None, "train"), Label(None, "train"), Label(None, "test")]


def test_numbers_tell_where_all_images_lie_together() -> None:
    layout = DiorLayout()
    assert layout.label("JPEGImages/11725.jpg") == Label(None, "train")
    assert layout.label("JPEGImages/11726.jpg") == Label(None, "test")


def test_official_lists_tell_validation() -> None:
    assert labels_with(LISTS) == [Label(None, "train"), Label(None, "val"), Label(None, "test")]


def test_lists_elsewhere_are_not_read() -> None:
    assert labels_with({"DIOR/other/val.txt": b"no numbers"}) == labels_with({})


@pytest.mark.parametrize("data", [b"00001 1\n", b"\xff\xfe0\x00", b"P0001", b"0" * 3 * 2**20])
def test_a_damaged_list_is_named(data: bytes) -> None:
    with pytest.raises(DataError, match=r"Main/val\.txt is no list"):
        labels_with({**LISTS, "DIOR/ImageSets/Main/val.txt": data})


def test_an_image_in_two_splits_is_named() -> None:
    with pytest.raises(DataError, match="names image 00001, which is in the split 'train' already"):
        labels_with({**LISTS, "DIOR/ImageSets/Main/val.txt": b"00001"})


@pytest.mark.parametrize("key", ["00001.jpg", "JPEGImages-trainval/1.jpg", "Annotations/00001.jpg"])
def test_what_is_no_image_of_the_dataset_has_no_label(key: str) -> None:
    assert DiorLayout().label(key) is None
