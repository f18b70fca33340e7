"""Published lists of the images of each split: pickles, JSON or text, read as data and matched with a listing."""

import json
import logging
import ntpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipelines.catalogue.layout import EXTENSIONS, SplitName
from pipelines.storage import is_local, local_path, open_store
from rssr.errors import DataError

MAX_LIST_BYTES = 16 * 2**20
"""Longest list that is read: a hundred thousand names with their paths take half of it."""

log = logging.getLogger(__name__)

_NUM_NAMED = 3  # names quoted in a message
_LONGEST_SHOWN = 100
_PICKLES = (".pkl", ".pickle", ".p")


def read_split_list(uri: str) -> tuple[str, ...]:
    """Names of images in a list, in the order of the file, each once.

    A pickle or JSON may nest lists, dictionaries and sets in any way: every text in it that ends like an image is a
    name, or where there is none, every text that is no key. A text file has a name a line. Nothing that a pickle asks
    for is imported or called.

    Raises:
        DataError: The list is damaged, too long or empty, or is a pickle that asks for more than plain values.
        StorageError: It cannot be reached.
    """
    data = _read(uri)
    ending = uri.lower()
    if ending.endswith(_PICKLES):
        names = _names(_unpickled(data, uri))
    elif ending.endswith(".json"):
        names = _names(_parsed_json(data, uri))
    else:
        names = _lines(data, uri)
    found = tuple(dict.fromkeys(name for name in names if name.strip()))
    if not found:
        raise DataError(f"The split list {uri} names no image.", "Give a list of file names.")
    return found


def assign_splits(keys: Sequence[str], lists: Mapping[SplitName, Iterable[str]]) -> dict[str, SplitName]:
    """Find the images that lists name.

    A name may carry folders of its author's disk and another ending: the key that agrees in name and in most folders,
    read from the end, is meant.

    Args:
        keys: Of all images, each once.
        lists: Names of the images of each split.

    Returns:
        The split of each image that is listed.

    Raises:
        DataError: A list fits none of the images, a name fits several equally, or an image is in two splits.
    """
    by_stem: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        by_stem[_stem(_parts(key)[-1])].append(key)
    splits: dict[str, SplitName] = {}
    for split, names in lists.items():
        listed = list(names)
        missing = []
        for name in listed:
            found = _match(name, by_stem)
            if found is None:
                missing.append(name)
            elif splits.setdefault(found, split) != split:
                both = f"{splits[found]} and {split}"
                raise DataError(f"{found} is on the lists of both {both}.", "Mend data.split_lists.")
        _report_missing(split, missing, listed, keys)
    return splits


def _read(uri: str) -> bytes:
    path = local_path(uri) if is_local(uri) else None
    folder, _, name = (str(path) if path is not None else uri).rpartition("/")
    data = open_store(folder or "/").read_range(name, 0, MAX_LIST_BYTES + 1)
    if len(data) > MAX_LIST_BYTES:
        raise DataError(
            f"The split list {uri} has more than {MAX_LIST_BYTES:,} bytes.", "Give a list of names, one or a few files."
        )
    return data


def _unpickled(data: bytes, uri: str) -> object:
    from rssr.weights.inert_pickle import read_plain_pickle  # brings PyTorch along
    from rssr.weights.tensor_records import InertPickleError

    try:
        return read_plain_pickle(data)
    except InertPickleError as error:
        raise DataError(
            f"The split list {uri} is refused: {error}.", "Nothing of it was run. Give its names as .json or .txt."
        ) from None


def _parsed_json(data: bytes, uri: str) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise DataError(f"The split list {uri} is no JSON.", "Restore the file, or give it as .txt.") from None


def _lines(data: bytes, uri: str) -> list[str]:
    try:
        return [line.strip() for line in data.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise DataError(
            f"The split list {uri} is no text in UTF-8.", "A pickle must end in .pkl, JSON in .json."
        ) from None


def _names(content: object) -> list[str]:
    texts: list[str] = []
    keys: list[str] = []
    for text, is_key in _texts(content):
        (keys if is_key else texts).append(text)
    images = [text for text in (*texts, *keys) if text.lower().endswith(EXTENSIONS)]
    return images or texts


def _texts(content: object) -> Iterator[tuple[str, bool]]:
    """Every text and whether it is a dictionary's key, in order; no recursion, and nothing twice however it nests."""
    waiting: list[tuple[object, bool]] = [(content, False)]
    seen: set[int] = set()
    while waiting:
        item, is_key = waiting.pop()
        if isinstance(item, str):
            yield item, is_key
        elif isinstance(item, list | tuple | dict) and id(item) not in seen:
            seen.add(id(item))
            inner: list[tuple[object, bool]] = []
            if isinstance(item, dict):
                for key, value in item.items():
                    inner += [(key, True), (value, False)]
            else:
                inner = [(value, False) for value in item]
            waiting.extend(reversed(inner))


def _parts(name: str) -> list[str]:
    """Folders and name, in lower case, of a path of any operating system."""
    path = ntpath.splitdrive(name.strip().lower())[1].replace("\\", "/")
    return [part for part in path.split("/") if part not in ("", ".")] or [""]


def _stem(name: str) -> str:
    return name.rpartition(".")[0] if name.endswith(EXTENSIONS) else name


def _match(name: str, by_stem: Mapping[str, Sequence[str]]) -> str | None:
    wanted = _parts(name)
    candidates = by_stem.get(_stem(wanted[-1]), ())
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    ranked = sorted(candidates, key=lambda key: _agreement(wanted, _parts(key)))
    if _agreement(wanted, _parts(ranked[-1])) == _agreement(wanted, _parts(ranked[-2])):
        raise DataError(
            f"{_some([name])} of a split list may be {ranked[-2]} or {ranked[-1]}.",
            "Give lists with the images' folders.",
        )
    return ranked[-1]


def _agreement(wanted: Sequence[str], parts: Sequence[str]) -> tuple[int, bool]:
    """Folders in common, from the innermost outwards, then whether the endings are the same."""
    common = 0
    for ours, theirs in zip(reversed(wanted[:-1]), reversed(parts[:-1]), strict=False):
        if ours != theirs:
            break
        common += 1
    return common, wanted[-1] == parts[-1]


def _report_missing(split: SplitName, missing: Sequence[str], listed: Sequence[str], keys: Sequence[str]) -> None:
    if not missing:
        return
    named = _some(missing)
    if len(missing) == len(listed):
        raise DataError(
            f"None of the {len(listed)} images on the {split} list is there: {named}. There are: {_some(keys)}.",
            "Check that data.uri and data.split_lists belong together.",
        )
    log.warning("%d of %d images on the %s list are not there: %s", len(missing), len(listed), split, named)


def _some(names: Sequence[str]) -> str:
    """The first few, each cut and without what would disturb a terminal."""
    return ", ".join(ascii(name[:_LONGEST_SHOWN]) for name in names[:_NUM_NAMED])
