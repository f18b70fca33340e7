"""Which dataset a listing is, and whether it is all of it."""

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from types import MappingProxyType

from pipelines.catalogue.aid import AID
from pipelines.catalogue.dior import DiorLayout
from pipelines.catalogue.dota import DotaLayout
from pipelines.catalogue.folder import FolderLayout
from pipelines.catalogue.layout import Label, Layout, ReadFile, is_image_key
from pipelines.catalogue.nwpu_resisc45 import NWPU_RESISC45
from rssr.errors import DataError

AUTO = "auto"

_OFFICIAL: tuple[Layout, ...] = (DiorLayout(), DotaLayout(), AID, NWPU_RESISC45)
LAYOUTS = MappingProxyType({layout.name: layout for layout in (*_OFFICIAL, FolderLayout())})

_LEAST_SHARE = 0.5  # of the images that a layout asked for by name must know
_NUM_NAMED = 3  # keys and classes quoted in a message


def recognise(keys: Sequence[str], name: str | None = None, read: ReadFile | None = None) -> Layout:
    """The layout of a dataset.

    Args:
        keys: A whole listing, images and other files.
        name: Which layout it must be. `auto` or None: the official one that knows every image; a folder of images
            where none does.
        read: Reads a listed file; given, the layout knows what its official split lists say.

    Raises:
        DataError: There is no layout of that name, or it knows less than half of the images, or a list is damaged.
    """
    layout = _recognised(keys) if name in (None, AUTO) else _named(str(name), keys)
    return layout.informed(keys, read) if read is not None else layout


def completeness(layout: Layout, labels: Iterable[Label]) -> tuple[str, ...]:
    """What is missing from an official dataset, or there in excess: one sentence each, empty where it is whole."""
    facts = layout.facts
    if facts is None:
        return ()
    found = list(labels)
    sentences = []
    if len(found) != facts.num_images:
        sentences.append(f"{layout.title} has {facts.num_images:,} images; {len(found):,} of them are here.")
    by_class = Counter(label.class_name for label in found)
    absent = [name for name in facts.class_counts if not by_class[name]]
    uneven = [name for name, count in facts.class_counts.items() if by_class[name] not in (0, count)]
    if absent:
        sentences.append(f"{len(absent)} of its {len(facts.class_counts)} classes are missing: {_some(absent)}.")
    if uneven:
        counts = [f"{name} {by_class[name]} of {facts.class_counts[name]}" for name in uneven]
        sentences.append(f"{len(uneven)} classes are not whole: {_some(counts)}.")
    by_split = Counter(label.split for label in found)
    partial = [f"{name} {by_split[name]:,} of {n:,}" for name, n in facts.split_counts.items() if by_split[name] != n]
    if partial and any(label.split is not None for label in found):
        sentences.append(f"The official splits are not whole: {_some(partial)}.")
    return tuple(sentences)


def _recognised(keys: Sequence[str]) -> Layout:
    images = [key for key in keys if is_image_key(key)]
    fitting = [layout for layout in _OFFICIAL if images and all(layout.label(key) is not None for key in images)]
    # A few classes of AID and NWPU-RESISC45 are called alike but for their capitals.
    return max(fitting, key=lambda layout: _num_spelled_alike(layout, images), default=FolderLayout())


def _num_spelled_alike(layout: Layout, images: Sequence[str]) -> int:
    folders = FolderLayout()
    return sum(layout.label(key) == folders.label(key) for key in images)


def _named(name: str, keys: Sequence[str]) -> Layout:
    layout = LAYOUTS.get(name)
    if layout is None:
        near = difflib.get_close_matches(name, LAYOUTS, 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise DataError(f"There is no layout '{name}'.{meant}", f"Choose one of {AUTO}, {', '.join(LAYOUTS)}.")
    images = [key for key in keys if is_image_key(key)]
    unknown = [key for key in images if layout.label(key) is None]
    if images and len(unknown) > _LEAST_SHARE * len(images):
        looks = _recognised(keys)
        raise DataError(
            f"This is not {layout.title} as published: {len(unknown)} of {len(images)} images do not lie where its "
            f"layout has them. Expected: {layout.expects}. Found: {_some(unknown)}.",
            f"Give the folder that holds the dataset, or choose the layout {looks.name}.",
        )
    return layout


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NUM_NAMED:,} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(names[:_NUM_NAMED]) + more
