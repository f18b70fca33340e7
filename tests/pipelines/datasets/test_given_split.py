"""The dataset's own split, or that of published lists, instead of one drawn by chance."""

import json
import logging
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.datasets import DataConfig, Manifest, build_manifest, load_or_build_manifest
from pipelines.storage import open_store
from rssr.configuration import load_config
from rssr.errors import ConfigError, DataError

MakeImage = Callable[..., Path]


def config(**settings: Any) -> DataConfig:  # configuration keys
    return DataConfig.model_validate({"scale": 2, "degradation": "bicubic", **settings})


def build(folder: Path, **settings: Any) -> Manifest:  # configuration keys
    return build_manifest([str(folder)], config(**settings), 1)


def keys(manifest: Manifest, split: Any) -> list[str]:  # one of the two literals
    return [record.key for record in manifest.split(split)]


@pytest.fixture
def dota(tmp_path: Path, make_image: MakeImage) -> Path:
    for number, split in enumerate(("train", "train", "val", "test"), 1):
        make_image(f"{split}/images/P{number:04d}.png")
    return tmp_path / "data"


@pytest.fixture
def aid(tmp_path: Path, make_image: MakeImage) -> Path:
    for number in range(1, 5):
        make_image(f"AID/Airport/airport_{number}.png")
    make_image("AID/examples/figure.png")
    return tmp_path / "data"


def test_the_official_split_is_taken(dota: Path) -> None:
    manifest = build(dota, official_split=True)
    assert keys(manifest, "train") == ["train/images/P0001.png", "train/images/P0002.png"]
    assert keys(manifest, "test") == ["test/images/P0004.png"]
    assert [item.key for item in manifest.skipped] == ["val/images/P0003.png"]
    assert "neither trained on nor held out" in manifest.skipped[0].reason
    assert all(record.class_name is None for record in manifest.records)


def test_a_duplicate_of_a_test_image_is_held_out_too(dota: Path) -> None:
    shutil.copy(dota / "test/images/P0004.png", dota / "train/images/P0005.png")
    assert keys(build(dota, official_split=True), "test") == ["test/images/P0004.png", "train/images/P0005.png"]


def test_without_it_all_images_are_split_by_chance(dota: Path) -> None:
    manifest = build(dota, num_test=2)
    assert (len(manifest.split("train")), len(manifest.split("test")), manifest.skipped) == (2, 2, ())


def test_a_dataset_without_official_split_is_told(aid: Path) -> None:
    with pytest.raises(DataError, match=r"official test or train split. Layouts that have splits: dior, dota"):
        build(aid, official_split=True)


def test_half_an_official_split_is_told(dota: Path) -> None:
    shutil.rmtree(dota / "test")
    with pytest.raises(DataError, match="official test split"):
        build(dota, official_split=True, layout="dota")


def test_official_training_images_may_be_tested_elsewhere(tmp_path: Path, make_image: MakeImage) -> None:
    make_image("train/images/P0001.png")
    make_image("../other/river/a.png")
    manifest = build(tmp_path / "data", official_split=True, test_uri=str(tmp_path / "other"))
    assert (keys(manifest, "train"), keys(manifest, "test")) == (["train/images/P0001.png"], ["river/a.png"])


def test_images_that_do_not_belong_to_the_layout_are_listed(aid: Path) -> None:
    manifest = build(aid, layout="aid", num_test=1, max_corrupt_fraction=0)
    assert {record.class_name for record in manifest.records} == {"Airport"}
    assert [item.key for item in manifest.skipped] == ["AID/examples/figure.png"]
    assert "'aid'" in manifest.skipped[0].reason
    assert len(build(aid, num_test=1).records) == 5, "recognised as a plain folder, nothing is left out"


def test_the_layout_of_test_locations_is_recognised(aid: Path, tmp_path: Path, make_image: MakeImage) -> None:
    make_image("../other/Sea Ice/sea_ice_001.png")
    manifest = build(aid, layout="aid", test_uri=str(tmp_path / "other"))
    assert [record.class_name for record in manifest.split("test")] == ["sea_ice"]


def test_the_layout_of_test_locations_may_be_named_too(aid: Path, tmp_path: Path, make_image: MakeImage) -> None:
    for key in ("sea_ice/sea_ice_001.png", "sea_ice/sea_ice_002.png", "figures/overview.png"):
        make_image(f"../other/{key}")
    other = str(tmp_path / "other")
    manifest = build(aid, layout="aid", test_uri=other, test_layout="nwpu-resisc45")
    assert {record.class_name for record in manifest.split("test")} == {"sea_ice"}
    assert [item.reason for item in manifest.skipped if item.source == 1] == [
        "figures/overview.png does not lie where the layout 'nwpu-resisc45' has its images."
    ]
    assert "figures" in {record.class_name for record in build(aid, test_uri=other).split("test")}
    with pytest.raises(DataError, match=r"not DOTA as published.*or choose the layout folder"):
        build(aid, layout="aid", test_uri=other, test_layout="dota")


def test_what_is_missing_of_a_dataset_is_a_warning(dota: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        build(dota, num_test=1)
    assert "DOTA has 2,806 images; 4 of them are here." in caplog.text


def test_published_lists_split(aid: Path, tmp_path: Path) -> None:
    (tmp_path / "train.pkl").write_bytes(pickle.dumps(["D:\\AID\\Airport\\airport_1.jpg", "airport_2.jpg"]))
    (tmp_path / "test.json").write_text(json.dumps({"Airport": ["airport_3.jpg"]}))
    lists = {"train": str(tmp_path / "train.pkl"), "test": [str(tmp_path / "test.json")]}
    manifest = build(aid, split_lists=lists)
    assert keys(manifest, "train") == ["AID/Airport/airport_1.png", "AID/Airport/airport_2.png"]
    assert keys(manifest, "test") == ["AID/Airport/airport_3.png"]
    reasons = {item.key: item.reason for item in manifest.skipped}
    assert reasons.keys() == {"AID/Airport/airport_4.png", "AID/examples/figure.png"}
    assert all("on none of the split lists" in reason for reason in reasons.values())


def test_a_changed_list_makes_a_new_manifest(aid: Path, tmp_path: Path) -> None:
    store, lists = (
        open_store(str(tmp_path / "home")),
        {"train": str(tmp_path / "a.txt"), "test": str(tmp_path / "b.txt")},
    )
    (tmp_path / "a.txt").write_text("airport_1\nairport_2\n")
    (tmp_path / "b.txt").write_text("airport_3\n")

    def load() -> Manifest:
        return load_or_build_manifest(store, "manifest", [str(aid)], config(split_lists=lists), 1)

    assert len(load().records) == 3
    (tmp_path / "a.txt").write_text("airport_1\nairport_2\nairport_4\n")
    assert len(load().records) == 4


@pytest.mark.parametrize(
    "overrides",
    [
        ("official_split=true", "num_test=0"),
        ("num_test=3", "split_lists={train: a.txt, test: b.txt}"),
        ("official_split=true", "split_lists={train: a.txt, test: b.txt}"),
    ],
)
def test_one_thing_says_what_is_held_out(overrides: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        load_config(DataConfig, None, ("scale=4", "degradation=slimdiffsr", *overrides))
    with pytest.raises(ConfigError, match="layout"):
        load_config(DataConfig, None, ("scale=4", "degradation=slimdiffsr", "layout=imagenet"))
