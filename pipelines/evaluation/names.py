"""Names: of methods and datasets in tables, and of images, by which those of two folders belong together."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from rssr.errors import ConfigError

_NOT_IN_TABLES = re.compile(r"[^A-Za-z0-9 ._+-]+")
_LONGEST_NAME = 60


def name_in_tables(text: str, what: str) -> str:
    """A name that can stand in tables, made of a model's or folder's own.

    Args:
        text: That name.
        what: What is named, for errors, e.g. `method`.

    Raises:
        ConfigError: Nothing of it is left.
    """
    name = _NOT_IN_TABLES.sub("-", text).lstrip(" ._+-")[:_LONGEST_NAME]
    if not name:
        raise ConfigError(f"The {what} '{text}' has no name that could stand in tables.", "Write {name: ..., ...}.")
    return name


def require_distinct(names: Sequence[str], what: str) -> None:
    """Refuse to tell two things by one name.

    Args:
        names: All of them.
        what: What is named, for errors, e.g. `methods`.

    Raises:
        ConfigError: Naming those that are there twice.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"Several {what} are called {', '.join(twice)}.", "Give each a name of its own: {name: ..., ...}."
        )


@dataclass(frozen=True)
class NameMatch:
    """Images and those of another folder that have their names.

    Attributes:
        found: For each image the key of the other, or None.
        reasons: For each image why there is none; empty where there is one.
        extra: Keys of the other folder that belong to no image.
    """

    found: tuple[str | None, ...]
    reasons: tuple[str, ...]
    extra: tuple[str, ...]


def match_names(keys: Sequence[str], others: Sequence[str], known: Sequence[str] = ()) -> NameMatch:
    """Find the images of another folder that are called as these are.

    `Airport/airport_1.png` belongs to `Airport/airport_1.jpg`, and so does `airport_1.png` unless several images are
    called `airport_1`.

    Args:
        keys: Of the images.
        others: Of the other folder.
        known: Further images to which those of the other folder may belong, such as those that were not chosen.
    """
    ours = dict.fromkeys([*keys, *known])
    by_path, by_name = _by(others, _without_ending), _by(others, _bare)
    num_ours = {name: len(group) for name, group in _by(ours, _bare).items()}
    matches = {key: _find(key, by_path, by_name, num_ours) for key in ours}
    used = {key for group, _ in matches.values() for key in group}
    outcomes = [matches[key] for key in keys]
    return NameMatch(
        tuple(group[0] if len(group) == 1 else None for group, _ in outcomes),
        tuple(reason for _, reason in outcomes),
        tuple(sorted(key for group in by_path.values() for key in group if key not in used)),
    )


def _find(
    key: str, by_path: dict[str, list[str]], by_name: dict[str, list[str]], num_ours: dict[str, int]
) -> tuple[list[str], str]:
    """The keys that an image's name fits, and why none of them can be taken."""
    group = by_path.get(_without_ending(key), [])
    if not group:
        bare = _bare(key)
        group = by_name.get(bare, [])
        if group and num_ours[bare] > 1:
            return [], f"{num_ours[bare]} images are called {bare}, so that their folders are needed"
    if len(group) > 1:
        return group, f"several files have its name: {', '.join(sorted(group))}"
    return group, "" if group else "there is no file of its name"


def _by(keys: Iterable[str], name: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        groups[name(key)].append(key)
    return groups


def _without_ending(key: str) -> str:
    return str(PurePosixPath(key).with_suffix(""))


def _bare(key: str) -> str:
    return PurePosixPath(key).stem
