"""Reading through GDAL from places behind our own door to storage: every byte comes from a function of ours.

GDAL's own `/vsis3/` keeps its options to one thread, so that its JPEG 2000 decoder's other threads look for a bucket at
AWS; where a transfer fails, that decoder only warns and goes on with what is missing; and a server that answers a range
with status 200 instead of 206, as `rclone serve s3` does, has its part taken for the whole object. Here what the
function raises is raised.
"""

import io
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

import rasterio

from rssr.errors import RasterError, RssrError

Result = TypeVar("Result")

_BLOCK_BYTES = 256 * 2**10
_MAX_BLOCKS = 32  # 8 MiB a file: about a row of a tile's JPEG 2000 blocks


@dataclass
class ByteSource:
    """A file elsewhere that GDAL reads by ranges.

    Attributes:
        name: What the file is called; its ending tells nothing.
        num_bytes: Its size.
        read_range: First byte and number of bytes to those bytes; raises what it likes.
        failures: What was raised since somebody looked; GDAL itself forgets it.
    """

    name: str
    num_bytes: int
    read_range: Callable[[int, int], bytes]
    failures: list[Exception] = field(default_factory=list)
    _blocks: OrderedDict[int, bytes] = field(default_factory=OrderedDict, repr=False)

    def read(self, start: int, num_bytes: int) -> bytes:
        """A range, out of blocks of which the last ones are kept."""
        stop = min(start + num_bytes, self.num_bytes)
        numbers = range(start // _BLOCK_BYTES, -(-stop // _BLOCK_BYTES))
        held = b"".join(self._block(number) for number in numbers)
        first = start - start // _BLOCK_BYTES * _BLOCK_BYTES
        return held[first : first + max(stop - start, 0)]

    def read_all(self) -> bytes:
        """The whole file, in one request at most."""
        return self.read_range(0, self.num_bytes) if self.num_bytes > _BLOCK_BYTES else self.read(0, self.num_bytes)

    def asked(self, work: Callable[[], Result]) -> Result:
        """What GDAL makes of the source; what went wrong in reading is raised, whether or not GDAL goes on.

        Args:
            work: Opens or reads, in this thread alone: GDAL's others do not know our sources.

        Raises:
            RssrError: As `read_range` raised it.
            RasterError: For anything else that it raised.
        """
        self.failures.clear()
        try:
            with rasterio.Env(GDAL_NUM_THREADS="1", GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
                return work()
        finally:
            self._raise_failure()

    def _raise_failure(self) -> None:
        if not self.failures:
            return
        failure = self.failures[0]
        self.failures.clear()
        if isinstance(failure, RssrError):
            raise failure
        raise RasterError(f"A part of {self.name} cannot be read: {failure}.", "Try again, or check where it lies.")

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            start = number * _BLOCK_BYTES
            wanted = min(_BLOCK_BYTES, self.num_bytes - start)
            data = self.read_range(start, wanted)
            if len(data) != wanted:
                raise OSError(f"{self.name}: {len(data)} of {wanted} bytes came from byte {start} on")
            self._blocks[number] = data
            while len(self._blocks) > _MAX_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return self._blocks[number]


class _SourceFile(io.RawIOBase):
    """A `ByteSource` as a file."""

    def __init__(self, source: ByteSource) -> None:
        super().__init__()
        self._source = source
        self._place = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Next byte."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._source.num_bytes}[whence]
        self._place = base + offset
        return self._place

    def read(self, size: int = -1) -> bytes:
        """Bytes from here on; none where they cannot be had, which the source notes."""
        wanted = self._source.num_bytes if size is None or size < 0 else size
        try:
            data = self._source.read(self._place, wanted)
        except Exception as error:  # whatever it is, GDAL would forget it
            self._source.failures.append(error)
            data = b""
        self._place += len(data)
        return data


@contextmanager
def opened_source(source: ByteSource) -> Iterator[Any]:
    """A rasterio dataset over a source; open it and read from it through `ByteSource.asked`."""
    path = f"{uuid4().hex}/image"

    def opener(asked: str, mode: str = "rb") -> _SourceFile:
        if not str(asked).endswith(path):
            raise FileNotFoundError(asked)  # GDAL looks for files beside the image
        return _SourceFile(source)

    with rasterio.open(path, opener=opener, sharing=False) as dataset:
        yield dataset
