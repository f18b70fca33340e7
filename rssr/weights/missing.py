"""Pretrained weights that are not there, told all at once and before anything is computed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rssr.errors import WeightsError


@dataclass(frozen=True)
class MissingWeights:
    """One file, directory or hub id.

    Attributes:
        name: What is missing.
        place: Where it was looked for, e.g. `not in weights/auxiliary`.
        command: What fetches it, on a machine with a network.
        setting: What to set afterwards, e.g. `base_weights.taesd=DIR`.
        instead: How to do without.
    """

    name: str
    place: str
    command: str
    setting: str
    instead: str


def weights_error(missing: Sequence[MissingWeights]) -> WeightsError:
    """One paragraph that names all of them, where they were looked for, and the commands that fetch them."""
    by_place: dict[str, list[str]] = {}
    for item in missing:
        by_place.setdefault(item.place, []).append(item.name)
    places = "; ".join(f"{_listed(dict.fromkeys(names))} ({place})" for place, names in by_place.items())
    commands = _listed(dict.fromkeys(f"`{item.command}`" for item in missing))
    settings = _listed(dict.fromkeys(item.setting for item in missing))
    instead = _listed(dict.fromkeys(item.instead for item in missing))
    return WeightsError(
        f"Pretrained weights are missing: {places}.",
        f"On a machine with a network run {commands}; then set {settings}. To do without, {instead}.",
    )


def _listed(texts: Iterable[str]) -> str:
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last
