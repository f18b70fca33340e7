"""An object of a store as a file that is read here and there, in ranges."""

import io

from pipelines.storage.store import Store

_MOST_BYTES = 256 * 2**20  # at once: a table of two million members


class RangedFile(io.RawIOBase):
    """A read-only, seekable view; keeps one window in memory.

    Args:
        store: Where the object lies.
        key: The object.
        num_bytes: Its size.
        window_bytes: Least to fetch at once: what a request costs in bandwidth.
    """

    def __init__(self, store: Store, key: str, num_bytes: int, window_bytes: int) -> None:
        super().__init__()
        self._store = store
        self._key = key
        self._num_bytes = num_bytes
        self._window_bytes = window_bytes
        self._position = 0
        self._start = 0
        self._window = b""

    def seekable(self) -> bool:
        """Always."""
        return True

    def readable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go there; nothing is fetched."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._num_bytes}[whence]
        if base + offset < 0:
            raise OSError("a position before the beginning")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end.

        Raises:
            OSError: That is more than is ever needed at once.
            StorageError: The store fails.
        """
        left = max(self._num_bytes - self._position, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted <= 0:
            return b""
        if wanted > _MOST_BYTES:
            raise OSError(f"{wanted:,} bytes are wanted at once")
        first = self._position - self._start
        if first < 0 or first + wanted > len(self._window):
            self._fetch(wanted)
            first = self._position - self._start
        data = self._window[first : first + wanted]
        self._position += len(data)
        return data

    def _fetch(self, wanted: int) -> None:
        """The window: from here on, or up to the end where that is near, since zip archives are read from there."""
        length = max(wanted, self._window_bytes)
        self._start = max(min(self._position, self._num_bytes - length), 0)
        if self._position - self._start > self._window_bytes:
            self._start = self._position
        length = min(length + self._position - self._start, self._num_bytes - self._start)
        self._window = self._store.read_range(self._key, self._start, length)
