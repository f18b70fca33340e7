"""From an input to objects: those below a folder or prefix, in an archive, of a pattern or list, or a single one."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.bulk.inputs.found import SAFE, Listing
from pipelines.bulk.inputs.patterns import is_pattern, matcher, split_pattern
from pipelines.bulk.inputs.places import OutputPlace
from pipelines.bulk.threads import in_threads
from pipelines.catalogue import EXTENSIONS, describe_others
from pipelines.storage import Entry, ObjectMissing, StorageSettings, Store, StoreUnavailable, open_store
from pipelines.storage.archive import ArchiveStore, split_archive_uri
from pipelines.storage.listed import LIST_SUFFIX, key_in_line, read_lines
from pipelines.storage.uris import local_path, parse_uri, redact
from rssr.errors import DataError, StorageError

_WEB = ("http://", "https://")


@dataclass(frozen=True)
class Search:
    """Looks through inputs.

    Attributes:
        settings: How to reach S3; None reads the environment.
        output: What may not be an input.
    """

    settings: StorageSettings | None
    output: OutputPlace

    def listings(self, uri: str) -> list[Listing]:
        """The objects of one input, a listing a store.

        Raises:
            ConfigError: It is the output or lies in it, or leaves the bucket open.
            DataError: Its address carries a query.
            PlaceRefused: The settings do not allow it, or what it names.
            StorageError: It cannot be reached or read.
        """
        _check_address(uri)
        self._require_allowed(uri)
        if is_pattern(uri):
            return [self._of_pattern(uri)]
        if uri.endswith("/") or _is_local_folder(uri):
            return [self._of_folder(uri)]
        if uri.lower().endswith(LIST_SUFFIX):
            return self._of_list(uri)
        if split_archive_uri(uri) is not None:
            return [self._of_archive(uri)]
        return [self._of_object(uri) or self._of_folder(uri)]

    def nothing_found(self, uri: str, listings: Sequence[Listing]) -> DataError:
        """The error for an input without scenes."""
        keys = [entry.key for listing in listings for entry in listing.entries]
        endings = ", ".join(ending[1:] for ending in EXTENSIONS)
        if keys:
            others = describe_others(keys) or "hidden ones, or those of a run"
            return DataError(
                f"None of the {len(keys):,} files of the input {uri} is a scene by its name: {others}.",
                f"Scenes are images ({endings}), zip or tar archives of such, SAFE folders and STAC items (.json).",
            )
        if is_pattern(uri):
            fixed, pattern = split_pattern(uri)
            return DataError(f"Nothing below {fixed} is called {pattern}.", "Correct the pattern; ** is any depth.")
        empty = any(listing.store.has_folder() for listing in listings)
        problem = "is empty" if empty else "does not exist or holds nothing"
        return DataError(f"The input {uri} {problem}.", "Correct input=..., or put scenes there.")

    def _of_folder(self, uri: str) -> Listing:
        """A folder or prefix."""
        own = self.output.left_out(uri)
        store = open_store(uri, self.settings)
        entries = store.list()
        if own is not None:
            entries = [entry for entry in entries if not entry.key.startswith(f"{own}/")]
        return Listing(store, entries)

    def _of_archive(self, uri: str) -> Listing:
        """An archive, a folder in one, or one of its members."""
        self.output.left_out(uri)
        store = open_store(uri, self.settings)
        entries = store.list()
        archive, inner = split_archive_uri(uri) or (uri, "")
        whole = open_store(archive, self.settings)
        if not entries and inner and whole.exists(inner):
            return Listing(whole, [whole.stat(inner)], takes_all=True, is_archive=True)
        return Listing(store, entries, is_archive=isinstance(store, ArchiveStore))

    def _of_pattern(self, uri: str) -> Listing:
        fixed, pattern = split_pattern(uri)
        inside = split_archive_uri(fixed) is not None and not _is_local_folder(fixed)
        listing = self._of_archive(fixed) if inside else self._of_folder(fixed)
        matches = matcher(pattern)
        return replace(listing, entries=[entry for entry in listing.entries if matches(_whole(entry.key))])

    def _of_object(self, uri: str) -> Listing | None:
        """One object; None where there is none, but perhaps a prefix."""
        self.output.left_out(uri)
        store, key = self._place(uri)
        try:
            return Listing(store, [store.stat(key)], takes_all=True) if key else None
        except ObjectMissing:
            return None

    def _of_list(self, uri: str) -> list[Listing]:
        """Keys below the list's folder, and addresses of single scenes; those that are not there will be refused."""
        self.output.left_out(uri)
        container, name = self._place(uri)
        keys: dict[str, list[str]] = defaultdict(list)
        stores, listings = {container.uri: container}, []
        for number, line in read_lines(container, name):
            if "://" not in line and not line.startswith("/"):
                keys[container.uri].append(key_in_line(line.rstrip("/"), number, uri))
                self._require_allowed(container.describe(line))
                continue
            self._require_allowed(line)
            if split_archive_uri(line) is not None and "!" in line:
                listings.append(self._of_archive(line))
            else:
                _check_address(line)
                self.output.left_out(line)
                store, key = self._place(line.rstrip("/"))
                stores.setdefault(store.uri, store)
                keys[store.uri].append(key)
        return [*listings, *(self._of_keys(stores[place], named) for place, named in keys.items())]

    def _of_keys(self, store: Store, keys: Sequence[str]) -> Listing:
        found = in_threads(_named(store), dict.fromkeys(keys))
        return Listing(store, [entry for entries in found for entry in entries], takes_all=True)

    def _require_allowed(self, uri: str) -> None:
        if self.settings is not None:
            self.settings.require_allowed(uri)

    def _place(self, uri: str) -> tuple[Store, str]:
        """The folder of an object, and its key there; empty for a whole bucket."""
        location = parse_uri(uri)
        folder, _, leaf = location.path.rpartition("/")
        parent = replace(location, path=folder or ("/" if location.scheme == "file" else ""))
        return open_store(f"{parent.uri.rstrip('/')}/", self.settings), leaf


def _check_address(uri: str) -> None:
    if uri.lower().startswith(_WEB) and "?" in uri:
        raise DataError(
            f"The address {redact(uri)} has a query, and signatures would end up in the plan.",
            "Give the plain address, or put the file into object storage.",
        )


def _is_local_folder(uri: str) -> bool:
    path = local_path(uri)
    return path is not None and Path(path).is_dir()


def _whole(key: str) -> str:
    """What a pattern is compared with: of all that lies in a SAFE folder, the folder."""
    parts = key.split("/")
    depth = next((number for number, part in enumerate(parts[:-1], 1) if part.lower().endswith(SAFE)), len(parts))
    return "/".join(parts[:depth])


def _named(store: Store) -> Callable[[str], list[Entry]]:
    def entries_of(key: str) -> list[Entry]:
        if key.lower().endswith(SAFE):
            return store.list(key) or [Entry(f"{key}/nothing", 0, "")]
        try:
            return [store.stat(key)]
        except StoreUnavailable:
            raise
        except StorageError:
            return [Entry(key, 0, "")]  # a scene that will be refused with the reason

    return entries_of
