"""Which dataset a listing is taken for, and what is said where it is not what was asked for."""

import pickle

import pytest

from pipelines.catalogue import LAYOUTS, Label, completeness, recognise
from rssr.errors import DataError, ExitCode

LISTINGS = {
    "aid": ["Airport/airport_1.jpg", "BareLand/bareland_12.jpg"],
    "nwpu-resisc45": ["airport/airport_001.jpg", "sea_ice/sea_ice_700.jpg"],
    "dota": ["images/P0706.png", "images/P1888.png"],
    "dior": ["JPEGImages-trainval/00001.jpg", "JPEGImages-test/11726.jpg"],
    "folder": ["farm/a.jpg", "harbour/b.png"],
}


@pytest.mark.parametrize("name", LISTINGS)
@pytest.mark.parametrize("top", ["", "DATA/", "a/b c/"])
def test_published_datasets_are_recognised_below_any_folder(name: str, top: str) -> None:
    junk = ["readme.txt", "Thumbs.db", "__MACOSX/._x.jpg", ".DS_Store", "labels/P0706.txt", "Annotations/00001.xml"]
    assert recognise([*junk, *(top + key for key in LISTINGS[name])]).name == name


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (["Airport/airport_100.jpg"], "aid"),
        (["airport/airport_100.jpg"], "nwpu-resisc45"),
        (["RIVER/river_1.jpg", "STORAGETANKS/storagetanks_2.JPG"], "aid"),
        (["Sea Ice/sea_ice_001.JPG"], "nwpu-resisc45"),
        (["airplane/airplane00.tif", "beach/beach01.tif"], "folder"),  # UC Merced: classes of the same names
        (["airport/airport_1.jpg", "airport/my_photograph.jpg"], "folder"),
        (["harbour/P0001.png"], "folder"),
        (["2024/00001.jpg"], "folder"),
        (["notes.txt"], "folder"),
        ([], "folder"),
    ],
)
def test_only_what_fits_wholly_is_taken_for_a_dataset(keys: list[str], name: str) -> None:
    assert recognise(keys).name == name


def test_a_layout_asked_for_overlooks_strangers() -> None:
    keys = [*LISTINGS["aid"], "figures/example.png"]
    layout = recognise(keys, "aid")
    assert [layout.label(key) for key in keys] == [Label("Airport"), Label("BareLand"), None]
    assert recognise(keys).name == "folder", "left alone, no image is lost"


def test_a_layout_that_does_not_fit_says_what_was_expected_and_found() -> None:
    with pytest.raises(DataError, match=r"not AID as published: 2 of 2 .*bareland_12.*Found: images/P0706") as caught:
        recognise(LISTINGS["dota"], "aid")
    assert "the layout dota" in caught.value.remedy
    assert caught.value.exit_code is ExitCode.BAD_INPUT


def test_a_layout_that_does_not_exist_is_named_with_what_was_meant() -> None:
    with pytest.raises(DataError, match=r"no layout 'diro'. Did you mean dior\?.*nwpu-resisc45"):
        recognise([], "diro")


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_travel_to_other_processes(name: str) -> None:
    copy = pickle.loads(pickle.dumps(LAYOUTS[name]))
    assert [copy.label(key) for key in LISTINGS[name]] == [LAYOUTS[name].label(key) for key in LISTINGS[name]]


def test_whole_datasets_leave_nothing_to_say() -> None:
    for layout in LAYOUTS.values():
        if layout.facts is not None:
            classes = [Label(name) for name, count in layout.facts.class_counts.items() for _ in range(count)]
            splits = [Label(None, name) for name, count in layout.facts.split_counts.items() for _ in range(count)]
            assert len(classes or splits) == layout.facts.num_images
            assert completeness(layout, classes or splits) == ()
    assert completeness(LAYOUTS["folder"], [Label("a")]) == ()


def test_what_is_missing_is_told() -> None:
    aid = completeness(LAYOUTS["aid"], [Label("Airport")] * 360 + [Label("Beach")] * 399)
    assert aid[0] == "AID has 10,000 images; 759 of them are here."
    assert "28 of its 30 classes are missing: BareLand" in aid[1]
    assert aid[2] == "1 classes are not whole: Beach 399 of 400."
    dota = completeness(LAYOUTS["dota"], [Label(None, "train")] * 1_411 + [Label(None, "val")] * 3)
    assert dota[1] == "The official splits are not whole: val 3 of 458, test 0 of 937."
    assert len(completeness(LAYOUTS["dota"], [Label()] * 5)) == 1, "without folders of splits there are none to miss"
