import pytest

from pipelines.catalogue import Label
from pipelines.catalogue.aid import AID
from pipelines.catalogue.nwpu_resisc45 import NWPU_RESISC45


@pytest.mark.parametrize(
    ("key", "class_name"),
    [
        ("AID/StorageTanks/storagetanks_360.jpg", "StorageTanks"),
        ("aid/storagetanks/STORAGETANKS_1.JPG", "StorageTanks"),
        ("Airport/airport_285.png", "Airport"),  # saved anew by somebody
    ],
)
def test_classes_are_spelled_as_published(key: str, class_name: str) -> None:
    assert AID.label(key) == Label(class_name, None)


@pytest.mark.parametrize(
    "key",
    [
        "Airport/airport_1.txt",
        "Airport/beach_1.jpg",
        "Airport/airport.jpg",
        "Airport/.airport_1.jpg",
        "__MACOSX/Airport/airport_1.jpg",
        "Airport/@eaDir/airport_1.jpg",
        "airport_1.jpg",
        "Airport/small/airport_1.jpg",
        "Volcano/volcano_1.jpg",
    ],
)
def test_what_is_no_image_of_the_dataset_has_no_label(key: str) -> None:
    assert AID.label(key) is None


def test_classes_of_two_words() -> None:
    for folder in ("thermal_power_station", "Thermal Power Station", "thermal-power-station"):
        label = NWPU_RESISC45.label(f"NWPU/{folder}/thermal_power_station_007.jpg")
        assert label == Label("thermal_power_station")


def test_counts_are_those_of_the_papers() -> None:
    assert (len(AID.facts.class_counts), sum(AID.facts.class_counts.values())) == (30, 10_000)
    assert (min(AID.facts.class_counts.values()), max(AID.facts.class_counts.values())) == (220, 420)
    assert (len(NWPU_RESISC45.facts.class_counts), set(NWPU_RESISC45.facts.class_counts.values())) == (45, {700})
