from pathlib import Path

import pytest

from rssr.errors import StorageError
from rssr.publish import write_aside


def test_a_file_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "scene.tif"
    with write_aside(target) as path:
        path.write_bytes(b"half")
        assert not target.exists()
        path.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
    assert list(target.parent.iterdir()) == [target]


def test_readers_see_the_old_file_until_then(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    with write_aside(target) as path:
        path.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    with pytest.raises(failure), write_aside(target) as path:
        path.write_text("half")
        raise failure
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_path_aside_keeps_the_ending_and_is_hidden(tmp_path: Path) -> None:
    with write_aside(tmp_path / "scene.tif") as path:
        assert path.suffix == ".tif"
        assert path.name.startswith(".")
        path.touch()


def test_two_writers_at_once_do_not_meet(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with write_aside(target) as one, write_aside(target) as other:
        one.write_text("one")
        other.write_text("other")
    assert target.read_text() == "one"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"a\.txt cannot be written"), write_aside(tmp_path / "file" / "a.txt"):
        pass


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError), write_aside(tmp_path / "a.txt"):
        pass
    assert list(tmp_path.iterdir()) == []
