"""What inputs name must lie in allowed places, where there are such."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.bulk.run import run_bulk
from pipelines.storage.allowed import AllowedPlaces, PlaceRefused
from rssr.errors import DataError, ExitCode, RssrError
from tests.pipelines.bulk.imagery import Place, as_json, item, png, tif, zipped
from tests.pipelines.bulk.inputs.test_opening import pixels

BASELINE = {"s2:product_type": "S2MSI2A", "s2:processing_baseline": "05.09"}


def guarded(place: Place) -> Place:
    """The same place, beside which nothing may be read."""
    return Place(place.root, replace(place.settings, places=AllowedPlaces((place.uri,))))


@pytest.fixture
def secret(place: Place) -> str:
    """An image beside the inputs."""
    Place(f"{place.root}/secret", place.settings).put("a.tif", tif())
    return f"{place.root}/secret/in/a.tif"


def test_inputs_lie_in_allowed_places(place: Place, secret: str) -> None:
    place.put("a.tif", tif())
    assert guarded(place).names(place.uri, f"{place.uri}/*.tif") == ["a"]
    for outside in (secret, place.root, f"{place.root}/*/a.tif", f"{place.uri}/../secret/in/a.tif"):
        with pytest.raises(PlaceRefused):
            guarded(place).find(outside)


def test_lines_of_lists_lie_there_too(place: Place, secret: str) -> None:
    place.put("a.tif", tif())
    inside = place.put("inside.txt", f"a.tif\n{place.uri}/a.tif\n".encode())
    assert guarded(place).names(inside) == ["a"]
    for line in (secret, "https://169.254.169.254/latest", f"{secret}.zip!/x.tif", "/etc/passwd"):
        with pytest.raises(PlaceRefused):
            guarded(place).find(place.put("outside.txt", line.encode()))


@pytest.mark.parametrize("names", [("B04", "B03", "B02"), ("image",)])
def test_images_of_items_that_lie_elsewhere_are_not_read(place: Place, secret: str, names: tuple[str, ...]) -> None:
    for number, href in enumerate((secret, "../secret/in/a.tif", "http://127.0.0.1:9/a.tif")):
        place.put(f"{number}.json", as_json(item(f"I{number}", dict.fromkeys(names, href), **BASELINE)))
    place.put("inside.json", as_json(item("inside", {"image": "./a.tif"})))
    place.put("a.tif", tif())
    scenes = {scene.name: scene for scene in guarded(place).find()}
    assert scenes.keys() == {"0", "1", "2", "inside"}
    assert pixels(guarded(place), scenes.pop("inside")).shape == (3, 24, 20)
    for scene in scenes.values():
        with pytest.raises(RssrError, match=r"not there|may be read"):
            pixels(guarded(place), scene)


def test_items_in_archives_reach_nothing_outside(place: Place, secret: str) -> None:
    packed = {"i.json": as_json(item("I", {"image": secret})), "b.png": png()}
    archive = place.put("upload.zip", zipped(packed))
    only = Place(place.root, replace(place.settings, places=AllowedPlaces((archive,))))
    scenes = {scene.name: scene for scene in only.find(archive)}
    assert pixels(only, scenes["b"]).shape == (3, 24, 20)
    with pytest.raises(DataError, match="may be read"):
        pixels(only, scenes["i"])


def test_links_out_are_refused_scene_by_scene(local: Place, tmp_path: Path) -> None:
    (tmp_path / "secret.tif").write_bytes(tif())
    local.put("a.tif", tif())
    (tmp_path / "in" / "link.tif").symlink_to(tmp_path / "secret.tif")
    a, link = guarded(local).find()
    assert pixels(guarded(local), a).shape == (3, 24, 20)
    with pytest.raises(PlaceRefused):
        pixels(guarded(local), link)


def test_a_run_keeps_to_its_places(local: Place, tmp_path: Path) -> None:
    (tmp_path / "secret.tif").write_bytes(tif())
    local.put("a.tif", tif())
    local.put("b.json", as_json(item("B", {"image": f"{tmp_path}/secret.tif"})))
    status = run_bulk(local.config(read_places=[local.uri], model="bicubic"))
    assert status is ExitCode.COMPLETED_WITH_FAILURES
    assert local.output.exists("a.tif") and not local.output.exists("b.tif")
