import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pipelines.storage import Store, open_store
from pipelines.tracking.backup import DatabaseBackup


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], DatabaseBackup]:
    """A machine's backup of the same output."""

    def make(name: str) -> DatabaseBackup:
        return DatabaseBackup(tmp_path / name / "mlflow.db", open_store(str(tmp_path / "store")), "mlflow.db")

    return make


def write(backup: DatabaseBackup, value: str) -> None:
    backup.database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(backup.database)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS values_seen (value TEXT)")
        connection.execute("INSERT INTO values_seen VALUES (?)", (value,))
        connection.commit()


def read(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [value for (value,) in connection.execute("SELECT value FROM values_seen ORDER BY value")]


def test_a_new_machine_goes_on_from_the_backup(machine: Callable[[str], DatabaseBackup]) -> None:
    first, second = machine("one"), machine("two")
    write(first, "a")
    first.backup()
    second.restore()
    write(second, "b")
    assert read(second.database) == ["a", "b"]


def test_nothing_to_back_up_or_restore_is_no_error(machine: Callable[[str], DatabaseBackup]) -> None:
    backup = machine("one")
    backup.backup()
    backup.restore()
    assert not backup.database.exists()
    assert not backup.store.exists("mlflow.db")


def test_what_was_written_after_the_backup_survives_a_restart(machine: Callable[[str], DatabaseBackup]) -> None:
    backup = machine("one")
    write(backup, "a")
    backup.backup()
    write(backup, "b")
    backup.restore()
    assert read(backup.database) == ["a", "b"]


def test_another_machines_work_is_taken_over_and_ones_own_kept_aside(machine: Callable[[str], DatabaseBackup]) -> None:
    first, second = machine("one"), machine("two")
    write(first, "a")
    first.backup()
    second.restore()
    write(second, "b")
    second.backup()
    write(first, "lost otherwise")
    first.restore()
    assert read(first.database) == ["a", "b"]
    assert read(first.database.with_name("mlflow.db.replaced-1")) == ["a", "lost otherwise"]


def test_a_kill_while_the_backup_is_put_loses_nothing(
    machine: Callable[[str], DatabaseBackup], monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = machine("one")
    write(backup, "a")
    backup.backup()
    write(backup, "b")
    store_type = type(backup.store)
    put = store_type.write_bytes
    for put_first in (False, True, False):

        def put_and_die(store: Store, key: str, data: bytes, put_first: bool = put_first) -> None:
            if put_first:
                put(store, key, data)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(store_type, "write_bytes", put_and_die)
            with pytest.raises(KeyboardInterrupt):
                backup.backup()
        backup.restore()
        assert read(backup.database) == ["a", "b"]
        assert not backup.database.with_name("mlflow.db.replaced-1").exists()
    backup.backup()
    copy = machine("copy")
    copy.restore()
    assert read(copy.database) == ["a", "b"]


def test_backup_is_consistent_while_others_write(machine: Callable[[str], DatabaseBackup]) -> None:
    backup = machine("one")
    write(backup, "0000")
    stop = threading.Event()

    def keep_writing() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            write(backup, f"{number:04}")
            time.sleep(0.002)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        for number in range(3):
            backup.backup()
            copy = machine(f"copy{number}")
            copy.restore()
            values = read(copy.database)
            assert values == [f"{value:04}" for value in range(len(values))]
    finally:
        stop.set()
        writer.join()


def test_unchanged_database_is_not_put_again(machine: Callable[[str], DatabaseBackup]) -> None:
    backup = machine("one")
    write(backup, "a")
    backup.backup()
    (before,) = backup.store.list()
    backup.backup()
    assert backup.store.list() == [before]
