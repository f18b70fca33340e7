"""Files that appear whole or not at all."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rssr.errors import StorageError


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Give a temporary neighbour of `path` to write to, and rename it when the block succeeds.

    Readers see the old file or the new one, never a part; a failure leaves nothing behind.

    Args:
        path: The file to appear. Its folder is made.

    Yields:
        Where to write. It ends like `path`, so that writers which look at the name choose the same format.

    Raises:
        StorageError: The folder or file cannot be written.
    """
    aside = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        aside.replace(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error}.", "Check the folder, rights and free space.") from error
    finally:
        with suppress(OSError):  # nothing to clear where the folder could not be made
            aside.unlink(missing_ok=True)
