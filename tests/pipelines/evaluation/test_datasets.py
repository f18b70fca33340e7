import json
import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.datasets.manifest import read_manifest, write_manifest
from pipelines.evaluation.config import EvaluatedDataset
from pipelines.evaluation.datasets import OpenDataset, open_dataset
from pipelines.storage import open_store
from rssr.errors import DataError
from rssr.images import encode_png
from tests.pipelines.evaluation.small import picture, write_images


def opened(folder: Path, home: Path, **values: object) -> OpenDataset:
    config = EvaluatedDataset.model_validate({"name": "set", "uri": str(folder), **values})
    return open_dataset(config, open_store(str(home)), seed=3)


def test_all_images_are_listed_with_their_classes_and_written_down(tmp_path: Path) -> None:
    dataset = opened(write_images(tmp_path / "images", 5), tmp_path / "home")
    assert dataset.keys == tuple(sorted(f"class{n % 2}/image_{n:02d}.png" for n in range(5)))
    assert dataset.facts.classes == ("class0", "class1")
    assert (dataset.facts.num_images, dataset.facts.has_hr) == (5, True)
    folder, _, name = dataset.facts.manifest.rpartition("/")
    assert read_manifest(open_store(folder), name).digest == dataset.facts.digest
    assert not dataset.failures


def test_as_many_as_asked_for_are_spread_over_the_classes_the_same_every_time(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images", 12, num_classes=3)
    dataset = opened(folder, tmp_path / "home", num_images=6)
    assert Counter(record.class_name for record in dataset.manifest.records) == dict.fromkeys(dataset.facts.classes, 2)
    assert opened(folder, tmp_path / "other", num_images=6).keys == dataset.keys
    assert len(dataset.known) == 12


def test_equal_images_count_once_where_a_number_is_asked_for(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images", 4, num_classes=1)
    (folder / "class0/again.png").write_bytes((folder / "class0/image_00.png").read_bytes())
    assert len(opened(folder, tmp_path / "home").keys) == 5
    dataset = opened(folder, tmp_path / "home", num_images=4)
    assert len({record.sha256 for record in dataset.manifest.records}) == 4


def test_fewer_images_than_asked_for_are_all_taken_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = opened(write_images(tmp_path / "images", 2), tmp_path / "home", num_images=9)
    assert len(dataset.keys) == 2
    assert "9 images were asked for, and there are 2" in caplog.text


def test_one_unreadable_image_is_named_and_the_others_are_taken(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images", 3)
    (folder / "class0/broken.png").write_bytes(b"no picture")
    dataset = opened(folder, tmp_path / "home")
    assert len(dataset.keys) == 3
    [failure] = dataset.failures
    assert (failure.dataset, failure.key, failure.scale, failure.method) == ("set", "class0/broken.png", None, None)
    assert "broken.png is not a picture" in failure.reason


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({}, "The folder .* is empty"),
        ({"notes.txt": b"words"}, "None of the 1 files .* is an image"),
        ({"a.png": b"no picture"}, "No image of .* can be used"),
    ],
)
def test_a_dataset_without_images_is_refused_by_name(tmp_path: Path, content: dict[str, bytes], problem: str) -> None:
    (tmp_path / "images").mkdir()
    for name, data in content.items():
        (tmp_path / "images" / name).write_bytes(data)
    with pytest.raises(DataError, match=f"Dataset 'set': {problem}") as raised:
        opened(tmp_path / "images", tmp_path / "home")
    assert "data." not in raised.value.remedy


def test_a_manifest_names_exactly_the_images_of_an_earlier_evaluation(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images", 8)
    before = opened(folder, tmp_path / "home", num_images=3)
    write_images(folder, 9)  # one more
    again = opened(folder, tmp_path / "other", manifest=before.facts.manifest)
    assert again.keys == before.keys
    assert again.facts.digest == before.facts.digest
    assert len(again.known) == 9


def test_the_images_of_a_manifest_may_have_been_moved(tmp_path: Path) -> None:
    before = opened(write_images(tmp_path / "images", 2), tmp_path / "home")
    (tmp_path / "images").rename(tmp_path / "moved")
    assert opened(tmp_path / "moved", tmp_path / "home", manifest=before.facts.manifest).keys == before.keys


def test_changed_and_missing_images_of_a_manifest_are_refused_by_name(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images", 4)
    before = opened(folder, tmp_path / "home")
    (folder / before.keys[0]).write_bytes(encode_png(picture(50)))
    (folder / before.keys[3]).unlink()
    with pytest.raises(DataError, match=r"2 of the 4 images .* no longer what they were") as raised:
        opened(folder, tmp_path / "home", manifest=before.facts.manifest)
    assert f"{before.keys[0]} has changed" in raised.value.problem
    assert f"{before.keys[3]} is gone" in raised.value.problem


def test_a_manifest_of_training_gives_its_held_out_images(tmp_path: Path) -> None:
    before = opened(write_images(tmp_path / "images", 4), tmp_path / "home")
    path = Path(before.facts.manifest) / "manifest.json"
    store, records = open_store(str(path.parent.parent)), list(before.manifest.records)
    records[0] = replace(records[0], split="train")
    write_manifest(replace(before.manifest, records=tuple(records)), store, "training")
    assert json.loads((path.parent.parent / "training/manifest.json").read_text())["num_train"] == 1
    again = opened(tmp_path / "images", tmp_path / "home", manifest=str(path.parent.parent / "training"))
    assert again.keys == before.keys[1:]


def test_pairs_are_found_by_name_and_what_is_missing_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hr = write_images(tmp_path / "hr", 4, num_classes=1)
    lr = write_images(tmp_path / "lr", 3, (16, 16), num_classes=1)
    (lr / "class0/image_01.png").write_bytes(b"no picture")
    (lr / "class0/stray.png").write_bytes(encode_png(picture(9, 16, 16)))
    with caplog.at_level(logging.WARNING):
        dataset = opened(hr, tmp_path / "home", lr_uri=str(lr))
    assert [image is not None for image in dataset.lr_images] == [True, False, True, False]
    reasons = {failure.key: failure.reason for failure in dataset.failures}
    assert list(reasons) == ["class0/image_01.png", "class0/image_03.png"]
    assert "no picture" not in reasons["class0/image_01.png"]
    assert "not a picture" in reasons["class0/image_01.png"]
    assert "no file of its name" in reasons["class0/image_03.png"]
    [notice] = dataset.notices
    assert "1 image belongs to none of set" in notice
    assert "stray.png" in notice


def test_pairs_of_which_there_is_none_are_refused(tmp_path: Path) -> None:
    hr = write_images(tmp_path / "hr", 2)
    (tmp_path / "lr").mkdir()
    (tmp_path / "lr/other.png").write_bytes(encode_png(picture(9, 16, 16)))
    with pytest.raises(DataError, match="Dataset 'set': None of its 2 HR images has an LR image"):
        opened(hr, tmp_path / "home", lr_uri=str(tmp_path / "lr"))
