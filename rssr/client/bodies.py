"""Bodies of requests that can be sent again: files are read while they are sent, never held in memory."""

import io
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from rssr.errors import DataError


class Readable(Protocol):
    """What can be sent in pieces."""

    def read(self, num_bytes: int = -1, /) -> bytes:
        """The next bytes, at most as many; none at the end."""
        ...


class Body(Protocol):
    """A body that can be read from its beginning as often as it is sent."""

    @property
    def media_type(self) -> str:
        """For the header Content-Type."""
        ...

    @property
    def num_bytes(self) -> int:
        """Its length."""
        ...

    @contextmanager
    def opened(self) -> Iterator[Readable]:
        """Read it from its beginning."""
        ...


@dataclass(frozen=True)
class BytesBody:
    """Bytes in memory."""

    content: bytes
    media_type: str = "application/octet-stream"

    @property
    def num_bytes(self) -> int:
        """See `Body`."""
        return len(self.content)

    @contextmanager
    def opened(self) -> Iterator[Readable]:
        """See `Body`."""
        yield io.BytesIO(self.content)


@dataclass(frozen=True)
class FileBody:
    """A file; it must not change while it is sent."""

    path: Path
    media_type: str = "application/octet-stream"

    @property
    def num_bytes(self) -> int:
        """See `Body`."""
        return self.path.stat().st_size

    @contextmanager
    def opened(self) -> Iterator[Readable]:
        """See `Body`."""
        with self.path.open("rb") as stream:
            yield stream


@dataclass(frozen=True)
class FormBody:
    """A form with a file in it.

    Attributes:
        fields: Plain fields.
        part: Name of the file's field.
        path: The file.
    """

    fields: Mapping[str, str]
    part: str
    path: Path
    _boundary: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def media_type(self) -> str:
        """See `Body`."""
        return f"multipart/form-data; boundary={self._boundary}"

    @property
    def num_bytes(self) -> int:
        """See `Body`."""
        return len(self._head) + self.path.stat().st_size + len(self._tail)

    @contextmanager
    def opened(self) -> Iterator[Readable]:
        """See `Body`."""
        with ExitStack() as open_files:
            stream = open_files.enter_context(self.path.open("rb"))
            yield _InTurn([io.BytesIO(self._head), stream, io.BytesIO(self._tail)])

    @property
    def _head(self) -> bytes:
        head = b""
        for name, value in self.fields.items():
            head += self._part(f'name="{_quoted(name)}"') + b"\r\n" + value.encode() + b"\r\n"
        about = self._part(f'name="{_quoted(self.part)}"; filename="{_quoted(self.path.name)}"')
        return head + about + b"Content-Type: application/octet-stream\r\n\r\n"

    @property
    def _tail(self) -> bytes:
        return f"\r\n--{self._boundary}--\r\n".encode()

    def _part(self, disposition: str) -> bytes:
        return f"--{self._boundary}\r\nContent-Disposition: form-data; {disposition}\r\n".encode()


class _InTurn:
    """Several streams, one behind another."""

    def __init__(self, streams: Sequence[BinaryIO]) -> None:
        self._left = list(streams)

    def read(self, num_bytes: int = -1, /) -> bytes:
        while self._left:
            piece = self._left[0].read(num_bytes)
            if piece:
                return piece
            self._left.pop(0)
        return b""


def file_body(path: Path) -> FileBody:
    """A file as a body.

    Raises:
        DataError: There is none.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path}.", "Check the path.")
    return FileBody(path)


def _quoted(text: str) -> str:
    """A name as browsers write it into forms."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
