"""Which image belongs to which: by name, whatever the format and with or without folders."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath


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
