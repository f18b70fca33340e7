"""A multipart form, read forward: one part is a file and goes on as it comes, the others are short fields."""

from collections.abc import Callable, Collection

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from pipelines.serving.problems import Problem

_MAX_HEADERS = 8
_MAX_HEADER_BYTES = 4 * 2**10
_LONGEST_SHOWN = 60
_LONGEST_FILE_NAME = 255


class Form:
    """The parts of a form. None may come twice, and none that nobody asks for.

    Args:
        boundary: Between parts, from the header Content-Type.
        part: Name of the part that is the file.
        fields: Names of the others.
        max_field_bytes: Longest field.
        write: Takes the file's bytes.

    Attributes:
        texts: Fields by name.
        media_type: Of the file, as the form says.
        file_name: Of the file, as the form says: never a path to write to.
    """

    def __init__(
        self, boundary: bytes, part: str, fields: Collection[str], max_field_bytes: int, write: Callable[[bytes], None]
    ) -> None:
        self.texts: dict[str, str] = {}
        self.media_type = self.file_name = ""
        self._part = part
        self._fields = frozenset(fields)
        self._max_field_bytes = max_field_bytes
        self._write = write
        self._seen: set[str] = set()
        self._headers: dict[bytes, bytes] = {}
        self._header, self._value, self._text = bytearray(), bytearray(), bytearray()
        self._current = ""
        self._is_whole = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._add_to_header,
                    "on_header_value": self._add_to_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._choose,
                    "on_part_data": self._take,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
                max_header_count=_MAX_HEADERS,
                max_header_size=_MAX_HEADER_BYTES,
            )
        except FormParserError:
            raise _no_form() from None

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            Problem: They are no part of such a form.
        """
        try:
            self._parser.write(data)
        except FormParserError:
            raise _no_form() from None

    def finish(self) -> None:
        """Make sure that the form is whole.

        Raises:
            Problem: It is cut off, or has no file.
        """
        if not self._is_whole:
            raise Problem("invalid-request", "The form is cut off.", "Send the whole form, up to its last boundary.")
        if self._part not in self._seen:
            raise Problem("invalid-request", f"The form has no part '{self._part}'.", "Add the file under this name.")

    def _begin(self) -> None:
        self._headers.clear()
        self._text.clear()

    def _add_to_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _choose(self) -> None:
        """Know the part by its headers."""
        kind, parameters = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = parameters.get(b"name", b"").decode("utf-8", "replace")
        shown = ascii(name[:_LONGEST_SHOWN])
        if kind != b"form-data" or (name != self._part and name not in self._fields):
            known = f"Parts are: {', '.join([self._part, *sorted(self._fields)])}."
            raise Problem("invalid-request", f"The form has a part {shown}, which is not known.", known)
        if name in self._seen:
            raise Problem("invalid-request", f"The form has the part {shown} twice.", "Send one.")
        self._seen.add(name)
        self._current = name
        if name == self._part:
            self.media_type = parse_options_header(self._headers.get(b"content-type", b""))[0].decode("latin-1")
            self.file_name = parameters.get(b"filename", b"").decode("utf-8", "replace")[:_LONGEST_FILE_NAME]

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._current == self._part:
            self._write(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > self._max_field_bytes:
            raise Problem(
                "invalid-request", f"The form's '{self._current}' has more than {self._max_field_bytes:,} bytes."
            )

    def _end_part(self) -> None:
        if self._current == self._part:
            return
        try:
            self.texts[self._current] = self._text.decode()
        except UnicodeDecodeError:
            raise Problem("invalid-request", f"The form's '{self._current}' is no text in UTF-8.") from None

    def _end(self) -> None:
        self._is_whole = True


def boundary_of(content_type: str) -> bytes | None:
    """The boundary of a form; None where this is no header of one.

    Raises:
        Problem: It is of a form, but names no boundary.
    """
    kind, parameters = parse_options_header(content_type.encode("latin-1", "replace"))
    if not kind.startswith(b"multipart/"):
        return None
    boundary = parameters.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise _no_form()
    return boundary


def _no_form() -> Problem:
    return Problem(
        "invalid-request",
        "The body is no form as its header Content-Type announces it.",
        "Send multipart/form-data with its boundary, or the file itself as the body.",
    )
