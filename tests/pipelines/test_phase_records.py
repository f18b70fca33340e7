import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.phase_records import PhaseFolder
from pipelines.storage import Store, open_store
from pipelines.storage.local import LocalStore
from rssr.errors import StorageError

DIGEST = "ab" * 32
FILES = {"model/config.json": b"{}", "model/weights.safetensors": bytes(range(200)), "card.yaml": b"name: x\n"}
VALUES: dict[str, Any] = {
    "num_steps": 12,
    "validation": {"psnr_db": 24.1},
    "losses": [{"step": 10.0, "l1": 0.1 + 0.2}],
    "validations": [{"step": 12.0, "psnr_db": 24.1}],
}


class Killed(BaseException):
    """The process ends here."""


class DyingStore(LocalStore):
    """A folder whose owner is killed at the n-th change, before or in the middle of it."""

    lives = 10**9

    def child(self, key: str) -> "DyingStore":
        return DyingStore(self._path(key))

    def write_bytes(self, key: str, data: bytes) -> None:
        self._spend()
        super().write_bytes(key, data)

    def delete(self, key: str) -> None:
        self._spend()
        super().delete(key)

    @staticmethod
    def _spend() -> None:
        DyingStore.lives -= 1
        if DyingStore.lives < 0:
            raise Killed


@pytest.fixture
def home(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "home"))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return write_output(tmp_path / "output", FILES)


def write_output(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def finished(home: Store, output: Path) -> PhaseFolder:
    folder = PhaseFolder(home, "student", DIGEST)
    folder.checkpoints.write_bytes("step-00000012/index.json", b"{}")
    folder.commit(output, **VALUES)
    return folder


def test_a_finished_phase_is_recognised_with_everything_it_recorded(home: Store, output: Path) -> None:
    finished(home, output)
    record = PhaseFolder(home, "student", DIGEST).record()
    assert record is not None
    assert {name: getattr(record, name) for name in VALUES} == VALUES
    assert set(record.files) == set(FILES)
    assert (record.phase, record.digest) == ("student", DIGEST)


def test_the_output_comes_back_as_it_was(home: Store, output: Path, tmp_path: Path) -> None:
    folder = finished(home, output).fetch_output(tmp_path / "work")
    assert {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    } == FILES


def test_a_phase_that_never_ran_has_no_record(home: Store) -> None:
    assert PhaseFolder(home, "student", DIGEST).record() is None


@pytest.mark.parametrize("digest", ["cd" * 32, DIGEST[:-1] + "0"])
def test_another_digest_is_another_phase_even_where_the_folder_is_the_same(
    home: Store, output: Path, digest: str
) -> None:
    finished(home, output)
    assert PhaseFolder(home, "student", digest).record() is None


@pytest.mark.parametrize("name", [*FILES])
@pytest.mark.parametrize("damage", ["gone", "shorter", "longer", "changed"])
def test_a_damaged_output_file_is_not_trusted(home: Store, output: Path, name: str, damage: str) -> None:
    folder = finished(home, output)
    key, data = f"output/{name}", FILES[name]
    if damage == "gone":
        folder.store.delete(key)
    else:
        changed = {"shorter": data[:-1], "longer": data + b"x", "changed": bytes([data[0] ^ 1]) + data[1:]}
        folder.store.write_bytes(key, changed[damage])
    assert folder.record() is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", "{}", '{"phase": "student"}', "\udc80"])
def test_a_record_that_is_none_is_not_trusted(home: Store, output: Path, text: str) -> None:
    folder = finished(home, output)
    folder.store.write_bytes("done.json", text.encode(errors="surrogateescape"))
    assert folder.record() is None


@pytest.mark.parametrize(
    ("name", "value"), [("files", []), ("files", None), ("files", {"../../x": ""}), ("files", {"a": 3}), ("more", 1)]
)
def test_a_record_of_another_shape_is_not_trusted(home: Store, output: Path, name: str, value: Any) -> None:
    folder = finished(home, output)
    values = json.loads(folder.store.read_bytes("done.json")) | {name: value}
    folder.store.write_bytes("done.json", json.dumps(values).encode())
    assert folder.record() is None


def test_a_record_without_its_done_file_is_not_trusted(home: Store, output: Path) -> None:
    folder = finished(home, output)
    folder.store.delete("done.json")
    assert folder.record() is None


@pytest.mark.parametrize("again", [False, True])
def test_a_commit_that_is_killed_anywhere_is_not_trusted(tmp_path: Path, again: bool) -> None:
    for lives in range(100):
        DyingStore.lives = 10**9
        home = DyingStore(tmp_path / str(lives))
        folder = PhaseFolder(home, "student", DIGEST)
        if again:  # over an older output of which one file was damaged since
            folder.commit(write_output(tmp_path / "old", FILES | {"older.txt": b"older"}), **VALUES)
            folder.store.write_bytes("output/card.yaml", b"damaged")
        output = write_output(tmp_path / "new", {name: data + b"new" for name, data in FILES.items()})
        DyingStore.lives = lives
        try:
            folder.commit(output, **VALUES)
        except Killed:
            DyingStore.lives = 10**9
            assert folder.record() is None
            continue
        DyingStore.lives = 10**9
        assert folder.record() is not None
        assert lives >= len(FILES) + 1
        return
    raise AssertionError("the commit never ended")


def test_a_new_commit_leaves_nothing_of_the_old_output(home: Store, tmp_path: Path, output: Path) -> None:
    folder = finished(home, output)
    folder.commit(write_output(tmp_path / "other", {"only.txt": b"1"}), **VALUES)
    assert [path.name for path in folder.fetch_output(tmp_path / "work").iterdir()] == ["only.txt"]


def test_equal_outputs_have_equal_digests_and_others_do_not(home: Store, tmp_path: Path, output: Path) -> None:
    digests = []
    for number, files in enumerate((FILES, FILES, FILES | {"card.yaml": b"name: y\n"}, FILES | {"more": b""})):
        folder = PhaseFolder(home, f"phase{number}", DIGEST)
        digests.append(folder.commit(write_output(tmp_path / str(number), files), **VALUES).output_digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_a_forgotten_phase_leaves_nothing_and_its_neighbours_all(home: Store, output: Path) -> None:
    forgotten = finished(home, output)
    kept = [PhaseFolder(home, "student", "cd" * 32), PhaseFolder(home, "teacher", DIGEST)]
    for folder in kept:
        folder.commit(output, **VALUES)
    forgotten.forget()
    assert forgotten.record() is None
    assert forgotten.store.list() == []
    assert not forgotten.store.has_folder()
    assert all(folder.record() is not None for folder in kept)


def test_a_phase_that_never_ran_can_be_forgotten(home: Store) -> None:
    PhaseFolder(home, "student", DIGEST).forget()


def test_forgetting_that_is_killed_anywhere_leaves_nothing_trusted(tmp_path: Path, output: Path) -> None:
    for lives in range(20):
        DyingStore.lives = 10**9
        folder = finished(DyingStore(tmp_path / str(lives)), output)
        DyingStore.lives = lives
        try:
            folder.forget()
        except Killed:
            DyingStore.lives = 10**9
            assert lives == 0 or folder.record() is None
    assert folder.record() is None


def test_a_store_that_does_not_answer_is_an_error_and_not_an_unfinished_phase(tmp_path: Path) -> None:
    (tmp_path / "locked").symlink_to(tmp_path / "locked")
    folder = PhaseFolder(open_store(str(tmp_path / "locked")), "student", DIGEST)
    with pytest.raises(StorageError, match="cannot be used"):
        folder.record()


def test_the_output_of_an_object_store_is_fetched_to_a_local_folder(output: Path, tmp_path: Path) -> None:
    folder = finished(open_store("memory://records/home"), output)
    assert folder.record() is not None
    fetched = folder.fetch_output(tmp_path / "work")
    assert fetched.is_relative_to(tmp_path / "work")
    assert {path.relative_to(fetched).as_posix() for path in fetched.rglob("*") if path.is_file()} == set(FILES)
    folder.forget()
    assert folder.record() is None
    assert folder.store.list() == []
