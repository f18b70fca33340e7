"""What errors of the file system mean and what to do about them."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rssr.errors import StorageError

_PERMISSIONS = "Check the permissions of the folder and of its parents."
_FULL = "Free some space or choose another place."
_OF_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REMEDIES = {
    errno.EACCES: _PERMISSIONS,
    errno.EPERM: _PERMISSIONS,
    errno.EROFS: "The file system is read-only; choose another place.",
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "Files may not get as large there; raise the limit (ulimit -f) or choose another place.",
    errno.ENOTDIR: "A file lies where a folder is needed; choose another path.",
    errno.EISDIR: "A folder lies where a file is needed; choose another path.",
    errno.ENAMETOOLONG: "Give the input a shorter name.",
}


def file_error(error: OSError, path: Path | str) -> StorageError:
    """The error as one paragraph.

    Args:
        error: Of the file system.
        path: What was being worked on, where the error does not say it.
    """
    what = error.strerror or str(error) or type(error).__name__
    where = path if error.errno in _OF_WRITING else error.filename or path  # Python's copies name their source
    return StorageError(f"{where} cannot be used: {what}.", remedy(error))


def remedy(error: OSError) -> str:
    """What to do about an error of the file system."""
    return _REMEDIES.get(error.errno or 0, "Check the path.")


@contextmanager
def explained(path: Path | str) -> Iterator[None]:
    """Errors of the file system in the block become `StorageError`.

    Args:
        path: What is being worked on.
    """
    try:
        yield
    except OSError as error:
        raise file_error(error, path) from None
