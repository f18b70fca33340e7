"""The service's own place is closed to callers."""

import pytest

from pipelines.serving.archives.places import overlap, require_apart
from pipelines.serving.problems import Problem


@pytest.mark.parametrize(
    "uri",
    [
        "s3://state/rssr",
        "s3://state/rssr/",
        "s3://STATE/rssr/archive-uploads/x.zip",
        "s3a://state//rssr/a.tif",
        "s3://state/rssr/x.zip!/inner",
        "s3://state/",
        "s3://state/**/*.tif",
        "s3://state/rs*/x",
    ],
)
def test_what_lies_in_it_or_around_it_is_refused(uri: str) -> None:
    with pytest.raises(Problem) as caught:
        require_apart(uri, "s3://state/rssr")
    assert caught.value.slug == "forbidden-place"


@pytest.mark.parametrize(
    "uri", ["s3://other/rssr", "s3://state/rssr2/x", "s3://state/in/*.tif", "/rssr", "https://a/b"]
)
def test_what_lies_beside_it_is_not(uri: str) -> None:
    require_apart(uri, "s3://state/rssr")


@pytest.mark.parametrize("uri", ["{0}", "{0}/x.tif", "{0}/../{1}/x", "/", "file://{0}/x", "file://{0}%2Fx"])
def test_local_places_are_told_apart_by_where_they_lead(tmp_path_factory: pytest.TempPathFactory, uri: str) -> None:
    root = tmp_path_factory.mktemp("state")
    with pytest.raises(Problem):
        require_apart(uri.format(root, root.name), str(root))
    require_apart(f"{root}2", str(root))


def test_links_are_followed(tmp_path_factory: pytest.TempPathFactory) -> None:
    root, elsewhere = tmp_path_factory.mktemp("state"), tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "link").symlink_to(root)
    with pytest.raises(Problem):
        require_apart(f"{elsewhere}/link/x", str(root))


@pytest.mark.parametrize(
    ("first", "second", "do_meet"),
    [
        ("/out", "/out/2026", True),
        ("/out/2026/", "/out", True),
        ("/out/a/../b", "file:///out/b", True),
        ("/out/2026", "/out/2025", False),
        ("/out", "s3://out", False),
        ("s3://", "s3://", True),
        ("s3://", "s3://out", False),
    ],
)
def test_outputs_meet_where_one_lies_in_the_other(first: str, second: str, do_meet: bool) -> None:
    assert overlap(first, second) == do_meet


@pytest.mark.parametrize("uri", ["s3://", "s3://key:secret@bucket/x"])
def test_what_is_no_address_is_told(uri: str) -> None:
    with pytest.raises(Problem) as caught:
        require_apart(uri, "/state")
    assert caught.value.slug == "invalid-request" and "secret" not in caught.value.detail
