"""What patterns of keys mean."""

from pathlib import Path

import pytest

from pipelines.bulk.inputs.patterns import is_pattern, matcher, split_pattern
from rssr.errors import ConfigError


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*.tif", ["a.tif", ".tif"], ["x/a.tif", "a.tiff", "atif"]),
        ("**/*.tif", ["a.tif", "x/a.tif", "x/y/a.tif"], ["a.png"]),
        ("**", ["a", "x/y/z"], []),
        ("x/**", ["x/a", "x/y/a"], ["x", "xa", "y/x/a"]),
        ("x/**/b?.tif", ["x/b1.tif", "x/y/z/b2.tif"], ["x/b.tif", "x/b12.tif", "xb1.tif"]),
        ("a[1]+(2)/*", ["a[1]+(2)/b"], ["a1+2/b", "a[1]+(2)/b/c"]),
        ("a**b", ["ab", "a/x/b"], ["b"]),
        ("*\n*", ["a\nb"], ["ab"]),
    ],
)
def test_stars_stay_in_their_folder_and_two_go_anywhere(pattern: str, matching: list[str], others: list[str]) -> None:
    matches = matcher(pattern)
    assert [key for key in [*matching, *others] if matches(key)] == matching


@pytest.mark.parametrize(
    ("uri", "fixed", "pattern"),
    [
        ("s3://b/in/**/*.tif", "s3://b/in", "**/*.tif"),
        ("s3://b/*", "s3://b", "*"),
        ("/data/x/a?.tif", "/data/x", "a?.tif"),
        ("/*.tif", "/", "*.tif"),
        ("in/*.tif", "in", "*.tif"),
        ("*.tif", str(Path.cwd()), "*.tif"),
    ],
)
def test_only_what_lies_below_the_fixed_part_is_listed(uri: str, fixed: str, pattern: str) -> None:
    assert is_pattern(uri)
    assert split_pattern(uri) == (fixed, pattern)


def test_a_bucket_must_be_named() -> None:
    with pytest.raises(ConfigError, match="Name the bucket"):
        split_pattern("s3://in-*/a.tif")


def test_files_that_are_there_and_addresses_on_the_web_are_no_patterns(tmp_path: Path) -> None:
    (tmp_path / "a*.tif").write_bytes(b"")
    assert not is_pattern(str(tmp_path / "a*.tif"))
    assert is_pattern(str(tmp_path / "b*.tif"))
    assert not is_pattern("https://example.com/a.tif?signature=1")
    assert not is_pattern("s3://b/in")
