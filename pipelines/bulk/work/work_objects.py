"""What is computed of a scene before its product is written: windows, as objects that any process reads.

_work/NAME/r0000c0000          a computed window, see `packed_window`
_work/NAME/r0000c0001.failed   a window that could not be computed, and why
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.bulk.commits.scene_keys import scene_part
from pipelines.bulk.records import WORK_FOLDER
from pipelines.bulk.work.packed_window import (
    HEAD_BYTES,
    FloatArray,
    WindowHeader,
    header_bytes,
    pack_window,
    read_header,
    read_strip,
)
from pipelines.storage import ObjectDamaged, Store
from rssr.windows import Fetch, TileWindow

_FAILED = ".failed"
_MAX_HEADERS = 1024  # that are remembered: more than the windows of the scenes that are assembled at a time
_AT_ONCE_BYTES = 64 * 2**20  # up to here a window is one request from memory
_REMEDY = "Delete it and run again: it is computed anew."


@dataclass(frozen=True)
class StoredWork:
    """What there is of a scene.

    Attributes:
        finished: Keys of windows that were computed.
        failed: Keys of those that could not be.
        num_bytes: Of all of it.
    """

    finished: frozenset[str]
    failed: frozenset[str]
    num_bytes: int


class WindowObjects:
    """Computed windows of the scenes of an output. Safe to share between threads and to pickle.

    Args:
        store: The output.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._headers: dict[tuple[str, str], WindowHeader] = {}

    def put(self, name: str, key: str, strips: Sequence[FloatArray], meta: Mapping[str, Any]) -> None:
        """Keep a computed window; it appears whole, instead of an earlier one.

        Args:
            name: Of the scene.
            key: Of the window.
            strips: Float32 [C, h, w], one a row of tiles, from top to bottom.
            meta: What is noted with it, as JSON can hold it.
        """
        chunks = pack_window(strips, meta)
        if sum(strip.nbytes for strip in strips) <= _AT_ONCE_BYTES:
            self._store.write_bytes(_object(name, key), b"".join(chunks))
        else:
            self._store.write_stream(_object(name, key), chunks)
        self._headers.pop((name, key), None)

    def fetch(self, name: str, key: str, row: int) -> FloatArray:
        """One strip, float32 [C, h, w], not to be written to; nothing else of the window is read.

        Args:
            name: Of the scene.
            key: Of the window.
            row: Number of the strip within the window, from 0.

        Raises:
            ObjectMissing: There is no such window.
            ObjectDamaged: It is not what was written.
        """
        is_remembered = (name, key) in self._headers
        try:
            return self._fetch(name, key, row)
        except ObjectDamaged:
            if not is_remembered:
                raise
            self._headers.pop((name, key), None)  # it may have been written anew, with other notes
            return self._fetch(name, key, row)

    def fetcher(self, name: str) -> Fetch:
        """What `rssr.windows.assemble` asks for the strips of a scene."""

        def fetch(window: TileWindow, tile_row: int) -> FloatArray:
            return self.fetch(name, window.key, tile_row - window.tile_rows[0])

        return fetch

    def read_meta(self, name: str, key: str) -> Mapping[str, Any]:
        """What was noted with a window.

        Raises:
            ObjectMissing: There is no such window.
            ObjectDamaged: It is not what was written.
        """
        return self._header(name, key).meta

    def look(self, name: str) -> StoredWork:
        """What there is of a scene; one listing."""
        folder = f"{_folder(name)}/"
        entries = {entry.key.removeprefix(folder): entry.num_bytes for entry in self._store.list(_folder(name))}
        failed = frozenset(key.removesuffix(_FAILED) for key in entries if key.endswith(_FAILED))
        finished = frozenset(key for key in entries if not key.endswith(_FAILED))
        return StoredWork(finished, failed - finished, sum(entries.values()))

    def has(self, name: str) -> set[str]:
        """Keys of the windows of a scene that were computed; one listing."""
        return set(self.look(name).finished)

    def put_failed(self, name: str, key: str, reason: str) -> None:
        """Note that a window could not be computed, and why, in a sentence."""
        data = json.dumps({"reason": reason}, ensure_ascii=False).encode(errors="backslashreplace")
        self._store.write_bytes(_object(name, key) + _FAILED, data)

    def read_failed(self, name: str) -> dict[str, str]:
        """Why windows of a scene could not be computed, by their keys."""
        return {key: self._reason(name, key) for key in sorted(self.look(name).failed)}

    def forget_failed(self, name: str) -> None:
        """Let the windows of a scene that could not be computed be tried again."""
        for entry in self._store.list(_folder(name)):
            if entry.key.endswith(_FAILED):
                self._store.delete(entry.key)

    def delete_window(self, name: str, key: str) -> None:
        """Remove one window, e.g. since it is damaged."""
        self._headers.pop((name, key), None)
        self._store.delete(_object(name, key))

    def delete(self, name: str) -> None:
        """Remove all there is of a scene."""
        self._store.delete_prefix(_folder(name))

    def _fetch(self, name: str, key: str, row: int) -> FloatArray:
        places = self._header(name, key).strips
        if not 0 <= row < len(places):
            raise self._damaged(name, key, f"it has {len(places)} rows of tiles, and none of number {row}")
        data = self._store.read_range(_object(name, key), places[row].start, places[row].num_bytes)
        try:
            return read_strip(places[row], data)
        except ValueError as error:
            raise self._damaged(name, key, str(error)) from None

    def _header(self, name: str, key: str) -> WindowHeader:
        known = self._headers.get((name, key))
        if known is not None:
            return known
        try:
            head = self._store.read_range(_object(name, key), 0, HEAD_BYTES)
            length = header_bytes(head)
            if length > len(head):
                head = self._store.read_range(_object(name, key), 0, length)
            header = read_header(head)
        except ValueError as error:
            raise self._damaged(name, key, str(error)) from None
        if len(self._headers) >= _MAX_HEADERS:
            self._headers.clear()
        self._headers[name, key] = header
        return header

    def _reason(self, name: str, key: str) -> str:
        try:
            return str(json.loads(self._store.read_bytes(_object(name, key) + _FAILED))["reason"])
        except (ValueError, TypeError, KeyError):
            return "The note about it is damaged."

    def _damaged(self, name: str, key: str, why: str) -> ObjectDamaged:
        return ObjectDamaged(f"{self._store.describe(_object(name, key))} is damaged: {why}.", _REMEDY)


def _folder(name: str) -> str:
    return f"{WORK_FOLDER}/{scene_part(name)}"


def _object(name: str, key: str) -> str:
    return f"{_folder(name)}/{key}"
