"""A folder on a local or mounted file system."""

import errno
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipelines.storage.file_errors import explained
from pipelines.storage.store import (
    PART_SUFFIX,
    Data,
    Entry,
    ObjectMissing,
    Store,
    clean_key,
    file_sha256,
    is_part,
    probe_key,
)

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES}
_NOT_FROM_THERE = {*_NO_HARD_LINKS, errno.EXDEV}
_NUM_TRIES = 20  # at a folder that others remove whenever it is empty


class LocalStore(Store):
    """Objects are files; writes go aside, are flushed to disk and take their name in one step."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._enforces: bool | None = None

    @property
    def uri(self) -> str:
        """The folder's absolute path."""
        return str(self._root)

    def child(self, key: str) -> "LocalStore":
        """The store below a key."""
        return LocalStore(self._path(key))

    def read_bytes(self, key: str) -> bytes:
        """The file's content."""
        path = self._path(key)
        with explained(path):
            try:
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise ObjectMissing(f"There is no file {path}.", "Check the path.") from None

    def read_range(self, key: str, start: int, num_bytes: int) -> bytes:
        """A part of the file."""
        path = self._path(key)
        with explained(path):
            try:
                with path.open("rb") as stream:
                    stream.seek(start)
                    return stream.read(num_bytes)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise ObjectMissing(f"There is no file {path}.", "Check the path.") from None

    def write_bytes(self, key: str, data: bytes) -> None:
        """Write aside, flush, rename."""
        path = self._path(key)
        with explained(path), _written_aside(path) as aside:
            _write_flushed(aside, data)
            aside.replace(path)
            _flush_folder(path.parent)

    def write_stream(self, key: str, chunks: Iterable[Data]) -> None:
        """Write aside, flush, rename."""
        path = self._path(key)
        with explained(path), _written_aside(path) as aside:
            with aside.open("wb") as stream:
                stream.writelines(chunks)
                stream.flush()
                os.fsync(stream.fileno())
            aside.replace(path)
            _flush_folder(path.parent)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write aside, then link under the final name, which the file system refuses where it is taken."""
        path = self._path(key)
        with explained(path):
            if path.exists():
                return False
            with _written_aside(path) as aside:
                _write_flushed(aside, data)
                return _publish(aside, path)

    def enforces_conditional_put(self) -> bool:
        """Whether this file system has hard links."""
        if self._enforces is None:
            path = self._path(probe_key())
            with explained(path), _written_aside(path) as aside:
                _write_flushed(aside, b"probe")
                self._enforces = _link(aside, path)
                path.unlink(missing_ok=True)
        return self._enforces

    def exists(self, key: str) -> bool:
        """Whether the file is there."""
        return self._path(key).is_file()

    def stat(self, key: str) -> Entry:
        """Size and time of change of the file."""
        path = self._path(key)
        with explained(path):
            if not path.is_file():
                raise ObjectMissing(f"There is no file {path}.", "Check the path.")
            return self._entry(path)

    def has_folder(self) -> bool:
        """Whether the folder is there, empty or not."""
        return self._root.is_dir()

    def list(self, prefix: str = "") -> list[Entry]:
        """All files below a folder, links followed once."""
        top = self._path(prefix.strip("/")) if prefix.strip("/") else self._root
        if not top.is_dir():
            return []
        found = []
        with explained(top):
            for path in _walk_files(top):
                with suppress(FileNotFoundError):  # removed since it was seen
                    found.append(self._entry(path))
        return sorted(found)

    def delete(self, key: str) -> None:
        """Remove the file, and the folders above it that this leaves empty."""
        path = self._path(key)
        with explained(path):
            try:
                path.unlink(missing_ok=True)
            except NotADirectoryError:
                return
        for folder in path.parents:
            if folder == self._root or self._root not in folder.parents:
                return
            try:
                folder.rmdir()
            except OSError:
                return  # not empty, or already gone

    def upload_file(self, source: Path, key: str) -> None:
        """Copy a file in, aside first."""
        path = self._path(key)
        with explained(path), _written_aside(path) as aside:
            shutil.copyfile(source, aside)
            _flush(aside)
            aside.replace(path)
            _flush_folder(path.parent)

    def upload_file_if_absent(self, source: Path, key: str, *, takes_source: bool = False) -> bool:
        """Copy aside, then link under the final name; a source that may be taken is linked where it lies."""
        path = self._path(key)
        with explained(path):
            if path.exists():
                return False
            with _written_aside(path) as aside:
                if takes_source and _stand_in(source.resolve(), aside):
                    _flush(aside)
                else:
                    shutil.copyfile(source, aside)
                    _flush(aside)
                return _publish(aside, path)

    def sha256(self, key: str) -> str:
        """Of the file, read in pieces."""
        path = self._path(key)
        with explained(path):
            try:
                return file_sha256(path)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise ObjectMissing(f"There is no file {path}.", "Check the path.") from None

    def delete_unfinished(self) -> int:
        """Remove the files that killed writers left aside."""
        left = [Path(folder) / name for folder, _, names in os.walk(self._root) for name in names if is_part(name)]
        with explained(self._root):
            for path in left:
                path.unlink(missing_ok=True)
        return len(left)

    def download_file(self, key: str, target: Path) -> None:
        """Copy a file out."""
        path = self._path(key)
        with explained(path):
            try:
                shutil.copyfile(path, target)
            except FileNotFoundError:
                raise ObjectMissing(f"There is no file {path}.", "Check the path.") from None

    def _path(self, key: str) -> Path:
        return self._root / clean_key(key)

    def _entry(self, path: Path) -> Entry:
        status = path.stat()
        return Entry(path.relative_to(self._root).as_posix(), status.st_size, f"{status.st_mtime_ns}-{status.st_size}")


def _walk_files(top: Path) -> Iterator[Path]:
    """Files below a folder; folders behind links are entered, but none twice, so that loops end.

    Folders that are removed meanwhile have none.
    """

    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    seen: set[tuple[int, int]] = set()
    for folder, subfolders, names in os.walk(top, onerror=fail, followlinks=True):
        try:
            status = Path(folder).stat()
        except FileNotFoundError:
            subfolders.clear()
            continue
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders.sort()
        for name in names:
            path = Path(folder) / name
            if not is_part(name) and path.is_file():  # leaves out dangling links, sockets
                yield path


@contextmanager
def _written_aside(path: Path) -> Iterator[Path]:
    """An empty file beside the path, which is gone after the block."""
    aside = path.with_name(f".{uuid.uuid4().hex}{PART_SUFFIX}")  # short: the name itself may be near the limit
    for attempt in range(_NUM_TRIES):
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            aside.touch(exist_ok=False)
            break
        except (FileNotFoundError, FileExistsError):
            # Somebody's `delete` has just left the folder empty, and removed it; `mkdir` says that it exists where that
            # happens between its two looks.
            if attempt == _NUM_TRIES - 1:
                raise
    try:
        yield aside
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def _write_flushed(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _flush(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _publish(aside: Path, path: Path) -> bool:
    """Give a finished file its name unless that is taken."""
    if not _link(aside, path):
        if path.exists():
            return False
        aside.replace(path)  # no hard links here: see enforces_conditional_put
    elif not aside.samefile(path):
        return False
    _flush_folder(path.parent)
    return True


def _stand_in(source: Path, aside: Path) -> bool:
    """Make the file aside another name of the source; False where that cannot be, and the file is still there."""
    linked, mode = aside.with_name(f".{uuid.uuid4().hex}{PART_SUFFIX}"), aside.stat().st_mode
    try:
        linked.hardlink_to(source)
    except OSError as error:
        if error.errno in _NOT_FROM_THERE:
            return False
        raise
    linked.chmod(mode)  # temporary files are private, products are shared
    linked.replace(aside)
    return True


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link(source: Path, target: Path) -> bool:
    """Link unless the target exists; False where the file system has no hard links."""
    try:
        target.hardlink_to(source)
    except FileExistsError:
        return True
    except OSError as error:
        if error.errno in _NO_HARD_LINKS:
            return False
        raise
    return True
