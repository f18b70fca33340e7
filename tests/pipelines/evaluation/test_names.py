import pytest

from pipelines.evaluation.names import match_names

KEYS = ["Airport/a_1.jpg", "Airport/a_2.jpg", "Beach/b_1.jpg"]


def test_images_are_found_with_and_without_folders_and_in_another_format() -> None:
    match = match_names(KEYS, ["b_1.png", "Airport/a_1.png", "a_2.tif"])
    assert match.found == ("Airport/a_1.png", "a_2.tif", "b_1.png")
    assert match.reasons == ("", "", "")
    assert match.extra == ()


def test_what_is_missing_is_told_and_what_is_left_over_is_named() -> None:
    match = match_names(KEYS, ["a_1.png", "stray.png", "Airport/other.png"])
    assert match.found == ("a_1.png", None, None)
    assert "no file of its name" in match.reasons[1]
    assert match.extra == ("Airport/other.png", "stray.png")


def test_images_that_were_not_chosen_are_no_strangers() -> None:
    match = match_names(KEYS[:1], ["a_1.png", "a_2.png", "b_1.png"], KEYS)
    assert match.found == ("a_1.png",)
    assert match.extra == ()


@pytest.mark.parametrize(
    ("keys", "others", "reason"),
    [
        (["A/1.png", "B/1.png"], ["1.png"], "2 images are called 1"),
        (["A/1.png"], ["A/1.png", "A/1.tif"], "several files have its name: A/1.png, A/1.tif"),
        (["A/1.png"], ["C/1.png", "D/1.png"], "several files have its name"),
    ],
)
def test_nothing_is_guessed(keys: list[str], others: list[str], reason: str) -> None:
    match = match_names(keys, others)
    assert set(match.found) == {None}
    assert reason in match.reasons[0]


def test_folders_tell_images_of_one_name_apart() -> None:
    match = match_names(["A/1.jpg", "B/1.jpg"], ["A/1.png", "B/1.png"])
    assert match.found == ("A/1.png", "B/1.png")
