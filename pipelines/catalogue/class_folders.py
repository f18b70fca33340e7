"""Datasets with a folder for each class, whose images carry the class in their names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pipelines.catalogue.layout import Facts, Label, Layout

_NUMBERED = re.compile(r"(.+)_(\d+)")
_SEPARATORS = re.compile(r"[\s_-]+")


@dataclass(frozen=True)
class ClassFolders(Layout):
    """`<class>/<class>_<number>.jpg`, below any number of folders and however the class is capitalised."""

    facts: Facts

    def _label_image(self, folders: Sequence[str], stem: str) -> Label | None:
        """The class in the publishers' spelling; no split, since none is published."""
        numbered = _NUMBERED.fullmatch(stem)
        if not folders or numbered is None:
            return None
        folder = _plain(folders[-1])
        class_name = self._classes.get(folder)
        return Label(class_name) if class_name is not None and _plain(numbered.group(1)) == folder else None

    @cached_property
    def _classes(self) -> dict[str, str]:
        return {_plain(class_name): class_name for class_name in self.facts.class_counts}


def _plain(class_name: str) -> str:
    """A class without what its spellings differ in: capitals, underscores, hyphens and spaces."""
    return _SEPARATORS.sub("", class_name.lower())
