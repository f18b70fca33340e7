"""Names of scenes are safe, and no two scenes' products share a file."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.bulk.inputs.found import FoundScene
from pipelines.bulk.inputs.names import LAYERS, name_scenes, safe_name
from pipelines.storage.store import clean_key


def found(base: str, ending: str = "tif", location: str = "s3://b/in") -> FoundScene:
    return FoundScene(base, ending, location, f"{base}.{ending}", "raster", 1, "v")


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("2021/T32TQS", "2021/T32TQS"),
        ("größe/Äcker & Höfe, 日本 (1)", "größe/Äcker & Höfe, 日本 (1)"),
        ("a/../b", "a/%2E%2E/b"),
        ("a//b", "a/%2F/b"),
        ("./.hidden", "%2E/%2Ehidden"),
        ("a\nb\x7f\u202e", "a%0Ab%7F%E2%80%AE"),
        ("50%?#*", "50%25%3F%23%2A"),
        ("_run/a", "%5Frun/a"),
        ("x/_run", "x/_run"),
        ("_work", "%5Fwork"),
        ("a.tif/b.tif", "a%2Etif/b.tif"),
        ("end. /a ", "end.%20/a%20"),
    ],
)
def test_what_troubles_stores_or_files_is_encoded(base: str, name: str) -> None:
    assert safe_name(base) == name


def test_long_names_are_cut_and_stay_apart() -> None:
    one, two = safe_name("x/" + "ü" * 300 + "1"), safe_name("x/" + "ü" * 300 + "2")
    assert one != two
    for name in (one, two):
        assert max(len(part.encode()) for part in name.split("/")) + len("_uncertainty.tif") < 255


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_every_key_becomes_a_key_that_stays_inside_and_hides_nothing(base: str) -> None:
    name = safe_name(base)
    assert clean_key(name) == name
    assert not any(part.startswith(".") for part in PurePosixPath(name).parts)
    assert name.isprintable()


@given(st.lists(st.text("ab./%_", min_size=1, max_size=6), unique=True, max_size=8))
def test_different_keys_become_different_names(bases: list[str]) -> None:
    assert len({safe_name(base) for base in bases}) == len(bases)


def test_layers_of_one_scene_do_not_meet_another_scene() -> None:
    names = name_scenes([found("a"), found("a_uncertainty"), found("b")], {})
    files = [f"{name}{layer}" for name in names for layer in LAYERS]
    assert len(set(files)) == len(files)
    assert names[2] == "b"


def test_capitals_alone_do_not_tell_names_apart() -> None:
    assert len({name.casefold() for name in name_scenes([found("A"), found("a")], {})}) == 2


def test_a_known_scene_keeps_its_name_and_new_ones_give_way() -> None:
    old, new = found("a"), found("a", "png")
    assert name_scenes([new, old], {old.identity: "a"})[1] == "a"
    assert name_scenes([new, old], {old.identity: "a"})[0].startswith("a_png_")


def test_names_told_apart_depend_on_the_scene_alone() -> None:
    one, two, three = found("a"), found("a", "png"), found("a", "jpg")
    first = name_scenes([one, two], {})
    assert name_scenes([three, two, one], {})[::-1][:2] == first


def test_scenes_of_two_inputs_with_equal_keys_are_told_apart() -> None:
    names = name_scenes([found("a"), found("a", location="s3://b/other")], {})
    assert len(set(names)) == 2
